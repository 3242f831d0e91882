//! Retention policies: set, tried out, and followed by themselves after each snapshot and every hour.

use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp, settled};
use crate::support::database::on_each_database;
use crate::support::files::small;
use crate::support::repositories::{flip, noise, open, packs, work};
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send};
use crate::support::tools::restic_ok;
use crate::trouble::{files_below, restart, until};

const DAY: Duration = Duration::from_secs(24 * 3600);
const POLICY: &str = "/api/backup/backup/graphs/g/retention";

async fn put(app: &TestApp, body: &Json) -> Answer {
    send(app, "PUT", POLICY, &[], body.to_string()).await
}

/// What would become of each snapshot, newest first: the verdict and why.
async fn preview(app: &TestApp, body: &Json) -> (Vec<(String, String)>, i64) {
    let answer = post(app, &format!("{POLICY}/preview"), body).await.ok();
    let text = |one: &Json, field: &str| one[field].as_str().unwrap().to_owned();
    let verdicts = answer["verdicts"].as_array().unwrap().iter().map(|one| (text(one, "verdict"), text(one, "explanation")));
    (verdicts.collect(), answer["expired_snapshots"].as_i64().unwrap())
}

fn verdict(word: &str, why: &str) -> (String, String) {
    (word.to_owned(), why.to_owned())
}

/// How many snapshots there are when nothing is left to do.
async fn left(app: &TestApp) -> usize {
    settled(app).await;
    app.list("g").await.len()
}

on_each_database!(a_policy_is_followed_after_each_snapshot, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let first = app.snapshot("g", &source).await;
    assert!(first.retention_until.is_some());
    let told = put(&app, &json!({ "keep_last": 2 })).await.ok();
    assert_eq!((&told["policy"]["keep_last"], &told["policy"]["minimum_good"], &told["default_days"]), (&json!(2), &json!(1), &json!(30)));
    assert_eq!(app.list("g").await[0].retention_until, None, "no age counts any more");
    let mut taken = vec![first];
    for _ in 0..4 {
        app.clock.advance(DAY);
        taken.push(app.snapshot("g", &source).await);
        assert_eq!(left(&app).await, 2);
    }
    let kept: Vec<String> = app.list("g").await.into_iter().map(|snapshot| snapshot.backup_id).collect();
    assert_eq!(kept, [taken[4].backup_id.as_str(), &taken[3].backup_id]);
    let events = app.query("SELECT caller FROM audit_events WHERE action = 'CleanupSnapshots' GROUP BY caller").await;
    assert_eq!(events, ["operation", "retention"]);
    app
});

on_each_database!(without_a_policy_age_counts_after_each_snapshot_and_every_hour, async |app: TestApp| {
    let source = small(&app.data("plain"));
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    app.clock.advance(DAY * 31);
    assert_eq!(left(&app).await, 2);
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 1);
    app.snapshot("g", &source).await;
    assert_eq!(left(&app).await, 1, "the older one was the newest good one until then");
    app
});

on_each_database!(a_policy_can_be_tried_before_it_is_set_and_be_taken_away, async |app: TestApp| {
    let source = small(&app.data("plain"));
    for _ in 0..3 {
        app.snapshot("g", &source).await;
        app.clock.advance(DAY);
    }
    let before: Vec<_> = app.list("g").await.into_iter().map(|one| one.retention_until).collect();
    let tried = json!({ "policy": { "keep_daily": 2, "time_zone": "Europe/Berlin" } });
    let expected = [
        verdict("newest_good", "newest good; daily 1 of 2"),
        verdict("policy", "daily 2 of 2"),
        verdict("expired", "its retention is over"),
    ];
    assert_eq!(preview(&app, &tried).await, (expected.to_vec(), 1));
    assert_eq!(preview(&app, &json!({})).await.1, 0, "what was tried is not set");
    let page = post(&app, &format!("{POLICY}/preview"), &json!({ "page_size": 2 })).await.ok();
    assert_eq!(page["verdicts"].as_array().unwrap().len(), 2);
    let next = json!({ "page_size": 2, "page_token": page["next_page_token"] });
    assert_eq!(preview(&app, &next).await.0.len(), 1);

    assert_eq!(get(&app, POLICY).await.ok()["policy"], json!(null));
    put(&app, &tried["policy"]).await.ok();
    let told = get(&app, POLICY).await.ok();
    assert_eq!((&told["policy"]["keep_daily"], &told["policy"]["time_zone"]), (&json!(2), &json!("Europe/Berlin")));
    assert_eq!(preview(&app, &json!({})).await.1, 1);
    assert_eq!(preview(&app, &json!({ "by_age": true })).await.1, 0);
    let both = json!({ "by_age": true, "policy": { "keep_last": 1 } });
    assert_eq!(post(&app, &format!("{POLICY}/preview"), &both).await.status, 400);
    let cleared = delete(&app, POLICY).await.ok();
    assert_eq!((&cleared["graph_id"], &cleared["policy"]), (&json!("g"), &json!(null)));
    assert_eq!(preview(&app, &json!({})).await.1, 0);
    let ages: Vec<_> = app.list("g").await.into_iter().map(|one| one.retention_until).collect();
    assert_eq!(ages, before, "what was known of their age is not lost");
    app
});

on_each_database!(a_policy_that_is_wrong_is_refused_whole, async |app: TestApp| {
    app.snapshot("g", &small(&app.data("plain"))).await;
    let wrong = json!({ "keep_last": -1, "keep_daily": 10_001, "time_zone": "Mars/Olympus", "keep_tags": ["a,b"], "minimum_good": 0 });
    let refused = put(&app, &wrong).await;
    let (status, text) = refused.refusal();
    assert_eq!(status, 400);
    for field in ["keep_last", "keep_daily", "time_zone", "keep_tags", "minimum_good"] {
        assert!(text.contains(&format!("`policy.{field}`")), "{field}: {text}");
    }
    let nothing = put(&app, &json!({})).await;
    assert!(nothing.refusal().1.contains("with no rule, all but the minimum would be deleted"), "{}", nothing.text);
    let contradictory = put(&app, &json!({ "keep_last": 2, "minimum_good": 3 })).await;
    assert!(contradictory.refusal().1.contains("must not be more than all that the rules count together, 2: 3"), "{}", contradictory.text);
    assert_eq!(get(&app, POLICY).await.ok()["policy"], json!(null));
    let unknown = send(&app, "PUT", &format!("{GRAPHS}/none/retention"), &[], json!({ "keep_last": 1 }).to_string()).await;
    assert_eq!((unknown.status, &unknown.json["reason"]), (404, &json!("GRAPH_NOT_FOUND")));
    app
});

on_each_database!(a_repeated_setting_does_not_undo_a_later_one, async |app: TestApp| {
    app.snapshot("g", &small(&app.data("plain"))).await;
    let key = [("idempotency-key", "0191e7a0-1111-7222-8333-444455556666")];
    let set = async |keep_last: i64| send(&app, "PUT", POLICY, &key, json!({ "keep_last": keep_last }).to_string()).await;
    assert_eq!(set(5).await.ok()["policy"]["keep_last"], json!(5));
    put(&app, &json!({ "keep_last": 7 })).await.ok();
    assert_eq!(set(5).await.ok()["policy"]["keep_last"], json!(7));
    assert_eq!(set(6).await.json["reason"], json!("REQUEST_ID_REUSED"));
    app
});

on_each_database!(tags_are_in_the_record_and_a_policy_asks_for_them, async |app: TestApp| {
    let source = small(&app.data("plain"));
    app.snapshot("g", &source).await;
    let taken = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "tags": ["weekly", "a b", "weekly"] })).await.ok();
    assert_eq!(taken["tags"], json!(["a b", "weekly"]));
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let listed = restic_ok(&app.storage(), "g", &["snapshots", "--json", "--tag", "weekly"]);
    assert_eq!(serde_json::from_str::<Vec<Json>>(&listed).unwrap().len(), 1);
    put(&app, &json!({ "keep_last": 1, "keep_tags": ["weekly"] })).await.ok();
    let words = ["newest_good", "expired", "policy", "expired"];
    assert_eq!(preview(&app, &json!({})).await.0.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(), words);
    // What an operator's restic adds counts as well.
    let third = &app.list("g").await[1];
    restic_ok(&app.storage(), "g", &["tag", "--add", "audit", third.checkpoint_path().rsplit('/').next().unwrap()]);
    work(&app, "g", "reconcile", json!({})).await;
    assert_eq!(app.list("g").await[1].tags, ["audit"]);
    put(&app, &json!({ "keep_last": 1, "keep_tags": ["weekly", "audit"] })).await.ok();
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 3);
    for wrong in [json!(["snapshot:1"]), json!(["lightkeep"]), json!([""])] {
        assert_eq!(post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "tags": wrong })).await.status, 400);
    }
    app
});

on_each_database!(what_a_schedule_takes_has_its_tags, async |app: TestApp| {
    app.snapshot("g", &small(&app.data("plain"))).await;
    let body = json!({ "schedule": { "graph_id": "g", "cron": "0 3 * * 0", "tags": ["weekly"] } });
    let made = post(&app, "/api/backup/backup/schedules", &body).await.ok();
    assert_eq!(made["schedule"]["tags"], json!(["weekly"]));
    let path = format!("/api/backup/backup/schedules/{}", made["schedule"]["schedule_id"].as_str().unwrap());
    post(&app, &format!("{path}/run"), &json!({})).await.ok();
    settled(&app).await;
    assert_eq!(app.list("g").await[0].tags, ["weekly"]);
    let updated = send(&app, "PATCH", &path, &[], json!({ "tags": ["sunday"] }).to_string()).await.ok();
    assert_eq!((&updated["tags"], &updated["cron"]), (&json!(["sunday"]), &json!("0 3 * * 0")));
    let set = json!({ "graph_id": "g", "interval_hours": 24, "tags": ["daily"] });
    assert_eq!(post(&app, "/api/backup/backup/schedule", &set).await.ok()["tags"], json!(["daily"]));
    app
});

// A loosened policy counts for what is to be deleted already, until the very moment.
on_each_database!(a_policy_that_comes_while_a_cleanup_works_counts, async |app: TestApp| {
    let source = small(&app.data("plain"));
    for _ in 0..3 {
        app.snapshot("g", &source).await;
    }
    put(&app, &json!({ "keep_last": 1 })).await.ok();
    let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
    app.server.services().expire_all().await.unwrap();
    app.server.services().expire_all().await.unwrap();
    let queued = app.query("SELECT kind FROM operations WHERE kind = 'cleanup'").await;
    assert_eq!(queued, ["cleanup"], "one is enough");
    // It has judged, and waits to be alone in the repository.
    until(&app, v1::OperationKind::Cleanup, v1::OperationState::Running).await;
    put(&app, &json!({ "keep_last": 2 })).await.ok();
    drop(lock);
    assert_eq!(left(&app).await, 2);
    app
});

on_each_database!(what_a_restore_waits_for_does_not_expire, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let first = app.snapshot("g", &source).await;
    for _ in 0..2 {
        app.snapshot("g", &source).await;
    }
    put(&app, &json!({ "keep_last": 1 })).await.ok();
    let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
    app.server.services().expire_all().await.unwrap();
    until(&app, v1::OperationKind::Cleanup, v1::OperationState::Running).await;
    post(&app, &format!("/api/operations/{}/cancel", running_cleanup(&app).await), &json!({})).await.ok();
    drop(lock);
    settled(&app).await;
    // It waits behind what has the graph's turn, and before the next cleanup judges.
    let lock = open(&app, "g").lock(LockKind::Exclusive, START, "another-host").unwrap();
    post(&app, &format!("{GRAPHS}/g/snapshots?wait=false"), &json!({})).await.ok();
    let restore = json!({ "target_dir": app.data("again"), "wait": false });
    post(&app, &format!("{GRAPHS}/g/snapshots/{}/restore", first.backup_id), &restore).await.ok();
    drop(lock);
    settled(&app).await;
    assert!(app.data("again").join("note").exists());
    let (verdicts, _) = preview(&app, &json!({})).await;
    assert_eq!(verdicts.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>(), ["newest_good", "in_use"]);
    app.clock.advance(DAY);
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 1);
    app
});

async fn running_cleanup(app: &TestApp) -> String {
    until(app, v1::OperationKind::Cleanup, v1::OperationState::Running).await.operation_id
}

// What keeps it from its work would keep each further one, and snapshots would wait behind them.
on_each_database!(a_cleanup_that_fails_comes_again_an_hour_later, async |app: TestApp| {
    let source = small(&app.data("plain"));
    for _ in 0..2 {
        app.snapshot("g", &source).await;
    }
    put(&app, &json!({ "keep_last": 1 })).await.ok();
    let record = app.list("g").await[1].checkpoint_path().to_owned();
    let kept = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    app.server.services().expire_all().await.unwrap();
    settled(&app).await;
    let states = async || app.query("SELECT state FROM operations WHERE kind = 'cleanup' ORDER BY created_at").await;
    assert_eq!(states().await, ["failed"]);
    app.server.services().expire_all().await.unwrap();
    assert_eq!(states().await, ["failed"]);
    std::fs::remove_dir(&record).unwrap();
    std::fs::write(&record, kept).unwrap();
    app.clock.advance(Duration::from_secs(3600));
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 1);
    assert_eq!(states().await, ["failed", "succeeded"]);
    app
});

// A disk that is half mounted loses nothing for good.
on_each_database!(a_record_that_was_gone_for_a_while_is_not_deleted_when_it_is_back, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let first = app.snapshot("g", &source).await;
    let pin = json!({ "reason": "until it is lost" });
    post(&app, &format!("{GRAPHS}/g/snapshots/{}/pin", first.backup_id), &pin).await.ok();
    app.snapshot("g", &source).await;
    app.clock.advance(DAY * 60);
    let record = std::fs::read(first.checkpoint_path()).unwrap();
    std::fs::remove_file(first.checkpoint_path()).unwrap();
    assert_eq!(work(&app, "g", "reconcile", json!({})).await["lost_snapshot_ids"], json!([first.backup_id]));
    post(&app, &format!("{GRAPHS}/g/snapshots/{}/unpin", first.backup_id), &json!({})).await.ok();
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 2, "that it is lost can be read for as long as a failed one");
    std::fs::write(first.checkpoint_path(), record).unwrap();
    assert_eq!(work(&app, "g", "reconcile", json!({})).await["adopted_snapshot_ids"], json!([first.backup_id]));
    app.server.services().expire_all().await.unwrap();
    assert_eq!(left(&app).await, 2);
    app.restore(&first, &app.data("again")).await.unwrap();
    app
});

on_each_database!(what_was_deleted_is_pruned_by_itself, async |app: TestApp| {
    let source = small(&app.data("plain"));
    noise(&source.join("changes"), 1, 3_000_000);
    let first = app.snapshot("g", &source).await;
    noise(&source.join("changes"), 2, 3_000_000);
    app.snapshot("g", &source).await;
    let services = app.server.services();
    let prunes = async || {
        settled(&app).await;
        let request = v1::ListOperationsRequest { kind: v1::OperationKind::Prune.into(), ..Default::default() };
        app.operations().await.list_operations(request).await.unwrap().into_inner().operations.len()
    };
    app.clock.advance(DAY * 3);
    services.prune_next().await.unwrap();
    assert_eq!(prunes().await, 0, "nothing was deleted");
    app.delete(&first).await.unwrap();
    services.prune_next().await.unwrap();
    assert_eq!(prunes().await, 0, "not long ago");
    app.clock.advance(DAY);
    let before: u64 = packs(&app.storage().join("g")).iter().map(|(_, bytes)| bytes).sum();
    services.prune_next().await.unwrap();
    assert_eq!(prunes().await, 1);
    let after: u64 = packs(&app.storage().join("g")).iter().map(|(_, bytes)| bytes).sum();
    assert!(after + 2_900_000 < before, "{after} of {before}");
    app.clock.advance(DAY);
    services.prune_next().await.unwrap();
    assert_eq!(prunes().await, 1, "nothing is left to do");
    app
});

// One that failed comes again after the whole interval, not every hour.
on_each_database!(a_prune_that_fails_is_tried_again_a_day_later, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let first = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    app.delete(&first).await.unwrap();
    let index = files_below(&app.storage().join("g/index"));
    index.iter().for_each(|file| flip(file));
    let app = restart(app).await;
    let states = async || {
        settled(&app).await;
        app.query("SELECT state FROM operations WHERE kind = 'prune' ORDER BY created_at").await
    };
    for (hours, expected) in [(24, vec!["failed"]), (1, vec!["failed"]), (23, vec!["failed", "failed"])] {
        app.clock.advance(Duration::from_secs(hours * 3600));
        app.server.services().prune_next().await.unwrap();
        assert_eq!(states().await, expected);
    }
    index.iter().for_each(|file| flip(file));
    let app = restart(app).await;
    app.clock.advance(DAY);
    app.server.services().prune_next().await.unwrap();
    settled(&app).await;
    assert_eq!(app.query("SELECT state FROM operations WHERE state = 'succeeded' AND kind = 'prune'").await.len(), 1);
    app
});
