//! `kill -9` at each named step of a cleanup, of a purge and of a verification: the next start goes on, and all that holds after other
//! crashes holds. And a deletion that was broken off: it goes on, or it is called off and leaves no mark.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use lightkeep::base::secret::Secret;
use lightkeep::proto::v1;
use lightkeep::repository::{Lock, LockKind, Repository};
use tonic::{Code, Status};

use crate::crash::{Scene, check, crash_tests, settle, snapshot};
use crate::support::app::{START, TestApp, finish};
use crate::support::database::Kind;
use crate::support::process::Process;
use crate::support::repositories::open;
use crate::trouble::reason;

/// Three snapshots of long ago: the newest is kept, the others are expired by now.
async fn aged() -> Scene {
    let Scene { directory } = Scene::new();
    let mut environment: HashMap<String, String> = ["LIGHTKEEP_HTTP_ADDR", "LIGHTKEEP_GRPC_ADDR", "LIGHTKEEP_METRICS_ADDR"]
        .map(|name| (name.to_owned(), "127.0.0.1:0".to_owned()))
        .into();
    // Years have passed when the next server starts: a schedule would make up for them.
    environment.insert("LIGHTRAG_AUTO_BACKUP_INTERVAL".to_owned(), "0".to_owned());
    let app = TestApp::start_in(directory, environment).await;
    let source = app.directory.path().canonicalize().unwrap().join("source");
    for _ in 0..3 {
        app.snapshot("graph1", &source).await;
    }
    let TestApp { directory, server, .. } = app;
    server.stop().await.unwrap();
    Scene { directory }
}

async fn crash_in_cleanup(step: &str) {
    let scene = aged().await;
    let mut server = scene.start(step);
    server.backup().await.cleanup_snapshots(v1::CleanupSnapshotsRequest::default()).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    assert_eq!(check(&scene, &server).await.len(), 1);
    let request = v1::ListOperationsRequest { kind: v1::OperationKind::Cleanup.into(), ..Default::default() };
    let listed = server.operations().await.list_operations(request).await.unwrap().into_inner().operations;
    let result = listed[0].result.clone().unwrap();
    assert_eq!(result.fields["deleted_snapshots"], prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(2.0)) });
}

crash_tests! {
    crash_in_cleanup:
    cleanup_after_the_mark = "delete.marked",
    cleanup_after_a_record_is_gone = "cleanup.record_removed",
    cleanup_after_a_row_is_gone = "cleanup.row_deleted",
}

async fn crash_in_purge(step: &str) {
    let scene = Scene::new();
    {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap();
    }
    let mut server = scene.start(step);
    let repository = v1::RepositoryFate::Purge.into();
    let (graph_id, confirm_graph_id) = ("graph1".to_owned(), "graph1".to_owned());
    let request = v1::UnregisterGraphRequest { graph_id, repository, confirm_graph_id, ..Default::default() };
    server.backup().await.unregister_graph(request).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    let graphs = server.backup().await.list_graphs(v1::ListGraphsRequest::default()).await.unwrap().into_inner().graphs;
    assert_eq!(graphs, []);
    let left: Vec<_> = fs::read_dir(scene.path("lightrag_backups")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("graph1") && !name.to_string_lossy().contains("purge")), "{left:?}");
    // The id is free again.
    snapshot(&server, &scene.path("source")).await.unwrap();
    assert_eq!(check(&scene, &server).await.len(), 1);
}

crash_tests! {
    crash_in_purge:
    purge_after_the_marks = "unregister.marked",
    purge_after_the_repository_is_out_of_the_way = "unregister.renamed",
    purge_after_the_repository_is_gone = "unregister.purged",
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_before_it_is_recorded() {
    let scene = Scene::new();
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let mut server = scene.start("verify.done");
    let (graph_id, snapshot_id) = (taken.graph_id.clone(), taken.backup_id.clone());
    let request = v1::VerifySnapshotRequest { graph_id: graph_id.clone(), snapshot_id: snapshot_id.clone(), ..Default::default() };
    server.backup().await.verify_snapshot(request).await.unwrap_err();
    assert!(!server.wait().success(), "the step `verify.done` was not reached");
    let server = scene.start("none");
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    let request = v1::ListVerificationsRequest { graph_id, snapshot_id, ..Default::default() };
    let found = server.backup().await.list_verifications(request).await.unwrap().into_inner().verifications;
    assert_eq!(found.len(), 1);
    let listed = check(&scene, &server).await;
    assert_eq!((listed[0].verified_passed, found[0].passed), (Some(true), true));
}

async fn delete(server: &Process, snapshot: &v1::Snapshot) -> Result<(), Status> {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let request = v1::DeleteSnapshotRequest { graph_id, snapshot_id, request_id: String::new() };
    server.backup().await.delete_snapshot(request).await.map(drop)
}

fn pin(snapshot: &v1::Snapshot) -> v1::PinSnapshotRequest {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    v1::PinSnapshotRequest { graph_id, snapshot_id, reason: "before the upgrade".to_owned(), ..Default::default() }
}

/// A snapshot whose deletion was broken off when it was marked, a server that cannot go on with it yet, and what keeps it from that.
async fn broken_off(scene: &Scene) -> (v1::Snapshot, Process, Lock) {
    let taken = {
        let server = scene.start("none");
        snapshot(&server, &scene.path("source")).await.unwrap()
    };
    let mut server = scene.start("delete.marked");
    delete(&server, &taken).await.unwrap_err();
    assert!(!server.wait().success());
    let storage = scene.path("lightrag_backups");
    let password = fs::read_to_string(storage.join("repository.key")).unwrap();
    let repository = Repository::open(&storage.join("graph1"), &Secret::new(password.trim().to_owned())).unwrap();
    let now = lightkeep::base::clock::Clock::now(&lightkeep::base::clock::SystemClock);
    // By this computer's name, the lock that the dead process left is seen as left over.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let lock = repository.lock(LockKind::Shared, now, host.trim()).unwrap();
    let server = scene.start("none");
    let refused = server.backup().await.pin_snapshot(pin(&taken)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SNAPSHOT_BEING_DELETED"), "{refused}");
    (taken, server, lock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_broken_off_goes_on() {
    let scene = Scene::new();
    let (_, server, lock) = broken_off(&scene).await;
    drop(lock);
    assert!(settle(&server).await.iter().all(|state| *state == v1::OperationState::Succeeded));
    assert_eq!(check(&scene, &server).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_broken_off_and_is_called_off_leaves_no_mark() {
    let scene = Scene::new();
    let (taken, server, lock) = broken_off(&scene).await;
    let request = v1::ListOperationsRequest { kind: v1::OperationKind::Delete.into(), ..Default::default() };
    let operation = server.operations().await.list_operations(request).await.unwrap().into_inner().operations.remove(0);
    let request = v1::CancelOperationRequest { operation_id: operation.operation_id };
    server.operations().await.cancel_operation(request).await.unwrap();
    assert!(settle(&server).await.contains(&v1::OperationState::Cancelled));
    drop(lock);
    server.backup().await.pin_snapshot(pin(&taken)).await.unwrap();
    assert_eq!(check(&scene, &server).await.len(), 1);
}

/// As [`a_deletion_that_was_broken_off_goes_on`], where the lease decides when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_mark_outlives_its_worker() {
    let (directory, environment) = TestApp::place(Kind::Postgres).await;
    let app = TestApp::start_in(directory, environment.clone()).await;
    let taken = app.snapshot("graph1", &app.sample("rag")).await;
    let TestApp { directory, server, .. } = app;
    server.stop().await.unwrap();
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.push(("LIGHTKEEP_FAILPOINT", "delete.marked"));
    let mut dead = Process::start(directory.path(), &variables);
    delete(&dead, &taken).await.unwrap_err();
    assert!(!dead.wait().success());

    let app = TestApp::start_in(directory, environment).await;
    let refused = app.backup().await.pin_snapshot(pin(&taken)).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_BEING_DELETED", "{refused}");
    assert_eq!(app.list("graph1").await, std::slice::from_ref(&taken));
    app.clock.advance(Duration::from_secs(100 * 365 * 24 * 3600));
    app.delete(&taken).await.unwrap();
    assert_eq!(app.list("graph1").await, []);
    assert!(open(&app, "graph1").lock(LockKind::Exclusive, START, "another-host").is_ok());
    finish(app).await;
}
