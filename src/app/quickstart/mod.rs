//! `lightkeep quickstart`: the main job, shown on a real sample. It is a client of its own server, through the front door.

mod client;
mod sample;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio::net::TcpListener;

use self::client::Client;
use super::config::Config;
use super::serve_until_signal;
use super::server::{Listeners, Server};
use super::signals::Signals;
use crate::base::clock::SystemClock;
use crate::base::control::Control;
use crate::base::ids::IdSource;
use crate::domain::finding::{Consistency, Verdict};
use crate::lightrag::audit::audit_directory;
use lightkeep_client::v1;

const GRAPH_ID: &str = "sample";

/// Shows the way, then serves on unless `once`.
///
/// # Errors
/// A step did not do what it should.
pub(super) async fn run(config: Config, once: bool) -> anyhow::Result<()> {
    let storage = config.storage.clone();
    let data = config.allowed_roots.first().cloned().context("quickstart has no data directory")?;
    let (workspace, damaged) = (data.join("workspaces/sample"), data.join("workspaces/sample-damaged"));
    let signals = Signals::listen()?;
    sample::write(&workspace)?;
    println!("1. A real LightRAG 1.5.7 workspace: {} files in {}", sample::FILES.len(), workspace.display());

    let api_key = config.api_key.clone();
    let server = Server::start(config.clone(), bind(&config).await?, Arc::new(SystemClock), IdSource::Random).await?;
    println!("2. The server runs: http {}, grpc {}", server.http_addr(), server.grpc_addr());

    let shown = show(&server, &Client::new(server.grpc_addr(), api_key).await?, &workspace, &damaged).await;
    match shown {
        Ok(snapshot_id) => print_next(&server, &storage, &workspace, &snapshot_id),
        Err(error) => {
            server.stop().await?;
            return Err(error);
        }
    }
    if once {
        return server.stop().await;
    }
    println!("\nServing on; press Ctrl-C to end.");
    serve_until_signal(server, signals).await
}

async fn show(server: &Server, client: &Client, workspace: &Path, damaged: &Path) -> anyhow::Result<String> {
    client.register(GRAPH_ID, workspace).await?;
    let snapshot = client.snapshot(GRAPH_ID).await?;
    print_snapshot(&snapshot);
    ensure!(snapshot.consistency() == v1::Consistency::Consistent, "the snapshot of the sample is not consistent: {:?}", snapshot.findings);

    damage_copy(workspace, damaged)?;
    let broken = audit(server, damaged).await?;
    println!("4. A damaged copy in {}: {}", damaged.display(), summary(&broken));
    for finding in &broken.findings {
        println!("     {finding}");
    }
    ensure!(broken.consistency == Consistency::Inconsistent, "the audit did not see the damage");

    let message = client.restore(GRAPH_ID, &snapshot.backup_id, damaged).await?;
    println!("5. {message}; the damaged state is kept beside it");
    let whole = audit(server, damaged).await?;
    let differences = sample::differences(damaged);
    println!("6. Audit of what was restored: {}; files that differ from the original: {}", summary(&whole), differences.len());
    ensure!(whole.consistency == Consistency::Consistent && differences.is_empty(), "the restored copy is not whole: {differences:?}");
    Ok(snapshot.backup_id)
}

/// What may go wrong on a disk: an index is cut short, the graph is gone.
fn damage_copy(workspace: &Path, damaged: &Path) -> anyhow::Result<()> {
    if damaged.exists() {
        std::fs::remove_dir_all(damaged).with_context(|| format!("cannot remove: {}", damaged.display()))?;
    }
    sample::write(damaged)?;
    let index = std::fs::OpenOptions::new().write(true).open(damaged.join("vdb_entities.json"))?;
    index.set_len(std::fs::metadata(workspace.join("vdb_entities.json"))?.len() / 2)?;
    std::fs::remove_file(damaged.join("graph_chunk_entity_relation.graphml"))?;
    Ok(())
}

async fn audit(server: &Server, directory: &Path) -> anyhow::Result<Verdict> {
    let directory: PathBuf = directory.to_owned();
    Ok(server.services().blocking(move || audit_directory(&directory, &Control::default())).await?)
}

fn summary(verdict: &Verdict) -> String {
    let census = &verdict.census;
    let (documents, chunks) = (census.documents, census.chunks);
    let (entities, relations) = (census.entities, census.relations);
    format!("{}, {documents} documents, {chunks} chunks, {entities} entities, {relations} relations", verdict.consistency)
}

fn print_snapshot(snapshot: &v1::Snapshot) {
    let consistency = if snapshot.consistency() == v1::Consistency::Consistent { "consistent" } else { "not consistent" };
    println!("3. Snapshot {}: {consistency}", snapshot.backup_id);
    println!(
        "     {} documents, {} chunks, {} entities, {} relations, {} vectors",
        snapshot.documents, snapshot.chunks, snapshot.entities, snapshot.relations, snapshot.vectors
    );
    println!(
        "     {} files, {} bytes; {} bytes added to the repository; {:.0} ms",
        snapshot.files,
        snapshot.size_bytes,
        snapshot.stored_bytes,
        snapshot.duration_seconds() * 1000.0
    );
}

fn print_next(server: &Server, storage: &Path, workspace: &Path, snapshot_id: &str) {
    let (http, grpc) = (server.http_addr(), server.grpc_addr());
    let target = workspace.with_file_name("sample-restored");
    println!("\nTry next (another terminal):");
    println!("  curl -X POST http://{http}/api/backup/backup/graphs/{GRAPH_ID}/snapshots");
    println!("  curl http://{http}/api/backup/backup/graphs/{GRAPH_ID}/snapshots");
    println!(
        "  curl -X POST http://{http}/api/backup/backup/graphs/{GRAPH_ID}/snapshots/{snapshot_id}/restore -d '{{\"target_dir\": \"{}\"}}'",
        target.display()
    );
    println!("  grpcurl -plaintext -d '{{\"graph_id\": \"{GRAPH_ID}\"}}' {grpc} lightkeep.v1.BackupService/ListSnapshots");
    if let Some(metrics) = server.metrics_addr() {
        println!("  curl http://{metrics}/metrics");
    }
    println!("  restic -r {0}/{GRAPH_ID} --password-file {0}/repository.key snapshots", storage.display());
}

/// The configured addresses, or free ports where they are taken.
async fn bind(config: &Config) -> anyhow::Result<Listeners> {
    let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let bind = async |wanted: SocketAddr| match TcpListener::bind(wanted).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => TcpListener::bind(free).await,
        result => result,
    };
    let http = bind(config.http_addr).await.with_context(|| format!("cannot listen for HTTP: {}", config.http_addr))?;
    let grpc = bind(config.grpc_addr).await.with_context(|| format!("cannot listen for gRPC: {}", config.grpc_addr))?;
    let metrics = if config.monitoring.metrics_enabled {
        Some(bind(config.metrics_addr).await.with_context(|| format!("cannot listen for metrics: {}", config.metrics_addr))?)
    } else {
        None
    };
    Ok(Listeners { http, grpc, metrics })
}
