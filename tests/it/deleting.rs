//! Deletions against pins, damage and restic: what is deleted is gone whole, and what is kept is there whole.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::json;
use tonic::{Code, Status};

use crate::support::app::{START, TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::files::small;
use crate::support::repositories::{flip, open};
use crate::support::rest::{GRAPHS, delete, get, post};
use crate::support::tools::restic_ok;
use crate::trouble::{files_below, reason, restart, until};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn pin(app: &TestApp, snapshot: &v1::Snapshot) -> Result<v1::Snapshot, Status> {
    let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
    let request = v1::PinSnapshotRequest { graph_id, snapshot_id, reason: "before the upgrade".to_owned(), ..Default::default() };
    Ok(app.backup().await.pin_snapshot(request).await?.into_inner())
}

async fn cleanup(app: &TestApp) -> Result<v1::CleanupSnapshotsResponse, Status> {
    Ok(app.backup().await.cleanup_snapshots(v1::CleanupSnapshotsRequest::default()).await?.into_inner())
}

/// How many records a repository has, by restic.
fn records(app: &TestApp, graph_id: &str) -> usize {
    let listed: Vec<serde_json::Value> = serde_json::from_str(&restic_ok(&app.storage(), graph_id, &["snapshots", "--json"])).unwrap();
    listed.len()
}

on_each_database!(a_pin_that_comes_while_a_deletion_waits_keeps_the_snapshot, async |app: TestApp| {
    let taken = app.snapshot("g", &app.sample("rag")).await;
    let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
    let pinning = async {
        until(&app, v1::OperationKind::Delete, v1::OperationState::Running).await;
        pin(&app, &taken).await.unwrap();
        drop(lock);
    };
    let (deleted, ()) = tokio::join!(app.delete(&taken), pinning);
    let refused = deleted.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SNAPSHOT_PINNED"), "{refused}");
    app.restore(&taken, &app.data("again")).await.unwrap();
    post(&app, &format!("{GRAPHS}/g/snapshots/{}/unpin", taken.backup_id), &json!({})).await.ok();
    app.delete(&taken).await.unwrap();
    assert_eq!((app.list("g").await.len(), records(&app, "g")), (0, 0));
    app
});

on_each_database!(a_pin_that_comes_while_a_purge_waits_keeps_the_repository, async |app: TestApp| {
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
    let pinning = async {
        until(&app, v1::OperationKind::Unregister, v1::OperationState::Running).await;
        pin(&app, &taken).await.unwrap();
        drop(lock);
    };
    let path = format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g");
    let (refused, ()) = tokio::join!(delete(&app, &path), pinning);
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("SNAPSHOT_PINNED")), "{}", refused.text);
    // None of the others keeps a mark.
    for snapshot in app.list("g").await {
        pin(&app, &snapshot).await.unwrap();
        app.restore(&snapshot, &app.data(&snapshot.backup_id)).await.unwrap();
    }
    app
});

// Whoever is told that his pin holds has his snapshot.
on_each_database!(pins_beside_a_cleanup_hold_or_are_refused, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let mut taken = vec![];
    for _ in 0..24 {
        taken.push(app.snapshot("g", &source).await);
    }
    app.clock.advance(DAY * 60);
    // Oldest first, while the cleanup goes from the newest on.
    let pinning = async {
        let mut pinned = HashSet::new();
        for snapshot in &taken[..23] {
            match pin(&app, snapshot).await {
                Ok(_) => drop(pinned.insert(snapshot.backup_id.clone())),
                Err(refused) => assert!(["SNAPSHOT_BEING_DELETED", "SNAPSHOT_NOT_FOUND"].contains(&reason(&refused).as_str()), "{refused}"),
            }
        }
        pinned
    };
    let (cleaned, mut pinned) = tokio::join!(cleanup(&app), pinning);
    pinned.insert(taken[23].backup_id.clone());
    let left = app.list("g").await;
    assert_eq!(left.iter().map(|snapshot| snapshot.backup_id.clone()).collect::<HashSet<_>>(), pinned);
    assert_eq!(usize::try_from(cleaned.unwrap().deleted_snapshots).unwrap(), 24 - left.len());
    assert_eq!(records(&app, "g"), left.len());
    for snapshot in &left {
        assert!(fs::exists(snapshot.checkpoint_path()).unwrap());
    }
    app
});

on_each_database!(a_damaged_record_keeps_no_other_from_being_deleted, async |app: TestApp| {
    let source = app.sample("rag");
    let mut taken = vec![];
    for _ in 0..4 {
        taken.push(app.snapshot("g", &source).await);
    }
    flip(taken[3].checkpoint_path().as_ref());
    // A fresh start knows of no record what it read before.
    let app = restart(app).await;
    app.delete(&taken[0]).await.unwrap();
    assert!(!fs::exists(taken[0].checkpoint_path()).unwrap());
    app.clock.advance(DAY * 60);
    assert_eq!(cleanup(&app).await.unwrap().deleted_snapshots, 2);
    assert_eq!(app.list("g").await, [taken[3].clone()]);
    app.delete(&taken[3]).await.unwrap();
    assert_eq!(records(&app, "g"), 0);
    app
});

on_each_database!(a_record_that_restic_has_renamed_is_deleted_too, async |app: TestApp| {
    let taken = app.snapshot("g", &app.sample("rag")).await;
    restic_ok(&app.storage(), "g", &["tag", "--add", "mine"]);
    assert!(!fs::exists(taken.checkpoint_path()).unwrap());
    app.delete(&taken).await.unwrap();
    assert_eq!((app.list("g").await.len(), records(&app, "g")), (0, 0));
    app
});

on_each_database!(what_was_adopted_with_an_unreadable_directory_does_not_come_back, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("below/file"), "as it was").unwrap();
    let first = app.snapshot("g", &source).await;
    let packs = files_below(&app.storage().join("g/data"));
    fs::write(source.join("beside"), "new").unwrap();
    let second = app.snapshot("g", &source).await;
    app.delete(&first).await.unwrap();
    delete(&app, &format!("{GRAPHS}/g?repository=keep")).await.ok();
    // The directory that both have lies in packs of the first.
    packs.iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    post(&app, GRAPHS, &json!({ "graph_id": "g", "source_dir": source })).await.ok();
    let reconcile = format!("{GRAPHS}/g/repository/reconcile");
    post(&app, &reconcile, &json!({})).await.ok();
    let adopted = app.list("g").await;
    // Its manifest can be read.
    assert_eq!((adopted.len(), &adopted[0].backup_id, &adopted[0].data_hash), (1, &second.backup_id, &second.data_hash));
    assert!(!adopted[0].losses.is_empty());
    app.delete(&adopted[0]).await.unwrap();
    assert_eq!(post(&app, &reconcile, &json!({})).await.ok()["report"]["adopted_snapshot_ids"], json!([]));
    assert_eq!((app.list("g").await.len(), fs::exists(second.checkpoint_path()).unwrap()), (0, false));
    app
});

async fn never_begun(kind: Kind) {
    let app = TestApp::start_with(kind, &[("LIGHTKEEP_MAX_PARALLEL_OPERATIONS", "1")]).await;
    let source = small(&app.data("plain"));
    app.snapshot("other", &source).await;
    // The one slot is taken by work that waits for a lock.
    let lock = open(&app, "other").lock(LockKind::Exclusive, START, "another-host").unwrap();
    post(&app, &format!("{GRAPHS}/other/snapshots?wait=false"), &json!({})).await.ok();
    until(&app, v1::OperationKind::Snapshot, v1::OperationState::Running).await;
    let queued = post(&app, &format!("{GRAPHS}/g/snapshots?wait=false"), &json!({ "source_dir": source })).await.ok();
    post(&app, &format!("/api/operations/{}/cancel", queued["operation_id"].as_str().unwrap()), &json!({})).await.ok();
    drop(lock);
    app.clock.advance(DAY * 60);
    assert!(!app.storage().join("g").exists());
    let request = v1::CleanupSnapshotsRequest { graph_id: "g".to_owned(), ..Default::default() };
    let cleaned = app.backup().await.cleanup_snapshots(request).await.unwrap().into_inner();
    assert_eq!((cleaned.deleted_snapshots, app.list("g").await.len()), (1, 0));
    assert!(!app.storage().join("g").exists());
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_got_a_repository_is_cleaned_up_sqlite() {
    never_begun(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_got_a_repository_is_cleaned_up_postgres() {
    never_begun(Kind::Postgres).await;
}

on_each_database!(what_a_cleanup_deletes_is_named_in_the_audit_trail, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let old = [app.snapshot("g", &source).await, app.snapshot("g", &source).await];
    app.snapshot("g", &source).await;
    app.clock.advance(DAY * 60);
    let operation_id = cleanup(&app).await.unwrap().operation_ids.remove(0);
    let statement = "SELECT subject_id FROM audit_events WHERE action = 'CleanupSnapshots' AND subject_id IS NOT NULL";
    let of_operation = format!("{statement} AND caller = 'operation' AND request_id = '{operation_id}'");
    let named: HashSet<String> = app.query(&of_operation).await.into_iter().collect();
    assert_eq!(named, old.map(|snapshot| snapshot.backup_id).into());
    app
});

/// An instance that has a repository open learns that another one has deleted it and made it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_was_purged_and_made_anew_is_opened_anew_on_all_instances() {
    let app = TestApp::start(Kind::Postgres).await;
    let second = app.second_instance().await;
    let source = app.sample("rag");
    for _ in 0..2 {
        let taken = app.snapshot("g", &source).await;
        for address in [app.server.http_addr(), second.http_addr()] {
            let url = format!("http://{address}{GRAPHS}/g/snapshots/{}/files", taken.backup_id);
            let answer = reqwest::get(url).await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
        restic_ok(&app.storage(), "g", &["check", "--read-data"]);
        delete(&app, &format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g")).await.ok();
    }
    assert_eq!(get(&app, GRAPHS).await.ok(), json!([]));
    second.stop().await.unwrap();
    finish(app).await;
}
