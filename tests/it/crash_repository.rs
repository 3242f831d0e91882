//! `kill -9` in work on a repository: the next start knows what was done, by the repository itself, and tells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;

use crate::support::files;
use crate::support::process::Process;
use crate::support::repositories::{flip, packs};
use crate::support::tools::restic_ok;

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        files::copy_tree(&files::sample().join("tenant_b"), &scene.path("source"));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn start(&self, failpoint: &str) -> Process {
        Process::start(self.directory.path(), &[("LIGHTKEEP_FAILPOINT", failpoint)])
    }

    fn repository(&self) -> PathBuf {
        self.path("lightrag_backups/g")
    }

    fn packs(&self) -> BTreeSet<PathBuf> {
        packs(&self.repository()).into_iter().map(|(path, _)| path).collect()
    }

    async fn snapshot(&self, server: &Process, note: &str) -> v1::Snapshot {
        let source_dir = self.path("source").to_str().unwrap().to_owned();
        let fields = [("note".to_owned(), prost_types::Value::from(note.to_owned()))].into();
        let metadata = Some(prost_types::Struct { fields });
        let request = v1::CreateSnapshotRequest { graph_id: "g".to_owned(), source_dir, metadata, ..Default::default() };
        server.backup().await.create_snapshot(request).await.unwrap().into_inner()
    }
}

async fn list(server: &Process) -> Vec<v1::Snapshot> {
    let request = v1::ListSnapshotsRequest { graph_id: "g".to_owned(), ..Default::default() };
    server.backup().await.list_snapshots(request).await.unwrap().into_inner().snapshots
}

async fn restore(server: &Process, snapshot: &v1::Snapshot, target: &Path) {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let target_dir = target.to_str().unwrap().to_owned();
    let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
    server.backup().await.restore_snapshot(request).await.unwrap();
}

/// Waits until the operation of this kind has ended, and gives it.
async fn ended(server: &Process, kind: v1::OperationKind) -> v1::Operation {
    let mut operations = server.operations().await;
    let listed = operations.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner().operations;
    let found = listed.into_iter().find(|operation| operation.kind() == kind).unwrap();
    let mut stream = operations.watch_operation(v1::WatchOperationRequest { operation_id: found.operation_id }).await.unwrap().into_inner();
    let mut last = None;
    while let Some(operation) = stream.message().await.unwrap() {
        last = Some(operation);
    }
    let last = last.unwrap();
    assert_eq!((last.state(), last.attempt), (v1::OperationState::Succeeded, 2), "{last:?}");
    last
}

fn ids(operation: &v1::Operation, field: &str) -> Vec<String> {
    let value = operation.result.as_ref().unwrap().fields[field].kind.clone();
    let Some(prost_types::value::Kind::ListValue(list)) = value else { panic!("{field} is no list") };
    let text = |value: prost_types::Value| match value.kind {
        Some(prost_types::value::Kind::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    list.values.into_iter().map(text).collect()
}

async fn repair_and_die(scene: &Scene, step: &str) -> Process {
    let mut server = scene.start(step);
    let request = v1::RepairRepositoryRequest { graph_id: "g".to_owned(), ..Default::default() };
    server.repository().await.repair_repository(request).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    scene.start("none")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_set_aside_is_not_forgotten() {
    let scene = Scene::new();
    let (damaged, whole) = {
        let server = scene.start("none");
        (scene.snapshot(&server, "one").await, scene.snapshot(&server, "two").await)
    };
    flip(Path::new(damaged.checkpoint_path()));
    let server = repair_and_die(&scene, "repair.record_set_aside").await;
    let repaired = ended(&server, v1::OperationKind::Repair).await;
    assert_eq!(ids(&repaired, "recovered_snapshot_ids"), [damaged.backup_id.as_str()]);
    let listed = list(&server).await;
    let recovered = listed.iter().find(|one| one.backup_id == damaged.backup_id).unwrap();
    assert_eq!((recovered.status(), &recovered.metadata, &recovered.data_hash), (damaged.status(), &damaged.metadata, &damaged.data_hash));
    assert_ne!(recovered.checkpoint_path, damaged.checkpoint_path);
    for (number, snapshot) in [recovered, &whole].into_iter().enumerate() {
        restore(&server, snapshot, &scene.path(&format!("again-{number}"))).await;
    }
    restic_ok(&scene.path("lightrag_backups"), "g", &["check", "--read-data"]);
}

/// The pack among these that holds data.
fn data_pack(scene: &Scene, packs: &BTreeSet<PathBuf>) -> PathBuf {
    let storage = scene.path("lightrag_backups");
    for index in fs::read_dir(scene.repository().join("index")).unwrap() {
        let name = index.unwrap().file_name().into_string().unwrap();
        let index: serde_json::Value = serde_json::from_str(&restic_ok(&storage, "g", &["cat", "index", &name])).unwrap();
        for pack in index["packs"].as_array().unwrap() {
            let path = packs.iter().find(|path| path.file_name().unwrap().to_str() == pack["id"].as_str());
            if let Some(path) = path.filter(|_| pack["blobs"][0]["type"] == "data") {
                return path.clone();
            }
        }
    }
    panic!("no data pack among {packs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_written_anew_is_not_forgotten() {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        scene.snapshot(&server, "one").await;
        let before = scene.packs();
        let taken = scene.snapshot(&server, "two").await;
        // All that is new of an unchanged source is the manifest.
        let new = scene.packs().difference(&before).cloned().collect();
        fs::remove_file(data_pack(&scene, &new)).unwrap();
        taken
    };
    let server = repair_and_die(&scene, "repair.manifest_dropped").await;
    ended(&server, v1::OperationKind::Repair).await;
    let listed = list(&server).await;
    assert_eq!(listed.len(), 2);
    let anew = listed.iter().find(|one| one.backup_id == taken.backup_id).unwrap();
    assert_eq!(anew.status(), v1::SnapshotStatus::Completed);
    assert_ne!(anew.checkpoint_path, taken.checkpoint_path);
    assert_eq!((&anew.data_hash, anew.entities), (&taken.data_hash, taken.entities));
    restore(&server, anew, &scene.path("again")).await;
    assert_eq!(files::describe(&scene.path("again")), files::describe(&scene.path("source")));
    restic_ok(&scene.path("lightrag_backups"), "g", &["check", "--read-data"]);
}

/// A damaged record, a damaged config and a pack of which some is good: the repair goes on after it was killed, and nothing is lost.
async fn die_in_repair(step: &str) {
    let scene = Scene::new();
    {
        let server = scene.start("none");
        let damaged = scene.snapshot(&server, "one").await;
        scene.snapshot(&server, "two").await;
        let [pack, record] = [packs(&scene.repository()).pop().unwrap().0, PathBuf::from(damaged.checkpoint_path())];
        for path in [pack, record, scene.repository().join("config")] {
            flip_one(&path);
        }
    }
    let server = repair_and_die(&scene, step).await;
    ended(&server, v1::OperationKind::Repair).await;
    all_is_whole(&scene, &server, 2).await;
}

fn flip_one(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[40] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// All snapshots can be restored, restic finds nothing wrong, and another repair finds nothing to do.
async fn all_is_whole(scene: &Scene, server: &Process, count: usize) {
    let listed = list(server).await;
    assert_eq!(listed.len(), count, "{listed:?}");
    for (number, snapshot) in listed.iter().enumerate() {
        assert!(snapshot.losses.is_empty(), "{snapshot:?}");
        let target = scene.path(&format!("whole-{number}"));
        restore(server, snapshot, &target).await;
        assert_eq!(files::describe(&target), files::describe(&scene.path("source")));
    }
    restic_ok(&scene.path("lightrag_backups"), "g", &["check", "--read-data"]);
    let request = v1::RepairRepositoryRequest { graph_id: "g".to_owned(), ..Default::default() };
    let report = server.repository().await.repair_repository(request).await.unwrap().into_inner().report.unwrap();
    assert_eq!(report, v1::RepairReport::default());
}

macro_rules! repair_tests {
    ($run:ident: $($name:ident = $step:literal),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $run($step).await;
        }
    )+};
}

repair_tests! {
    die_in_repair:
    repair_without_a_config = "repair.config_set_aside",
    repair_after_saving_what_is_good = "repair.pack_saved",
    repair_after_the_index = "repair.index_written",
    repair_after_setting_aside = "repair.pack_set_aside",
    repair_before_a_record = "repository.before_record",
    repair_after_a_record = "repository.record_written",
    repair_after_following = "reconcile.followed",
}

/// Config and keys are gone, and the only key is in the memory of a server that is killed: the key was written before all else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_key_outlives_a_repair_that_broke_off() {
    let scene = Scene::new();
    {
        let server = scene.start("none");
        scene.snapshot(&server, "one").await;
        scene.snapshot(&server, "two").await;
    }
    let mut server = scene.start("repository.key_written");
    let taken = list(&server).await.remove(0);
    restore(&server, &taken, &scene.path("before")).await;
    fs::remove_file(scene.repository().join("config")).unwrap();
    fs::remove_dir_all(scene.repository().join("keys")).unwrap();
    let request = v1::RepairRepositoryRequest { graph_id: "g".to_owned(), ..Default::default() };
    server.repository().await.repair_repository(request).await.unwrap_err();
    assert!(!server.wait().success(), "no key was written");
    assert!(!scene.repository().join("config").exists());
    let server = scene.start("none");
    ended(&server, v1::OperationKind::Repair).await;
    all_is_whole(&scene, &server, 2).await;
}

/// The trees of one snapshot are gone, and its source still holds the same: for a moment it has two records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_with_other_trees_is_not_a_second_snapshot() {
    let scene = Scene::new();
    {
        let server = scene.start("none");
        scene.snapshot(&server, "one").await;
        let [trees] =
            scene.packs().difference(&[data_pack(&scene, &scene.packs())].into()).cloned().collect::<Vec<_>>().try_into().unwrap();
        fs::remove_file(trees).unwrap();
    }
    let server = repair_and_die(&scene, "repair.trees_replaced").await;
    ended(&server, v1::OperationKind::Repair).await;
    all_is_whole(&scene, &server, 1).await;
}

async fn die_in_reconcile(step: &str) {
    let scene = Scene::new();
    let mut server = scene.start(step);
    let (gone, renamed) = (scene.snapshot(&server, "one").await, scene.snapshot(&server, "two").await);
    let storage = scene.path("lightrag_backups");
    let name = |snapshot: &v1::Snapshot| Path::new(snapshot.checkpoint_path()).file_name().unwrap().to_str().unwrap().to_owned();
    restic_ok(&storage, "g", &["forget", &name(&gone)]);
    restic_ok(&storage, "g", &["tag", "--add", "mine", &name(&renamed)]);
    for _ in 0..2 {
        restic_ok(&storage, "g", &["backup", scene.path("source").to_str().unwrap()]);
    }
    let request = v1::ReconcileRepositoryRequest { graph_id: "g".to_owned(), ..Default::default() };
    server.repository().await.reconcile_repository(request).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    let done = ended(&server, v1::OperationKind::Reconcile).await;
    assert_eq!(ids(&done, "lost_snapshot_ids"), [gone.backup_id]);
    assert_eq!(ids(&done, "renamed_snapshot_ids"), [renamed.backup_id]);
    assert_eq!(ids(&done, "adopted_snapshot_ids").len(), 2);
    assert_eq!(list(&server).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_followed_is_told_after_a_crash() {
    die_in_reconcile("reconcile.followed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_adopted_is_told_after_a_crash() {
    die_in_reconcile("reconcile.adopted").await;
}
