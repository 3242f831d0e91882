//! Targets: registered, refused, looked at, changed, removed.

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::pair::{PEER_KEY, Pair, TARGETS};
use crate::support::rest::{delete, get, post, send};

on_each_database!(targets_are_kept, async |app: TestApp| {
    let body = json!({ "name": "second", "base_url": "https://backup.example:9621/", "api_key": "a-very-secret-key" });
    let made = post(&app, TARGETS, &body).await.ok();
    let id = made["target_id"].as_str().unwrap().to_owned();
    assert_eq!((&made["base_url"], &made["enabled"]), (&json!("https://backup.example:9621"), &json!(true)));
    assert!(!app.query("SELECT api_key FROM targets").await[0].contains("secret"));
    let listed = get(&app, TARGETS).await;
    assert!(!listed.text.contains("a-very-secret-key"));
    // In no file of a SQLite database either.
    let files = std::fs::read_dir(app.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(17).any(|window| window == b"a-very-secret-key"), "{}", file.display());
    }
    assert_eq!(listed.ok().as_array().unwrap().len(), 1);

    let app = app.restart().await;
    let changed =
        send(&app, "PATCH", &format!("{TARGETS}/{id}"), &[], json!({ "parallelism": 8, "off_site": true }).to_string()).await.ok();
    assert_eq!((&changed["parallelism"], &changed["off_site"], &changed["name"]), (&json!(8), &json!(true), &json!("second")));
    let same = json!({ "base_url": made["base_url"], "enabled": true }).to_string();
    send(&app, "PATCH", &format!("{TARGETS}/{id}"), &[], same).await.ok();
    let elsewhere = json!({ "base_url": "https://elsewhere.example" }).to_string();
    assert_eq!(send(&app, "PATCH", &format!("{TARGETS}/{id}"), &[], elsewhere).await.refusal().0, 400);
    let stale = json!({ "enabled": false, "etag": made["etag"] }).to_string();
    let refused = send(&app, "PATCH", &format!("{TARGETS}/{id}"), &[], stale).await;
    assert_eq!((refused.refusal().0, &refused.json["reason"]), (409, &json!("ETAG_MISMATCH")));

    let removed = delete(&app, &format!("{TARGETS}/{id}")).await.ok();
    assert_eq!(removed, json!({ "status": "success", "message": format!("Removed target {id}") }));
    assert_eq!(get(&app, TARGETS).await.ok(), json!([]));
    let gone = delete(&app, &format!("{TARGETS}/{id}")).await;
    assert_eq!(gone.refusal(), (404, format!("Target {id} not found").as_str()));
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_targets_are_refused() {
    let settings = [("LIGHTRAG_REPLICATION_MAX_TARGETS", "1"), ("LIGHTKEEP_REPLICATION_FORBID_PRIVATE", "true")];
    let app = TestApp::start_with(Kind::Sqlite, &settings).await;
    let try_to = async |body: Json| post(&app, TARGETS, &body).await;
    for (base_url, word) in [
        ("ftp://backup.example", "http"),
        ("backup.example", "https://host:port"),
        ("https://user:hunter2@backup.example", "credentials"),
        ("http://backup.example", "https"),
        ("https://backup.example/lightkeep", "no path"),
        ("https://10.0.0.1", "own networks"),
        ("https://[::1]:9621", "own networks"),
    ] {
        let answer = try_to(json!({ "name": "n", "base_url": base_url, "api_key": "k" })).await;
        assert_eq!(answer.refusal().0, 400, "{base_url}: {}", answer.text);
        assert!(answer.text.contains(word) && !answer.text.contains("hunter2"), "{base_url}: {}", answer.text);
    }
    for (body, field) in [(json!({ "base_url": "https://x.example" }), "name"), (json!({ "name": "n" }), "base_url")] {
        let answer = try_to(body).await;
        assert_eq!((answer.status, &answer.json["detail"][0]["loc"]), (422, &json!(["body", field])), "{}", answer.text);
    }
    let outside = try_to(json!({ "name": "disk", "path": "/tmp" })).await;
    assert_eq!((outside.refusal().0, &outside.json["reason"]), (403, &json!("PATH_FORBIDDEN")));

    let good = json!({ "name": "n", "base_url": "https://backup.example", "api_key": "k" });
    try_to(good.clone()).await.ok();
    let taken = try_to(good).await;
    assert_eq!((taken.refusal().0, &taken.json["reason"]), (409, &json!("TARGET_EXISTS")));
    let too_many = try_to(json!({ "name": "m", "base_url": "https://backup.example" })).await;
    assert_eq!((too_many.refusal().0, &too_many.json["reason"]), (429, &json!("TOO_MANY_TARGETS")));
    assert!(too_many.headers.contains_key("retry-after"));

    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    let unknown = post(&app, "/api/backup/replication/graphs/g/replicate", &json!({ "target_ids": [nobody] })).await;
    assert_eq!(unknown.refusal(), (404, format!("Target {nobody} not found").as_str()));
    let unknown = post(&app, "/api/backup/replication/graphs/none/replicate", &json!({})).await;
    assert_eq!(unknown.refusal(), (404, "Graph none not found"));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_really_asked_how_it_is() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register().await;
    let id = target["target_id"].as_str().unwrap().to_owned();
    let look = async || {
        let health = post(&pair.source, &format!("{TARGETS}/{id}/health"), &json!({})).await.ok();
        assert_eq!(health.as_object().unwrap().len(), 2, "{health}");
        let told = get(&pair.source, &format!("{TARGETS}/{id}")).await.ok();
        assert_eq!(told["condition"]["status"], health["status"]);
        told["condition"].clone()
    };
    let well = look().await;
    assert_eq!((&well["status"], &well["reason"], &well["version"]), (&json!("healthy"), &json!(""), &json!("0.1.0")), "{well}");
    assert!(well["free_bytes"].as_i64().unwrap() > 0 && well["round_trip_seconds"].as_f64().unwrap() > 0.0, "{well}");
    let change = async |body: Json| send(&pair.source, "PATCH", &format!("{TARGETS}/{id}"), &[], body.to_string()).await.ok();
    change(json!({ "api_key": "not-the-key-0123456789" })).await;
    let unauthorized = look().await;
    assert_eq!((&unauthorized["status"], &unauthorized["reason"]), (&json!("degraded"), &json!("TARGET_KEY_INVALID")));
    change(json!({ "api_key": PEER_KEY })).await;
    assert_eq!(look().await["status"], json!("healthy"));
    let health = post(&pair.source, "/api/backup/recovery/health-check", &json!({})).await.ok();
    assert_eq!(health["replication"][&id]["status"], json!("healthy"), "{health}");
    let Pair { source, target, .. } = pair;
    finish(target).await;
    let health = post(&source, &format!("{TARGETS}/{id}/health"), &json!({})).await.ok();
    assert_eq!(health["status"], json!("unreachable"));
    let events = get(&source, "/api/backup/replication/logs").await.ok();
    assert!(events[0]["message"].as_str().unwrap().contains("healthy before, unreachable now"), "{events}");
    finish(source).await;
}
