//! `kill -9` at each named step of a snapshot, a restore and a deletion: after a restart every snapshot that is called completed
//! restores to the same hash, no operation hangs, nothing stays staged, and a restore's target is the old tree or the new, whole.

use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;

use crate::support::app::TestApp;
use crate::support::database::Kind;
use crate::support::files;
use crate::support::process::Process;
use crate::support::tools::restic_ok;

/// A directory with the sample in `source`, another state of it in `target`, and a server's data.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scene = Self { directory };
        files::copy_tree(&files::sample(), &scene.path("source"));
        files::copy_tree(&files::sample(), &scene.path("target"));
        fs::remove_dir_all(scene.path("source/tenant_b")).unwrap();
        fs::remove_dir_all(scene.path("target/tenant_b")).unwrap();
        fs::write(scene.path("target/extra"), "the old state").unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn start(&self, failpoint: &str) -> Process {
        Process::start(self.directory.path(), &[("LIGHTKEEP_FAILPOINT", failpoint)])
    }
}

async fn snapshot(server: &Process, source: &Path) -> Result<v1::Snapshot, tonic::Status> {
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "graph1".to_owned(), source_dir, ..Default::default() };
    Ok(server.backup().await.create_snapshot(request).await?.into_inner())
}

async fn restore(server: &Process, snapshot: &v1::Snapshot, target: &Path) -> Result<(), tonic::Status> {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let target_dir = target.to_str().unwrap().to_owned();
    let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
    server.backup().await.restore_snapshot(request).await.map(drop)
}

/// Waits until every operation has ended, and says how.
async fn settle(server: &Process) -> Vec<v1::OperationState> {
    let mut operations = server.operations().await;
    let listed = operations.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner().operations;
    let mut states = vec![];
    for operation in listed {
        let request = v1::WatchOperationRequest { operation_id: operation.operation_id };
        let mut stream = operations.watch_operation(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(operation) = stream.message().await.unwrap() {
            last = Some(operation);
        }
        let last = last.unwrap();
        assert!(last.ended_at.is_some());
        states.push(last.state());
    }
    states
}

/// Checks what must hold after every crash.
async fn check(scene: &Scene, server: &Process) -> Vec<v1::Snapshot> {
    let request = v1::ListSnapshotsRequest { graph_id: "-".to_owned(), ..Default::default() };
    let listed = server.backup().await.list_snapshots(request).await.unwrap().into_inner().snapshots;
    for (number, snapshot) in listed.iter().enumerate() {
        assert!(fs::exists(snapshot.checkpoint_path()).unwrap(), "{snapshot:?}");
        let target = scene.path(&format!("checked-{number}"));
        restore(server, snapshot, &target).await.unwrap();
        assert_eq!(files::describe(&target), files::describe(&scene.path("source")));
    }
    assert_eq!(files::staged(scene.directory.path()), Vec::<PathBuf>::new());
    let storage = scene.path("lightrag_backups");
    if storage.join("graph1/config").exists() {
        restic_ok(&storage, "graph1", &["check", "--read-data"]);
        let records: Vec<serde_json::Value> = serde_json::from_str(&restic_ok(&storage, "graph1", &["snapshots", "--json"])).unwrap();
        assert_eq!(records.len(), listed.len(), "records without a row, or rows without a record");
    }
    listed
}

macro_rules! crash_tests {
    ($run:ident: $($name:ident = $step:literal),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $run($step).await;
        }
    )+};
}

async fn crash_in_snapshot(step: &str) {
    let scene = Scene::new();
    let mut server = scene.start(step);
    snapshot(&server, &scene.path("source")).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert_eq!(settle(&server).await, [v1::OperationState::Succeeded]);
    let listed = check(&scene, &server).await;
    assert_eq!(listed.len(), 1, "the snapshot that was asked for is there");
}

crash_tests! {
    crash_in_snapshot:
    after_staging = "capture.staged",
    after_linking = "capture.linked",
    after_the_capture = "snapshot.captured",
    after_storing = "snapshot.stored",
    after_saving_the_figures = "snapshot.figures_saved",
    after_the_record = "snapshot.recorded",
    after_the_key = "repository.key_written",
    under_the_lock = "repository.locked",
    after_a_pack = "repository.pack_written",
    after_the_packs = "repository.packs_written",
    after_the_index = "repository.index_written",
    before_the_record = "repository.before_record",
    after_writing_the_record = "repository.record_written",
}

async fn crash_in_restore(step: &str) {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let (old, new) = (files::describe(&scene.path("target")), files::describe(&scene.path("source")));
    let mut server = scene.start(step);
    restore(&server, &taken, &scene.path("target")).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let found = files::describe(&scene.path("target"));
    assert!(found == old || found == new, "the target is a mixture right after the crash");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    assert_eq!(files::describe(&scene.path("target")), new, "the restore that was asked for is done");
    let kept = files::kept(&scene.path("target"));
    assert_eq!(kept.len(), 1);
    assert_eq!(files::describe(&kept[0]), old);
    check(&scene, &server).await;
}

crash_tests! {
    crash_in_restore:
    after_verification = "restore.verified",
    after_the_journal = "apply.journal_written",
    after_the_exchange = "apply.exchanged",
    after_keeping_the_old = "apply.kept",
    after_applying = "restore.applied",
}

/// The target holds another workspace's live directory, so that entries are exchanged one by one.
async fn crash_entry_by_entry(step: &str) {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let target = scene.path("target");
    files::copy_tree(&files::sample().join("tenant_b"), &target.join("tenant_b"));
    let tenant = files::describe(&target.join("tenant_b"));
    let mut server = scene.start(step);
    restore(&server, &taken, &target).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    assert_eq!(files::describe(&target.join("tenant_b")), tenant);
    fs::remove_dir_all(target.join("tenant_b")).unwrap();
    assert_eq!(files::describe(&target), files::describe(&scene.path("source")));
    let kept = files::kept(&target);
    assert_eq!(kept.len(), 1);
    assert!(kept[0].join("extra").exists(), "the old state is whole");
    check(&scene, &server).await;
}

crash_tests! {
    crash_entry_by_entry:
    entries_after_the_journal = "apply.journal_written",
    entries_after_one_is_moved = "apply.file_moved",
    entries_after_keeping_the_old = "apply.kept",
    entries_after_applying = "restore.applied",
}

async fn crash_in_new_restore(step: &str) {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let target = scene.path("new/target");
    let mut server = scene.start(step);
    restore(&server, &taken, &target).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    assert_eq!(files::describe(&target), files::describe(&scene.path("source")));
    assert_eq!(files::kept(&target), Vec::<PathBuf>::new(), "nothing stood there");
    check(&scene, &server).await;
}

crash_tests! {
    crash_in_new_restore:
    new_after_verification = "restore.verified",
    new_after_the_journal = "apply.journal_written",
    new_after_applying = "restore.applied",
}

async fn crash_in_delete(step: &str) {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap();
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let mut server = scene.start(step);
    let (graph_id, snapshot_id) = (taken.graph_id.clone(), taken.backup_id.clone());
    let request = v1::DeleteSnapshotRequest { graph_id, snapshot_id, request_id: String::new() };
    server.backup().await.delete_snapshot(request).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    let listed = check(&scene, &server).await;
    assert!(listed.iter().all(|snapshot| snapshot.backup_id != taken.backup_id));
    assert_eq!(listed.len(), 1);
}

crash_tests! {
    crash_in_delete:
    after_the_record_is_gone = "delete.record_removed",
    before_the_record_is_gone = "delete.begun",
}

/// A damaged pack, of which some is good, and a lost record: the repair goes on after a crash, and nothing is lost.
async fn crash_in_repair(step: &str) {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        let first = snapshot(&server, &scene.path("source")).await.unwrap();
        snapshot(&server, &scene.path("source")).await.unwrap();
        first
    };
    fs::remove_file(taken.checkpoint_path()).unwrap();
    let packs = fs::read_dir(scene.path("lightrag_backups/graph1/data")).unwrap().map(|entry| entry.unwrap().path());
    let packs = packs.flat_map(|directory| fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()));
    let pack = packs.max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[40] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let mut server = scene.start(step);
    let request = || v1::RepairRepositoryRequest { graph_id: "graph1".to_owned(), ..Default::default() };
    server.repository().await.repair_repository(request()).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    let listed = check(&scene, &server).await;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|snapshot| snapshot.losses.is_empty()), "{listed:?}");
    let report = server.repository().await.repair_repository(request()).await.unwrap().into_inner().report.unwrap();
    assert_eq!((report.index_rebuilt, report.lost.len(), report.recovered_snapshot_ids.len()), (false, 0, 0), "nothing is left to be done");
}

crash_tests! {
    crash_in_repair:
    repair_after_saving_what_is_good = "repair.pack_saved",
    repair_after_the_index = "repair.index_written",
    repair_after_setting_aside = "repair.pack_set_aside",
    repair_before_a_record = "repository.before_record",
    repair_after_a_record = "repository.record_written",
}

/// Where several instances may run, nobody can tell a dead worker from a slow one but by its lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_lease_decides() {
    let (directory, environment) = TestApp::place(Kind::Postgres).await;
    let source = directory.path().canonicalize().unwrap().join("data/source");
    files::copy_tree(&files::sample(), &source);
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.push(("LIGHTKEEP_FAILPOINT", "snapshot.stored"));
    let mut dead = Process::start(directory.path(), &variables);
    snapshot(&dead, &source).await.unwrap_err();
    assert!(!dead.wait().success());

    // This one's clock stands before the end of the dead one's lease, until it is moved.
    let app = TestApp::start_in(directory, environment).await;
    let listed = app.operations().await.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner().operations;
    assert_eq!((listed[0].state(), listed[0].attempt), (v1::OperationState::Running, 1));
    app.clock.advance(std::time::Duration::from_secs(100 * 365 * 24 * 3600));
    let request = v1::WatchOperationRequest { operation_id: listed[0].operation_id.clone() };
    let mut stream = app.operations().await.watch_operation(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(operation) = stream.message().await.unwrap() {
        last = Some(operation);
    }
    let last = last.unwrap();
    assert_eq!((last.state(), last.attempt), (v1::OperationState::Succeeded, 2));
    crate::support::app::finish(app).await;
}
