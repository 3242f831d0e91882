//! Graphs: changed, and given up with or without their repository.

use std::fs;

use futures_util::future::join_all;
use lightkeep::proto::v1;
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

on_each_database!(updates_at_once_are_all_done, async |app: TestApp| {
    let source = app.sample("one");
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    let path = format!("{GRAPHS}/g");
    let update = |number: i32| patch(&app, &path, json!({ "server": { "url": format!("http://127.0.0.1:{}", number + 1) } }));
    let answers = join_all((0..12).map(update)).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(get(&app, &path).await.ok()["etag"], json!("13"));
    app
});

on_each_database!(of_requests_at_once_with_one_id_each_gets_the_same_answer, async |app: TestApp| {
    let (source, client) = (app.sample("one"), app.backup().await);
    let (graph_id, snapshot_id) = ("g".to_owned(), app.snapshot("g", &source).await.backup_id);
    for round in 1..=8 {
        let id = |number: u32| format!("0191e7a0-1111-7222-8333-{:012}", 10 * round + number);
        let graph = Some(v1::Graph { inconsistent_policy: v1::InconsistentPolicy::Fail.into(), ..Default::default() });
        let (etag, request_id) = (round.to_string(), id(0));
        let update = v1::UpdateGraphRequest { graph_id: graph_id.clone(), graph, etag, request_id, ..Default::default() };
        let mut clients = vec![client.clone(); 16];
        for answer in join_all(clients.iter_mut().map(|client| client.update_graph(update.clone()))).await {
            assert_eq!(answer.unwrap().into_inner().etag, (round + 1).to_string());
        }
        let (graph_id, snapshot_id, reason) = (graph_id.clone(), snapshot_id.clone(), "audit".to_owned());
        let pin = v1::PinSnapshotRequest { graph_id, snapshot_id, reason, request_id: id(1), ..Default::default() };
        for answer in join_all(clients.iter_mut().map(|client| client.pin_snapshot(pin.clone()))).await {
            assert_eq!(answer.unwrap().into_inner().pin_reason(), "audit");
        }
    }
    app
});

on_each_database!(a_mask_that_names_nothing_is_as_none, async |app: TestApp| {
    let (one, two) = (app.sample("one"), app.sample("two"));
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": one })).await.ok();
    let graph = v1::Graph { source_dir: two.to_str().unwrap().to_owned(), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask::default());
    let request = v1::UpdateGraphRequest { graph_id: "g".to_owned(), graph: Some(graph), update_mask, ..Default::default() };
    let changed = app.backup().await.update_graph(request).await.unwrap().into_inner();
    assert_eq!((changed.source_dir.as_str(), changed.etag.as_str()), (two.to_str().unwrap(), "2"));
    app
});

on_each_database!(each_graph_of_a_list_has_its_own_counts, async |app: TestApp| {
    let (one, two) = (app.sample("one"), app.sample("two"));
    let first = app.snapshot("a", &one).await;
    // Of another directory: counted, and not the latest of the graph's own.
    app.snapshot("a", &two).await;
    app.snapshot("b", &two).await;
    let last = app.snapshot("b", &two).await;
    post(&app, GRAPHS, &json!({ "graph_id": "c", "source_dir": one })).await.ok();
    let list = get(&app, GRAPHS).await.ok();
    let seen: Vec<_> = list.as_array().unwrap().iter().map(|graph| (&graph["total_snapshots"], &graph["latest_snapshot_id"])).collect();
    let (first, last) = (json!(first.backup_id), json!(last.backup_id));
    assert_eq!(seen, [(&json!(2), &first), (&json!(2), &last), (&json!(0), &json!(null))]);
    for graph in list.as_array().unwrap() {
        assert_eq!(&get(&app, &format!("{GRAPHS}/{}", graph["graph_id"].as_str().unwrap())).await.ok(), graph);
    }
    app
});
