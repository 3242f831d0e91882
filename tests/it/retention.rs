//! What is deleted and what is kept: by hand, by age, and never what is pinned or the last good one.

use std::fs;
use std::time::Duration;

use lightkeep::proto::v1;
use serde_json::json;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{GRAPHS, delete, get, post};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CLEANUP: &str = "/api/backup/backup/cleanup";

async fn cleanup(app: &TestApp) -> i64 {
    post(app, CLEANUP, &json!({})).await.ok()["deleted_snapshots"].as_i64().unwrap()
}

async fn verdicts(app: &TestApp) -> Vec<String> {
    let answer = post(app, CLEANUP, &json!({ "validate_only": true })).await.ok();
    answer["verdicts"].as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap().to_owned()).collect()
}

fn path(snapshot: &v1::Snapshot) -> String {
    format!("{GRAPHS}/{}/snapshots/{}", snapshot.graph_id, snapshot.backup_id)
}

on_each_database!(only_what_is_over_goes_and_the_newest_good_one_stays, async |app: TestApp| {
    let source = app.sample("rag");
    let first = app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    let second = app.snapshot("g", &source).await;
    app.clock.advance(DAY * 29);
    assert_eq!(verdicts(&app).await, ["newest_good", "expired"]);
    assert_eq!(app.list("g").await.len(), 2, "looking deletes nothing");
    let answer = post(&app, CLEANUP, &json!({})).await.ok();
    assert_eq!((&answer["deleted_snapshots"], &answer["verdicts"]), (&json!(1), &json!([])));
    assert!(!fs::exists(first.checkpoint_path()).unwrap());
    app.clock.advance(DAY * 300);
    assert_eq!(cleanup(&app).await, 0);
    assert_eq!(app.list("g").await, vec![second.clone()]);
    app.restore(&second, &app.data("again")).await.unwrap();
    app
});

on_each_database!(an_emptied_graph_does_not_push_out_the_last_whole_one, async |app: TestApp| {
    let source = app.sample("rag");
    let whole = app.snapshot("g", &source).await;
    fs::remove_dir_all(&source).unwrap();
    fs::create_dir(&source).unwrap();
    let empty = app.snapshot("g", &source).await;
    assert_eq!(empty.consistency(), v1::Consistency::NotApplicable);
    app.clock.advance(DAY * 60);
    assert_eq!(verdicts(&app).await, ["expired", "newest_good"]);
    assert_eq!(cleanup(&app).await, 1);
    assert_eq!(app.list("g").await, vec![whole]);
    app
});

on_each_database!(a_pin_keeps_a_snapshot_from_every_deletion, async |app: TestApp| {
    let source = app.sample("rag");
    let pinned = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let answer = post(&app, &format!("{}/pin", path(&pinned)), &json!({ "reason": "before the upgrade" })).await.ok();
    assert_eq!((&answer["pin_reason"], &answer["retention_until"]), (&json!("before the upgrade"), &json!(null)));
    let refused = delete(&app, &path(&pinned)).await;
    assert_eq!(refused.status, 409);
    assert!(refused.refusal().1.contains("before the upgrade"));
    app.clock.advance(DAY * 60);
    assert_eq!(verdicts(&app).await, ["newest_good", "pinned"]);
    assert_eq!(cleanup(&app).await, 0);
    let purge = format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g");
    assert_eq!(delete(&app, &purge).await.status, 409);
    let list = get(&app, &format!("{GRAPHS}/g/snapshots?pinned=true")).await.ok();
    assert_eq!(list[0]["backup_id"], json!(pinned.backup_id));
    assert_eq!(list.as_array().unwrap().len(), 1);
    let answer = post(&app, &format!("{}/unpin", path(&pinned)), &json!({})).await.ok();
    assert_eq!(answer["pin_reason"], json!(null));
    assert!(answer["retention_until"].is_string());
    assert_eq!(cleanup(&app).await, 1);
    app
});

on_each_database!(a_pin_ends_at_its_time, async |app: TestApp| {
    let source = app.sample("rag");
    let pinned = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let pin = |until: &str| json!({ "reason": "audit", "until": until });
    post(&app, &format!("{}/pin", path(&pinned)), &pin("2021-01-10T00:00:00Z")).await.ok();
    app.clock.advance(DAY * 40);
    assert_eq!(verdicts(&app).await, ["newest_good", "pinned"]);
    app.clock.advance(DAY * 20);
    assert_eq!(verdicts(&app).await, ["newest_good", "expired"]);
    let late = post(&app, &format!("{}/pin", path(&pinned)), &pin("2021-01-10T00:00:00Z")).await;
    assert_eq!(late.status, 400);
    let empty = post(&app, &format!("{}/pin", path(&pinned)), &json!({ "reason": "  " })).await;
    assert_eq!(empty.status, 400);
    assert_eq!(cleanup(&app).await, 1);
    app
});

on_each_database!(a_repeated_cleanup_gives_the_first_answer, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    app.clock.advance(DAY * 60);
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let first = post(&app, CLEANUP, &body).await.ok();
    assert_eq!(first["deleted_snapshots"], json!(1));
    app.snapshot("g", &source).await;
    app.clock.advance(DAY / 2);
    assert_eq!(post(&app, CLEANUP, &body).await.ok(), first);
    assert_eq!(app.list("g").await.len(), 2);
    app
});

on_each_database!(lists_are_filtered, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(DAY);
    fs::remove_file(source.join("kv_store_text_chunks.json")).unwrap();
    let broken = app.snapshot("g", &source).await;
    let ids = async |query: &str| {
        let list = get(&app, &format!("{GRAPHS}/g/snapshots?{query}")).await.ok();
        list.as_array().unwrap().iter().map(|one| one["backup_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("consistency=inconsistent").await, [broken.backup_id.as_str()]);
    assert_eq!(ids("created_from=2020-11-23T12:00:00Z").await, [broken.backup_id.as_str()]);
    assert_eq!(ids("created_before=2020-11-23T12:00:00Z").await.len(), 1);
    assert_eq!(ids("status=completed").await.len(), 2);
    assert_eq!(ids("status=failed").await.len(), 0);
    // A restored one counts as completed, and can be asked for alone.
    app.restore(&broken, &app.data("again")).await.unwrap();
    assert_eq!(ids("status=completed").await.len(), 2);
    assert_eq!(ids("status=restored").await, [broken.backup_id.as_str()]);
    app
});
