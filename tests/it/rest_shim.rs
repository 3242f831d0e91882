//! The REST shim before fake services: forms, streams, limits and errors that the real services give rarely or never.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::support::fake::App;

const GRAPHS: &str = "/api/backup/backup/graphs";

#[tokio::test]
async fn answers_have_our_form() {
    let app = App::new();
    let got = app
        .post(&format!("{GRAPHS}/g/snapshots"), r#"{"source_dir":"/s","metadata":{"n":3,"f":1.5,"deep":[null,{"a":true}]},"more":1}"#)
        .await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.json["status"], "in_progress");
    assert_eq!(got.json["timestamp"], "1970-01-01T00:00:01.5Z");
    assert_eq!(got.json["size_bytes"], json!(9_007_199_254_740_993_i64));
    assert_eq!(got.json["retention_until"], Json::Null);
    assert!(got.json.as_object().unwrap().contains_key("retention_until"));
    assert_eq!(got.json["consistency"], Json::Null);
    assert!(got.text.contains(r#""metadata":{"deep":[null,{"a":true}],"f":1.5,"n":3}"#), "{}", got.text);
    let none = app.post(&format!("{GRAPHS}/g/snapshots"), "").await;
    assert_eq!((none.status, &none.json["metadata"]), (StatusCode::OK, &Json::Null));
    assert_eq!(app.get(&format!("{GRAPHS}/g/snapshots/s")).await.json["status"], 77);
    let stats = app.get("/api/backup/backup/stats").await.json;
    assert_eq!(stats["graphs"][0]["last_snapshot_time"], Json::Null);
    assert_eq!(app.get("/api/operations/o").await.json["error"], json!({"code": "NOT_FOUND", "message": "gone"}));
    let deleted = app.send("DELETE", &format!("{GRAPHS}/g/snapshots/s"), &[], "").await;
    assert_eq!(deleted.json, json!({"status": "success", "message": "Deleted snapshot S"}));
}

#[tokio::test]
async fn unset_additions_and_secrets_are_left_out() {
    let app = App::new();
    let restore = format!("{GRAPHS}/g/snapshots/s/restore");
    let got = app.post(&restore, r#"{"target_dir":"/t"}"#).await;
    assert_eq!(got.text, r#"{"status":"success","message":"Restored"}"#);
    let got = app.post(&(restore.clone() + "?wait=false"), r#"{"target_dir":"/t"}"#).await;
    assert_eq!(got.json["operation"]["place"], Json::Null);
    assert_eq!(got.json["operation"]["kind"], Json::Null);
    let got =
        app.post(GRAPHS, r#"{"graph_id":"g","source_dir":"/s","server":{"url":"http://x","api_key":"secret","busy_policy":"fail"}}"#).await;
    assert_eq!(got.json["server"], json!({"url": "http://x", "quiet_wait_seconds": 0, "busy_policy": "fail"}));
    assert_eq!(app.fake.registered.lock().unwrap()[0].server.as_ref().unwrap().api_key, "secret");
}

#[tokio::test]
async fn all_violations_at_once() {
    let app = App::new();
    let body = r#"{"graph_id":7,"server":{"quiet_wait_seconds":"x","busy_policy":"nope"},"inconsistent_policy":null,"request_id":[]}"#;
    let got = app.post(GRAPHS, body).await;
    assert_eq!(got.status, 422);
    let list: Vec<String> =
        got.json["detail"].as_array().unwrap().iter().map(|entry| format!("{} {} {}", entry["type"], entry["loc"], entry["msg"])).collect();
    let expected = [
        r#""string_type" ["body","graph_id"] "Input should be a valid string""#,
        r#""missing" ["body","source_dir"] "Field required""#,
        r#""missing" ["body","server","url"] "Field required""#,
        r#""int_parsing" ["body","server","quiet_wait_seconds"] "Input should be a valid integer, unable to parse string as an integer""#,
        r#""enum" ["body","server","busy_policy"] "Input should be 'proceed' or 'fail'""#,
        r#""string_type" ["body","request_id"] "Input should be a valid string""#,
    ];
    assert_eq!(list, expected);
    assert_eq!(got.json["detail"][1]["input"], serde_json::from_str::<Json>(body).unwrap());
    assert_eq!(got.json["code"], "INVALID_ARGUMENT");
    assert!(got.json["request_id"].is_string());

    for garbage in ["{", "hello", "{\"a\":1}x", "\u{0}", "{\"a\": 1e999}"] {
        let got = app.post(GRAPHS, garbage).await;
        assert_eq!((got.status.as_u16(), &got.json["detail"][0]["type"]), (422, &json!("json_invalid")), "{garbage}");
    }
    assert_eq!(app.post(GRAPHS, "[1]").await.json["detail"][0]["type"], "dict_type");
    assert_eq!(
        app.post(&format!("{GRAPHS}/g/snapshots"), r#"{"metadata":[1],"wait":{}}"#).await.json["detail"].as_array().unwrap().len(),
        2
    );
    let missing = app.post(&format!("{GRAPHS}/new/snapshots"), "{}").await;
    assert_eq!(missing.status, 422);
    assert_eq!(missing.json["detail"], json!([{"type": "missing", "loc": ["body", "source_dir"], "msg": "Field required", "input": {}}]));
    assert_eq!(missing.json["reason"], "REQUIRED_FIELD_MISSING");
}

#[tokio::test]
async fn free_json_is_as_deep_as_decoders_allow() {
    let app = App::new();
    let nested = |levels: usize| format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
    assert_eq!(app.post(&format!("{GRAPHS}/g/snapshots"), &nested(28)).await.status, 200);
    let got = app.post(&format!("{GRAPHS}/g/snapshots"), &nested(29)).await;
    assert_eq!((got.status.as_u16(), &got.json["detail"][0]["type"]), (422, &json!("value_error")));
    assert_eq!(app.post(&format!("{GRAPHS}/g/snapshots"), &nested(5000)).await.status, 422);
}

#[tokio::test]
async fn paths() {
    let app = App::new();
    let got = app.get("/api/nothing").await;
    assert_eq!((got.status.as_u16(), &got.json["detail"], &got.json["code"]), (404, &json!("Not Found"), &json!("NOT_FOUND")));
    let got = app.send("PUT", &format!("{GRAPHS}/g/snapshots"), &[], "").await;
    assert_eq!((got.status.as_u16(), &got.json["detail"], got.header("allow")), (405, &json!("Method Not Allowed"), "GET, HEAD, POST"));
    let got = app.get(&format!("{GRAPHS}/?page_size=3")).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (307, "/api/backup/backup/graphs?page_size=3"));
    assert_eq!(app.send("POST", &format!("{GRAPHS}/"), &[], "").await.status, 307);
    assert_eq!(app.get("/api/nothing/").await.status, 404);
    assert_eq!(app.get("//evil.example/").await.status, 404);
    for (path, id) in [("%2e%2e", ".."), ("a%2Fb", "a/b"), ("%C3%A9%20x", "é x"), ("..", "..")] {
        let got = app.get(&format!("{GRAPHS}/{path}")).await;
        assert_eq!((got.status.as_u16(), &got.json["detail"]), (404, &json!(format!("Graph {id} not found"))));
        assert_eq!(got.json["reason"], "GRAPH_NOT_FOUND");
    }
    assert_eq!(app.get(&format!("{GRAPHS}/%ff")).await.status, 400);
    for prefix in ["/api/v1/backup-replication", "/api/backup/api/v1/backup-replication"] {
        assert_eq!(app.get(&format!("{prefix}/backup/graphs/g")).await.json["detail"], "Graph g not found");
        assert_eq!(app.get(&format!("{prefix}/backup/graphs/")).await.header("location"), format!("{prefix}/backup/graphs"));
    }
    let head = app.send("HEAD", "/api/backup/backup/stats", &[], "").await;
    assert_eq!((head.status.as_u16(), head.text.as_str(), head.header("content-type")), (200, "", "application/json"));
    assert_ne!(head.header("content-length"), "");
}

#[tokio::test]
async fn lists_are_whole_unless_a_page_is_asked_for() {
    let app = App::new();
    let all = app.get(&format!("{GRAPHS}/g/snapshots")).await;
    let numbers: Vec<i64> = all.json.as_array().unwrap().iter().map(|item| item["documents"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (0..2500).collect::<Vec<_>>());
    assert_eq!(all.header("x-next-page-token"), "");
    let page = app.get(&format!("{GRAPHS}/g/snapshots?page_size=2&page_token=4")).await;
    assert_eq!((page.json.as_array().unwrap().len(), page.header("x-next-page-token")), (2, "6"));
    assert_eq!(app.get(GRAPHS).await.text, "[]");
    assert_eq!(app.get(&format!("{GRAPHS}/g/snapshots?page_token=2499")).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn parameters() {
    let app = App::new();
    let got = app.get("/api/operations?state=running&page_size=7&nonsense=%ff&x").await;
    assert_eq!((&got.json["operations"][0]["state"], &got.json["operations"][0]["attempt"]), (&json!("running"), &json!(7)));
    assert_eq!(got.json["next_page_token"], "t");
    for bad in ["page_size=x", "page_size=", "page_size=3000000000", "state=sleeping", "page_token=%ff"] {
        let got = app.get(&format!("/api/operations?{bad}")).await;
        let name = bad.split('=').next().unwrap();
        assert_eq!(got.status, 400, "{bad}");
        assert!(got.json["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{}", got.text);
    }
}

#[tokio::test]
async fn errors_follow_the_table() {
    let app = App::new();
    let got = app.get(&format!("{GRAPHS}/busy")).await;
    assert_eq!((got.status.as_u16(), got.header("retry-after"), &got.json["reason"]), (429, "3", &json!("TOO_MANY_WAITING")));
    assert_eq!(app.get(&format!("{GRAPHS}/failed")).await.status, 409);
}

#[tokio::test]
async fn keys_are_asked_for_on_both_doors() {
    use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
    let app = App::with(Some("k"), true);
    let got = app.get(&format!("{GRAPHS}/g")).await;
    assert_eq!((got.status.as_u16(), got.header("www-authenticate"), &got.json["reason"]), (401, "Bearer", &json!("API_KEY_REQUIRED")));
    assert_eq!(app.post(GRAPHS, "{").await.status, 401);
    assert_eq!(app.send("GET", &format!("{GRAPHS}/g"), &[("x-api-key", "no")], "").await.json["reason"], "API_KEY_INVALID");
    assert_eq!(app.send("GET", &format!("{GRAPHS}/g"), &[("x-api-key", "k")], "").await.status, 404);
    assert_eq!(app.send("POST", GRAPHS, &[("authorization", "Bearer k")], "{").await.status, 422);
    assert_eq!(app.get("/health").await.json, json!({"status": "ok"}));

    let mut client = BackupServiceClient::new(app.door.clone());
    let asked = lightkeep::proto::v1::GetGraphRequest { graph_id: "g".into() };
    assert_eq!(client.get_graph(asked.clone()).await.unwrap_err().code(), tonic::Code::Unauthenticated);
    let mut request = tonic::Request::new(asked);
    request.metadata_mut().insert("x-api-key", "k".parse().unwrap());
    let status = client.get_graph(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert!(status.metadata().contains_key("x-request-id"));
}

#[tokio::test]
async fn request_ids_and_idempotency_keys() {
    let app = App::new();
    let path = format!("{GRAPHS}/g");
    let got = app.send("GET", &path, &[("x-request-id", "mine-1")], "").await;
    assert_eq!((got.header("x-request-id"), &got.json["request_id"]), ("mine-1", &json!("mine-1")));
    for bad in ["with space", &"x".repeat(65)] {
        assert_eq!(app.send("GET", &path, &[("x-request-id", bad)], "").await.header("x-request-id").len(), 36);
    }
    let nothing = app.send("GET", "/nothing", &[("x-request-id", "mine-2")], "").await;
    assert_eq!(nothing.json["request_id"], "mine-2");

    let path = format!("{GRAPHS}/g/snapshots");
    let key = [("idempotency-key", "k1")];
    assert_eq!(app.send("POST", &path, &key, "{}").await.status, 200);
    assert_eq!(app.send("POST", &path, &key, r#"{"request_id":"k1"}"#).await.status, 200);
    assert!(app.fake.created.lock().unwrap().iter().all(|asked| asked.request_id == "k1"));
    let got = app.send("POST", &path, &key, r#"{"request_id":"k2"}"#).await;
    assert_eq!((got.status.as_u16(), &got.json["reason"]), (400, &json!("IDEMPOTENCY_KEY_CONFLICT")));
    assert_eq!(app.send("GET", "/api/operations/o", &key, "").await.status, 200);
}

#[tokio::test]
async fn bodies_have_a_limit_and_paths_win() {
    let app = App::new();
    let got = app.post(GRAPHS, &" ".repeat(1024 * 1024 + 1)).await;
    assert_eq!((got.status.as_u16(), &got.json["code"]), (413, &json!("OUT_OF_RANGE")));
    assert!(got.json["detail"].is_string());
    app.post(&format!("{GRAPHS}/g/snapshots?wait=yes"), r#"{"graph_id":5,"wait":false}"#).await;
    let asked = app.fake.created.lock().unwrap().pop().unwrap();
    assert_eq!((asked.graph_id.as_str(), asked.wait), ("g", Some(false)));
}

#[tokio::test]
async fn streams_are_server_sent_events() {
    let app = App::new();
    let got = app.get("/api/operations/o/watch").await;
    assert_eq!(got.header("content-type"), "text/event-stream");
    let events: Vec<&str> = got.text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.len(), 3, "{}", got.text);
    let first: Json = serde_json::from_str(events[0].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(first["attempt"], 1);
    let (name, data) = events[2].split_once('\n').unwrap();
    let error: Json = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((name, &error["code"], &error["reason"]), ("event: error", &json!("UNAVAILABLE"), &json!("DRAINING")));
    assert_eq!(app.get("/api/operations/none/watch").await.json["detail"], "Operation none not found");
    let bounded = app.send("GET", "/api/operations/endless/watch", &[("grpc-timeout", "50m")], "").await;
    assert!(bounded.text.contains("DEADLINE_EXCEEDED"), "{}", bounded.text);
}

#[tokio::test]
async fn deadlines_over_rest_and_over_tonics_own_server() {
    use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
    let app = App::new();
    let got = app.send("GET", &format!("{GRAPHS}/slow"), &[("grpc-timeout", "50m")], "").await;
    assert_eq!((got.status.as_u16(), &got.json["code"]), (504, &json!("DEADLINE_EXCEEDED")));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = lightkeep::api::door::for_tonic(app.door.clone());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming);
    let calls = async {
        let channel = tonic::transport::Endpoint::try_from(format!("http://{address}")).unwrap().connect().await.unwrap();
        let asked = lightkeep::proto::v1::GetGraphRequest { graph_id: "g".into() };
        let status = BackupServiceClient::new(channel).get_graph(asked).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, "Graph g not found"));
        assert!(status.metadata().contains_key("x-request-id"));
        // Past the channel: tonic's client watches the header too, and would answer CANCELLED by itself.
        let mut request = tonic::Request::new(lightkeep::proto::v1::GetGraphRequest { graph_id: "slow".into() });
        request.metadata_mut().insert("grpc-timeout", "20m".parse().unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(10), BackupServiceClient::new(app.door.clone()).get_graph(request)).await;
        assert_eq!(answer.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    };
    tokio::select! {
        _ = server => panic!("the server ended"),
        () = calls => {}
    }
}

#[tokio::test]
async fn health() {
    let app = App::with(Some("k"), false);
    assert_eq!(app.get("/healthz").await.status, 200);
    let got = app.get("/readyz").await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (503, "1"));
    assert_eq!(App::new().get("/readyz").await.status, 200);
    let got = app.send("POST", "/health", &[], "").await;
    assert_eq!((got.status.as_u16(), &got.json["detail"], got.header("allow")), (405, &json!("Method Not Allowed"), "GET, HEAD"));
    assert_eq!(app.get("/health/").await.header("location"), "/health");
}
