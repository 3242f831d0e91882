//! What is deleted and what is kept: by hand, by age, and never what is pinned or the last good one.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::rest::{GRAPHS, delete, get, post};
use crate::trouble::files_below;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CLEANUP: &str = "/api/backup/backup/cleanup";

async fn cleanup(app: &TestApp) -> i64 {
    post(app, CLEANUP, &json!({})).await.ok()["deleted_snapshots"].as_i64().unwrap()
}

async fn verdicts(app: &TestApp) -> Vec<String> {
    let answer = post(app, CLEANUP, &json!({ "validate_only": true })).await.ok();
    answer["verdicts"].as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap().to_owned()).collect()
}

/// Verifies a snapshot: whether that passed, and what the snapshot shows of its verifications then.
async fn verified(app: &TestApp, snapshot: &v1::Snapshot, level: &str) -> (bool, Json, Json) {
    let answer = post(app, &format!("{}/verify", path(snapshot)), &json!({ "level": level })).await.ok();
    let shown = get(app, &path(snapshot)).await.ok();
    (answer["verification"]["passed"].as_bool().unwrap(), shown["verified_level"].clone(), shown["verified_passed"].clone())
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
    let pinned = app.snapshot("g", &source).await;
    post(&app, &format!("{}/pin", path(&pinned)), &json!({ "reason": "audit" })).await.ok();
    app.snapshot("g", &source).await;
    app.clock.advance(DAY * 60);
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let first = post(&app, CLEANUP, &body).await.ok();
    assert_eq!(first["deleted_snapshots"], json!(1));
    post(&app, &format!("{}/unpin", path(&pinned)), &json!({})).await.ok();
    assert_eq!(post(&app, CLEANUP, &body).await.ok(), first);
    assert_eq!(app.list("g").await.len(), 2);
    app
});

on_each_database!(a_repeated_cleanup_without_anything_to_do_does_nothing_later_either, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let nothing = json!({ "deleted_snapshots": 0, "verdicts": [], "operation_ids": [], "next_page_token": "" });
    assert_eq!(post(&app, CLEANUP, &body).await.ok(), nothing);
    // As long as the request is remembered: housekeeping forgets it by the hour, which this clock does not reach.
    app.clock.advance(DAY * 60);
    assert_eq!(post(&app, CLEANUP, &body).await.ok(), nothing);
    assert_eq!(app.list("g").await.len(), 2);
    let of_graph = json!({ "graph_id": "g", "request_id": body["request_id"] });
    let refused = post(&app, CLEANUP, &of_graph).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("REQUEST_ID_REUSED")));
    let other = post(&app, &format!("{GRAPHS}/g/snapshots"), &body).await;
    assert_eq!((other.status, &other.json["reason"]), (409, &json!("REQUEST_ID_REUSED")));
    assert_eq!(cleanup(&app).await, 1);
    app
});

on_each_database!(cleanups_at_once_with_one_request_id_are_one, async |app: TestApp| {
    let source = app.sample("rag");
    for _ in 0..3 {
        app.snapshot("g", &source).await;
    }
    app.clock.advance(DAY * 60);
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let answers = join_all((0..8).map(|_| post(&app, CLEANUP, &body))).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.ok()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]) && answers[0]["deleted_snapshots"] == json!(2), "{answers:?}");
    assert_eq!(answers[0]["operation_ids"].as_array().unwrap().len(), 1);
    app
});

on_each_database!(a_preview_comes_by_pages, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir(&source).unwrap();
    for graph_id in ["b", "a", "c"] {
        for _ in 0..3 {
            app.snapshot(graph_id, &source).await;
        }
    }
    app.clock.advance(DAY * 60);
    let whole = post(&app, CLEANUP, &json!({ "validate_only": true })).await.ok();
    let verdicts = whole["verdicts"].as_array().unwrap();
    let graphs: Vec<_> = verdicts.iter().map(|one| one["graph_id"].as_str().unwrap()).collect();
    assert_eq!(graphs, ["a", "a", "a", "b", "b", "b", "c", "c", "c"]);
    assert_eq!((&whole["deleted_snapshots"], &whole["next_page_token"]), (&json!(6), &json!("")));
    for size in [1, 2, 4, 9] {
        let (mut seen, mut token) = (vec![], json!(""));
        loop {
            let body = json!({ "validate_only": true, "page_size": size, "page_token": token });
            let page = post(&app, CLEANUP, &body).await.ok();
            assert_eq!(page["deleted_snapshots"], json!(6));
            assert!(page["verdicts"].as_array().unwrap().len() <= size);
            seen.extend(page["verdicts"].as_array().unwrap().iter().cloned());
            token = page["next_page_token"].clone();
            if token == json!("") {
                break;
            }
        }
        assert_eq!(&seen, verdicts, "pages of {size}");
    }
    let odd = post(&app, CLEANUP, &json!({ "validate_only": true, "page_token": "%%" })).await;
    assert_eq!(odd.status, 400);
    app
});

// What looked less deep does not say that what was found deeper is whole again.
on_each_database!(a_failed_verification_counts_until_one_as_deep_passes, async |app: TestApp| {
    let source = app.sample("rag");
    let whole = app.snapshot("g", &source).await;
    let packs = files_below(&app.storage().join("g/data"));
    let more: Vec<u8> = (0..100_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(source.join("more"), more).unwrap();
    let damaged = app.snapshot("g", &source).await;
    let added: Vec<_> = files_below(&app.storage().join("g/data")).into_iter().filter(|pack| !packs.contains(pack)).collect();
    let largest = added.iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    assert_eq!(verified(&app, &damaged, "data").await, (true, json!("data"), json!(true)));
    // One flipped byte of content: the record and the index do not show it.
    let intact = fs::read(largest).unwrap();
    let mut bytes = intact.clone();
    bytes[40] ^= 1;
    fs::write(largest, bytes).unwrap();
    assert_eq!(verified(&app, &damaged, "data").await, (false, json!("data"), json!(false)));
    assert_eq!(verified(&app, &damaged, "record").await, (true, json!("data"), json!(false)));
    app.clock.advance(DAY * 60);
    assert_eq!(verdicts(&app).await, ["expired", "newest_good"], "the older one is the newest good one");
    fs::write(largest, intact).unwrap();
    assert_eq!(verified(&app, &damaged, "data").await, (true, json!("data"), json!(true)));
    assert_eq!(verified(&app, &damaged, "record").await, (true, json!("record"), json!(true)));
    assert_eq!(verified(&app, &whole, "record").await, (true, json!("record"), json!(true)));
    assert_eq!(verdicts(&app).await, ["newest_good", "expired"]);
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
