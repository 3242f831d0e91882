//! After the loss of the database, and for repositories that restic made.

use std::fs;
use std::path::Path;
use std::process::Command;

use lightkeep::proto::v1;

use crate::support::files;
use crate::support::process::{Process, run};

async fn snapshot(server: &Process, graph_id: &str, source: &Path) -> v1::Snapshot {
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), source_dir, ..Default::default() };
    server.backup().await.create_snapshot(request).await.unwrap().into_inner()
}

async fn list(server: &Process, graph_id: &str) -> Vec<v1::Snapshot> {
    let request = v1::ListSnapshotsRequest { graph_id: graph_id.to_owned(), ..Default::default() };
    server.backup().await.list_snapshots(request).await.unwrap().into_inner().snapshots
}

async fn restore(server: &Process, snapshot: &v1::Snapshot, target: &Path) {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let target_dir = target.to_str().unwrap().to_owned();
    let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
    server.backup().await.restore_snapshot(request).await.unwrap();
}

fn text(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_rebuilt_ids_included() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let source = root.join("rag");
    files::copy_tree(&files::sample(), &source);
    let taken = {
        let server = Process::start(&root, &[]);
        snapshot(&server, "h", &source.join("tenant_b")).await;
        snapshot(&server, "g", &source).await;
        fs::remove_dir_all(source.join("tenant_b")).unwrap();
        snapshot(&server, "g", &source).await;
        list(&server, "-").await
    };
    for name in ["lightrag_recovery.db", "lightrag_recovery.db-wal", "lightrag_recovery.db-shm"] {
        let _ = fs::remove_file(root.join(name));
    }
    let adopted = run(&root, &["adopt"], &[]);
    assert!(adopted.status.success(), "{}", text(&adopted));
    assert!(text(&adopted).contains("graph `g`: 2 snapshots in its repository, 2 adopted"), "{}", text(&adopted));

    let server = Process::start(&root, &[]);
    let found = list(&server, "-").await;
    assert_eq!(found.len(), taken.len());
    for (found, taken) in found.iter().zip(&taken) {
        assert_eq!((&found.backup_id, &found.graph_id, &found.timestamp), (&taken.backup_id, &taken.graph_id, &taken.timestamp));
        assert_eq!((&found.data_hash, found.size_bytes, found.files), (&taken.data_hash, taken.size_bytes, taken.files));
        assert_eq!((found.entities, found.documents, found.consistency()), (taken.entities, taken.documents, taken.consistency()));
        assert_eq!((&found.checkpoint_path, &found.source_dir), (&taken.checkpoint_path, &taken.source_dir));
    }
    restore(&server, &found[0], &root.join("again")).await;
    assert_eq!(files::describe(&root.join("again")), files::describe(&source));
    // Life goes on, and a second adoption finds nothing new.
    let next = snapshot(&server, "g", &source).await;
    assert!(next.stored_bytes < 10_000, "{}", next.stored_bytes);
    drop(server);
    let again = run(&root, &["adopt"], &[]);
    assert!(text(&again).contains("graph `g`: 3 snapshots in its repository, 0 adopted"), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_of_restic_is_adopted_restored_and_continued() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let source = root.join("rag");
    files::copy_tree(&files::sample().join("tenant_b"), &source);
    fs::write(root.join("password"), "theirs").unwrap();
    fs::create_dir(root.join("lightrag_backups")).unwrap();
    let restic = |arguments: &[&str]| {
        let mut command = Command::new("restic");
        command.args(["-r", "lightrag_backups/old", "--password-file", "password", "--no-cache", "--quiet"]);
        let output = command.args(arguments).current_dir(&root).output().unwrap();
        assert!(output.status.success(), "restic {arguments:?}: {}", text(&output));
    };
    restic(&["init", "--repository-version", "2"]);
    std::os::unix::fs::symlink(&root, root.join("link")).unwrap();
    let mut states = vec![];
    for number in 0..3 {
        fs::write(source.join("note"), format!("state {number}")).unwrap();
        // The newest one was asked for by another name.
        let name = if number == 2 { root.join("link/rag") } else { source.clone() };
        restic(&["backup", name.to_str().unwrap()]);
        states.push(files::describe(&source));
    }
    let refused = run(&root, &["adopt"], &[]);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("LIGHTKEEP_REPOSITORY_PASSWORD_FILE"), "{}", text(&refused));
    let password = [("LIGHTKEEP_REPOSITORY_PASSWORD_FILE", "password")];
    let adopted = run(&root, &["adopt", "--graph", "old"], &password);
    assert!(adopted.status.success(), "{}", text(&adopted));

    assert!(text(&adopted).contains("pins, policies and the LightRAG server are not kept in a repository"), "{}", text(&adopted));

    let server = Process::start(&root, &password);
    let graph = v1::GetGraphRequest { graph_id: "old".to_owned() };
    assert_eq!(server.backup().await.get_graph(graph).await.unwrap().into_inner().source_dir, source.to_str().unwrap());
    let found = list(&server, "old").await;
    assert_eq!(found.len(), 3);
    for (number, snapshot) in found.iter().rev().enumerate() {
        let target = root.join(format!("again{number}"));
        restore(&server, snapshot, &target).await;
        assert_eq!(files::describe(&target), states[number]);
    }
    let next = snapshot(&server, "old", &source).await;
    assert_eq!(next.consistency(), v1::Consistency::Consistent);
    assert!(next.stored_bytes < 20_000, "restic's content is used: {}", next.stored_bytes);
    restic(&["check", "--read-data"]);
}
