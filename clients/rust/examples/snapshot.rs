//! Takes a snapshot of a graph and lists what there is: `cargo run -p lightkeep-client --example snapshot -- ADDRESS GRAPH SOURCE_DIR`.

use lightkeep_client::{Client, Options, v1};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, graph_id, source_dir] = arguments.as_slice() else { return Err("ADDRESS GRAPH SOURCE_DIR".into()) };
    let client = Client::new(Options::new(address)).await?;

    // An unknown graph is registered by its first snapshot.
    let (graph_id, source_dir) = (graph_id.clone(), source_dir.clone());
    let request = v1::CreateSnapshotRequest { graph_id: graph_id.clone(), source_dir, wait: Some(false), ..Default::default() };
    let snapshot = client.call(request).await?;
    client.wait(&snapshot.operation_id, |operation| println!("{} {}", operation.stage, operation.done_bytes)).await?;

    for snapshot in client.all(v1::ListSnapshotsRequest { graph_id, ..Default::default() }).await? {
        println!("{} {:?} {} bytes", snapshot.backup_id, snapshot.status(), snapshot.size_bytes);
    }
    Ok(())
}
