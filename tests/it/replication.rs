//! Snapshots come to another Lightkeep, and to other disks, and back.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish, settled};
use crate::support::database::Kind;
use crate::support::files::describe;
use crate::support::pair::{PEER, Pair, TARGETS, in_step, replica, stored, verify};
use crate::support::repositories::{flip_a_bit, work};
use crate::support::rest::{GRAPHS, delete, get, post};

const EVENTS: &str = "/api/backup/replication/logs";

/// What was sent for the snapshots of a graph, the newest first, bytes.
async fn sent(app: &TestApp) -> Vec<i64> {
    let events = get(app, EVENTS).await.ok();
    let events = events.as_array().unwrap().iter().filter(|event| event["kind"] == json!("replicated"));
    events.map(|event| event["sent_bytes"].as_i64().unwrap()).collect()
}

/// A copy of the sample workspace, without the other workspace in it.
fn sample(app: &TestApp) -> PathBuf {
    let source = app.sample("rag");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    source
}

async fn comes_to_another_lightkeep(kind: Kind) {
    let pair = Pair::start(kind).await;
    let registered = pair.register().await;
    assert_eq!((&registered["name"], &registered["api_key"]), (&json!("second"), &Json::Null));
    let source = sample(&pair.source);
    let snapshot = pair.source.snapshot("g", &source).await;
    let listed = pair.in_step("g").await;
    assert_eq!(listed.len(), 1);
    let mine = get(&pair.source, &format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id)).await.ok();
    for field in ["backup_id", "data_hash", "size_bytes", "consistency", "entities", "relations"] {
        assert_eq!(listed[0][field], mine[field], "{field}");
    }
    pair.restic(&pair.copy("g"), &["check", "--read-data"]);
    let status = pair.replica("g").await;
    assert_eq!((&status["lag_seconds"], &status["newest_snapshot_id"]), (&json!(0.0), &json!(snapshot.backup_id)));

    // The first machine is lost.
    let before = describe(&source);
    fs::remove_dir_all(pair.source.storage().join("g")).unwrap();
    fs::remove_dir_all(&source).unwrap();
    let target = pair.target.data("restored");
    let restore = format!("{GRAPHS}/g@{PEER}/snapshots/{}/restore", snapshot.backup_id);
    post(&pair.target, &restore, &json!({ "target_dir": target })).await.ok();
    assert_eq!(describe(&target), before);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_comes_to_another_lightkeep_on_sqlite() {
    comes_to_another_lightkeep(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_comes_to_another_lightkeep_on_postgres() {
    comes_to_another_lightkeep(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_new_is_sent() {
    let pair = Pair::start(Kind::Sqlite).await;
    let source = sample(&pair.source);
    // What was there before the target is sent too.
    pair.source.snapshot("g", &source).await;
    pair.register().await;
    pair.in_step("g").await;
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    fs::write(source.join("more"), vec![7; 300_000].iter().enumerate().map(|(at, _)| at.to_string()).collect::<String>()).unwrap();
    let third = pair.source.snapshot("g", &source).await;
    assert_eq!(pair.in_step("g").await.len(), 3);
    let sent = sent(&pair.source).await;
    assert!(sent[1] < 64 << 10, "an unchanged snapshot: {sent:?}");
    let new = get(&pair.source, &format!("{GRAPHS}/g/snapshots/{}", third.backup_id)).await.ok()["stored_bytes"].as_i64().unwrap();
    assert!(sent[0] < new + (16 << 10) && sent[0] > new / 2, "{sent:?}, of which {new} are new");
    pair.restic(&pair.copy("g"), &["check", "--read-data"]);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_keeps_by_its_own_rules() {
    let pair = Pair::start(Kind::Sqlite).await;
    pair.register().await;
    let source = sample(&pair.source);
    let mut taken = vec![];
    for number in 0..3 {
        fs::write(source.join("note"), format!("note {number}").repeat(1000)).unwrap();
        taken.push(pair.source.snapshot("g", &source).await);
        pair.in_step("g").await;
    }
    // What is deleted at the source stays at the target.
    pair.source.delete(&taken[0]).await.unwrap();
    work(&pair.source, "g", "prune", json!({ "max_unused_percent": 0 })).await;
    assert_eq!(pair.in_step("g").await.len(), 3);
    // What the target deletes is not sent again, and the base of the next snapshot may be among it.
    let path = format!("{GRAPHS}/g@{PEER}");
    delete(&pair.target, &format!("{path}/snapshots/{}", taken[2].backup_id)).await.ok();
    delete(&pair.target, &format!("{path}/snapshots/{}", taken[1].backup_id)).await.ok();
    work(&pair.target, &format!("g@{PEER}"), "prune", json!({ "max_unused_percent": 0 })).await;
    pair.source.snapshot("g", &source).await;
    in_step(&pair.source, "g").await;
    while get(&pair.target, &format!("{path}/snapshots")).await.ok().as_array().unwrap().len() != 2 {
        tokio::task::yield_now().await;
    }
    pair.restic(&pair.copy("g"), &["check", "--read-data"]);
    let refused = post(&pair.target, &format!("{path}/snapshots"), &json!({})).await;
    assert_eq!((refused.refusal().0, &refused.json["reason"]), (409, &json!("GRAPH_IS_COPY")));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_at_the_target_is_found_and_sent_again() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register().await;
    let source = sample(&pair.source);
    pair.source.snapshot("g", &source).await;
    fs::write(source.join("note"), "another").unwrap();
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    let copy = pair.copy("g");
    assert_eq!(verify(&pair.source, &target, "g").await, (vec![], vec![]));
    for (kind, noun) in [("data", "pack"), ("snapshots", "snapshot record"), ("index", "index file")] {
        let files = stored(&copy, kind);
        flip_a_bit(&files[0]);
        let name = format!("{noun} {}", files[0].file_name().unwrap().to_str().unwrap());
        assert_eq!(verify(&pair.source, &target, "g").await, (vec![name.clone()], vec![name.clone()]), "{kind}");
        assert_eq!(verify(&pair.source, &target, "g").await, (vec![], vec![]), "{kind}");
        // The other side repairs a copy whose index was replaced.
        settled(&pair.target).await;
        pair.restic(&copy, &["check", "--read-data"]);
        let events = get(&pair.source, EVENTS).await.ok();
        let named = |kind: &str| {
            events
                .as_array()
                .unwrap()
                .iter()
                .any(|event| event["kind"] == json!(kind) && event["message"].as_str().unwrap().starts_with(&name))
        };
        assert!(named("damaged") && named("repaired"), "{events}");
    }
    let status = pair.replica("g").await;
    assert_eq!((&status["damaged_files"], &status["repaired_files"]), (&json!(3), &json!(3)));
    // What is gone is found too.
    let pack = stored(&copy, "data").remove(0);
    fs::remove_file(&pack).unwrap();
    let name = format!("pack {}", pack.file_name().unwrap().to_str().unwrap());
    assert_eq!(verify(&pair.source, &target, "g").await, (vec![name.clone()], vec![name]));
    pair.restic(&copy, &["check", "--read-data"]);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_loses_nothing_that_only_the_target_has() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register().await;
    let source = sample(&pair.source);
    let first = pair.source.snapshot("g", &source).await;
    let before = describe(&source);
    pair.in_step("g").await;
    for name in ["graph_chunk_entity_relation.graphml", "vdb_chunks.json"] {
        fs::write(source.join(name), name.repeat(10_000)).unwrap();
    }
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    pair.source.delete(&first).await.unwrap();
    work(&pair.source, "g", "prune", json!({ "max_unused_percent": 0 })).await;
    let copy = pair.copy("g");
    for index in stored(&copy, "index") {
        flip_a_bit(&index);
    }
    let (damaged, repaired) = verify(&pair.source, &target, "g").await;
    assert!(damaged.len() > 1 && damaged == repaired, "{damaged:?} {repaired:?}");
    // The other side makes an index of what only it has.
    settled(&pair.target).await;
    assert_eq!(verify(&pair.source, &target, "g").await, (vec![], vec![]));
    pair.restic(&copy, &["check", "--read-data"]);
    let restored = pair.target.data("restored");
    let restore = format!("{GRAPHS}/g@{PEER}/snapshots/{}/restore", first.backup_id);
    post(&pair.target, &restore, &json!({ "target_dir": restored })).await.ok();
    assert_eq!(describe(&restored), before);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_repository_comes_back() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register().await;
    let source = sample(&pair.source);
    let first = pair.source.snapshot("g", &source).await;
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    let recover = format!("{TARGETS}/{}/graphs/g/recover", target["target_id"].as_str().unwrap());

    // Packs that are missing are brought back, and nothing else.
    let repository = pair.source.storage().join("g");
    for pack in stored(&repository, "data") {
        fs::remove_file(pack).unwrap();
    }
    let ended = post(&pair.source, &recover, &json!({})).await.ok();
    assert_eq!(ended["state"], json!("succeeded"), "{ended}");
    assert_eq!(ended["result"]["files"], json!(stored(&repository, "data").len()));
    pair.restic(&repository, &["check", "--read-data"]);

    // All of it.
    fs::remove_dir_all(&repository).unwrap();
    let ended = post(&pair.source, &recover, &json!({})).await.ok();
    assert_eq!((&ended["state"], &ended["result"]["snapshots"]), (&json!("succeeded"), &json!(2)), "{ended}");
    pair.restic(&repository, &["check", "--read-data"]);
    let restored = pair.source.data("restored");
    pair.source.restore(&first, &restored).await.unwrap();
    assert_eq!(describe(&restored), describe(&source));

    // To where the graph is not known any more, with its source.
    delete(&pair.source, &format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g")).await.ok();
    let ended = post(&pair.source, &recover, &json!({})).await.ok();
    assert_eq!(ended["state"], json!("succeeded"), "{ended}");
    let graph = get(&pair.source, &format!("{GRAPHS}/g")).await.ok();
    assert_eq!((&graph["source_dir"], &graph["total_snapshots"]), (&json!(source), &json!(2)), "{graph}");
    // And it goes on from there.
    pair.source.snapshot("g", &source).await;
    in_step(&pair.source, "g").await;
    pair.restic(&pair.copy("g"), &["check"]);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_repository_of_the_same_name_is_not_mixed_in() {
    let pair = Pair::start(Kind::Sqlite).await;
    let target = pair.register().await;
    let source = sample(&pair.source);
    pair.source.snapshot("g", &source).await;
    pair.in_step("g").await;
    delete(&pair.source, &format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g")).await.ok();
    pair.source.snapshot("g", &source).await;
    let asked = post(&pair.source, "/api/backup/replication/graphs/g/replicate", &json!({ "wait": true })).await;
    assert_eq!((asked.refusal().0, &asked.json["reason"]), (503, &json!("NOT_REPLICATED")));
    let error = pair.replica("g").await["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("another repository"), "{error}");
    let recover = format!("{TARGETS}/{}/graphs/g/recover", target["target_id"].as_str().unwrap());
    let ended = post(&pair.source, &recover, &json!({})).await;
    assert_eq!(ended.json["reason"], json!("REPLICA_OF_ANOTHER_REPOSITORY"), "{}", ended.text);
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_holds_copies_of_its_own() {
    let disk = tempfile::tempdir().unwrap();
    let root = disk.path().to_str().unwrap();
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_REPLICATION_ROOTS", root)]).await;
    let place = disk.path().join("copies");
    fs::create_dir(&place).unwrap();
    let target = post(&app, TARGETS, &json!({ "name": "disk", "path": place })).await.ok();
    assert_eq!(target["path"], json!(place));
    let twice = post(&app, TARGETS, &json!({ "name": "again", "path": place })).await;
    assert_eq!(twice.refusal().0, 400, "{}", twice.text);
    let source = sample(&app);
    let snapshot = app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    // A copy is a graph of its own, with all that can be done with snapshots.
    let listed = loop {
        let listed = get(&app, &format!("{GRAPHS}/g@disk/snapshots")).await.ok();
        if listed.as_array().is_some_and(|listed| listed.len() == 1) {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(listed[0]["data_hash"], json!(snapshot.data_hash));
    let checked = work(&app, "g@disk", "check", json!({ "depth": "all_data" })).await;
    assert_eq!(checked["problems"], json!([]));
    let pack = stored(&place.join("g"), "data").remove(0);
    flip_a_bit(&pack);
    let name = format!("pack {}", pack.file_name().unwrap().to_str().unwrap());
    assert_eq!(verify(&app, &target, "g").await, (vec![name.clone()], vec![name]));

    // Where the disk is not mounted, nothing is written.
    fs::rename(&place, disk.path().join("unmounted")).unwrap();
    fs::create_dir(&place).unwrap();
    app.snapshot("g", &source).await;
    while replica(&app, "g").await["failures"] == json!(0) {
        tokio::task::yield_now().await;
    }
    let error = replica(&app, "g").await["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("mounted"), "{error}");
    let id = target["target_id"].as_str().unwrap();
    let health = get(&app, &format!("{TARGETS}/{id}/health")).await.ok();
    assert_eq!(health, json!({ "target_id": id, "status": "unreachable" }));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    fs::remove_dir(&place).unwrap();
    fs::rename(disk.path().join("unmounted"), &place).unwrap();
    let asked = post(&app, "/api/backup/replication/graphs/g/replicate", &json!({ "wait": true })).await.ok();
    assert_eq!(asked["state"], json!("succeeded"), "{asked}");
    assert_eq!(verify(&app, &target, "g").await, (vec![], vec![]));
    finish(app).await;
}
