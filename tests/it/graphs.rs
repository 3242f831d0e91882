//! Graphs: changed, and given up with or without their repository.

use std::fs;

use serde_json::json;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send};

async fn patch(app: &TestApp, path: &str, body: serde_json::Value) -> Answer {
    send(app, "PATCH", path, &[("content-type", "application/json")], body.to_string()).await
}

on_each_database!(an_update_changes_what_its_body_names, async |app: TestApp| {
    let (one, two) = (app.sample("one"), app.sample("two"));
    let server = json!({ "url": "http://127.0.0.1:1", "api_key": "secret", "quiet_wait_seconds": 7 });
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": one, "server": server })).await.ok();
    let path = format!("{GRAPHS}/g");
    let changed = patch(&app, &path, json!({ "source_dir": two })).await.ok();
    assert_eq!((&changed["source_dir"], &changed["etag"]), (&json!(two), &json!("2")));
    assert_eq!(changed["server"]["quiet_wait_seconds"], json!(7));
    let changed = patch(&app, &path, json!({ "inconsistent_policy": "fail", "server": null })).await.ok();
    assert_eq!((&changed["inconsistent_policy"], &changed["server"]), (&json!("fail"), &json!(null)));
    assert_eq!(get(&app, &path).await.ok(), changed);
    // What was read can be sent back.
    assert_eq!(patch(&app, &path, changed.clone()).await.ok()["source_dir"], json!(two));
    let unknown = patch(&app, &format!("{path}?update_mask=stores"), json!({})).await;
    assert_eq!(unknown.status, 400);
    assert_eq!(patch(&app, &format!("{GRAPHS}/none"), json!({ "source_dir": two })).await.status, 404);
    assert_eq!(patch(&app, &path, json!({ "source_dir": "/proc" })).await.status, 403);
    app
});

on_each_database!(an_etag_that_is_old_changes_nothing, async |app: TestApp| {
    let source = app.sample("one");
    let graph = post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    let path = format!("{GRAPHS}/g");
    let update = json!({ "inconsistent_policy": "fail", "etag": graph["etag"] });
    patch(&app, &path, update.clone()).await.ok();
    let late = patch(&app, &path, update).await;
    assert_eq!((late.status, &late.json["code"], &late.json["reason"]), (409, &json!("ABORTED"), &json!("ETAG_MISMATCH")));
    app
});

on_each_database!(a_graph_that_is_given_up_keeps_its_repository_unless_it_is_purged, async |app: TestApp| {
    let source = app.sample("one");
    let snapshot = app.snapshot("g", &source).await;
    app.snapshot("h", &source).await;
    let path = format!("{GRAPHS}/g");
    assert_eq!(delete(&app, &path).await.status, 400);
    assert_eq!(delete(&app, &format!("{path}?repository=purge")).await.status, 400);
    let done = delete(&app, &format!("{path}?repository=keep")).await.ok();
    assert_eq!(done, json!({ "status": "success", "message": "Unregistered graph g" }));
    assert_eq!(get(&app, &path).await.status, 404);
    assert!(fs::exists(snapshot.checkpoint_path()).unwrap());
    delete(&app, &format!("{GRAPHS}/h?repository=purge&confirm_graph_id=h")).await.ok();
    assert!(!app.storage().join("h").exists());
    assert_eq!(get(&app, GRAPHS).await.ok(), json!([]));
    let left: Vec<_> = fs::read_dir(app.storage()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("purge")), "{left:?}");
    // The id is free again, and a new repository is made.
    app.snapshot("h", &source).await;
    assert!(source.join("kv_store_doc_status.json").exists());
    app
});

on_each_database!(a_kept_repository_is_adopted_by_whatever_registers_its_graph_again, async |app: TestApp| {
    let source = app.sample("one");
    let first = app.snapshot("g", &source).await;
    let path = format!("{GRAPHS}/g");
    delete(&app, &format!("{path}?repository=keep")).await.ok();
    // By a snapshot: it comes after the adoption, and builds on what is there.
    let second = app.snapshot("g", &source).await;
    assert!(second.stored_bytes < 10_000, "{}", second.stored_bytes);
    let ids = |list: Vec<lightkeep::proto::v1::Snapshot>| list.into_iter().map(|one| one.backup_id).collect::<Vec<_>>();
    let mut both = [first.backup_id, second.backup_id];
    both.sort();
    let mut found = ids(app.list("g").await);
    found.sort();
    assert_eq!(found, both);
    delete(&app, &format!("{path}?repository=keep")).await.ok();
    // By its registration, which does not wait for the adoption: what comes after it does.
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    post(&app, &format!("{path}/repository/check"), &json!({})).await.ok();
    let mut found = ids(app.list("g").await);
    found.sort();
    assert_eq!(found, both);
    app
});
