//! Copies with a password of their own.

use std::fs;

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish, settled};
use crate::support::database::Kind;
use crate::support::files::{describe, small};
use crate::support::pair::{PEER, PEER_KEY, TARGETS, in_step, replica, stored, verify};
use crate::support::repositories::{flip_a_bit, noise};
use crate::support::rest::{GRAPHS, get, post};
use crate::support::tools::{restic_at, restic_ok_at};

const THEIRS: &str = "the password of the copies";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_the_password_of_the_other_side() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, THEIRS).unwrap();
    let keys = format!("{PEER}:{PEER_KEY}");
    let receiving = [("LIGHTKEEP_PEER_KEYS", keys.as_str()), ("LIGHTKEEP_REPOSITORY_PASSWORD_FILE", file.to_str().unwrap())];
    let (app, other) = (TestApp::start(Kind::Sqlite).await, TestApp::start_with(Kind::Sqlite, &receiving).await);
    let body = json!({ "name": "second", "base_url": other.url(""), "api_key": PEER_KEY, "repository_password": THEIRS });
    let target = post(&app, TARGETS, &body).await.ok();
    assert_eq!((&target["has_own_password"], &target["repository_password"]), (&json!(true), &Json::Null));
    let source = small(&app.data("rag"));
    noise(&source.join("noise"), 1, 40 << 20);
    let first = app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    noise(&source.join("more"), 2, 300_000);
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    let copy = other.storage().join("replicas").join(PEER).join("g");
    restic_ok_at(&copy, &file, &["check", "--read-data"]);
    let ours = app.storage().join("repository.key");
    assert!(!restic_at(&copy, &ours, &["snapshots"]).status.success(), "it does not open with ours");

    // Only what is new was sealed again.
    let events = get(&app, "/api/backup/replication/logs").await.ok();
    let sent: Vec<i64> =
        events.as_array().unwrap().iter().filter_map(|event| event["sent_bytes"].as_i64()).filter(|bytes| *bytes > 0).collect();
    assert!(sent[0] < 64 << 10 && (300_000..400_000).contains(&sent[1]) && sent[2] > 40 << 20, "{sent:?}");

    // It is used there as any other, and named as here.
    let listed = loop {
        let listed = get(&other, &format!("{GRAPHS}/g@{PEER}/snapshots")).await.ok();
        if listed.as_array().unwrap().len() == 3 {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((&listed[2]["backup_id"], &listed[2]["data_hash"]), (&json!(first.backup_id), &json!(first.data_hash)));
    let restored = other.data("restored");
    let path = format!("{GRAPHS}/g@{PEER}/snapshots/{}/restore", listed[0]["backup_id"].as_str().unwrap());
    post(&other, &path, &json!({ "target_dir": restored })).await.ok();
    assert_eq!(describe(&restored), describe(&source));

    // What is damaged is made again.
    for kind in ["data", "snapshots", "index"] {
        flip_a_bit(&stored(&copy, kind)[0]);
        let (damaged, repaired) = verify(&app, &target, "g").await;
        assert_eq!((damaged.len(), &damaged), (1, &repaired), "{kind}");
        // A pack that was made anew has another name: the damaged one goes with the next prune there.
        post(&other, &format!("{GRAPHS}/g@{PEER}/repository/prune"), &json!({ "max_unused_percent": 0 })).await.ok();
        assert_eq!(verify(&app, &target, "g").await.0, Vec::<String>::new(), "{kind}");
    }
    settled(&other).await;
    restic_ok_at(&copy, &file, &["check", "--read-data"]);

    // Back here it opens with ours.
    fs::remove_dir_all(app.storage().join("g")).unwrap();
    let recover = format!("{TARGETS}/{}/graphs/g/recover", target["target_id"].as_str().unwrap());
    let ended = post(&app, &recover, &json!({})).await.ok();
    assert_eq!((&ended["state"], &ended["result"]["snapshots"]), (&json!("succeeded"), &json!(3)), "{ended}");
    restic_ok_at(&app.storage().join("g"), &ours, &["check", "--read-data"]);
    assert!(!restic_at(&app.storage().join("g"), &file, &["snapshots"]).status.success());
    app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    finish(app).await;
    finish(other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_has_a_password_of_its_own() {
    let disk = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_REPLICATION_ROOTS", disk.path().to_str().unwrap())]).await;
    let body = json!({ "name": "disk", "path": disk.path(), "repository_password": THEIRS });
    post(&app, TARGETS, &body).await.ok();
    let source = small(&app.data("rag"));
    app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    let file = app.data("password");
    fs::write(&file, THEIRS).unwrap();
    restic_ok_at(&disk.path().join("g"), &file, &["check", "--read-data"]);
    // Also by a server that is started anew.
    let app = app.restart().await;
    let listed = loop {
        let listed = get(&app, &format!("{GRAPHS}/g@disk/snapshots")).await.ok();
        if listed.as_array().unwrap().len() == 1 {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    let path = format!("{GRAPHS}/g@disk/snapshots/{}/restore", listed[0]["backup_id"].as_str().unwrap());
    let restored = app.data("restored");
    post(&app, &path, &json!({ "target_dir": restored })).await.ok();
    assert_eq!(describe(&restored), describe(&source));
    assert_eq!(replica(&app, "g").await["failures"], json!(0));
    finish(app).await;
}
