//! Operations: they queue, show their place, are watched and cancelled, and outlive the process.

use std::fs;

use lightkeep::proto::v1;
use tonic::Code;

use crate::support::app::TestApp;
use crate::support::database::{Kind, on_each_database};

fn without_waiting(graph_id: &str, source: &std::path::Path) -> v1::CreateSnapshotRequest {
    let source_dir = source.to_str().unwrap().to_owned();
    v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), source_dir, wait: Some(false), ..Default::default() }
}

/// Reads a watched operation to its end.
async fn watch(app: &TestApp, operation_id: &str) -> Vec<v1::Operation> {
    let request = v1::WatchOperationRequest { operation_id: operation_id.to_owned() };
    let mut stream = app.operations().await.watch_operation(request).await.unwrap().into_inner();
    let mut seen = vec![];
    while let Some(operation) = stream.message().await.unwrap() {
        seen.push(operation);
    }
    seen
}

on_each_database!(an_operation_is_watched_to_its_end, async |app: TestApp| {
    let source = app.sample("sample");
    let pending = app.backup().await.create_snapshot(without_waiting("graph1", &source)).await.unwrap().into_inner();
    let seen = watch(&app, &pending.operation_id).await;
    let last = seen.last().unwrap();
    assert_eq!(last.state(), v1::OperationState::Succeeded);
    assert_eq!((last.kind(), last.attempt, last.place), (v1::OperationKind::Snapshot, 1, None));
    assert_eq!(last.snapshot_id, pending.backup_id);
    app
});

on_each_database!(operations_of_one_graph_run_one_after_the_other, async |app: TestApp| {
    let source = app.sample("sample");
    let mut ids = vec![];
    for _ in 0..5 {
        let pending = app.backup().await.create_snapshot(without_waiting("graph1", &source)).await.unwrap().into_inner();
        ids.push(pending.operation_id);
    }
    let mut ended = vec![];
    for id in &ids {
        let last = watch(&app, id).await.pop().unwrap();
        assert_eq!(last.state(), v1::OperationState::Succeeded);
        ended.push(last);
    }
    let request = v1::ListOperationsRequest { graph_id: "graph1".to_owned(), page_size: 2, ..Default::default() };
    let page = app.operations().await.list_operations(request.clone()).await.unwrap().into_inner();
    let newest: Vec<_> = page.operations.iter().map(|operation| &operation.operation_id).collect();
    assert_eq!(newest, [&ids[4], &ids[3]]);
    let next = v1::ListOperationsRequest { page_token: page.next_page_token, ..request };
    let page = app.operations().await.list_operations(next).await.unwrap().into_inner();
    assert_eq!(page.operations[0].operation_id, ids[2]);
    app
});

on_each_database!(a_full_queue_refuses_and_loses_nothing, async |app: TestApp| {
    // A repository that somebody else holds makes the first operation wait, and all others behind it.
    let source = app.sample("sample");
    app.snapshot("graph1", &source).await;
    let repository = app.storage().join("graph1");
    let password = fs::read_to_string(app.storage().join("repository.key")).unwrap();
    let password = lightkeep::base::secret::Secret::new(password.trim().to_owned());
    let held = lightkeep::repository::Repository::open(&repository, &password).unwrap();
    let clock = lightkeep::base::clock::SystemClock;
    let now = lightkeep::base::clock::Clock::now(&clock);
    let lock = held.lock(lightkeep::repository::LockKind::Exclusive, now, "elsewhere").unwrap();

    let mut waiting = vec![];
    let refused = loop {
        match app.backup().await.create_snapshot(without_waiting("graph1", &source)).await {
            Ok(pending) => waiting.push(pending.into_inner()),
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // One runs, or is about to; 64 wait.
    assert!((64..=65).contains(&waiting.len()), "{}", waiting.len());
    let mut operations = app.operations().await;
    let last = v1::GetOperationRequest { operation_id: waiting.last().unwrap().operation_id.clone() };
    let last = operations.get_operation(last).await.unwrap().into_inner();
    assert!(last.place.unwrap() >= 63, "{:?}", last.place);

    // All but the first two are called off; what is left is done once the repository is free.
    for pending in &waiting[2..] {
        let request = v1::CancelOperationRequest { operation_id: pending.operation_id.clone() };
        operations.cancel_operation(request).await.unwrap();
    }
    drop(lock);
    assert_eq!(watch(&app, &waiting[1].operation_id).await.pop().unwrap().state(), v1::OperationState::Succeeded);
    let last = watch(&app, &waiting[2].operation_id).await.pop().unwrap();
    assert_eq!(last.state(), v1::OperationState::Cancelled);
    app
});

on_each_database!(a_cancelled_operation_leaves_no_snapshot, async |app: TestApp| {
    let source = app.data("big");
    fs::create_dir(&source).unwrap();
    // Sparse: cheap for the test, long enough for the engine.
    for number in 0..8 {
        fs::File::create(source.join(format!("{number}"))).unwrap().set_len(1 << 30).unwrap();
    }
    let pending = app.backup().await.create_snapshot(without_waiting("graph1", &source)).await.unwrap().into_inner();
    let request = v1::WatchOperationRequest { operation_id: pending.operation_id.clone() };
    let mut stream = app.operations().await.watch_operation(request).await.unwrap().into_inner();
    while stream.message().await.unwrap().unwrap().state() != v1::OperationState::Running {}
    let request = v1::CancelOperationRequest { operation_id: pending.operation_id.clone() };
    let asked = app.operations().await.cancel_operation(request).await.unwrap().into_inner();
    assert!(asked.cancel_requested);
    let last = watch(&app, &pending.operation_id).await.pop().unwrap();
    assert_eq!(last.state(), v1::OperationState::Cancelled);
    let snapshot = app.list("graph1").await.remove(0);
    assert_eq!(snapshot.status(), v1::SnapshotStatus::Failed);
    app
});

on_each_database!(a_repeated_request_gives_the_first_answer, async |app: TestApp| {
    let source = app.sample("sample");
    let request_id = "6f1c0c1e-0000-4000-8000-000000000001".to_owned();
    let request = v1::CreateSnapshotRequest { request_id, wait: None, ..without_waiting("graph1", &source) };
    let first = app.backup().await.create_snapshot(request.clone()).await.unwrap().into_inner();
    let again = app.backup().await.create_snapshot(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = v1::CreateSnapshotRequest { source_dir: String::new(), ..request };
    let refused = app.backup().await.create_snapshot(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(app.list("graph1").await.len(), 1);
    app
});

on_each_database!(graphs_are_worked_on_side_by_side, async |app: TestApp| {
    let sources: Vec<_> = (0..6).map(|number| app.sample(&format!("sample{number}"))).collect();
    let app_ref = &app;
    let all = sources.iter().enumerate().map(|(number, source)| async move { app_ref.snapshot(&format!("graph{number}"), source).await });
    let snapshots = futures_util::future::join_all(all).await;
    assert!(snapshots.iter().all(|snapshot| snapshot.data_hash == snapshots[0].data_hash));
    app
});

/// Two servers on one PostgreSQL: what one asks for, either may do, and each only once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_the_work() {
    let first = TestApp::start(Kind::Postgres).await;
    let second = first.second_instance().await;
    let source = first.sample("sample");
    for _ in 0..4 {
        first.backup().await.create_snapshot(without_waiting("graph1", &source)).await.unwrap();
    }
    for snapshot in first.list("graph1").await {
        let last = watch(&first, &snapshot.operation_id).await.pop().unwrap();
        assert_eq!((last.state(), last.attempt), (v1::OperationState::Succeeded, 1));
    }
    second.stop().await.unwrap();
    crate::support::app::finish(first).await;
}
