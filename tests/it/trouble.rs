//! What goes wrong on the way: damaged repositories, wrong passwords, snapshots that vanish, callers who do not wait. Nothing is lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::app::{START, TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::repositories::{flip, open};
use crate::support::rest::{GRAPHS, get, post, send, watch};

pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

/// Looks again and again until an operation of this kind is there in this state.
pub(crate) async fn until(app: &TestApp, kind: v1::OperationKind, state: v1::OperationState) -> v1::Operation {
    let mut client = app.operations().await;
    loop {
        let request = v1::ListOperationsRequest { state: state.into(), ..Default::default() };
        let operations = client.list_operations(request).await.unwrap().into_inner().operations;
        if let Some(found) = operations.into_iter().find(|operation| operation.kind() == kind) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

on_each_database!(a_restore_from_a_damaged_repository_names_it_and_leaves_the_target_alone, async |app: TestApp| {
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let target = app.data("copy");
    files::copy_tree(&source, &target);
    fs::write(target.join("mine"), "as it was").unwrap();
    let before = files::describe(&target);
    let packs = files_below(&app.storage().join("g/data"));
    assert!(!packs.is_empty());
    packs.iter().for_each(|pack| flip(pack));

    let status = app.restore(&taken, &target).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "REPOSITORY_DAMAGED"), "{status}");
    let names = packs.iter().map(|pack| pack.file_name().unwrap().to_str().unwrap());
    assert!(names.clone().any(|name| status.message().contains(name)), "no pack is named: {status}");
    let path = format!("{GRAPHS}/g/snapshots/{}/restore", taken.backup_id);
    let answer = post(&app, &path, &json!({ "target_dir": target })).await;
    assert_eq!((answer.refusal().0, &answer.json["code"]), (500, &json!("DATA_LOSS")));
    let fresh = app.restore(&taken, &app.data("fresh")).await.unwrap_err();
    assert_eq!(fresh.code(), Code::DataLoss);

    assert_eq!(files::describe(&target), before);
    assert!(!app.data("fresh").exists());
    assert_eq!(files::staged(&app.data("")), Vec::<PathBuf>::new());
    assert_eq!(files::kept(&target), Vec::<PathBuf>::new());
    assert_eq!(app.list("g").await[0].status(), v1::SnapshotStatus::Completed);
    packs.iter().for_each(|pack| flip(pack));
    app.restore(&taken, &target).await.unwrap();
    app
});

/// Starts again later: ids are counted from the clock's time, and each start begins to count anew.
pub(crate) async fn restart(app: TestApp) -> TestApp {
    app.clock.advance(Duration::from_secs(1));
    app.restart().await
}

async fn another_password(kind: Kind) {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    fs::write(&file, "the right one\n").unwrap();
    let app = TestApp::start_with(kind, &[("LIGHTKEEP_REPOSITORY_PASSWORD_FILE", file.to_str().unwrap())]).await;
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let stored = files::describe(&app.storage().join("g"));
    fs::write(&file, "another one\n").unwrap();
    let app = restart(app).await;
    for status in [app.try_snapshot("g", &source).await.unwrap_err(), app.restore(&taken, &app.data("copy")).await.unwrap_err()] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "REPOSITORY_PASSWORD_WRONG"), "{status}");
        assert!(status.message().contains("password"), "{status}");
    }
    let status = app.delete(&taken).await.unwrap_err();
    assert_eq!(reason(&status), "REPOSITORY_PASSWORD_WRONG", "{status}");
    assert_eq!(files::describe(&app.storage().join("g")), stored);
    assert!(!app.data("copy").exists());

    fs::write(&file, "the right one\n").unwrap();
    let app = restart(app).await;
    let listed = app.list("g").await;
    let whole: Vec<_> = listed.iter().filter(|snapshot| snapshot.status() == v1::SnapshotStatus::Completed).collect();
    assert_eq!(whole, [&taken]);
    app.restore(&taken, &app.data("copy")).await.unwrap();
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repository_password_is_named_and_loses_nothing_sqlite() {
    another_password(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repository_password_is_named_and_loses_nothing_postgres() {
    another_password(Kind::Postgres).await;
}

on_each_database!(a_restore_behind_a_deletion_fails_and_touches_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let target = app.data("copy");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine"), "as it was").unwrap();
    let before = files::describe(&app.data(""));
    // The deletion waits for a lock that another process holds, the restore for its turn behind it.
    let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
    let restoring = async {
        until(&app, v1::OperationKind::Delete, v1::OperationState::Running).await;
        let request = v1::RestoreSnapshotRequest {
            graph_id: "g".to_owned(),
            snapshot_id: taken.backup_id.clone(),
            target_dir: target.to_str().unwrap().to_owned(),
            wait: Some(false),
            ..Default::default()
        };
        let accepted = app.backup().await.restore_snapshot(request).await.unwrap().into_inner().operation.unwrap();
        assert_eq!((accepted.state(), accepted.place), (v1::OperationState::Queued, Some(1)));
        drop(lock);
        accepted.operation_id
    };
    let (deleted, restore_id) = tokio::join!(app.delete(&taken), restoring);
    assert_eq!(deleted.unwrap().status, "success");
    let ended = watch(&app, &restore_id).await.pop().unwrap();
    let error = json!({ "code": "NOT_FOUND", "message": format!("Snapshot {} not found", taken.backup_id) });
    assert_eq!((&ended["state"], &ended["error"]), (&json!("failed"), &error));
    assert_eq!(files::describe(&app.data("")), before);
    app
});

on_each_database!(a_callers_deadline_ends_the_waiting_and_not_the_work, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    // The work cannot go on while another process holds this lock.
    let lock = open(&app, "g").lock(LockKind::Exclusive, START, "another-host").unwrap();
    let path = format!("{GRAPHS}/g/snapshots");
    let answer = send(&app, "POST", &path, &[("grpc-timeout", "1S")], "{}").await;
    assert_eq!((answer.refusal().0, &answer.json["code"]), (504, &json!("DEADLINE_EXCEEDED")), "{}", answer.text);
    let running = until(&app, v1::OperationKind::Snapshot, v1::OperationState::Running).await;
    drop(lock);
    assert_eq!(watch(&app, &running.operation_id).await.pop().unwrap()["state"], "succeeded");
    let listed = get(&app, &path).await.ok();
    assert_eq!(
        (listed[0]["operation_id"].as_str(), listed[0]["status"].as_str()),
        (Some(running.operation_id.as_str()), Some("completed"))
    );
    app
});

on_each_database!(a_source_that_vanishes_fails_the_snapshot_and_loses_none, async |app: TestApp| {
    let (source, other) = (app.sample("rag"), app.sample("other"));
    let whole = app.snapshot("g", &source).await;
    // The first waits for a lock that another process holds, the second for its turn behind it.
    let lock = open(&app, "g").lock(LockKind::Exclusive, START, "another-host").unwrap();
    let path = format!("{GRAPHS}/g/snapshots");
    post(&app, &format!("{path}?wait=false"), &json!({ "source_dir": other })).await.ok();
    until(&app, v1::OperationKind::Snapshot, v1::OperationState::Running).await;
    let vanishing = async {
        until(&app, v1::OperationKind::Snapshot, v1::OperationState::Queued).await;
        fs::rename(&source, app.data("elsewhere")).unwrap();
        drop(lock);
    };
    let (result, ()) = tokio::join!(app.try_snapshot("g", &source), vanishing);
    let status = result.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "SOURCE_NOT_FOUND"), "{status}");
    let listed = app.list("g").await;
    let statuses: Vec<_> = listed.iter().map(v1::Snapshot::status).collect();
    assert_eq!(statuses, [v1::SnapshotStatus::Failed, v1::SnapshotStatus::Completed, v1::SnapshotStatus::Completed]);
    assert!(listed[0].error_message().contains(source.to_str().unwrap()), "{}", listed[0].error_message());
    let answer = post(&app, &format!("{path}/{}/restore", listed[0].backup_id), &json!({ "target_dir": source })).await;
    assert_eq!((answer.refusal().0, &answer.json["reason"]), (409, &json!("SNAPSHOT_NOT_RESTORABLE")));
    app.restore(&whole, &source).await.unwrap();
    app
});

on_each_database!(a_link_that_is_put_in_the_way_later_is_not_followed, async |app: TestApp| {
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "as it was").unwrap();
    let (alias, target) = (app.data("alias"), app.data("copy"));
    files::copy_tree(&source, &alias);
    // The first waits for a lock that another process holds, the others for their turn behind it.
    let lock = open(&app, "g").lock(LockKind::Exclusive, START, "another-host").unwrap();
    let path = format!("{GRAPHS}/g/snapshots");
    post(&app, &format!("{path}?wait=false"), &json!({})).await.ok();
    until(&app, v1::OperationKind::Snapshot, v1::OperationState::Running).await;
    let snapshot = post(&app, &format!("{path}?wait=false"), &json!({ "source_dir": alias })).await.ok();
    let restore = format!("{path}/{}/restore?wait=false", taken.backup_id);
    let restore = post(&app, &restore, &json!({ "target_dir": target })).await.ok();
    fs::remove_dir_all(&alias).unwrap();
    symlink(outside.path(), &alias).unwrap();
    symlink(outside.path(), &target).unwrap();
    drop(lock);
    for operation_id in [&snapshot["operation_id"], &restore["operation"]["operation_id"]] {
        let ended = watch(&app, operation_id.as_str().unwrap()).await.pop().unwrap();
        assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!("PERMISSION_DENIED")), "{ended}");
    }
    let left: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["precious"]);
    assert!(target.is_symlink() && files::kept(&target).is_empty());
    app
});

/// A file system of 64 KiB; unmounted when dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    /// None where the tests may not mount.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

on_each_database!(a_full_disk_refuses_the_restore_and_keeps_what_is_there, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    let Some(disk) = TinyDisk::mount(app.data("disk")) else {
        println!("skipped: the tests may not mount a file system here");
        return app;
    };
    let target = disk.0.join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("precious"), "kept").unwrap();
    let before = files::describe(&disk.0);
    let error = app.restore(&snapshot, &target).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert!(error.message().contains("bytes free"), "{error:?}");
    assert_eq!(files::describe(&disk.0), before);
    drop(disk);
    app
});
