//! After the loss of the database, and for repositories that restic made.

use std::fs;
use std::path::Path;
use std::process::Command;

use lightkeep::proto::v1;
use prost_types::value::Kind as Field;

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

/// A caller's word on a snapshot.
fn metadata(word: &str) -> prost_types::Struct {
    let value = prost_types::Value { kind: Some(Field::StringValue(word.to_owned())) };
    prost_types::Struct { fields: [("word".to_owned(), value)].into() }
}

async fn graphs(server: &Process) -> Vec<(String, String)> {
    let listed = server.backup().await.list_graphs(v1::ListGraphsRequest::default()).await.unwrap().into_inner().graphs;
    listed.into_iter().map(|graph| (graph.graph_id, graph.source_dir)).collect()
}

async fn reconcile(server: &Process, graph_id: &str) -> v1::ReconcileReport {
    let request = v1::ReconcileRepositoryRequest { graph_id: graph_id.to_owned(), ..Default::default() };
    server.repository().await.reconcile_repository(request).await.unwrap().into_inner().report.unwrap()
}

fn lose_the_database(root: &Path) {
    for name in ["lightrag_recovery.db", "lightrag_recovery.db-wal", "lightrag_recovery.db-shm"] {
        let _ = fs::remove_file(root.join(name));
    }
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
    fs::create_dir(root.join("plain")).unwrap();
    fs::write(root.join("plain/note"), "no graph").unwrap();
    let (mut states, known, taken) = {
        let server = Process::start(&root, &[]);
        let mut states = std::collections::HashMap::new();
        let mut take = async |graph_id: &str, source: &Path, word: &str| {
            let source_dir = source.to_str().unwrap().to_owned();
            let request = v1::CreateSnapshotRequest {
                graph_id: graph_id.to_owned(),
                source_dir,
                metadata: Some(metadata(word)),
                ..Default::default()
            };
            let snapshot = server.backup().await.create_snapshot(request).await.unwrap().into_inner();
            states.insert(snapshot.backup_id, files::describe(source));
        };
        take("h", &source.join("tenant_b"), "another graph").await;
        fs::remove_dir_all(source.join("tenant_b")).unwrap();
        take("g", &source, "first").await;
        fs::remove_file(source.join("kv_store_text_chunks.json")).unwrap();
        take("g", &source, "damaged").await;
        take("plain", &root.join("plain"), "no graph at all").await;
        (states, graphs(&server).await, list(&server, "-").await)
    };
    lose_the_database(&root);
    let adopted = run(&root, &["adopt"], &[]);
    assert!(adopted.status.success(), "{}", text(&adopted));
    for line in ["graph `g`: 2 snapshots in its repository, 2 adopted", "graph `h`: 1 snapshots", "graph `plain`: 1 snapshots"] {
        assert!(text(&adopted).contains(line), "{}", text(&adopted));
    }

    let server = Process::start(&root, &[]);
    assert_eq!(graphs(&server).await, known);
    let found = list(&server, "-").await;
    assert_eq!(found.len(), taken.len());
    for (number, (found, taken)) in found.iter().zip(&taken).enumerate() {
        assert_eq!((&found.backup_id, &found.graph_id, &found.timestamp), (&taken.backup_id, &taken.graph_id, &taken.timestamp));
        assert_eq!((&found.data_hash, found.size_bytes, found.files), (&taken.data_hash, taken.size_bytes, taken.files));
        assert_eq!((found.entities, found.documents, found.consistency()), (taken.entities, taken.documents, taken.consistency()));
        assert_eq!((&found.checkpoint_path, &found.source_dir), (&taken.checkpoint_path, &taken.source_dir));
        assert_eq!((&found.metadata, &found.findings, found.status()), (&taken.metadata, &taken.findings, taken.status()));
        let target = root.join(format!("again{number}"));
        restore(&server, found, &target).await;
        assert_eq!(files::describe(&target), states.remove(&found.backup_id).unwrap());
    }
    // Life goes on, and a second adoption finds nothing new.
    let next = snapshot(&server, "g", &source).await;
    assert!(next.stored_bytes < 10_000, "{}", next.stored_bytes);
    drop(server);
    let again = run(&root, &["adopt"], &[]);
    assert!(text(&again).contains("graph `g`: 3 snapshots in its repository, 0 adopted"), "{}", text(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_warns_of_repositories_that_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let source = root.join("rag");
    files::copy_tree(&files::sample(), &source);
    let server = Process::start(&root, &[]);
    snapshot(&server, "forgotten", &source).await;
    drop(server);
    lose_the_database(&root);
    let log = root.join("log");
    drop(Process::start_with_log(&root, &[], fs::File::create(&log).unwrap()));
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("that the database does not know") && told.contains("forgotten"), "{told}");
}

/// What is asked for is adopted, and what cannot be is named and keeps nothing else from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_names_what_it_cannot_adopt() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let absent = run(&root, &["adopt"], &[]);
    assert!(!absent.status.success() && text(&absent).starts_with("there is no storage"), "{}", text(&absent));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "a wrong directory must not become a storage");
    fs::create_dir(root.join("lightrag_backups")).unwrap();
    let empty = run(&root, &["adopt"], &[]);
    assert!(!empty.status.success() && text(&empty).contains("no repository in the storage"), "{}", text(&empty));
    let source = root.join("rag");
    files::copy_tree(&files::sample(), &source);
    let server = Process::start(&root, &[]);
    let whole = snapshot(&server, "b", &source).await;
    let damaged = snapshot(&server, "a", &source).await;
    // While a server has the storage, nobody else works on it.
    let refused = run(&root, &["adopt"], &[]);
    assert!(!refused.status.success() && text(&refused).contains(&server.id().to_string()), "{}", text(&refused));
    drop(server);
    lose_the_database(&root);
    fs::write(damaged.checkpoint_path(), "garbage").unwrap();
    let adopted = run(&root, &["adopt"], &[]);
    assert!(!adopted.status.success(), "{}", text(&adopted));
    let name = Path::new(damaged.checkpoint_path()).file_name().unwrap().to_str().unwrap();
    for line in ["graph `b`: 1 snapshots in its repository, 1 adopted", "graph `a`: ", name, "1 of 2 repositories"] {
        assert!(text(&adopted).contains(line), "{}", text(&adopted));
    }
    for (id, line) in [("none", "graph `none`"), ("../b", "no graph id")] {
        let refused = run(&root, &["adopt", "--graph", id], &[]);
        assert!(!refused.status.success() && text(&refused).contains(line), "{}", text(&refused));
    }
    let server = Process::start(&root, &[]);
    assert_eq!(list(&server, "-").await.into_iter().map(|one| one.backup_id).collect::<Vec<_>>(), [whole.backup_id]);
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

    // restic after us, which takes ours for its parent's content; and we after restic.
    fs::write(source.join("note"), "state 4").unwrap();
    restic(&["backup", source.to_str().unwrap()]);
    let report = reconcile(&server, "old").await;
    assert_eq!((report.records, report.adopted_snapshot_ids.len(), report.lost_snapshot_ids.len()), (5, 1, 0));
    let theirs = list(&server, "old").await.into_iter().find(|one| one.backup_id == report.adopted_snapshot_ids[0]).unwrap();
    restore(&server, &theirs, &root.join("again4")).await;
    assert_eq!(files::describe(&root.join("again4")), files::describe(&source));
    fs::write(source.join("note"), "state 5").unwrap();
    let last = snapshot(&server, "old", &source).await;

    // restic forgets and prunes in it while the server has it open.
    let gone: Vec<&str> = found[1..].iter().map(|one| one.checkpoint_path().rsplit('/').next().unwrap()).collect();
    restic(&[&["forget", "--prune"], &gone[..]].concat());
    let report = reconcile(&server, "old").await;
    let mut lost: Vec<String> = found[1..].iter().map(|one| one.backup_id.clone()).collect();
    let mut told = report.lost_snapshot_ids.clone();
    lost.sort();
    told.sort();
    assert_eq!((report.records, report.adopted_snapshot_ids.len(), told), (4, 0, lost));
    assert_eq!(reconcile(&server, "old").await.lost_snapshot_ids, Vec::<String>::new());
    for (number, snapshot) in [&found[0], &next, &theirs, &last].into_iter().enumerate() {
        let target = root.join(format!("after{number}"));
        restore(&server, snapshot, &target).await;
        assert_eq!(fs::read_to_string(target.join("note")).unwrap(), ["state 2", "state 2", "state 4", "state 5"][number]);
    }
    let request = v1::PruneRepositoryRequest { graph_id: "old".to_owned(), max_unused_percent: Some(0), ..Default::default() };
    let pruned = server.repository().await.prune_repository(request).await.unwrap().into_inner().report.unwrap();
    assert_eq!((pruned.snapshots, pruned.unused_bytes), (4, 0));
    restic(&["check", "--read-data"]);
}
