//! The paths that old scripts use, over HTTP: paths, fields, types and texts are a contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send, watch};

/// A copy of the sample without the other tenant, whose directory belongs to another graph.
fn workspace(app: &TestApp, name: &str) -> PathBuf {
    let path = app.sample(name);
    std::fs::remove_dir_all(path.join("tenant_b")).unwrap();
    path
}

async fn snapshot(app: &TestApp, graph_id: &str, source: &Path) -> Json {
    post(app, &format!("{GRAPHS}/{graph_id}/snapshots"), &json!({ "source_dir": source })).await.ok()
}

fn path_of(snapshot: &Json) -> String {
    format!("{GRAPHS}/{}/snapshots/{}", snapshot["graph_id"].as_str().unwrap(), snapshot["backup_id"].as_str().unwrap())
}

async fn restore(app: &TestApp, snapshot: &Json, target: &Path) -> Answer {
    post(app, &format!("{}/restore", path_of(snapshot)), &json!({ "target_dir": target })).await
}

fn is_uuid(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.len() == 36 && text.to_lowercase() == text && uuid::Uuid::try_parse(text).is_ok())
}

fn size_of(directory: &Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

on_each_database!(a_snapshot_has_all_fields_of_the_contract, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let metadata = json!({ "why": "before the import", "count": 3, "ratio": 1.5, "deep": [null, { "on": true }] });
    let body = json!({ "source_dir": source, "metadata": metadata, "a_field_of_tomorrow": 1 });
    let created = post(&app, &format!("{GRAPHS}/graph1/snapshots"), &body).await.ok();
    let hash = created["data_hash"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()), "{hash}");
    assert!(is_uuid(&created["backup_id"]) && is_uuid(&created["operation_id"]), "{created}");
    let record = created["checkpoint_path"].as_str().unwrap();
    assert!(record.starts_with(app.storage().join("graph1").to_str().unwrap()) && Path::new(record).is_file(), "{record}");
    assert!(created["stored_bytes"].as_i64().unwrap() > 0, "{created}");
    let expected = json!({
        "backup_id": created["backup_id"],
        "graph_id": "graph1",
        "status": "completed",
        "timestamp": "2020-11-22T12:00:00Z",
        "size_bytes": size_of(&source),
        "data_hash": hash,
        "retention_until": "2020-12-22T12:00:00Z",
        "checkpoint_path": record,
        "metadata": metadata,
        "source_dir": source,
        "consistency": "consistent",
        "documents": 6,
        "chunks": 6,
        "entities": 34,
        "relations": 44,
        "vectors": 84,
        "documents_in_flight": 0,
        "files": 12,
        "stored_bytes": created["stored_bytes"],
        "duration_seconds": 0.0,
        "completed_at": "2020-11-22T12:00:00Z",
        "error_message": null,
        "findings": [],
        "operation_id": created["operation_id"],
        "pin_reason": null,
        "pinned_until": null,
        "verified_at": null,
        "verified_level": null,
        "verified_passed": null,
        "losses": [],
        "lightrag_layout": "1.5",
        "inputs_dir": null,
        "inputs_files": null,
        "inputs_size_bytes": null,
        "inputs_data_hash": null,
        "tags": [],
        "hold_reason": null,
        "held_until": null,
        "captured_at": "2020-11-22T12:00:00Z",
        "checkpoints": 0,
    });
    assert_eq!(created, expected);
    assert_eq!(get(&app, &path_of(&created)).await.ok(), expected);
    assert_eq!(get(&app, &format!("{GRAPHS}/graph1/snapshots")).await.ok(), json!([expected]));
    app
});

on_each_database!(what_is_not_set_is_null, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let created = post(&app, &format!("{GRAPHS}/g/snapshots?wait=false"), &json!({ "source_dir": source })).await.ok();
    assert_eq!((&created["status"], &created["size_bytes"]), (&json!("pending"), &json!(0)));
    for field in ["retention_until", "metadata", "completed_at", "consistency"] {
        assert_eq!(created.get(field), Some(&Json::Null), "{field}");
    }
    let events = watch(&app, created["operation_id"].as_str().unwrap()).await;
    assert_eq!(events.last().unwrap()["state"], "succeeded");
    let now = get(&app, &path_of(&created)).await.ok();
    assert_eq!((&now["status"], &now["metadata"]), (&json!("completed"), &Json::Null));
    app
});

on_each_database!(a_registered_graph_needs_no_source_dir, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let graph = post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    assert_eq!(graph["latest_snapshot_id"], serde_json::Value::Null);
    for body in ["", "{}", "null"] {
        let answer = send(&app, "POST", &format!("{GRAPHS}/g/snapshots"), &[], body).await;
        assert_eq!(answer.ok()["source_dir"], json!(source), "{body}");
    }
    let listed = get(&app, GRAPHS).await.ok();
    assert_eq!((listed[0]["graph_id"].as_str(), listed[0]["total_snapshots"].as_i64()), (Some("g"), Some(3)));
    assert_eq!(get(&app, &format!("{GRAPHS}/g")).await.ok(), listed[0]);
    app
});

on_each_database!(snapshots_are_listed_newest_first_whole_or_in_pages, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let mut ids = vec![];
    for _ in 0..3 {
        ids.insert(0, snapshot(&app, "g", &source).await["backup_id"].clone());
        app.clock.advance(Duration::from_secs(60));
    }
    let path = format!("{GRAPHS}/g/snapshots");
    let listed = |json: Json| json.as_array().unwrap().iter().map(|item| item["backup_id"].clone()).collect::<Vec<_>>();
    let whole = get(&app, &path).await;
    assert_eq!(whole.header("x-next-page-token"), "");
    assert_eq!(listed(whole.ok()), ids);
    let first = get(&app, &format!("{path}?page_size=2")).await;
    let token = first.header("x-next-page-token").to_owned();
    assert_eq!(listed(first.ok()), ids[..2]);
    let second = get(&app, &format!("{path}?page_size=2&page_token={token}")).await;
    assert_eq!(second.header("x-next-page-token"), "");
    assert_eq!(listed(second.ok()), ids[2..]);
    assert_eq!(listed(get(&app, &format!("{GRAPHS}/-/snapshots")).await.ok()), ids);
    for bad in ["page_size=-1", "page_size=many", "page_size=2&page_token=nonsense"] {
        assert_eq!(get(&app, &format!("{path}?{bad}")).await.refusal().0, 400, "{bad}");
    }
    app
});

on_each_database!(a_snapshot_is_restored_any_number_of_times_and_old_states_are_kept, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let whole = files::describe(&source);
    let taken = snapshot(&app, "g", &source).await;
    let target = app.data("copy");
    std::fs::create_dir(&target).unwrap();
    let message = format!("Restored snapshot {} to {}", taken["backup_id"].as_str().unwrap(), target.display());
    for (round, state) in ["first", "second"].into_iter().enumerate() {
        std::fs::write(target.join("mine"), state).unwrap();
        app.clock.advance(Duration::from_secs(1));
        let answer = restore(&app, &taken, &target).await;
        assert_eq!(answer.ok(), json!({ "status": "success", "message": message }));
        assert_eq!(files::describe(&target), whole);
        assert_eq!(files::kept(&target).len(), round + 1);
        let now = get(&app, &path_of(&taken)).await.ok();
        assert_eq!((&now["status"], &now["data_hash"]), (&json!("restored"), &taken["data_hash"]));
    }
    let kept: Vec<String> = files::kept(&target).iter().map(|path| std::fs::read_to_string(path.join("mine")).unwrap()).collect();
    assert_eq!(kept, ["first", "second"]);
    app
});

on_each_database!(a_restore_that_is_not_waited_for_gives_its_operation, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let taken = snapshot(&app, "g", &source).await;
    let target = app.data("copy");
    let path = format!("{}/restore?wait=false", path_of(&taken));
    let accepted = post(&app, &path, &json!({ "target_dir": target })).await.ok();
    assert_eq!(accepted["status"], "accepted");
    assert_eq!((&accepted["operation"]["kind"], &accepted["operation"]["snapshot_id"]), (&json!("restore"), &taken["backup_id"]));
    let events = watch(&app, accepted["operation"]["operation_id"].as_str().unwrap()).await;
    assert_eq!(events.last().unwrap()["state"], "succeeded");
    assert_eq!(files::describe(&target), files::describe(&source));
    app
});

on_each_database!(a_deleted_snapshot_is_gone_from_list_and_disk, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let (first, second) = (snapshot(&app, "g", &source).await, snapshot(&app, "g", &source).await);
    let id = first["backup_id"].as_str().unwrap();
    let answer = delete(&app, &path_of(&first)).await.ok();
    assert_eq!(answer, json!({ "status": "success", "message": format!("Deleted snapshot {id}") }));
    assert!(!Path::new(first["checkpoint_path"].as_str().unwrap()).exists());
    let missing = format!("Snapshot {id} not found");
    assert_eq!(get(&app, &path_of(&first)).await.refusal(), (404, missing.as_str()));
    assert_eq!(delete(&app, &path_of(&first)).await.refusal(), (404, missing.as_str()));
    assert_eq!(restore(&app, &first, &app.data("copy")).await.refusal(), (404, missing.as_str()));
    assert_eq!(get(&app, &format!("{GRAPHS}/g/snapshots")).await.ok(), json!([second]));
    assert_eq!(restore(&app, &second, &app.data("copy")).await.status, 200);
    app
});

on_each_database!(stats_count_graphs_snapshots_and_bytes, async |app: TestApp| {
    let stats = "/api/backup/backup/stats";
    let nothing = json!({ "total_graphs": 0, "total_snapshots": 0, "total_size_bytes": 0, "graphs": [] });
    assert_eq!(get(&app, stats).await.ok(), nothing);
    let source = workspace(&app, "rag");
    let size = size_of(&source);
    post(&app, GRAPHS, &json!({ "graph_id": "empty", "source_dir": source })).await.ok();
    let first = snapshot(&app, "full", &source).await;
    app.clock.advance(Duration::from_micros(90_000_001));
    let second = snapshot(&app, "full", &source).await;
    let stored = first["stored_bytes"].as_i64().unwrap() + second["stored_bytes"].as_i64().unwrap();
    let expected = json!({
        "total_graphs": 2,
        "total_snapshots": 2,
        "total_size_bytes": 2 * size,
        "graphs": [
            { "graph_id": "empty", "total_snapshots": 0, "total_size_bytes": 0, "last_snapshot_time": null, "stored_bytes": 0 },
            {
                "graph_id": "full",
                "total_snapshots": 2,
                "total_size_bytes": 2 * size,
                "last_snapshot_time": "2020-11-22T12:01:30.000001Z",
                "stored_bytes": stored,
            },
        ],
    });
    assert_eq!(get(&app, stats).await.ok(), expected);
    app
});

on_each_database!(operations_are_told_listed_watched_and_cancelled, async |app: TestApp| {
    let source = workspace(&app, "rag");
    let taken = snapshot(&app, "g", &source).await;
    let id = taken["operation_id"].as_str().unwrap();
    let operation = get(&app, &format!("/api/operations/{id}")).await.ok();
    let expected = json!({
        "operation_id": id,
        "kind": "snapshot",
        "state": "succeeded",
        "graph_id": "g",
        "snapshot_id": taken["backup_id"],
        "stage": operation["stage"],
        "done_bytes": operation["done_bytes"],
        "total_bytes": operation["total_bytes"],
        "attempt": 1,
        "error": null,
        "created_at": "2020-11-22T12:00:00Z",
        "started_at": "2020-11-22T12:00:00Z",
        "ended_at": "2020-11-22T12:00:00Z",
        "place": null,
        "cancel_requested": false,
        "result": null,
    });
    assert_eq!(operation, expected);
    assert!(operation["stage"].is_string() && operation["done_bytes"].is_i64() && operation["total_bytes"].is_i64(), "{operation}");
    let list = json!({ "operations": [operation], "next_page_token": "" });
    assert_eq!(get(&app, "/api/operations").await.ok(), list);
    assert_eq!(get(&app, "/api/operations?graph_id=g&state=succeeded&page_size=5").await.ok(), list);
    assert_eq!(get(&app, "/api/operations?state=failed").await.ok()["operations"], json!([]));
    assert_eq!(watch(&app, id).await, std::slice::from_ref(&operation));
    let cancelled = post(&app, &format!("/api/operations/{id}/cancel"), &json!({})).await.ok();
    assert_eq!(cancelled, operation);
    let unknown = "/api/operations/no-such-operation";
    for answer in
        [get(&app, unknown).await, get(&app, &format!("{unknown}/watch")).await, post(&app, &format!("{unknown}/cancel"), &json!({})).await]
    {
        assert_eq!(answer.refusal(), (404, "Operation no-such-operation not found"));
    }
    app
});
