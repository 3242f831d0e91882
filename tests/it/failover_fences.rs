//! What a fence keeps from the graphs of a failover, on all instances, and what it waits for.

use std::fs;
use std::path::Path;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::failover_hooks::{shell, start_on};
use crate::failovers::{CHECKPOINTS, FAILOVERS, change, checkpoint, fail_over, three};
use crate::support::app::{TestApp, finish, settled};
use crate::support::database::Kind;
use crate::support::files;
use crate::support::rest::{GRAPHS, get, post};
use crate::trouble::until;

/// A script that waits until a file is there.
fn wait_for(file: &Path) -> String {
    format!("while [ ! -e {} ]; do sleep 0.02; done", file.display())
}

async fn failover_of(app: &TestApp, begun: &Json) -> Json {
    get(app, &format!("{FAILOVERS}/{}", begun["failover"]["failover_id"].as_str().unwrap())).await.ok()
}

/// Looks again and again until a step of this kind is being done.
async fn until_in(app: &TestApp, begun: &Json, kind: &str) {
    loop {
        let failover = failover_of(app, begun).await;
        let last = failover["steps"].as_array().unwrap().last().cloned().unwrap_or_default();
        if last["kind"] == kind && last["outcome"] == "running" {
            return;
        }
        assert_eq!(failover["state"], json!("running"), "{failover}");
        tokio::task::yield_now().await;
    }
}

async fn status(app: &TestApp, snapshot: &v1::Snapshot) -> v1::SnapshotStatus {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let request = v1::GetSnapshotRequest { graph_id, snapshot_id };
    app.backup().await.get_snapshot(request).await.unwrap().into_inner().status()
}

async fn held_off(kind: Kind) {
    let (app, home) = start_on(kind, |home| shell("after_switch", &wait_for(&home.join("go")), 60), &[]).await;
    let sources = three(&app).await;
    post(&app, GRAPHS, &json!({ "graph_id": "d", "source_dir": files::small(&app.data("d")) })).await.ok();
    let id = checkpoint(&app).await;
    change(&sources);
    // Where several can work, another one would.
    let second = if matches!(kind, Kind::Postgres) { Some(app.second_instance().await) } else { None };
    let begun = fail_over(&app, &id, json!({ "wait": false })).await.ok();
    until_in(&app, &begun, "hook").await;
    let request = |graph_id: &str| v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), wait: Some(false), ..Default::default() };
    let mut waiting = Vec::new();
    for graph_id in ["a", "b", "c"] {
        waiting.push(app.backup().await.create_snapshot(request(graph_id)).await.unwrap().into_inner());
    }
    for _ in 0..3 {
        // One that was asked for later, of a graph that is free, is done.
        app.backup().await.create_snapshot(v1::CreateSnapshotRequest { wait: Some(true), ..request("d") }).await.unwrap();
        for snapshot in &waiting {
            assert_eq!(status(&app, snapshot).await, v1::SnapshotStatus::Pending);
        }
    }
    fs::write(home.path().join("go"), "").unwrap();
    settled(&app).await;
    assert_eq!(failover_of(&app, &begun).await["state"], json!("succeeded"));
    for snapshot in &waiting {
        assert_eq!(status(&app, snapshot).await, v1::SnapshotStatus::Completed);
    }
    if let Some(second) = second {
        second.stop().await.unwrap();
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_works_on_a_fenced_graph_sqlite() {
    held_off(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_works_on_a_fenced_graph_on_two_instances() {
    held_off(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_when_a_fence_is_raised_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let command = format!("{}; exit 3", wait_for(&home.path().join("go")));
    // One works while the other waits for it.
    let more = [("LIGHTKEEP_DRILL_COMMAND", command.as_str()), ("LIGHTKEEP_MAX_PARALLEL_OPERATIONS", "2")];
    let app = TestApp::start_with(Kind::Sqlite, &more).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let before = files::describe(&sources[1]);
    post(&app, "/api/backup/recovery/drills", &json!({ "graph_id": "a", "wait": false })).await.ok();
    until(&app, v1::OperationKind::Drill, v1::OperationState::Running).await;
    let begun = fail_over(&app, &id, json!({ "wait": false })).await.ok();
    until_in(&app, &begun, "fence").await;
    assert_eq!(files::describe(&sources[1]), before, "nothing is touched before");
    fs::write(home.path().join("go"), "").unwrap();
    settled(&app).await;
    assert_eq!(failover_of(&app, &begun).await["state"], json!("succeeded"));
    finish(app).await;
}

/// Cancelled while it waits for its hook, nothing was touched, and the hook is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_cancelled_ends_its_hook_and_touches_nothing() {
    let (app, home) =
        start_on(Kind::Sqlite, |home| shell("before_fence", &format!("echo $$ > {0}/pid; exec sleep 600", home.display()), 60), &[]).await;
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let before: Vec<_> = sources.iter().map(|source| files::describe(source)).collect();
    let begun = fail_over(&app, &id, json!({ "wait": false })).await.ok();
    until_in(&app, &begun, "hook").await;
    let pid = home.path().join("pid");
    while fs::read_to_string(&pid).unwrap_or_default().trim().is_empty() {
        tokio::task::yield_now().await;
    }
    let operation = begun["failover"]["operation_id"].as_str().unwrap();
    post(&app, &format!("/api/operations/{operation}/cancel"), &json!({})).await.ok();
    settled(&app).await;
    let failover = failover_of(&app, &begun).await;
    assert_eq!((&failover["state"], &failover["error_message"]), (&json!("failed"), &json!("the operation was cancelled")), "{failover}");
    let stat = fs::read_to_string(format!("/proc/{}/stat", fs::read_to_string(&pid).unwrap().trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    assert_eq!(sources.iter().map(|source| files::describe(source)).collect::<Vec<_>>(), before);
    fs::remove_file(home.path().join("hooks.toml")).unwrap();
    finish(app).await;
}

async fn apart(kind: Kind) {
    let (app, home) = start_on(kind, |home| shell("before_fence", &wait_for(&home.join("go")), 60), &[]).await;
    three(&app).await;
    let mut ids = Vec::new();
    for graph_id in ["a", "b", "c"] {
        let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": [graph_id] })).await.ok();
        ids.push((graph_id, made["checkpoint_id"].as_str().unwrap().to_owned()));
    }
    let site = app.data("site");
    let begin = |(graph_id, id): &(&str, String)| {
        let body = json!({ "target_dirs": { *graph_id: site }, "wait": false });
        let (app, id) = (&app, id.clone());
        async move { fail_over(app, &id, body).await }
    };
    let (first, second, third) = tokio::join!(begin(&ids[0]), begin(&ids[1]), begin(&ids[2]));
    let (begun, refused): (Vec<_>, Vec<_>) = [first, second, third].into_iter().partition(|answer| answer.status == 200);
    assert_eq!(begun.len(), 1, "{}", refused[0].text);
    for answer in refused {
        assert_eq!((answer.status, &answer.json["reason"]), (409, &json!("FAILOVER_IN_PROGRESS")), "{}", answer.text);
    }
    fs::write(home.path().join("go"), "").unwrap();
    settled(&app).await;
    assert_eq!(failover_of(&app, &begun[0].json).await["state"], json!("succeeded"));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_failovers_to_one_place_at_once_one_is_begun_sqlite() {
    apart(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_failovers_to_one_place_at_once_one_is_begun_postgres() {
    apart(Kind::Postgres).await;
}
