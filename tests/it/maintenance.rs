//! Repositories are pruned, checked, repaired and compared with the database; snapshots are verified.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lightkeep::proto::v1;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::repositories::{self, noise, verify, work};
use crate::support::rest::{GRAPHS, get, post};
use crate::support::tools::restic_ok;

fn packs(app: &TestApp, graph_id: &str) -> Vec<(PathBuf, u64)> {
    repositories::packs(&app.storage().join(graph_id))
}

fn bytes(app: &TestApp, graph_id: &str) -> u64 {
    packs(app, graph_id).iter().map(|(_, bytes)| bytes).sum()
}

on_each_database!(a_prune_gives_back_what_nobody_uses, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    noise(&source.join("stays"), 1, 3_000_000);
    noise(&source.join("changes"), 2, 5_000_000);
    let first = app.snapshot("g", &source).await;
    noise(&source.join("changes"), 3, 5_000_000);
    let second = app.snapshot("g", &source).await;
    app.delete(&first).await.unwrap();
    let before = bytes(&app, "g");
    let planned = work(&app, "g", "prune", json!({ "max_unused_percent": 0, "validate_only": true })).await;
    assert_eq!((bytes(&app, "g"), &planned["check"]), (before, &json!(null)));
    let pruned = work(&app, "g", "prune", json!({ "max_unused_percent": 0 })).await;
    assert_eq!((&pruned["finished"], &pruned["check"]["problems"]), (&json!(true), &json!([])));
    assert_eq!(pruned["unused_bytes"], json!(0));
    assert!(pruned["reclaimed_bytes"].as_i64().unwrap() > 4_900_000, "{pruned}");
    assert!(bytes(&app, "g") < before - 4_900_000);
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    let target = app.data("again");
    app.restore(&second, &target).await.unwrap();
    assert_eq!(files::describe(&target), files::describe(&source));
    // What is stored after a prune does not rely on what it removed.
    noise(&source.join("changes"), 2, 5_000_000);
    let third = app.snapshot("g", &source).await;
    assert!(third.stored_bytes > 4_900_000);
    assert_eq!(verify(&app, &third, "data").await["passed"], json!(true));
    app
});

on_each_database!(verification_has_levels_and_is_recorded, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    for level in ["record", "data", "content"] {
        let verification = verify(&app, &snapshot, level).await;
        assert_eq!((&verification["passed"], &verification["level"]), (&json!(true), &json!(level)), "{verification}");
        assert_eq!(verification["read_bytes"].as_i64().unwrap() > 0, level != "record", "{verification}");
    }
    let path = format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id);
    let shown = get(&app, &path).await.ok();
    assert_eq!((&shown["verified_level"], &shown["verified_passed"]), (&json!("content"), &json!(true)));
    let list = get(&app, &format!("{path}/verifications")).await.ok();
    assert_eq!(list.as_array().unwrap().len(), 3);

    // One flipped byte in the largest pack, which only the newer snapshot uses.
    app.clock.advance(Duration::from_secs(1));
    noise(&source.join("more"), 1, 400_000);
    let newer = app.snapshot("g", &source).await;
    let (pack, _) = packs(&app, "g").pop().unwrap();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[40] ^= 1;
    fs::write(&pack, damaged).unwrap();
    assert_eq!(verify(&app, &newer, "record").await["passed"], json!(true));
    let failed = verify(&app, &newer, "data").await;
    assert_eq!(failed["passed"], json!(false));
    assert!(!failed["problems"].as_array().unwrap().is_empty());
    assert_eq!(verify(&app, &snapshot, "data").await["passed"], json!(true));
    // It does not count as good any more, so the older one is kept.
    app.clock.advance(Duration::from_secs(60 * 24 * 3600));
    let judged = post(&app, "/api/backup/backup/cleanup", &json!({ "validate_only": true })).await.ok();
    let verdicts: Vec<_> = judged["verdicts"].as_array().unwrap().iter().map(|one| (&one["snapshot_id"], &one["verdict"])).collect();
    assert_eq!(verdicts, [(&json!(newer.backup_id), &json!("expired")), (&json!(snapshot.backup_id), &json!("newest_good"))]);
    app
});

on_each_database!(a_verification_that_is_asked_for_again_is_answered_without_its_snapshot_too, async |app: TestApp| {
    let snapshot = app.snapshot("g", &app.sample("rag")).await;
    let path = format!("{GRAPHS}/g/snapshots/{}/verify", snapshot.backup_id);
    let body = json!({ "level": "record", "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let first = post(&app, &path, &body).await.ok();
    assert_eq!(post(&app, &path, &body).await.ok(), first);
    app.delete(&snapshot).await.unwrap();
    let again = post(&app, &path, &body).await.ok();
    assert_eq!((&again["verification"], &again["operation"]), (&json!(null), &first["operation"]));
    assert_eq!(again["operation"]["result"]["passed"], json!(true));
    app
});

on_each_database!(a_damaged_pack_is_named_and_healed_from_the_source, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    let (pack, _) = packs(&app, "g").pop().unwrap();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[40] ^= 1;
    fs::write(&pack, damaged).unwrap();
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(verify(&app, &snapshot, "data").await["passed"], json!(false));
    let checked = work(&app, "g", "check", json!({ "depth": "all_data" })).await;
    assert!(checked["problems"].as_array().unwrap().iter().any(|problem| problem.as_str().unwrap().contains(&name)), "{checked}");
    let repaired = work(&app, "g", "repair", json!({})).await;
    assert!(repaired["set_aside"].to_string().contains(&name), "{repaired}");
    assert!(repaired["restored_bytes"].as_i64().unwrap() > 0, "{repaired}");
    assert_eq!(repaired["lost"], json!([]));
    // It counts as good again, and as one that is still to be verified.
    let shown = get(&app, &format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id)).await.ok();
    assert_eq!((&shown["verified_passed"], &shown["verified_at"], &shown["losses"]), (&json!(null), &json!(null), &json!([])));
    assert_eq!(work(&app, "g", "check", json!({})).await["total_problems"], json!(0));
    assert_eq!(verify(&app, &snapshot, "content").await["passed"], json!(true));
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    app
});

on_each_database!(what_cannot_be_healed_is_marked, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    noise(&source.join("lost"), 1, 2_000_000);
    let lost = app.snapshot("g", &source).await;
    let (pack, _) = packs(&app, "g").pop().unwrap();
    fs::remove_file(source.join("lost")).unwrap();
    noise(&source.join("whole"), 2, 1_000_000);
    let whole = app.snapshot("g", &source).await;
    fs::remove_file(&pack).unwrap();
    let repaired = work(&app, "g", "repair", json!({})).await;
    assert_eq!(repaired["lost"][0]["snapshot_id"], json!(lost.backup_id), "{repaired}");
    assert_eq!(repaired["lost"].as_array().unwrap().len(), 1);
    let path = format!("{GRAPHS}/g/snapshots/{}", lost.backup_id);
    assert!(get(&app, &path).await.ok()["losses"].to_string().contains("lost"));
    app.restore(&whole, &app.data("again")).await.unwrap();
    assert!(app.restore(&lost, &app.data("never")).await.is_err());
    assert!(!app.data("never").exists());
    // The content comes back: so does the snapshot.
    noise(&source.join("lost"), 1, 2_000_000);
    assert_eq!(work(&app, "g", "repair", json!({})).await["lost"], json!([]));
    assert_eq!(get(&app, &path).await.ok()["losses"], json!([]));
    app.restore(&lost, &app.data("once-more")).await.unwrap();
    app
});

on_each_database!(rows_follow_what_restic_does, async |app: TestApp| {
    let source = app.sample("rag");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let first = app.snapshot("g", &source).await;
    let second = app.snapshot("g", &source).await;
    assert_eq!(work(&app, "g", "reconcile", json!({})).await["adopted_snapshot_ids"], json!([]));
    let record = |snapshot: &v1::Snapshot| PathBuf::from(snapshot.checkpoint_path()).file_name().unwrap().to_str().unwrap().to_owned();
    restic_ok(&app.storage(), "g", &["tag", "--add", "mine", &record(&second)]);
    restic_ok(&app.storage(), "g", &["forget", &record(&first), "--prune"]);
    restic_ok(&app.storage(), "g", &["backup", source.to_str().unwrap()]);
    let report = work(&app, "g", "reconcile", json!({})).await;
    assert_eq!((&report["lost_snapshot_ids"], &report["renamed_snapshot_ids"]), (&json!([first.backup_id]), &json!([second.backup_id])));
    assert_eq!(report["adopted_snapshot_ids"].as_array().unwrap().len(), 1);
    let list = app.list("g").await;
    let adopted = list.iter().find(|one| json!(one.backup_id) == report["adopted_snapshot_ids"][0]).unwrap();
    assert_eq!((adopted.status(), adopted.files, adopted.size_bytes), (v1::SnapshotStatus::Completed, second.files, second.size_bytes));
    assert_eq!(adopted.data_hash, second.data_hash);
    for (number, one) in [adopted, &second].into_iter().enumerate() {
        let target = app.data(&format!("again{number}"));
        app.restore(one, &target).await.unwrap();
        assert_eq!(files::describe(&target), files::describe(&source));
    }
    let gone = list.iter().find(|one| one.backup_id == first.backup_id).unwrap();
    assert_eq!(gone.status(), v1::SnapshotStatus::Failed);
    assert!(gone.error_message().contains("outside Lightkeep"));
    app.delete(gone).await.unwrap();
    assert_eq!(work(&app, "g", "reconcile", json!({})).await["lost_snapshot_ids"], json!([]));
    app
});
