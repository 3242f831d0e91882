//! What holds for every path of the REST interface, over HTTP: errors, prefixes, methods, limits, repeated requests.

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{GRAPHS, delete, get, post, send};

const NO_SNAPSHOT: &str = "00000000-0000-7000-8000-000000000000";

async fn start() -> TestApp {
    TestApp::start(Kind::Sqlite).await
}

/// One line for each violation of a 422 answer.
fn violations(json: &Json) -> Vec<String> {
    let entries = json["detail"].as_array().unwrap_or_else(|| panic!("no list of violations: {json}"));
    entries.iter().map(|entry| format!("{} {} {}", entry["type"].as_str().unwrap(), entry["loc"], entry["msg"].as_str().unwrap())).collect()
}

on_each_database!(a_snapshot_of_an_unknown_graph_without_source_is_422, async |app: TestApp| {
    let answer = post(&app, &format!("{GRAPHS}/new/snapshots"), &json!({ "metadata": {} })).await;
    assert_eq!(answer.status, 422);
    let missing = json!({ "type": "missing", "loc": ["body", "source_dir"], "msg": "Field required", "input": { "metadata": {} } });
    assert_eq!(answer.json["detail"], json!([missing]));
    assert_eq!(get(&app, GRAPHS).await.ok(), json!([]));
    app
});

on_each_database!(unknown_graphs_and_snapshots_are_404_with_their_old_texts, async |app: TestApp| {
    let source = app.sample("rag");
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    let target = json!({ "target_dir": app.data("copy") });
    for (graph, id, text) in [
        ("none", NO_SNAPSHOT, "Graph none not found".to_owned()),
        ("g", NO_SNAPSHOT, format!("Snapshot {NO_SNAPSHOT} not found")),
        ("g", "no-uuid", "Snapshot no-uuid not found".to_owned()),
    ] {
        let path = format!("{GRAPHS}/{graph}/snapshots/{id}");
        let answers = [get(&app, &path).await, delete(&app, &path).await, post(&app, &format!("{path}/restore"), &target).await];
        for answer in answers {
            assert_eq!(answer.refusal(), (404, text.as_str()));
            assert_eq!(answer.json["code"], "NOT_FOUND");
        }
    }
    let answer = get(&app, &format!("{GRAPHS}/none/snapshots")).await;
    assert_eq!((answer.refusal(), &answer.json["reason"]), ((404, "Graph none not found"), &json!("GRAPH_NOT_FOUND")));
    assert_eq!(get(&app, &format!("{GRAPHS}/none")).await.refusal(), (404, "Graph none not found"));
    assert!(!app.data("copy").exists());
    app
});

on_each_database!(an_idempotency_key_repeats_the_first_answer, async |app: TestApp| {
    let source = app.sample("rag");
    let (path, body) = (format!("{GRAPHS}/g/snapshots"), json!({ "source_dir": source }).to_string());
    let key = [("idempotency-key", "0191e7a0-1111-7222-8333-444455556666")];
    let first = send(&app, "POST", &path, &key, body.clone()).await.ok();
    assert_eq!(send(&app, "POST", &path, &key, body.clone()).await.ok(), first);
    assert_eq!(get(&app, &path).await.ok(), json!([first]));

    let answer = send(&app, "POST", &path, &key, json!({ "source_dir": source, "metadata": { "other": 1 } }).to_string()).await;
    assert_eq!((answer.refusal().0, &answer.json["reason"]), (409, &json!("REQUEST_ID_REUSED")));
    let answer = send(&app, "POST", &path, &[("idempotency-key", "no uuid")], body).await;
    assert_eq!((answer.refusal().0, &answer.json["code"]), (400, &json!("INVALID_ARGUMENT")));
    assert_eq!(get(&app, &path).await.ok(), json!([first]));
    app
});

on_each_database!(a_repeated_request_is_answered_though_its_subject_has_gone, async |app: TestApp| {
    let source = app.sample("rag");
    let register = json!({ "graph_id": "registered", "source_dir": source, "server": { "url": "http://localhost:9621" } });
    let registered_by = [("idempotency-key", "0191e7a0-0000-7000-8000-000000000000")];
    let registered = send(&app, "POST", GRAPHS, &registered_by, register.to_string()).await.ok();
    let snapshots = format!("{GRAPHS}/g/snapshots");
    let create = json!({ "source_dir": source }).to_string();
    let created_by = [("idempotency-key", "0191e7a0-0000-7000-8000-000000000001")];
    let taken = send(&app, "POST", &snapshots, &created_by, create.clone()).await.ok();
    std::fs::remove_dir_all(&source).unwrap();
    assert_eq!(send(&app, "POST", GRAPHS, &registered_by, register.to_string()).await.ok(), registered);
    let mut another = register;
    another["server"]["busy_policy"] = json!("fail");
    let answer = send(&app, "POST", GRAPHS, &registered_by, another.to_string()).await;
    assert_eq!((answer.refusal().0, &answer.json["reason"]), (409, &json!("REQUEST_ID_REUSED")));
    assert_eq!(send(&app, "POST", &snapshots, &created_by, create).await.ok(), taken);

    let path = format!("{snapshots}/{}", taken["backup_id"].as_str().unwrap());
    let restore = json!({ "target_dir": app.data("copy") }).to_string();
    let restored_by = [("idempotency-key", "0191e7a0-0000-7000-8000-000000000002")];
    let restored = send(&app, "POST", &format!("{path}/restore"), &restored_by, restore.clone()).await.ok();
    let deleted_by = [("idempotency-key", "0191e7a0-0000-7000-8000-000000000003")];
    let deleted = send(&app, "DELETE", &path, &deleted_by, "").await.ok();
    assert_eq!(send(&app, "DELETE", &path, &deleted_by, "").await.ok(), deleted);
    assert_eq!(send(&app, "POST", &format!("{path}/restore"), &restored_by, restore).await.ok(), restored);
    assert_eq!(crate::support::files::kept(&app.data("copy")), Vec::<std::path::PathBuf>::new());
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_old_prefixes_answer_the_same() {
    let app = start().await;
    let source = app.sample("rag");
    let taken = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "source_dir": source })).await.ok();
    for prefix in ["/api/v1/backup-replication", "/api/backup/api/v1/backup-replication"] {
        assert_eq!(get(&app, &format!("{prefix}/backup/graphs/g/snapshots")).await.ok(), json!([taken]));
        let stats = get(&app, "/api/backup/backup/stats").await.ok();
        assert_eq!(get(&app, &format!("{prefix}/backup/stats")).await.ok(), stats);
        let answer = get(&app, &format!("{prefix}/backup/graphs/none/snapshots")).await;
        assert_eq!(answer.refusal(), (404, "Graph none not found"));
        let another = post(&app, &format!("{prefix}/backup/graphs/by_prefix/snapshots"), &json!({ "source_dir": source })).await.ok();
        let path = format!("{prefix}/backup/graphs/by_prefix/snapshots/{}", another["backup_id"].as_str().unwrap());
        assert_eq!(get(&app, &path).await.ok(), another);
        assert_eq!(delete(&app, &path).await.ok()["status"], "success");
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_wrong_methods_and_trailing_slashes() {
    let app = start().await;
    for path in ["/api/backup/nothing", "/api/backup/backup", "/api/nothing/", "/index.html"] {
        assert_eq!(get(&app, path).await.refusal(), (404, "Not Found"), "{path}");
    }
    for (method, path, allow) in [
        ("PUT", format!("{GRAPHS}/g/snapshots"), "GET, HEAD, POST"),
        ("POST", format!("{GRAPHS}/g/snapshots/s"), "DELETE, GET, HEAD"),
        ("GET", format!("{GRAPHS}/g/snapshots/s/restore"), "POST"),
        ("DELETE", "/api/backup/backup/stats".to_owned(), "GET, HEAD"),
        ("POST", "/health".to_owned(), "GET, HEAD"),
    ] {
        let answer = send(&app, method, &path, &[], "").await;
        assert_eq!((answer.refusal(), answer.header("allow")), ((405, "Method Not Allowed"), allow), "{method} {path}");
    }
    for method in ["GET", "POST"] {
        let answer = send(&app, method, &format!("{GRAPHS}/g/snapshots/?page_size=3"), &[], "").await;
        let shorter = format!("{GRAPHS}/g/snapshots?page_size=3");
        assert_eq!((answer.status, answer.header("location")), (307, shorter.as_str()), "{method}");
    }
    let head = send(&app, "HEAD", "/api/backup/backup/stats", &[], "").await;
    assert_eq!((head.status, head.text.as_str(), head.header("content-type")), (200, "", "application/json"));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_fit_is_422_with_all_violations_at_once() {
    let app = start().await;
    let path = format!("{GRAPHS}/g/snapshots");
    for garbage in ["{", "hello", "{\"source_dir\": \"/x\"} more", "\u{0}", "\u{fffd}{}"] {
        let answer = send(&app, "POST", &path, &[], garbage).await;
        assert_eq!((answer.status, &answer.json["detail"][0]["type"]), (422, &json!("json_invalid")), "{garbage}");
        assert_eq!(answer.json["detail"][0]["loc"][0], "body");
    }
    let answer = post(&app, &path, &json!({ "source_dir": 7, "metadata": [1], "wait": {} })).await;
    let expected = [
        r#"string_type ["body","source_dir"] Input should be a valid string"#,
        r#"dict_type ["body","metadata"] Input should be a valid dictionary"#,
        r#"bool_type ["body","wait"] Input should be a valid boolean"#,
    ];
    assert_eq!((answer.status, violations(&answer.json)), (422, expected.map(str::to_owned).to_vec()));
    assert_eq!(answer.json["detail"][0]["input"], 7);
    let answer = post(&app, &format!("{path}/{NO_SNAPSHOT}/restore"), &json!({})).await;
    assert_eq!((answer.status, violations(&answer.json)), (422, vec![r#"missing ["body","target_dir"] Field required"#.to_owned()]));
    let answer = post(&app, GRAPHS, &json!({ "inconsistent_policy": "panic" })).await;
    assert_eq!((answer.status, violations(&answer.json).len()), (422, 3), "{}", answer.text);
    assert_eq!(get(&app, GRAPHS).await.ok(), json!([]));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_one_mebibyte_are_refused() {
    let app = start().await;
    let source = app.sample("rag");
    let path = format!("{GRAPHS}/g/snapshots");
    let filler = "x".repeat(1024 * 1024);
    let answer = post(&app, &path, &json!({ "source_dir": source, "metadata": { "filler": filler } })).await;
    assert_eq!((answer.refusal().0, &answer.json["reason"]), (413, &json!("BODY_TOO_LARGE")));
    assert_eq!(get(&app, GRAPHS).await.ok(), json!([]));
    let fits = "x".repeat(1024 * 1024 - 400 - source.as_os_str().len());
    let taken = post(&app, &path, &json!({ "source_dir": source, "metadata": { "filler": fits } })).await.ok();
    assert_eq!(taken["metadata"]["filler"].as_str().unwrap().len(), fits.len());
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_carry_the_callers_request_id() {
    let app = start().await;
    let answer = send(&app, "GET", &format!("{GRAPHS}/none"), &[("x-request-id", "mine-1")], "").await;
    assert_eq!((answer.header("x-request-id"), &answer.json["request_id"]), ("mine-1", &json!("mine-1")));
    let answer = get(&app, &format!("{GRAPHS}/none")).await;
    assert_eq!(answer.json["request_id"], answer.header("x-request-id"));
    let mut fields: Vec<&String> = answer.json.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["code", "detail", "reason", "request_id"]);
    finish(app).await;
}
