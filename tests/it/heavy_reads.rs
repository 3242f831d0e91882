//! Comparisons and plans of restores: a few at a time, and none for callers who have gone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lightkeep::base::secret::Secret;
use lightkeep::proto::v1;
use lightkeep::repository::{LockKind, Repository};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::support::app::{START, TestApp, finish};
use crate::support::database::Kind;
use crate::support::rest::{Answer, GRAPHS, client, get, post, send};

/// How many run and wait at once.
const PLACES: usize = 18;

fn path(snapshot: &v1::Snapshot) -> String {
    format!("{GRAPHS}/{}/snapshots/{}", snapshot.graph_id, snapshot.backup_id)
}

fn locks(app: &TestApp) -> usize {
    fs::read_dir(app.storage().join("g/locks")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_are_refused_and_given_up_ones_make_room() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(Duration::from_secs(1));
    let snapshot = app.snapshot("g", &source).await;
    // None of them gets on while another process holds this lock.
    let password = fs::read_to_string(app.storage().join("repository.key")).unwrap();
    let repository = Repository::open(&app.storage().join("g"), &Secret::new(password.trim().to_owned())).unwrap();
    let lock = repository.lock(LockKind::Exclusive, START, "another-host").unwrap();
    let mut calls = JoinSet::new();
    for count in 0..=PLACES {
        let (url, plan) = (app.url(&path(&snapshot)), json!({ "target_dir": app.data("copy"), "validate_only": true }));
        calls.spawn(async move {
            let call = match count % 2 {
                0 => client().get(format!("{url}/diff")),
                _ => client().post(format!("{url}/restore")).body(plan.to_string()),
            };
            let answer = call.send().await.unwrap();
            let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            (answer.status().as_u16(), retry_after, answer.json::<Json>().await.unwrap()["reason"].clone())
        });
    }
    let first = calls.join_next().await.unwrap().unwrap();
    assert_eq!(first, (429, Some("5".to_owned()), json!("TOO_MANY_WAITING")));
    calls.abort_all();
    // Room for one more: it waits, and is not refused.
    let once_more = async || send(&app, "GET", &format!("{}/diff", path(&snapshot)), &[("grpc-timeout", "50m")], "").await;
    let refused = |answer: &Answer| {
        assert!([429, 504].contains(&answer.status), "{}", answer.text);
        answer.status == 429
    };
    while refused(&once_more().await) {}
    drop(lock);
    get(&app, &format!("{}/diff", path(&snapshot))).await.ok();
    let plan = json!({ "target_dir": app.data("copy"), "validate_only": true });
    assert_eq!(post(&app, &format!("{}/restore", path(&snapshot)), &plan).await.ok()["status"], json!("validated"));
    finish(app).await;
}

/// Many documents more.
fn grow(source: &Path, from: usize) {
    let store = source.join("kv_store_doc_status.json");
    let mut rows: serde_json::Map<String, Json> = serde_json::from_slice(&fs::read(&store).unwrap()).unwrap();
    let row = rows.values().next().unwrap().clone();
    rows.extend((from..from + 10_000).map(|number| (format!("doc-{number:032x}"), row.clone())));
    fs::write(&store, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comparison_ends_with_its_caller() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.sample("rag");
    grow(&source, 0);
    app.snapshot("g", &source).await;
    app.clock.advance(Duration::from_secs(1));
    grow(&source, 10_000);
    let snapshot = app.snapshot("g", &source).await;
    let url = app.url(&format!("{}/diff", path(&snapshot)));
    let begun = Instant::now();
    assert_eq!(client().get(&url).send().await.unwrap().status(), 200);
    let whole = begun.elapsed();
    let mut calls = JoinSet::new();
    calls.spawn(client().get(&url).send());
    // Each of the two snapshots is locked before the reading begins.
    while locks(&app) < 2 {
        tokio::task::yield_now().await;
    }
    calls.abort_all();
    let given_up = Instant::now();
    while locks(&app) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(given_up.elapsed() < whole / 3, "{:?} of {whole:?}", given_up.elapsed());
    finish(app).await;
}
