//! Checkpoints over several graphs: all or none, kept, validated by really reading them, made by themselves, and followed through crashes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lightkeep::base::ids::CheckpointId;
use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::crash::{Scene, crash_tests, settle};
use crate::support::app::{START, TestApp, finish, settled};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::repositories::{flip, open};
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send};
use crate::trouble::{files_below, restart};

const DAY: Duration = Duration::from_secs(24 * 3600);
const CHECKPOINTS: &str = "/api/backup/recovery/checkpoints";
const STATUS: &str = "/api/backup/recovery/status";

/// Three registered graphs: two workspaces and a plain directory.
async fn three(app: &TestApp) -> Vec<PathBuf> {
    let sources = vec![app.sample("a"), app.sample("b"), files::small(&app.data("c"))];
    for (graph_id, source) in ["a", "b", "c"].into_iter().zip(&sources) {
        post(app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
    }
    sources
}

async fn make(app: &TestApp, body: Json) -> Answer {
    post(app, CHECKPOINTS, &body).await
}

async fn all(app: &TestApp) -> Json {
    make(app, json!({ "graph_ids": ["c", "a", "b"], "description": "before the upgrade" })).await.ok()
}

fn path(checkpoint: &Json) -> String {
    format!("{CHECKPOINTS}/{}", checkpoint["checkpoint_id"].as_str().unwrap())
}

/// The id of the snapshot of one of a checkpoint's graphs.
fn snapshot_of<'c>(checkpoint: &'c Json, graph_id: &str) -> &'c str {
    let member = checkpoint["members"].as_array().unwrap().iter().find(|member| member["graph_id"] == graph_id);
    member.unwrap()["snapshot_id"].as_str().unwrap()
}

async fn valid(app: &TestApp, checkpoint: &Json) -> Json {
    post(app, &format!("{}/validate", path(checkpoint)), &json!({})).await.ok()
}

on_each_database!(a_checkpoint_is_made_validated_listed_and_removed, async |app: TestApp| {
    three(&app).await;
    let made = all(&app).await;
    assert_eq!((&made["graphs"], &made["description"]), (&json!(["c", "a", "b"]), &json!("before the upgrade")));
    assert_eq!((&made["state"], &made["validated"]), (&json!("completed"), &json!(true)), "{made}");
    for field in ["created_at", "validation_timestamp", "captured_from", "captured_until", "completed_at"] {
        assert_eq!(made[field], json!("2020-11-22T12:00:00Z"), "{field}");
    }
    for (graph_id, consistency) in [("a", "consistent"), ("b", "consistent"), ("c", "not_applicable")] {
        let snapshot = get(&app, &format!("{GRAPHS}/{graph_id}/snapshots/{}", snapshot_of(&made, graph_id))).await.ok();
        assert_eq!((&snapshot["consistency"], &snapshot["checkpoints"]), (&json!(consistency), &json!(1)));
        assert_eq!(snapshot["metadata"]["checkpoint_id"], made["checkpoint_id"]);
    }
    assert_eq!(get(&app, &path(&made)).await.ok(), made);
    assert_eq!(valid(&app, &made).await, json!({ "valid": true }), "the old form, and nothing more");
    let validations = get(&app, &format!("{}/validations", path(&made))).await.ok();
    assert_eq!(validations.as_array().unwrap().len(), 2);
    assert_eq!(
        (&validations[0]["state"], &validations[0]["level"], &validations[0]["problems"]),
        (&json!("passed"), &json!("content"), &json!([]))
    );
    app.clock.advance(DAY);
    let second = make(&app, json!({ "graph_ids": ["b"], "validate": false })).await.ok();
    assert_eq!((&second["validated"], &second["validation_timestamp"]), (&json!(false), &json!(null)));
    let listed = get(&app, CHECKPOINTS).await.ok();
    assert_eq!(
        listed.as_array().unwrap().iter().map(|one| &one["checkpoint_id"]).collect::<Vec<_>>(),
        [&second["checkpoint_id"], &made["checkpoint_id"]]
    );
    let status = get(&app, STATUS).await.ok();
    let expected = json!({ "total_checkpoints": 2, "validated_checkpoints": 1, "failover_in_progress": false,
        "latest_checkpoint": second["checkpoint_id"], "latest_checkpoint_time": "2020-11-23T12:00:00Z" });
    assert_eq!(status, expected);
    assert_eq!(delete(&app, &path(&second)).await.ok()["status"], json!("success"));
    assert_eq!(get(&app, &path(&second)).await.status, 404);
    app
});

on_each_database!(a_checkpoint_with_an_unknown_graph_makes_nothing, async |app: TestApp| {
    three(&app).await;
    let refused = make(&app, json!({ "graph_ids": ["a", "none"], "description": "d" })).await;
    assert_eq!(refused.refusal(), (404, "Graph none not found"));
    let missing = make(&app, json!({ "description": "d" })).await;
    assert_eq!((missing.status, &missing.json["detail"][0]["loc"]), (422, &json!(["body", "graph_ids"])));
    for wrong in [
        json!({ "graph_ids": [] }),
        json!({ "graph_ids": ["a", "a"] }),
        json!({ "graph_ids": ["a"], "window_seconds": -1 }),
        json!({ "graph_ids": ["a"], "snapshots": [{ "graph_id": "b", "snapshot_id": "0191e7a0-1111-7222-8333-444455556666" }] }),
    ] {
        assert_eq!(make(&app, wrong.clone()).await.status, 400, "{wrong}");
    }
    let unknown = json!({ "graph_ids": ["a"], "snapshots": [{ "graph_id": "a", "snapshot_id": "0191e7a0-1111-7222-8333-444455556666" }] });
    assert_eq!(make(&app, unknown).await.json["reason"], json!("SNAPSHOT_NOT_FOUND"));
    assert_eq!(get(&app, CHECKPOINTS).await.ok(), json!([]));
    assert_eq!(app.list("-").await.len(), 0);
    app
});

on_each_database!(all_graphs_join_or_none_unless_it_may_be_partial, async |app: TestApp| {
    let sources = three(&app).await;
    fs::remove_dir_all(&sources[1]).unwrap();
    let refused = make(&app, json!({ "graph_ids": ["a", "b", "c"] })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("CHECKPOINT_FAILED")));
    assert!(refused.refusal().1.contains("graph `b` cannot join: "), "{}", refused.text);
    let failed = &get(&app, CHECKPOINTS).await.ok()[0];
    assert_eq!(failed["state"], json!("failed"));
    // What was taken for it is a snapshot like any other.
    app.delete(&app.list("a").await[0]).await.unwrap();
    let partial = make(&app, json!({ "graph_ids": ["a", "b", "c"], "allow_partial": true })).await.ok();
    assert_eq!((&partial["state"], &partial["validated"]), (&json!("completed"), &json!(true)));
    let absent = &partial["members"][1];
    assert_eq!((&absent["graph_id"], &absent["snapshot_id"]), (&json!("b"), &json!("")));
    assert!(absent["error_message"].as_str().unwrap().contains("not found"), "{absent}");
    app
});

on_each_database!(a_checkpoint_keeps_its_snapshots_from_every_deletion, async |app: TestApp| {
    three(&app).await;
    let first = all(&app).await;
    let again = json!({ "graph_ids": ["a"], "snapshots": [{ "graph_id": "a", "snapshot_id": snapshot_of(&first, "a") }] });
    let second = make(&app, again).await.ok();
    assert_eq!((snapshot_of(&second, "a"), &second["members"][0]["fresh"]), (snapshot_of(&first, "a"), &json!(false)));
    let snapshot = format!("{GRAPHS}/a/snapshots/{}", snapshot_of(&first, "a"));
    let kept = async || {
        for call in [snapshot.clone(), format!("{GRAPHS}/a?repository=keep"), format!("{GRAPHS}/a?repository=purge&confirm_graph_id=a")] {
            let refused = delete(&app, &call).await;
            assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("SNAPSHOT_IN_CHECKPOINT")), "{call}: {}", refused.text);
        }
    };
    kept().await;
    post(&app, &format!("{GRAPHS}/a/snapshots"), &json!({})).await.ok();
    app.clock.advance(DAY * 31);
    app.server.services().expire_all().await.unwrap();
    settled(&app).await;
    let preview = post(&app, &format!("{GRAPHS}/a/retention/preview"), &json!({})).await.ok();
    assert_eq!(
        (&preview["verdicts"][1]["verdict"], &preview["verdicts"][1]["explanation"]),
        (&json!("checkpoint"), &json!("in a checkpoint"))
    );
    delete(&app, &path(&first)).await.ok();
    kept().await;
    delete(&app, &path(&second)).await.ok();
    app.server.services().expire_all().await.unwrap();
    settled(&app).await;
    assert_eq!(get(&app, &snapshot).await.status, 404);
    app
});

on_each_database!(a_flipped_byte_makes_a_checkpoint_invalid_and_is_named, async |app: TestApp| {
    three(&app).await;
    let made = all(&app).await;
    let packs = files_below(&app.storage().join("b/data"));
    packs.iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    assert_eq!(valid(&app, &made).await, json!({ "valid": false }));
    let validation = &get(&app, &format!("{}/validations", path(&made))).await.ok()[0];
    let problems = validation["problems"].as_array().unwrap();
    assert!(!problems.is_empty() && problems.iter().all(|problem| problem["graph_id"] == "b"), "{validation}");
    assert_eq!(problems[0]["snapshot_id"], json!(snapshot_of(&made, "b")));
    assert_eq!(get(&app, &path(&made)).await.ok()["validated"], json!(false));
    packs.iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    assert_eq!(valid(&app, &made).await, json!({ "valid": true }));
    // A validation does not count for ever.
    app.clock.advance(DAY * 30);
    let old = get(&app, &path(&made)).await.ok();
    assert_eq!((&old["validated"], &old["validation_timestamp"].is_string()), (&json!(false), &true));
    assert_eq!(get(&app, STATUS).await.ok()["validated_checkpoints"], json!(0));
    app
});

on_each_database!(a_snapshot_that_restic_removed_makes_a_checkpoint_invalid, async |app: TestApp| {
    three(&app).await;
    let made = all(&app).await;
    let snapshot = get(&app, &format!("{GRAPHS}/c/snapshots/{}", snapshot_of(&made, "c"))).await.ok();
    fs::remove_file(snapshot["checkpoint_path"].as_str().unwrap()).unwrap();
    assert_eq!(valid(&app, &made).await, json!({ "valid": false }));
    post(&app, &format!("{GRAPHS}/c/repository/reconcile"), &json!({})).await.ok();
    assert_eq!(valid(&app, &made).await, json!({ "valid": false }));
    let validations = get(&app, &format!("{}/validations", path(&made))).await.ok();
    assert_eq!(validations[0]["problems"][0]["message"], json!("it cannot be restored any more"));
    assert!(validations[1]["problems"][0]["message"].as_str().unwrap().contains("is gone from the repository"), "{validations}");
    app
});

// What looked less deep does not say that what was found deeper is mended.
on_each_database!(a_shallow_validation_does_not_count_against_a_deep_one, async |app: TestApp| {
    three(&app).await;
    let made = all(&app).await;
    let packs = files_below(&app.storage().join("a/data"));
    let intact: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    // A flipped byte of content is seen by reading it only.
    for (pack, bytes) in packs.iter().zip(&intact) {
        let mut bytes = bytes.clone();
        bytes[40] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let level =
        async |level: &str| post(&app, &format!("{}/validate", path(&made)), &json!({ "level": level })).await.ok()["valid"].clone();
    assert_eq!(level("data").await, json!(false));
    for (pack, bytes) in packs.iter().zip(&intact) {
        fs::write(pack, bytes).unwrap();
    }
    assert_eq!((level("record").await, &get(&app, &path(&made)).await.ok()["validated"]), (json!(true), &json!(false)));
    assert_eq!((level("data").await, &get(&app, &path(&made)).await.ok()["validated"]), (json!(true), &json!(true)));
    app
});

on_each_database!(the_same_validation_or_deletion_at_once_is_one, async |app: TestApp| {
    three(&app).await;
    let made = all(&app).await;
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let validate = format!("{}/validate", path(&made));
    for answer in futures_util::future::join_all((0..4).map(|_| post(&app, &validate, &body))).await {
        assert_eq!(answer.ok(), json!({ "valid": true }));
    }
    assert_eq!(get(&app, &format!("{}/validations", path(&made))).await.ok().as_array().unwrap().len(), 2);
    let (checkpoint, key) = (path(&made), [("idempotency-key", "0191e7a0-1111-7222-8333-444455556667")]);
    for answer in futures_util::future::join_all((0..4).map(|_| send(&app, "DELETE", &checkpoint, &key, ""))).await {
        assert_eq!(answer.ok()["status"], json!("success"));
    }
    app
});

on_each_database!(a_repeated_request_makes_one_checkpoint, async |app: TestApp| {
    three(&app).await;
    let body = json!({ "graph_ids": ["a", "c"], "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let answers = futures_util::future::join_all((0..4).map(|_| make(&app, body.clone()))).await;
    let ids: Vec<Json> = answers.into_iter().map(|answer| answer.ok()["checkpoint_id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!((app.list("a").await.len(), app.list("c").await.len()), (1, 1));
    app
});

on_each_database!(one_that_is_being_made_is_not_removed, async |app: TestApp| {
    three(&app).await;
    post(&app, &format!("{GRAPHS}/a/snapshots"), &json!({})).await.ok();
    let lock = open(&app, "a").lock(LockKind::Exclusive, START, "another-host").unwrap();
    let queued = make(&app, json!({ "graph_ids": ["a", "c"], "wait": false })).await.ok();
    assert_eq!(queued["state"], json!("capturing"));
    let refused = delete(&app, &path(&queued)).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("CHECKPOINT_IN_PROGRESS")));
    let early = post(&app, &format!("{}/validate", path(&queued)), &json!({})).await;
    assert_eq!((early.status, &early.json["reason"]), (409, &json!("CHECKPOINT_NOT_COMPLETE")));
    drop(lock);
    let app = restart(app).await;
    let id = queued["checkpoint_id"].as_str().unwrap();
    let ended = app.server.services().wait_for_checkpoint(CheckpointId::parse(id).unwrap()).await.unwrap();
    assert!(ended.validated);
    app
});

async fn by_themselves(kind: Kind) {
    let app = TestApp::start_with(kind, &[("LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "12")]).await;
    let sources = three(&app).await;
    let services = app.server.services();
    let count = async || {
        settled(&app).await;
        let made = get(&app, CHECKPOINTS).await.ok();
        for one in made.as_array().unwrap() {
            let id = CheckpointId::parse(one["checkpoint_id"].as_str().unwrap()).unwrap();
            services.wait_for_checkpoint(id).await.unwrap();
        }
        made.as_array().unwrap().len()
    };
    services.make_due_checkpoint().await.unwrap();
    assert_eq!(count().await, 0, "not before its time");
    fs::remove_dir_all(&sources[0]).unwrap();
    app.clock.advance(DAY / 2);
    services.make_due_checkpoint().await.unwrap();
    services.make_due_checkpoint().await.unwrap();
    assert_eq!(count().await, 1);
    let made = get(&app, CHECKPOINTS).await.ok();
    assert_eq!(
        (&made[0]["origin"], &made[0]["validated"], &made[0]["graphs"]),
        (&json!("automatic"), &json!(true), &json!(["a", "b", "c"]))
    );
    assert!(made[0]["members"][0]["error_message"].is_string());
    app.clock.advance(DAY / 2);
    services.make_due_checkpoint().await.unwrap();
    assert_eq!(count().await, 2);
    // One that is removed does not come again at once, nor after a clock that ran ahead was put right.
    delete(&app, &path(&get(&app, CHECKPOINTS).await.ok()[1])).await.ok();
    services.make_due_checkpoint().await.unwrap();
    assert_eq!(count().await, 1);
    app.clock.advance(DAY * 31);
    services.expire_checkpoints().await.unwrap();
    let left = get(&app, CHECKPOINTS).await.ok();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["created_at"]), (1, &json!("2020-11-23T12:00:00Z")), "the newest one stays");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_come_and_go_by_themselves_sqlite() {
    by_themselves(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_come_and_go_by_themselves_postgres() {
    by_themselves(Kind::Postgres).await;
}

async fn crash_in_checkpoint(step: &str) {
    let scene = Scene::new();
    let mut server = scene.start(step);
    let source = scene.path("source");
    let mut backup = server.backup().await;
    for graph_id in ["graph1", "graph2"] {
        let request = v1::RegisterGraphRequest {
            graph_id: graph_id.to_owned(),
            source_dir: source.to_str().unwrap().to_owned(),
            ..Default::default()
        };
        backup.register_graph(request).await.unwrap();
    }
    let mut recovery = server.recovery().await;
    let graph_ids = vec!["graph1".to_owned(), "graph2".to_owned()];
    recovery.create_checkpoint(v1::CreateCheckpointRequest { graph_ids, ..Default::default() }).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    settle(&server).await;
    let mut recovery = server.recovery().await;
    let listed = recovery.list_checkpoints(v1::ListCheckpointsRequest::default()).await.unwrap().into_inner().checkpoints;
    assert_eq!(listed.len(), 1, "the checkpoint that was asked for is there");
    let request = v1::ValidateCheckpointRequest { checkpoint_id: listed[0].checkpoint_id.clone(), ..Default::default() };
    while recovery
        .get_checkpoint(v1::GetCheckpointRequest { checkpoint_id: listed[0].checkpoint_id.clone() })
        .await
        .unwrap()
        .into_inner()
        .state()
        == v1::CheckpointState::Capturing
    {
        tokio::task::yield_now().await;
    }
    assert!(recovery.validate_checkpoint(request).await.unwrap().into_inner().valid);
}

crash_tests! {
    crash_in_checkpoint:
    after_a_record = "snapshot.recorded",
    when_it_is_complete = "checkpoint.settled",
    after_a_verification = "verify.done",
    when_it_is_validated = "validation.settled",
}
