//! Rows follow records, whatever restic, a copy or damage has made of them; and what is found again is adopted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::{LockKind, RecordId};
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp};
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::repositories::{flip, noise, open, packs, reconciled, record_of, rewritten, work};
use crate::support::rest::{GRAPHS, delete, get, post};
use crate::support::tools::restic_ok;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn forget(app: &TestApp, graph_id: &str) {
    delete(app, &format!("{GRAPHS}/{graph_id}?repository=keep")).await.ok();
    // What comes now is newer.
    app.clock.advance(DAY);
}

async fn register(app: &TestApp, graph_id: &str, source: &Path) {
    post(app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
}

async fn shown(app: &TestApp, snapshot: &v1::Snapshot) -> Json {
    get(app, &format!("{GRAPHS}/{}/snapshots/{}", snapshot.graph_id, snapshot.backup_id)).await.ok()
}

fn one_file(app: &TestApp, name: &str, seed: u32) -> std::path::PathBuf {
    let source = app.data(name);
    fs::create_dir_all(&source).unwrap();
    noise(&source.join("file"), seed, 900_000);
    source
}

/// Removes a large pack, but not the one that holds the record's manifest: which one that is depends on how threads ran.
fn lose_large_pack(app: &TestApp, record: &RecordId) {
    let (repository, aside) = (open(app, "g"), app.data("aside"));
    let lock = repository.lock(LockKind::Shared, START, "elsewhere").unwrap();
    for (pack, _) in packs(&app.storage().join("g")).into_iter().rev() {
        fs::rename(&pack, &aside).unwrap();
        if repository.read_manifest(record, &lock).is_ok() {
            return;
        }
        fs::rename(&aside, &pack).unwrap();
    }
    panic!("the manifest is in each pack");
}

on_each_database!(damage_is_adopted_as_damage_and_stops_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let state = files::describe(&source);
    let whole = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    fs::write(source.join("note"), "x").unwrap();
    let unreadable = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    // More than two packs, so that one of them is full and without the manifest.
    noise(&source.join("large"), 1, 36_000_000);
    let damaged = app.snapshot("g", &source).await;
    forget(&app, "g").await;
    lose_large_pack(&app, &record_of(&damaged));
    flip(Path::new(unreadable.checkpoint_path()));
    // Who has read a record once does not read it again.
    let app = app.restart().await;
    register(&app, "g", &source).await;
    let report = reconciled(&app, "g").await;
    assert_eq!(report["adopted_snapshot_ids"], json!([whole.backup_id, damaged.backup_id]));
    assert_eq!(report["unreadable_record_ids"], json!([record_of(&unreadable).to_string()]));
    let found = shown(&app, &damaged).await;
    assert!(found["losses"].to_string().contains("large"), "{found}");
    assert_eq!((&found["consistency"], &found["data_hash"]), (&json!("consistent"), &json!(damaged.data_hash)));
    assert_eq!(shown(&app, &whole).await["losses"], json!([]));
    app.restore(&whole, &app.data("again")).await.unwrap();
    assert_eq!(files::describe(&app.data("again")), state);
    // The newer one does not count as good.
    app.clock.advance(DAY * 60);
    let verdicts = post(&app, "/api/backup/backup/cleanup", &json!({ "validate_only": true })).await.ok();
    let of = |snapshot: &v1::Snapshot| {
        let all = verdicts["verdicts"].as_array().unwrap();
        all.iter().find(|one| one["snapshot_id"] == json!(snapshot.backup_id)).unwrap()["verdict"].clone()
    };
    assert_eq!((of(&damaged), of(&whole)), (json!("expired"), json!("newest_good")));
    app
});

on_each_database!(every_record_is_a_snapshot_also_where_two_bear_one_id, async |app: TestApp| {
    let source = one_file(&app, "plain", 1);
    let first = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    noise(&source.join("file"), 2, 900_000);
    let second = app.snapshot("g", &source).await;
    {
        let repository = open(&app, "g");
        let lock = repository.lock(LockKind::Shared, START, "elsewhere").unwrap();
        let (old, other) = (repository.record(&record_of(&first)).unwrap(), repository.record(&record_of(&second)).unwrap());
        let (stored, record) = rewritten(&old, &other);
        repository.write_record(&stored, &record, &lock).unwrap();
    }
    // Beside the row that has the id.
    let report = work(&app, "g", "reconcile", json!({})).await;
    assert_eq!(report["adopted_snapshot_ids"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!((&report["lost_snapshot_ids"], &report["renamed_snapshot_ids"]), (&json!([]), &json!([])));
    // And with no row at all.
    forget(&app, "g").await;
    register(&app, "g", &source).await;
    assert_eq!(reconciled(&app, "g").await["adopted_snapshot_ids"].as_array().unwrap().len(), 3);
    let list = app.list("g").await;
    let bearer = list.iter().find(|one| one.backup_id == first.backup_id).unwrap();
    let fresh = list.iter().find(|one| one.backup_id != first.backup_id && one.backup_id != second.backup_id).unwrap();
    assert_eq!(bearer.timestamp, fresh.timestamp);
    assert_ne!(bearer.data_hash, fresh.data_hash);
    // Deleting the one leaves the other.
    app.delete(bearer).await.unwrap();
    app.restore(fresh, &app.data("again")).await.unwrap();
    let report = work(&app, "g", "reconcile", json!({})).await;
    assert_eq!((&report["records"], &report["lost_snapshot_ids"]), (&json!(2), &json!([])));
    app
});

on_each_database!(a_rewritten_record_has_other_figures, async |app: TestApp| {
    let source = app.sample("rag");
    let first = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    fs::remove_file(source.join("vdb_chunks.json")).unwrap();
    let second = app.snapshot("g", &source).await;
    {
        let repository = open(&app, "g");
        let (old, other) = (repository.record(&record_of(&first)).unwrap(), repository.record(&record_of(&second)).unwrap());
        let lock = repository.lock(LockKind::Exclusive, START, "elsewhere").unwrap();
        let (stored, record) = rewritten(&old, &other);
        repository.write_record(&stored, &record, &lock).unwrap();
        repository.remove_record(&record_of(&first), &lock).unwrap();
    }
    let report = work(&app, "g", "reconcile", json!({})).await;
    assert_eq!(report["renamed_snapshot_ids"], json!([first.backup_id]), "{report}");
    let (rewritten, like) = (shown(&app, &first).await, shown(&app, &second).await);
    for figure in ["data_hash", "files", "size_bytes", "consistency", "entities", "vectors", "findings"] {
        assert_eq!(rewritten[figure], like[figure], "{figure}");
    }
    assert_eq!(rewritten["timestamp"], json!("2020-11-22T12:00:00Z"));
    app.restore(&first, &app.data("again")).await.unwrap();
    assert!(!app.data("again/vdb_chunks.json").exists());
    app
});

on_each_database!(a_snapshot_whose_tags_restic_has_replaced_is_the_same_still, async |app: TestApp| {
    let source = one_file(&app, "plain", 1);
    let snapshot = app.snapshot("g", &source).await;
    post(&app, &format!("{GRAPHS}/g/snapshots/{}/pin", snapshot.backup_id), &json!({ "reason": "kept" })).await.ok();
    app.clock.advance(DAY);
    app.snapshot("g", &source).await;
    // The first time it names the record that it was; the second time it names that one again, not the one in between.
    let mut record = record_of(&snapshot).to_string();
    for tag in ["one", "two"] {
        restic_ok(&app.storage(), "g", &["tag", "--set", tag, &record]);
        let report = work(&app, "g", "reconcile", json!({})).await;
        assert_eq!((&report["renamed_snapshot_ids"], &report["adopted_snapshot_ids"]), (&json!([snapshot.backup_id]), &json!([])), "{tag}");
        let now = shown(&app, &snapshot).await;
        assert_eq!(
            (&now["status"], &now["pin_reason"], &now["data_hash"]),
            (&json!("completed"), &json!("kept"), &json!(snapshot.data_hash))
        );
        record = Path::new(now["checkpoint_path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_owned();
    }
    app
});

on_each_database!(a_copied_repository_leaves_the_ids_to_the_original, async |app: TestApp| {
    let source = one_file(&app, "plain", 1);
    let snapshot = app.snapshot("original", &source).await;
    let repositories = app.storage();
    forget(&app, "original").await;
    files::copy_tree(&repositories.join("original"), &repositories.join("copy"));
    register(&app, "copy", &source).await;
    let of_copy = reconciled(&app, "copy").await["adopted_snapshot_ids"].clone();
    assert_ne!(of_copy, json!([snapshot.backup_id]));
    register(&app, "original", &source).await;
    assert_eq!(reconciled(&app, "original").await["adopted_snapshot_ids"], json!([snapshot.backup_id]));
    // One that was moved takes its ids along.
    forget(&app, "original").await;
    fs::rename(repositories.join("original"), repositories.join("moved")).unwrap();
    register(&app, "moved", &source).await;
    assert_eq!(reconciled(&app, "moved").await["adopted_snapshot_ids"], json!([snapshot.backup_id]));
    app.restore(&app.list("moved").await[0], &app.data("again")).await.unwrap();
    app
});

on_each_database!(what_restic_removes_is_seen_at_the_next_start, async |app: TestApp| {
    let source = one_file(&app, "plain", 1);
    let gone = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    app.snapshot("g", &source).await;
    app.snapshot("untouched", &source).await;
    let reconciliations = async |app: &TestApp| get(app, "/api/operations?kind=reconcile").await.ok()["operations"].clone();
    restic_ok(&app.storage(), "g", &["forget", &record_of(&gone).to_string()]);
    // A check names it, and a restore says what to do.
    let checked = work(&app, "g", "check", json!({ "depth": "structure" })).await;
    assert_eq!((&checked["total_problems"], checked["problems"].to_string().contains(&gone.backup_id)), (&json!(1), true), "{checked}");
    let refused = post(&app, &format!("{GRAPHS}/g/snapshots/{}/restore", gone.backup_id), &json!({ "target_dir": app.data("no") })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("RECORD_NOT_FOUND")), "{}", refused.text);
    assert!(refused.refusal().1.contains("reconcile"), "{}", refused.text);
    assert_eq!(reconciliations(&app).await, json!([]));
    app.clock.advance(DAY);
    let app = app.restart().await;
    assert_eq!(reconciled(&app, "g").await["lost_snapshot_ids"], json!([gone.backup_id]));
    assert_eq!(shown(&app, &gone).await["status"], json!("failed"));
    app.clock.advance(DAY);
    let app = app.restart().await;
    assert_eq!(reconciliations(&app).await.as_array().unwrap().len(), 1, "nothing has changed since");
    app
});

on_each_database!(a_first_snapshot_finds_the_repository_again, async |app: TestApp| {
    let source = one_file(&app, "rag", 1);
    let first = app.snapshot("g", &source).await;
    forget(&app, "g").await;
    let second = app.snapshot("g", &source).await;
    assert!(second.stored_bytes < 10_000, "it builds on what is there: {}", second.stored_bytes);
    let ids: Vec<_> = app.list("g").await.into_iter().map(|one| one.backup_id).collect();
    assert!(ids.contains(&first.backup_id) && ids.contains(&second.backup_id) && ids.len() == 2, "{ids:?}");
    // So does a fork.
    forget(&app, "g").await;
    let other = app.snapshot("other", &source).await;
    let fork = json!({ "target_dir": app.data("forked"), "fork_graph_id": "g" });
    post(&app, &format!("{GRAPHS}/other/snapshots/{}/restore", other.backup_id), &fork).await.ok();
    assert_eq!(reconciled(&app, "g").await["adopted_snapshot_ids"].as_array().unwrap().len(), 2);
    app
});

on_each_database!(a_pin_keeps_its_graph, async |app: TestApp| {
    let source = one_file(&app, "plain", 1);
    let snapshot = app.snapshot("g", &source).await;
    let path = format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id);
    post(&app, &format!("{path}/pin"), &json!({ "reason": "kept" })).await.ok();
    let refused = delete(&app, &format!("{GRAPHS}/g?repository=keep")).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("SNAPSHOT_PINNED")));
    post(&app, &format!("{path}/unpin"), &json!({})).await.ok();
    forget(&app, "g").await;
    app
});
