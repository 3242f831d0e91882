//! Restores beyond the plain one: plans, chosen files, the snapshot before a graph is replaced, forks.

use std::fs;
use std::path::Path;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::rest::{Answer, GRAPHS, get, post};

async fn restore(app: &TestApp, snapshot: &v1::Snapshot, target: &Path, more: Json) -> Answer {
    let mut body = json!({ "target_dir": target });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(app, &format!("{GRAPHS}/{}/snapshots/{}/restore", snapshot.graph_id, snapshot.backup_id), &body).await
}

on_each_database!(a_plan_says_what_would_change_and_changes_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let snapshot = app.snapshot("g", &source).await;
    let target = app.data("target");
    files::copy_tree(&source, &target);
    app.restore(&snapshot, &app.data("measured")).await.unwrap();
    fs::write(target.join("vdb_chunks.json"), "{}").unwrap();
    fs::remove_file(target.join("kv_store_full_docs.json")).unwrap();
    fs::write(target.join("extra"), "x").unwrap();
    let before = files::describe(&target);
    let answer = restore(&app, &snapshot, &target, json!({ "validate_only": true })).await.ok();
    let plan = &answer["plan"];
    assert_eq!((&answer["status"], &plan["files"], &plan["size_bytes"]), (&json!("validated"), &json!(12), &json!(snapshot.size_bytes)));
    assert_eq!((&plan["files_added"], &plan["files_removed"], &plan["conflicts"]), (&json!(1), &json!(1), &json!([])));
    assert_eq!(plan["files_changed"].as_i64().unwrap() + plan["files_unchanged"].as_i64().unwrap(), 11);
    assert!(plan["examples"].as_array().unwrap().contains(&json!("vdb_chunks.json")));
    assert!(plan["free_bytes"].as_i64().unwrap() > 0 && plan["stored_bytes"].as_i64().unwrap() > 0);
    assert!(plan["kept_as"].as_str().unwrap().contains("_pre_restore_"));
    assert_eq!(files::describe(&target), before);
    let again = restore(&app, &snapshot, &app.data("new"), json!({ "validate_only": true })).await.ok();
    assert_eq!((&again["plan"]["files_added"], &again["plan"]["kept_as"]), (&json!(12), &json!(null)));
    assert!(!app.data("new").exists());
    app
});

on_each_database!(chosen_files_go_into_a_directory_of_their_own, async |app: TestApp| {
    let source = app.sample("rag");
    fs::create_dir_all(source.join("notes/deep")).unwrap();
    fs::write(source.join("notes/deep/a"), "one").unwrap();
    let snapshot = app.snapshot("g", &source).await;
    let target = app.data("chosen");
    let paths = json!({ "paths": ["notes", "kv_store_doc_status.json"] });
    restore(&app, &snapshot, &target, paths.clone()).await.ok();
    let mut names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kv_store_doc_status.json", "notes"]);
    assert_eq!(fs::read(target.join("notes/deep/a")).unwrap(), b"one");
    assert_eq!(restore(&app, &snapshot, &target, paths).await.status, 400, "it is not empty now");
    assert_eq!(restore(&app, &snapshot, &app.data("new"), json!({ "paths": ["none"] })).await.status, 404);
    assert_eq!(restore(&app, &snapshot, &app.data("new"), json!({ "paths": ["../x", "/y"] })).await.status, 400);
    assert!(!app.data("new").exists());
    app
});

on_each_database!(a_graph_is_saved_before_it_is_replaced, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    fs::write(source.join("extra"), "not saved yet").unwrap();
    restore(&app, &snapshot, &source, json!({})).await.ok();
    let list = app.list("g").await;
    assert_eq!(list.len(), 2);
    assert!(!source.join("extra").exists());
    let metadata = list[0].metadata.clone().unwrap();
    assert!(metadata.fields.contains_key("safety_snapshot_before_restore_of"));
    app.restore(&list[0], &app.data("again")).await.unwrap();
    assert!(app.data("again/extra").exists());
    app.clock.advance(std::time::Duration::from_secs(1));
    restore(&app, &snapshot, &source, json!({ "safety_snapshot": false })).await.ok();
    restore(&app, &snapshot, &app.data("elsewhere"), json!({})).await.ok();
    assert_eq!(app.list("g").await.len(), 2, "neither asked for nor in its own place");
    // A graph that is lost needs no saving.
    fs::remove_dir_all(&source).unwrap();
    app.clock.advance(std::time::Duration::from_secs(1));
    restore(&app, &snapshot, &source, json!({})).await.ok();
    assert_eq!(app.list("g").await.len(), 2);
    app
});

on_each_database!(a_fork_is_a_graph_of_its_own, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    let target = app.data("rag_copy");
    let answer = restore(&app, &snapshot, &target, json!({ "fork_graph_id": "copy" })).await.ok();
    assert_eq!(answer["status"], json!("success"));
    let graph = get(&app, &format!("{GRAPHS}/copy")).await.ok();
    assert_eq!(graph["source_dir"], json!(target));
    let own = post(&app, &format!("{GRAPHS}/copy/snapshots"), &json!({})).await.ok();
    assert_eq!((&own["data_hash"].is_string(), &own["consistency"]), (&true, &json!("consistent")));
    assert_eq!(own["entities"], json!(snapshot.entities));
    let taken = restore(&app, &snapshot, &app.data("other"), json!({ "fork_graph_id": "copy" })).await;
    assert_eq!((taken.status, &taken.json["reason"]), (409, &json!("GRAPH_EXISTS")));
    let occupied = restore(&app, &snapshot, &target, json!({ "fork_graph_id": "third" })).await;
    assert_eq!(occupied.status, 400);
    let unfit = restore(&app, &snapshot, &app.data("no workspace"), json!({ "fork_graph_id": "third" })).await;
    assert_eq!(unfit.status, 400);
    assert_eq!(get(&app, &format!("{GRAPHS}/third")).await.status, 404);
    app
});
