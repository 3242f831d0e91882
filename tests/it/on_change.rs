//! Schedules that follow changes of a graph's files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{GRAPHS, get, post};

const SCHEDULES: &str = "/api/backup/backup/schedules";

/// Lets the time go on until a graph has so many snapshots that have ended.
async fn snapshots(app: &TestApp, count: usize) -> Vec<Json> {
    let mut changes = app.server.services().wakeup().changes();
    loop {
        let list = get(app, &format!("{GRAPHS}/g/snapshots")).await.ok();
        let list = list.as_array().unwrap().clone();
        if list.len() == count && list.iter().all(|one| one["completed_at"].is_string()) {
            return list;
        }
        assert!(list.len() <= count, "{list:?}");
        app.clock.advance(Duration::from_secs(20));
        app.server.services().wakeup().announce_schedule();
        changes.next().await;
    }
}

/// Lets the scheduler look around so many times.
async fn looks(app: &TestApp, count: usize) {
    let mut changes = app.server.services().wakeup().changes();
    for _ in 0..count {
        app.server.services().wakeup().announce_schedule();
        changes.next().await;
    }
}

/// As LightRAG 1.5 does: beside, then renamed.
fn replace(path: &Path, text: &str) {
    let unfinished = path.with_extension("json.tmp.1.2.3");
    fs::write(&unfinished, text).unwrap();
    fs::rename(unfinished, path).unwrap();
}

on_each_database!(a_snapshot_follows_a_change_once_it_is_quiet, async |app: TestApp| {
    let source = app.sample("g");
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    let on_change = json!({ "debounce_seconds": 30, "minimum_interval_seconds": 60 });
    let schedule = post(&app, SCHEDULES, &json!({ "schedule": { "graph_id": "g", "on_change": on_change } })).await.ok();
    assert_eq!((&schedule["schedule"]["next_run_at"], &schedule["next_runs"]), (&json!(null), &json!([])));
    // The files were there before: a first snapshot has them.
    let first = snapshots(&app, 1).await;
    assert_eq!(first[0]["consistency"], json!("consistent"));
    let captured_at: jiff::Timestamp = first[0]["timestamp"].as_str().unwrap().parse().unwrap();
    let status = source.join("kv_store_doc_status.json");
    let text = fs::read_to_string(&status).unwrap();
    replace(&status, &format!("{text} "));
    let second = snapshots(&app, 2).await;
    let second_at: jiff::Timestamp = second[0]["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(second_at.duration_since(captured_at).as_secs() >= 60, "the least interval counts from the last capture");
    assert_ne!(second[0]["data_hash"], first[0]["data_hash"]);
    // Who only asks the graph changes nothing that matters.
    let cache = source.join("kv_store_llm_response_cache.json");
    let text = fs::read_to_string(&cache).unwrap();
    replace(&cache, &format!("{text} "));
    looks(&app, 3).await;
    app.clock.advance(Duration::from_secs(3600));
    looks(&app, 3).await;
    assert_eq!(app.list("g").await.len(), 2);
    let runs = get(&app, &format!("{SCHEDULES}/{}/runs", schedule["schedule"]["schedule_id"].as_str().unwrap())).await.ok();
    assert_eq!(runs.as_array().unwrap().iter().filter(|run| run["result"] == "succeeded").count(), 2);
    app
});
