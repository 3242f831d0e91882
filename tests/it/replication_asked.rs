//! What is sent when: by schedules, by requests, by labels, within a bandwidth; and how many copies there must be.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files::{describe, kept, small};
use crate::support::pair::{PEER, PEER_KEY, Pair, TARGETS};
use crate::support::process::{Process, run};
use crate::support::rest::{GRAPHS, delete, get, post, send};

const REPLICATED: &str = "/api/backup/replication/graphs";

async fn patch(app: &TestApp, target: &Json, body: Json) -> Json {
    let path = format!("{TARGETS}/{}", target["target_id"].as_str().unwrap());
    send(app, "PATCH", &path, &[], body.to_string()).await.ok()
}

async fn ended(app: &TestApp, operation: &Json) -> Json {
    let id = operation["operation_id"].as_str().unwrap();
    crate::support::rest::watch(app, id).await.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_on_request_gets_what_is_asked_for() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register_with(json!({ "on_request": true })).await;
    let source = small(&pair.source.data("rag"));
    let first = pair.source.snapshot("g", &source).await;
    std::fs::write(source.join("note"), "another note").unwrap();
    let second = pair.source.snapshot("g", &source).await;
    let body = json!({ "snapshot_id": first.backup_id, "target_ids": [target["target_id"]] });
    let asked = post(&pair.source, &format!("{REPLICATED}/g/replicate"), &body).await.ok();
    assert_eq!(asked["kind"], json!("replicate"));
    let report = ended(&pair.source, &asked).await;
    assert_eq!((&report["state"], &report["result"]["replicated"]), (&json!("succeeded"), &json!(1)), "{report}");
    assert_eq!(pair.replica("g").await["lag_snapshots"], json!(1));
    // It was the newer one that is lacking.
    assert_eq!(pair.replica("g").await["newest_snapshot_id"], json!(first.backup_id));

    // A schedule asks for all that is lacking.
    let schedule = json!({ "schedule": { "graph_id": "g", "interval_seconds": 3600, "action": "replicate" } });
    let made = post(&pair.source, "/api/backup/backup/schedules", &schedule).await.ok();
    let path = format!("/api/backup/backup/schedules/{}/run", made["schedule"]["schedule_id"].as_str().unwrap());
    let runs = post(&pair.source, &path, &json!({})).await.ok();
    let report = ended(&pair.source, &runs["runs"][0]).await;
    assert_eq!(report["state"], json!("succeeded"), "{report}");
    assert_eq!(pair.replica("g").await["newest_snapshot_id"], json!(second.backup_id));
    // Nothing is lacking: it ends at once.
    let again = post(&pair.source, &format!("{REPLICATED}/g/replicate"), &json!({ "wait": true })).await.ok();
    assert_eq!((&again["state"], &again["result"]["replicated"]), (&json!("succeeded"), &json!(0)));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_target_that_is_removed_has_failed() {
    let app = TestApp::start(Kind::Sqlite).await;
    // A port on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let body = json!({ "name": "gone", "base_url": format!("http://{free}"), "api_key": "k", "on_request": true });
    let target = post(&app, TARGETS, &body).await.ok();
    let source = small(&app.data("rag"));
    app.snapshot("g", &source).await;
    let asked = post(&app, &format!("{REPLICATED}/g/replicate"), &json!({})).await.ok();
    assert_eq!(asked["state"], json!("queued"));
    // One whose graph goes holds up no other.
    app.snapshot("h", &small(&app.data("other"))).await;
    let other = post(&app, &format!("{REPLICATED}/h/replicate"), &json!({})).await.ok();
    delete(&app, &format!("{GRAPHS}/h?repository=keep")).await.ok();
    delete(&app, &format!("{TARGETS}/{}", target["target_id"].as_str().unwrap())).await.ok();
    for operation in [&asked, &other] {
        let report = ended(&app, operation).await;
        assert_eq!(report["state"], json!("failed"), "{report}");
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_chosen_graphs_are_sent() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register_with(json!({ "graph_selector": "env=prod" })).await;
    let (prod, test) = (small(&pair.source.data("prod")), small(&pair.source.data("test")));
    post(&pair.source, GRAPHS, &json!({ "graph_id": "prod", "source_dir": prod, "labels": { "env": "prod" } })).await.ok();
    pair.source.snapshot("test", &test).await;
    pair.source.snapshot("prod", &prod).await;
    pair.in_step("prod").await;
    let status = get(&pair.source, &format!("{REPLICATED}/test/status")).await.ok();
    assert_eq!((&status["total_targets"], &status["replicas"]), (&json!(0), &json!([])));
    let named = post(&pair.source, &format!("{REPLICATED}/test/replicate"), &json!({ "target_ids": [target["target_id"]] })).await;
    assert_eq!((named.refusal().0, &named.json["reason"]), (409, &json!("TARGET_NOT_FOR_GRAPH")));
    patch(&pair.source, &target, json!({ "graph_selector": "*" })).await;
    pair.in_step("test").await;
    // A copy is not sent on, and nothing is taken of it.
    let graphs = get(&pair.target, GRAPHS).await.ok();
    let ids: Vec<&str> = graphs.as_array().unwrap().iter().map(|graph| graph["graph_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["prod@berlin", "test@berlin"]);
    let health = post(&pair.target, "/api/backup/recovery/health-check", &json!({})).await.ok();
    assert_eq!((&health["graphs"], &health["backups"][format!("prod@{PEER}")]["status"]), (&json!({}), &json!("healthy")), "{health}");
    let refused = send(&pair.target, "PATCH", &format!("{GRAPHS}/prod@{PEER}"), &[], json!({ "source_dir": test }).to_string()).await;
    assert_eq!(refused.json["reason"], json!("GRAPH_IS_COPY"));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bandwidth_can_be_changed_while_something_is_sent() {
    let pair = Pair::start(Kind::Sqlite).await;
    // At this pace it would take the better part of an hour.
    let target = pair.register_with(json!({ "bytes_per_second": 1024 })).await;
    let source = small(&pair.source.data("rag"));
    let noise: Vec<u8> = (0..3_000_000_u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8).collect();
    std::fs::write(source.join("noise"), noise).unwrap();
    pair.source.snapshot("g", &source).await;
    // It has begun: the copy is there, and not whole.
    while !pair.copy("g").join("config").exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(pair.replica("g").await["lag_snapshots"], json!(1));
    patch(&pair.source, &target, json!({ "bytes_per_second": 0 })).await;
    pair.in_step("g").await;
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_copies_are_a_finding() {
    let pair = Pair::start(Kind::Sqlite).await;
    let source = small(&pair.source.data("rag"));
    pair.source.snapshot("g", &source).await;
    let policy = json!({ "copies": 1, "off_site_copies": 1 }).to_string();
    let set = send(&pair.source, "PUT", &format!("{REPLICATED}/g/copies-policy"), &[], policy).await.ok();
    assert_eq!(set, json!({ "graph_id": "g", "copies": 1, "off_site_copies": 1 }));
    let look = async || {
        let health = post(&pair.source, "/api/backup/recovery/health-check", &json!({})).await.ok();
        let backup = &health["backups"]["g"];
        (backup["status"].as_str().unwrap().to_owned(), backup["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(look().await.0, "healthy", "it had no time yet");
    pair.source.clock.advance(Duration::from_secs(3601));
    let (status, message) = look().await;
    assert!(status == "critical" && message.contains("has to be on 1 (1 off site)"), "{status}: {message}");
    let target = pair.register().await;
    pair.in_step("g").await;
    assert_eq!(look().await.0, "degraded", "it is not off site");
    patch(&pair.source, &target, json!({ "off_site": true })).await;
    assert_eq!(look().await.0, "healthy");
    let wrong = json!({ "copies": 1, "off_site_copies": 2 }).to_string();
    assert_eq!(send(&pair.source, "PUT", &format!("{REPLICATED}/g/copies-policy"), &[], wrong).await.status, 400);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keys_are_sealed_with_can_be_changed() {
    let keys = format!("{PEER}:{PEER_KEY}");
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_PEER_KEYS", &keys)]).await;
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("lightrag_backups/secrets.key");
    let call = async |server: &Process, method: &str, path: String, body: Json| {
        let client = crate::support::rest::client();
        let request = client.request(method.parse().unwrap(), format!("http://{}{path}", server.http)).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        serde_json::from_str::<Json>(&answer.text().await.unwrap()).unwrap()
    };
    let server = Process::start(directory.path(), &[]);
    let body = json!({ "name": "second", "base_url": app.url(""), "api_key": PEER_KEY });
    let target = call(&server, "POST", TARGETS.to_owned(), body).await;
    let health = format!("{TARGETS}/{}/health", target["target_id"].as_str().unwrap());
    assert_eq!(call(&server, "GET", health.clone(), Json::Null).await["status"], json!("healthy"));
    let busy = run(directory.path(), &["rotate-secrets-key"], &[]);
    assert!(!busy.status.success(), "a server uses the storage");
    drop(server);
    let before = std::fs::read_to_string(&key_file).unwrap();
    let rotated = run(directory.path(), &["rotate-secrets-key"], &[]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert!(String::from_utf8_lossy(&rotated.stdout).contains("1 keys"));
    let after = std::fs::read_to_string(&key_file).unwrap();
    assert!(before != after && after.lines().count() == 1);
    let server = Process::start(directory.path(), &[]);
    assert_eq!(call(&server, "GET", health.clone(), Json::Null).await["status"], json!("healthy"));
    drop(server);
    // With another file, the key cannot be opened, and that is told.
    std::fs::write(&key_file, before).unwrap();
    let server = Process::start(directory.path(), &[]);
    assert_eq!(call(&server, "GET", health, Json::Null).await["status"], json!("unknown"));
    let told = call(&server, "GET", format!("{TARGETS}/{}", target["target_id"].as_str().unwrap()), Json::Null).await;
    assert_eq!(told["condition"]["reason"], json!("SEALED_KEY_UNREADABLE"));
    drop(server);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_has_the_newest_good_snapshot() {
    let pair = Pair::start(Kind::Sqlite).await;
    pair.register().await;
    let source = pair.source.sample("rag");
    std::fs::remove_dir_all(source.join("tenant_b")).unwrap();
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    let (directory, path) = (pair.target.data("standby"), format!("{REPLICATED}/g@{PEER}"));
    let set = async |directory: Json| {
        send(&pair.target, "PUT", &format!("{path}/standby"), &[], json!({ "directory": directory }).to_string()).await
    };
    assert_eq!(set(json!(directory)).await.ok()["directory"], json!(directory));
    let stands = async |backup_id: &str| {
        while get(&pair.target, &format!("{path}/status")).await.ok()["standby"]["snapshot_id"] != json!(backup_id) {
            tokio::task::yield_now().await;
        }
        assert_eq!(describe(&directory), describe(&source));
        // What stood there before is gone.
        assert_eq!(kept(&directory), Vec::<std::path::PathBuf>::new());
    };
    let listed = pair.in_step("g").await;
    stands(listed[0]["backup_id"].as_str().unwrap()).await;
    std::fs::write(source.join("more"), "something new").unwrap();
    let second = pair.source.snapshot("g", &source).await;
    stands(&second.backup_id).await;

    // Somebody has written there: that is kept.
    std::fs::write(directory.join("own"), "of the standby only").unwrap();
    std::fs::write(source.join("more"), "something else").unwrap();
    let third = pair.source.snapshot("g", &source).await;
    while get(&pair.target, &format!("{path}/status")).await.ok()["standby"]["snapshot_id"] != json!(third.backup_id) {
        tokio::task::yield_now().await;
    }
    assert_eq!(describe(&directory), describe(&source));
    let former = kept(&directory).remove(0);
    assert_eq!(std::fs::read_to_string(former.join("own")).unwrap(), "of the standby only");
    std::fs::remove_dir_all(former).unwrap();

    // It is taken over: refreshed no more, even where that had begun, and a graph of its own.
    std::fs::write(source.join("more"), "the last").unwrap();
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    assert_eq!(set(json!("")).await.ok()["directory"], json!(""));
    let open = get(&pair.target, &format!("/api/operations?graph_id=g@{PEER}")).await.ok();
    let open = open["operations"].as_array().unwrap().clone();
    let refreshing =
        open.iter().filter(|one| one["kind"] == json!("restore") && ["queued", "running"].contains(&one["state"].as_str().unwrap()));
    assert_eq!(refreshing.count(), 0, "{open:?}");
    let before = describe(&directory);
    std::fs::write(source.join("more"), "something newer").unwrap();
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    crate::support::app::settled(&pair.target).await;
    assert_eq!(describe(&directory), before);
    pair.target.snapshot("g", &directory).await;

    let own = send(&pair.target, "PUT", &format!("{REPLICATED}/g/standby"), &[], json!({ "directory": "x" }).to_string()).await;
    assert_eq!(own.json["reason"], json!("GRAPH_IS_NO_COPY"));
    let taken = set(json!(directory)).await;
    assert_eq!(taken.json["reason"], json!("TARGET_OF_OTHER_GRAPH"), "{}", taken.text);
    assert_eq!(set(json!("/proc/x")).await.refusal().0, 403);
    pair.finish().await;
}
