//! Copies with a password of their own.

use std::fs;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files::{describe, small};
use crate::support::pair::{PEER, PEER_KEY, TARGETS, in_step, replica};
use crate::support::rest::{GRAPHS, get, post};

const THEIRS: &str = "the password of the copies";

/// Some megabytes that do not compress, different for each seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn restic(repository: &std::path::Path, password: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("restic");
    command.arg("-r").arg(repository).env("RESTIC_PASSWORD", password).args(["--no-cache", "--quiet"]).args(arguments);
    let output = command.output().expect("restic is installed by tests/run");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

async fn verify(app: &TestApp, target: &Json) -> Json {
    post(app, &format!("{TARGETS}/{}/graphs/g/verify", target["target_id"].as_str().unwrap()), &json!({})).await.ok()
}

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
    fs::write(source.join("noise"), noise(1, 40 << 20)).unwrap();
    let first = app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    fs::write(source.join("more"), noise(2, 300_000)).unwrap();
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    let copy = other.storage().join("replicas").join(PEER).join("g");
    assert!(restic(&copy, THEIRS, &["check", "--read-data"]).is_ok());
    let ours = fs::read_to_string(app.storage().join("repository.key")).unwrap();
    assert!(restic(&copy, ours.trim(), &["snapshots"]).is_err(), "it does not open with ours");

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
        let mut files: Vec<_> = walk(&copy.join(kind));
        files.sort();
        let mut bytes = fs::read(&files[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&files[0], bytes).unwrap();
        let report = verify(&app, &target).await;
        assert_eq!((report["damaged_files"].as_array().unwrap().len(), &report["damaged_files"]), (1, &report["repaired_files"]), "{kind}");
        // A pack that was made anew has another name: the damaged one goes with the next prune there.
        post(&other, &format!("{GRAPHS}/g@{PEER}/repository/prune"), &json!({ "max_unused_percent": 0 })).await.ok();
        assert_eq!(verify(&app, &target).await["damaged_files"], json!([]), "{kind}");
    }
    assert!(restic(&copy, THEIRS, &["check", "--read-data"]).is_ok());

    // Back here it opens with ours.
    fs::remove_dir_all(app.storage().join("g")).unwrap();
    let recover = format!("{TARGETS}/{}/graphs/g/recover", target["target_id"].as_str().unwrap());
    let ended = post(&app, &recover, &json!({})).await.ok();
    assert_eq!((&ended["state"], &ended["result"]["snapshots"]), (&json!("succeeded"), &json!(3)), "{ended}");
    assert!(restic(&app.storage().join("g"), ours.trim(), &["check", "--read-data"]).is_ok());
    assert!(restic(&app.storage().join("g"), THEIRS, &["snapshots"]).is_err());
    app.snapshot("g", &source).await;
    in_step(&app, "g").await;
    finish(app).await;
    finish(other).await;
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
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
    assert!(restic(&disk.path().join("g"), THEIRS, &["check", "--read-data"]).is_ok());
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
