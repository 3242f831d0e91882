//! Recovery health: what is wrong is found by looking, and named; what is mended is found well again.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::restore_targets::server_of;
use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::repositories::flip;
use crate::support::rest::{GRAPHS, get, post, send};
use crate::trouble::{files_below, restart};

const HOUR: Duration = Duration::from_secs(3600);
const HEALTH: &str = "/api/backup/recovery/health";

async fn look(app: &TestApp) -> Json {
    post(app, "/api/backup/recovery/health-check", &json!({})).await.ok()
}

/// Status and message of one component.
fn of<'h>(health: &'h Json, part: &str, graph_id: &str) -> (&'h str, &'h str) {
    let component = &health[part][graph_id];
    (component["status"].as_str().unwrap(), component["message"].as_str().unwrap())
}

/// As [`of`], to be kept.
fn texts(health: &Json, part: &str, graph_id: &str) -> (String, String) {
    let (status, message) = of(health, part, graph_id);
    (status.to_owned(), message.to_owned())
}

on_each_database!(nothing_is_healthy_before_somebody_has_looked, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let unseen = get(&app, HEALTH).await.ok();
    assert_eq!((&unseen["overall_status"], &unseen["timestamp"], &unseen["graphs"]), (&json!("unknown"), &json!(null), &json!({})));
    let health = look(&app).await;
    assert_eq!((&health["overall_status"], &health["timestamp"]), (&json!("healthy"), &json!("2020-11-22T12:00:00Z")), "{health}");
    assert_eq!(of(&health, "graphs", "g"), ("healthy", "the source is complete"));
    assert_eq!(of(&health, "backups", "g"), ("healthy", "the newest good snapshot can be read"));
    let component = &health["backups"]["g"];
    assert_eq!((&component["component_id"], &component["component_type"]), (&json!("g"), &json!("backup")));
    assert_eq!((&component["details"]["age_seconds"], &health["replication"]), (&json!("0"), &json!({})));
    assert_eq!(get(&app, HEALTH).await.ok(), health);
    // A graph that nobody has looked at keeps all from being called well.
    post(&app, GRAPHS, &json!({ "graph_id": "new", "source_dir": source })).await.ok();
    assert_eq!(get(&app, HEALTH).await.ok()["overall_status"], json!("unknown"));
    let health = look(&app).await;
    assert_eq!(
        (&health["overall_status"], of(&health, "backups", "new")),
        (&json!("critical"), ("critical", "there is no good snapshot, take one"))
    );
    app
});

on_each_database!(what_is_wrong_with_a_source_is_found, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let store = source.join("kv_store_full_docs.json");
    let kept = fs::read(&store).unwrap();
    fs::remove_file(&store).unwrap();
    let health = look(&app).await;
    let (status, message) = of(&health, "graphs", "g");
    assert_eq!(status, "critical");
    assert!(message.contains("kv_store_full_docs.json") && message.contains("restore them"), "{message}");
    fs::write(&store, kept).unwrap();
    assert_eq!(of(&look(&app).await, "graphs", "g").0, "healthy");
    fs::rename(&source, app.data("away")).unwrap();
    let health = look(&app).await;
    assert_eq!((&health["overall_status"], of(&health, "graphs", "g").0), (&json!("critical"), "critical"));
    app
});

on_each_database!(what_is_wrong_with_a_backup_is_found, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(HOUR * 49);
    let health = look(&app).await;
    let (status, message) = of(&health, "backups", "g");
    assert_eq!(status, "critical");
    assert!(message.contains("176400 s old, the objective is 172800 s"), "{message}");
    app.snapshot("g", &source).await;
    assert_eq!(of(&look(&app).await, "backups", "g").0, "healthy");
    let packs = files_below(&app.storage().join("g/data"));
    packs.iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    let health = look(&app).await;
    let (status, message) = of(&health, "backups", "g");
    assert_eq!(status, "critical");
    assert!(message.contains("check and repair the repository"), "{message}");
    packs.iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    assert_eq!(of(&look(&app).await, "backups", "g").0, "healthy");
    fs::remove_dir_all(&source).unwrap();
    app.try_snapshot("g", &source).await.unwrap_err();
    files::copy_tree(&files::sample(), &source);
    let health = look(&app).await;
    assert_eq!(of(&health, "backups", "g").0, "healthy", "a source that is refused leaves no failed snapshot");
    app
});

// What a verification or a validation has found is not forgotten for an older snapshot that shares the damage.
on_each_database!(known_damage_is_critical_and_old_findings_say_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let second = app.snapshot("g", &source).await;
    let packs = files_below(&app.storage().join("g/data"));
    let intact: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    for (pack, bytes) in packs.iter().zip(&intact) {
        let mut bytes = bytes.clone();
        bytes[40] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let verify = format!("{GRAPHS}/g/snapshots/{}/verify", second.backup_id);
    assert_eq!(post(&app, &verify, &json!({ "level": "data" })).await.ok()["verification"]["passed"], json!(false));
    let health = look(&app).await;
    let (status, message) = of(&health, "backups", "g");
    assert_eq!(status, "critical");
    assert!(message.contains(&second.backup_id) && message.contains("failed its last verification"), "{message}");
    for (pack, bytes) in packs.iter().zip(&intact) {
        fs::write(pack, bytes).unwrap();
    }
    // One that looked less deep does not heal it, whatever it said.
    assert_eq!(post(&app, &verify, &json!({ "level": "record" })).await.ok()["verification"]["passed"], json!(true));
    assert_eq!(of(&look(&app).await, "backups", "g").0, "critical");
    assert_eq!(post(&app, &verify, &json!({ "level": "data" })).await.ok()["verification"]["passed"], json!(true));
    assert_eq!(of(&look(&app).await, "backups", "g").0, "healthy");
    app.clock.advance(HOUR + Duration::from_secs(1));
    let old = get(&app, HEALTH).await.ok();
    assert_eq!((&old["overall_status"], of(&old, "graphs", "g").0), (&json!("unknown"), "unknown"));
    assert!(of(&old, "graphs", "g").1.starts_with("nobody has looked since 2020-11-22T12:00:00Z, when it was healthy"), "{old}");
    app
});

on_each_database!(a_server_that_does_not_answer_is_found, async |app: TestApp| {
    let source = app.sample("rag");
    let there = json!({ "graph_id": "g", "source_dir": source, "server": { "url": server_of(&source) } });
    post(&app, GRAPHS, &there).await.ok();
    app.snapshot("g", &source).await;
    let health = look(&app).await;
    assert_eq!(health["graphs"]["g"]["details"]["lightrag_server"], json!("answers"), "{health}");
    // A port at which nobody listens any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = json!({ "server": { "url": format!("http://{port}") } });
    send(&app, "PATCH", &format!("{GRAPHS}/g"), &[], gone.to_string()).await.ok();
    let health = look(&app).await;
    let (status, message) = of(&health, "graphs", "g");
    assert_eq!(status, "degraded");
    assert!(message.contains("the LightRAG server does not answer"), "{message}");
    app
});

on_each_database!(objectives_are_held_against_what_was_measured, async |app: TestApp| {
    let source = app.sample("rag");
    let registered = json!({ "graph_id": "g", "source_dir": source, "objectives": { "rpo_seconds": 60, "rto_seconds": 3600 } });
    let graph = post(&app, GRAPHS, &registered).await.ok();
    assert_eq!(graph["objectives"], registered["objectives"]);
    app.snapshot("g", &source).await;
    let unmeasured = look(&app).await;
    let (status, message) = of(&unmeasured, "backups", "g");
    assert!(status == "degraded" && message.starts_with("nobody knows whether a recovery takes at most 3600 s"), "{message}");
    post(&app, "/api/backup/recovery/drills", &json!({ "graph_id": "g" })).await.ok();
    let measured = look(&app).await;
    assert_eq!(of(&measured, "backups", "g").0, "healthy", "{measured}");
    let rto_seconds: f64 = measured["backups"]["g"]["details"]["rto_seconds"].as_str().unwrap().parse().unwrap();
    assert!(rto_seconds > 0.0, "{measured}");
    app.clock.advance(Duration::from_secs(61));
    let (status, message) = texts(&look(&app).await, "backups", "g");
    assert!(status == "critical" && message.contains("is 61 s old, the objective is 60 s"), "{message}");
    let update = async |body: Json| send(&app, "PATCH", &format!("{GRAPHS}/g"), &[], body.to_string()).await;
    assert_eq!(update(json!({ "objectives": { "rpo_seconds": -1 } })).await.json["reason"], json!("INVALID_ARGUMENT"));
    assert_eq!(update(json!({ "objectives": null })).await.ok()["objectives"], json!(null));
    assert_eq!(of(&look(&app).await, "backups", "g").0, "healthy");
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_a_drill_could_not_recover_is_critical() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_DRILL_COMMAND", "exit 3")]).await;
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    post(&app, "/api/backup/recovery/drills", &json!({ "graph_id": "g" })).await.ok();
    let (status, message) = texts(&look(&app).await, "backups", "g");
    assert!(status == "critical" && message.contains("does not recover the graph: the command ended before it was healthy"), "{message}");
    // Of a newer snapshot nobody knows.
    app.clock.advance(Duration::from_secs(1));
    app.snapshot("g", &source).await;
    let (status, message) = texts(&look(&app).await, "backups", "g");
    assert!(status == "degraded" && message.contains("drill the newest snapshot"), "{message}");
    finish(app).await;
}
