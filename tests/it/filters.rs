//! Lists of what is wanted only.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{GRAPHS, get, post};

/// What the items of a list have under this name.
async fn named(app: &TestApp, path: &str, list: &str, name: &str) -> Vec<String> {
    let answer = get(app, path).await.ok();
    let items: &Json = if list.is_empty() { &answer } else { &answer[list] };
    items.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

on_each_database!(graphs_are_found_by_their_names_and_directories, async |app: TestApp| {
    let (one, two) = (app.sample("one"), app.sample("two"));
    for (graph_id, source) in [("team_a", &one), ("team_b", &two), ("teamXb", &one), ("TEAM_A", &one), ("größe", &one)] {
        post(&app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
    }
    let ids = async |query: &str| named(&app, &format!("{GRAPHS}?{query}"), "", "graph_id").await;
    assert_eq!(ids("graph_id_prefix=team_").await, ["team_a", "team_b"]);
    assert_eq!(ids("graph_id_prefix=team_&page_size=1").await, ["team_a"]);
    assert_eq!(ids("graph_id_prefix=gr%C3%B6").await, ["größe"]);
    assert_eq!(ids("graph_id_prefix=%25").await, Vec::<String>::new());
    assert_eq!(ids(&format!("source_dir={}", two.display())).await, ["team_b"]);
    assert_eq!(ids(&format!("source_dir={}&graph_id_prefix=teamX", two.display())).await, Vec::<String>::new());
    assert_eq!(ids("").await.len(), 5);
    assert_eq!(get(&app, &format!("{GRAPHS}?graph_id_prefix=a%00")).await.refusal().0, 400);
    app
});

on_each_database!(operations_are_found_by_snapshot_and_time, async |app: TestApp| {
    let source = app.sample("one");
    let first = app.snapshot("g", &source).await;
    app.clock.advance(Duration::from_secs(60));
    let second = app.snapshot("g", &source).await;
    app.restore(&first, &app.data("again")).await.unwrap();
    let kinds = async |query: &str| named(&app, &format!("/api/operations?{query}"), "operations", "kind").await;
    assert_eq!(kinds(&format!("snapshot_id={}", first.backup_id)).await, ["restore", "snapshot"]);
    assert_eq!(kinds(&format!("snapshot_id={}", second.backup_id)).await, ["snapshot"]);
    assert_eq!(kinds("created_before=2020-11-22T12:01:00Z").await, ["snapshot"]);
    assert_eq!(kinds("created_from=2020-11-22T12:01:00Z").await, ["restore", "snapshot"]);
    assert_eq!(kinds("created_from=2020-11-22T12:01:00Z&kind=snapshot").await, ["snapshot"]);
    assert_eq!(kinds("kind=delete").await, Vec::<String>::new());
    assert_eq!(get(&app, "/api/operations?snapshot_id=none").await.refusal().0, 400);
    app
});

on_each_database!(verifications_are_found_by_level_and_outcome, async |app: TestApp| {
    let source = app.sample("one");
    let snapshot = app.snapshot("g", &source).await;
    let path = format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id);
    for level in ["record", "data", "record"] {
        post(&app, &format!("{path}/verify"), &json!({ "level": level })).await.ok();
    }
    std::fs::remove_dir_all(app.storage().join("g/data")).unwrap();
    post(&app, &format!("{path}/verify"), &json!({ "level": "record" })).await.ok();
    let levels = async |query: &str| named(&app, &format!("{path}/verifications?{query}"), "", "level").await;
    assert_eq!(levels("level=record").await, ["record", "record", "record"]);
    assert_eq!(levels("level=data").await, ["data"]);
    assert_eq!(levels("passed=false").await, ["record"]);
    assert_eq!(levels("passed=true&level=record").await, ["record", "record"]);
    assert_eq!(levels("").await.len(), 4);
    app
});
