//! What a repair must not take for a snapshot: roots that hold something else, or not all of it, and records of other snapshots.

use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::proto::v1;
use lightkeep::repository::{BackupRequest, LockKind, Source};
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp, finish};
use crate::support::database::Kind;
use crate::support::files;
use crate::support::repositories::{flip, noise, open, packs, record_of, rewritten, work};
use crate::support::rest::{GRAPHS, get};
use crate::support::tools::restic_ok;

/// A source of two files.
fn source(app: &TestApp) -> PathBuf {
    let source = app.data("source");
    fs::create_dir(&source).unwrap();
    noise(&source.join("kept"), 1, 30_000);
    noise(&source.join("other"), 2, 40_000);
    source
}

async fn snapshot(app: &TestApp, source: &Path, note: &str) -> v1::Snapshot {
    let fields = [("note".to_owned(), prost_types::Value::from(note.to_owned()))].into();
    let metadata = Some(prost_types::Struct { fields });
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "g".to_owned(), source_dir, metadata, ..Default::default() };
    app.backup().await.create_snapshot(request).await.unwrap().into_inner()
}

async fn show(app: &TestApp, id: &str) -> Json {
    get(app, &format!("{GRAPHS}/g/snapshots/{id}")).await.ok()
}

fn one(text: &Json) -> &str {
    assert_eq!(text.as_array().unwrap().len(), 1, "{text}");
    text[0].as_str().unwrap()
}

/// Saves a snapshot again without some files, as `restic rewrite --exclude` does it: the manifest comes along, and says still what is no
/// longer there.
fn rewrite(app: &TestApp, taken: &v1::Snapshot, trimmed: &Path, source: &Path) {
    let (repository, control) = (open(app, "g"), Control::default());
    let lock = repository.lock(LockKind::Shared, START, "host").unwrap();
    let manifest = repository.read_manifest(&record_of(taken), &lock).unwrap();
    let request = BackupRequest {
        source: Source::Directory { root: trimmed, skip: &|_| false },
        recorded_path: source,
        beside: None,
        parent: None,
        tap: &|_| None,
        manifest: Some(&|_, _| Ok(manifest.clone())),
        control: &control,
    };
    let stored = repository.back_up(&request, &lock).unwrap();
    let record = repository.record(&record_of(taken)).unwrap();
    let (_, new) = rewritten(&record, &record);
    repository.write_record(&stored, &new, &lock).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_never_recovered_from_a_root_that_was_trimmed() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = source(&app);
    let taken = app.snapshot("g", &source).await;
    let state = files::describe(&source);
    let trimmed = app.data("trimmed");
    fs::create_dir(&trimmed).unwrap();
    fs::copy(source.join("kept"), trimmed.join("kept")).unwrap();
    rewrite(&app, &taken, &trimmed, &source);
    let adopted = work(&app, "g", "reconcile", json!({})).await["adopted_snapshot_ids"].clone();
    let other = show(&app, one(&adopted)).await;
    assert_ne!(other["data_hash"], json!(taken.data_hash));
    fs::remove_file(source.join("other")).unwrap();

    flip(Path::new(taken.checkpoint_path()));
    let report = work(&app, "g", "repair", json!({})).await;
    assert_eq!(one(&report["recovered_snapshot_ids"]), taken.backup_id, "{report}");
    let recovered = show(&app, &taken.backup_id).await;
    assert_eq!(recovered["data_hash"], json!(taken.data_hash));
    app.restore(&taken, &app.data("again")).await.unwrap();
    assert_eq!(files::describe(&app.data("again")), state);

    let record = recovered["checkpoint_path"].as_str().unwrap().rsplit('/').next().unwrap();
    restic_ok(&app.storage(), "g", &["forget", "--prune", record]);
    let report = work(&app, "g", "repair", json!({})).await;
    assert_eq!((one(&report["lost_snapshot_ids"]), &report["recovered_snapshot_ids"]), (&*taken.backup_id, &json!([])), "{report}");
    let report = work(&app, "g", "repair", json!({ "with_removed": true })).await;
    assert_eq!(report["recovered_snapshot_ids"], json!([]), "{report}");
    assert_eq!(show(&app, one(&adopted)).await, other);
    finish(app).await;
}

/// A prune has taken content of snapshots that were removed, and the trees of them are still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_prune_has_taken_does_not_come_back_in_part() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = source(&app);
    let first = snapshot(&app, &source, "one").await;
    let (content, _) = packs(&app.storage().join("g")).pop().unwrap();
    let second = snapshot(&app, &source, "two").await;
    let records = [&first, &second].map(|taken| record_of(taken).to_string());
    restic_ok(&app.storage(), "g", &["forget", &records[0], &records[1]]);
    let lost = work(&app, "g", "reconcile", json!({})).await["lost_snapshot_ids"].clone();
    assert_eq!(lost.as_array().unwrap().len(), 2);
    fs::remove_file(content).unwrap();
    let state = files::describe(&source);
    fs::rename(source.join("other"), app.data("other")).unwrap();

    let wanted = json!({ "with_removed": true });
    let report = work(&app, "g", "repair", wanted.clone()).await;
    assert_eq!((&report["recovered_snapshot_ids"], &report["lost"]), (&json!([]), &json!([])), "{report}");
    assert_eq!(show(&app, &second.backup_id).await["status"], json!("failed"));

    // The source has it again. One manifest is left, which says of both what they hold.
    fs::rename(app.data("other"), source.join("other")).unwrap();
    let report = work(&app, "g", "repair", wanted).await;
    assert_eq!(report["recovered_snapshot_ids"].as_array().unwrap().len(), 2, "{report}");
    for (number, taken) in [first, second].iter().enumerate() {
        let target = app.data(&format!("again-{number}"));
        app.restore(taken, &target).await.unwrap();
        assert_eq!(files::describe(&target), state);
    }
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    finish(app).await;
}

/// A record may bear the tag of one snapshot and be that of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_another_snapshot_replaces_none() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = source(&app);
    let damaged = app.snapshot("g", &source).await;
    let (trees, _) = packs(&app.storage().join("g")).remove(0);
    noise(&source.join("other"), 3, 40_000);
    let whole = app.snapshot("g", &source).await;
    {
        let repository = open(&app, "g");
        let lock = repository.lock(LockKind::Shared, START, "host").unwrap();
        let [old, content] = [&damaged, &whole].map(|taken| repository.record(&record_of(taken)).unwrap());
        let (stored, new) = rewritten(&old, &content);
        repository.write_record(&stored, &new, &lock).unwrap();
        drop(lock);
    }
    let adopted = work(&app, "g", "reconcile", json!({})).await["adopted_snapshot_ids"].clone();
    let other = show(&app, one(&adopted)).await;
    fs::remove_file(trees).unwrap();

    let report = work(&app, "g", "repair", json!({})).await;
    assert_eq!((&report["recovered_snapshot_ids"], &report["lost_snapshot_ids"]), (&json!([]), &json!([])), "{report}");
    assert_eq!(report["lost"][0]["snapshot_id"], json!(damaged.backup_id), "{report}");
    let marked = show(&app, &damaged.backup_id).await;
    assert_eq!(marked["data_hash"], json!(damaged.data_hash));
    assert_ne!(marked["losses"], json!([]));
    assert_eq!(show(&app, one(&adopted)).await, other);
    assert_eq!(app.list("g").await.len(), 3);
    finish(app).await;
}
