//! What a server without root's rights may not read or write: refused with a word, and nothing is made.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;
use tonic::Code;

use crate::support::files;
use crate::support::process::Process;

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

/// A directory that belongs to nobody, with the sample in it, and a server that runs as nobody.
fn scene() -> (tempfile::TempDir, Process) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    files::copy_tree(&files::sample(), &directory.path().join("source"));
    give(directory.path());
    let server = Process::start_as_nobody(directory.path());
    (directory, server)
}

fn give(path: &Path) {
    let is_root = fs::metadata("/proc/self").map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0).unwrap();
    if is_root {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
        }
    }
}

async fn snapshot(server: &Process, source: &Path) -> Result<v1::Snapshot, tonic::Status> {
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "graph1".to_owned(), source_dir, ..Default::default() };
    Ok(server.backup().await.create_snapshot(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_source_is_refused() {
    let (directory, server) = scene();
    let source = directory.path().join("source");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o000)).unwrap();
    let error = snapshot(&server, &source).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    let graphs = server.backup().await.list_graphs(v1::ListGraphsRequest::default()).await.unwrap().into_inner().graphs;
    assert_eq!(graphs, vec![]);
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_file_fails_the_snapshot_and_is_named() {
    let (directory, server) = scene();
    let file = directory.path().join("source/kv_store_full_docs.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let error = snapshot(&server, &directory.path().join("source")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert!(error.message().contains("kv_store_full_docs.json"), "{error:?}");
    assert_eq!(files::staged(directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_may_not_be_written_is_refused_and_stays() {
    let (directory, server) = scene();
    let taken = snapshot(&server, &directory.path().join("source")).await.unwrap();
    let parent = directory.path().join("guarded");
    fs::create_dir(&parent).unwrap();
    fs::create_dir(parent.join("target")).unwrap();
    fs::write(parent.join("target/precious"), "kept").unwrap();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o555)).unwrap();
    let before = files::describe(&parent);
    let (graph_id, snapshot_id) = (taken.graph_id, taken.backup_id);
    let target_dir = parent.join("target").to_str().unwrap().to_owned();
    let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
    let error = server.backup().await.restore_snapshot(request).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    assert_eq!(files::describe(&parent), before);
}

/// Two snapshots of a changing source, of which the first is deleted: there is something to prune.
async fn pruned_scene() -> (tempfile::TempDir, Process, v1::Snapshot) {
    let (directory, server) = scene();
    let source = directory.path().join("source");
    let first = snapshot(&server, &source).await.unwrap();
    fs::write(source.join("notes"), "more").unwrap();
    give(&source);
    let second = snapshot(&server, &source).await.unwrap();
    let (graph_id, snapshot_id) = (first.graph_id, first.backup_id);
    let request = v1::DeleteSnapshotRequest { graph_id, snapshot_id, request_id: String::new() };
    server.backup().await.delete_snapshot(request).await.unwrap();
    (directory, server, second)
}

/// Every directory of a repository but those of keys and locks, and one file of each kind in them.
fn directories_and_files(repository: &Path) -> Vec<PathBuf> {
    let first = |directory: &Path| fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
    let (data, snapshots, index) = (repository.join("data"), repository.join("snapshots"), repository.join("index"));
    let packs: Vec<PathBuf> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    [vec![first(&snapshots), first(&index)], packs, vec![data, snapshots, index]].concat()
}

/// What there is, without the times of directories: a lock came and went.
fn contents(repository: &Path) -> Vec<String> {
    files::describe(repository).into_iter().filter(|line| line.contains("bytes, hash")).collect()
}

async fn restores(server: &Process, snapshot: v1::Snapshot, target: &Path) {
    let (graph_id, snapshot_id) = (snapshot.graph_id, snapshot.backup_id);
    let target_dir = target.to_str().unwrap().to_owned();
    let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
    server.backup().await.restore_snapshot(request).await.unwrap();
}

/// Where something cannot be listed or read, nobody knows what is used: nothing goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_listed_or_read_stops_a_prune_with_nothing_deleted() {
    let (directory, server, second) = pruned_scene().await;
    let repository = directory.path().join("lightrag_backups/graph1");
    let before = contents(&repository);
    let request = || v1::PruneRepositoryRequest { graph_id: "graph1".to_owned(), max_unused_percent: Some(0), ..Default::default() };
    // Records and index that this process has in memory are read from there: it is the others that a prune must see.
    for hidden in directories_and_files(&repository).into_iter().skip(2) {
        let mode = fs::metadata(&hidden).unwrap().permissions();
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
        let error = server.repository().await.prune_repository(request()).await.unwrap_err();
        assert!(error.message().contains(hidden.to_str().unwrap()), "{error:?}");
        fs::set_permissions(&hidden, mode).unwrap();
        assert_eq!(contents(&repository), before, "{}", hidden.display());
    }
    drop(server);
    for hidden in directories_and_files(&repository).into_iter().take(2) {
        let server = Process::start_as_nobody(directory.path());
        let mode = fs::metadata(&hidden).unwrap().permissions();
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
        let error = server.repository().await.prune_repository(request()).await.unwrap_err();
        assert!(error.message().contains(hidden.to_str().unwrap()), "{error:?}");
        fs::set_permissions(&hidden, mode).unwrap();
        assert_eq!(contents(&repository), before, "{}", hidden.display());
    }
    let server = Process::start_as_nobody(directory.path());
    let report = server.repository().await.prune_repository(request()).await.unwrap().into_inner().report.unwrap();
    assert!(report.finished && report.reclaimed_bytes > 0, "{report:?}");
    restores(&server, second, &directory.path().join("again")).await;
}

/// A file that may not be read is not damaged: a repair sets nothing aside for that, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_read_stops_a_repair_with_nothing_set_aside() {
    let (directory, server, second) = pruned_scene().await;
    let repository = directory.path().join("lightrag_backups/graph1");
    let before = contents(&repository);
    let request = || v1::RepairRepositoryRequest { graph_id: "graph1".to_owned(), ..Default::default() };
    let is_pack_directory = |path: &PathBuf| path.parent() == Some(&repository.join("data"));
    let packs: Vec<PathBuf> = directories_and_files(&repository)
        .into_iter()
        .filter(is_pack_directory)
        .map(|directory| fs::read_dir(directory).unwrap().next().unwrap().unwrap().path())
        .collect();
    for hidden in [packs, directories_and_files(&repository)].concat() {
        let mode = fs::metadata(&hidden).unwrap().permissions();
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o000)).unwrap();
        let error = server.repository().await.repair_repository(request()).await.unwrap_err();
        assert!(error.message().contains(hidden.to_str().unwrap()), "{error:?}");
        fs::set_permissions(&hidden, mode).unwrap();
        assert_eq!(contents(&repository), before, "{}", hidden.display());
    }
    let report = server.repository().await.repair_repository(request()).await.unwrap().into_inner().report.unwrap();
    assert_eq!((report.set_aside.len(), report.lost.len(), report.lost_snapshot_ids.len()), (0, 0, 0), "{report:?}");
    restores(&server, second, &directory.path().join("again")).await;
}
