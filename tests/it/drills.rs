//! Drills of snapshots and checkpoints: measured, compared, listed, made by themselves; what is wrong fails them and is named, and nothing
//! is left of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::graph_probes::set;
use crate::restore_targets::TinyDisk;
use crate::support::app::{START, TestApp, finish, settled};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::repositories::{flip, open};
use crate::support::rest::{Answer, GRAPHS, get, post};
use crate::trouble::{files_below, restart};

pub(crate) const DRILLS: &str = "/api/backup/recovery/drills";
const CHECKPOINTS: &str = "/api/backup/recovery/checkpoints";
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) async fn drill(app: &TestApp, body: Json) -> Answer {
    post(app, DRILLS, &body).await
}

/// What scratch places there are.
pub(crate) fn scratches(storage: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(storage.join(".drills")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Sets the time of the last change of all files in a directory.
fn touch(directory: &Path, time: SystemTime) {
    for path in files_below(directory) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

fn after_start(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(START.micros().unsigned_abs()) + Duration::from_secs(seconds)
}

on_each_database!(a_drill_proves_that_a_graph_answers_as_it_did, async |app: TestApp| {
    let source = app.sample("rag");
    touch(&source, after_start(0));
    let taken = app.snapshot("g", &source).await;
    set(&app, "g", json!({ "sample": 3 })).await.ok();
    let before = files::describe(&source);
    let done = drill(&app, json!({ "graph_id": "g" })).await.ok();
    assert_eq!((&done["state"], &done["reasons"]), (&json!("passed"), &json!([])), "{done}");
    assert_eq!((&done["snapshot_id"], &done["checkpoint_id"]), (&json!(taken.backup_id), &json!("")));
    assert_eq!((&done["files"], &done["size_bytes"]), (&json!(taken.files), &json!(taken.size_bytes)));
    assert_eq!((&done["recall"], &done["consistency"], &done["rpo_seconds"]), (&json!(1.0), &json!("consistent"), &json!(0.0)));
    assert_eq!(done["probes"].as_array().unwrap().len(), 3);
    assert!(done["probes"].as_array().unwrap().iter().all(|probe| probe["recall"] == 1.0 && probe["missing"]["entities"] == json!([])));
    let stages = ["restore_seconds", "audit_seconds", "probes_seconds"].map(|stage| done["stages"][stage].as_f64().unwrap());
    assert!(stages.iter().all(|seconds| *seconds > 0.0) && done["stages"]["start_seconds"] == json!(null), "{done}");
    assert!((done["rto_seconds"].as_f64().unwrap() - stages.iter().sum::<f64>()).abs() < 1e-9, "{done}");
    assert!(done["bytes_per_second"].as_f64().unwrap() > 0.0, "{done}");
    assert!(done["remarks"][0].as_str().unwrap().contains("LIGHTKEEP_DRILL_COMMAND"), "{done}");
    assert_eq!(files::describe(&source), before, "the graph's own place is as it was");
    assert_eq!(scratches(&app.storage()), Vec::<PathBuf>::new());
    let snapshot = get(&app, &format!("{GRAPHS}/g/snapshots/{}", taken.backup_id)).await.ok();
    assert_eq!(snapshot["status"], json!("completed"), "a drill is no restore");
    let operation = get(&app, &format!("/api/operations/{}", done["operation_id"].as_str().unwrap())).await.ok();
    assert_eq!((&operation["kind"], &operation["result"]["passed"]), (&json!("drill"), &json!(true)));
    // What came later is what a recovery would lose.
    touch(&source, after_start(90));
    app.clock.advance(HOUR);
    let later = drill(&app, json!({ "graph_id": "g", "snapshot_id": taken.backup_id })).await.ok();
    assert_eq!((&later["state"], &later["rpo_seconds"]), (&json!("passed"), &json!(90.0)));
    fs::remove_dir_all(&source).unwrap();
    let lost = drill(&app, json!({ "graph_id": "g" })).await.ok();
    assert_eq!((&lost["state"], &lost["rpo_seconds"]), (&json!("passed"), &json!(null)), "{lost}");
    assert!(lost["remarks"][0].as_str().unwrap().contains("cannot be looked at"), "{lost}");
    // As a mount point is without its disk.
    fs::create_dir(&source).unwrap();
    let empty = drill(&app, json!({ "graph_id": "g" })).await.ok();
    assert!(empty["rpo_seconds"] == json!(null) && empty["remarks"][0] == json!("the graph's source is empty: is it mounted?"), "{empty}");

    let listed = get(&app, DRILLS).await.ok();
    let ids: Vec<&Json> = listed.as_array().unwrap().iter().map(|one| &one["drill_id"]).collect();
    assert_eq!(ids, [&empty["drill_id"], &lost["drill_id"], &later["drill_id"], &done["drill_id"]]);
    assert_eq!(get(&app, &format!("{DRILLS}/{}", done["drill_id"].as_str().unwrap())).await.ok(), done);
    for (query, count) in [("graph_id=g&passed=true", 4), ("passed=false", 0), ("graph_id=g&page_size=2", 2)] {
        assert_eq!(get(&app, &format!("{DRILLS}?{query}")).await.ok().as_array().unwrap().len(), count, "{query}");
    }
    app
});

on_each_database!(a_plain_directory_and_a_graph_without_probes_are_drilled_too, async |app: TestApp| {
    app.snapshot("plain", &files::small(&app.data("plain"))).await;
    let plain = drill(&app, json!({ "graph_id": "plain" })).await.ok();
    assert_eq!((&plain["state"], &plain["consistency"], &plain["recall"]), (&json!("passed"), &json!("not_applicable"), &json!(null)));
    app.snapshot("g", &app.sample("rag")).await;
    let without = drill(&app, json!({ "graph_id": "g" })).await.ok();
    assert_eq!((&without["state"], &without["recall"], &without["probes"]), (&json!("passed"), &json!(null), &json!([])));
    assert!(without["remarks"][1].as_str().unwrap().contains("was asked none when it was taken"), "{without}");
    app
});

on_each_database!(a_damaged_pack_fails_the_drill_and_is_told, async |app: TestApp| {
    let taken = app.snapshot("g", &app.sample("rag")).await;
    files_below(&app.storage().join("g/data")).iter().for_each(|pack| flip(pack));
    let app = restart(app).await;
    let failed = drill(&app, json!({ "graph_id": "g" })).await.ok();
    assert_eq!(
        (&failed["state"], &failed["rto_seconds"], &failed["stages"]["audit_seconds"]),
        (&json!("failed"), &json!(null), &json!(null))
    );
    assert!(failed["reasons"][0].as_str().unwrap().starts_with("it cannot be restored: "), "{failed}");
    assert!(failed["reasons"][0].as_str().unwrap().contains("in pack `"), "{failed}");
    assert_eq!(scratches(&app.storage()), Vec::<PathBuf>::new());
    // Also where there is nothing to read from.
    fs::remove_file(taken.checkpoint_path()).unwrap();
    let gone = drill(&app, json!({ "graph_id": "g", "snapshot_id": taken.backup_id })).await.ok();
    assert!(gone["state"] == "failed" && gone["reasons"][0].as_str().unwrap().contains("record"), "{gone}");
    assert_eq!(get(&app, &format!("{DRILLS}?passed=false")).await.ok().as_array().unwrap().len(), 2);
    app
});

on_each_database!(a_snapshot_that_contradicts_itself_is_not_recovered, async |app: TestApp| {
    let source = app.sample("rag");
    fs::remove_file(source.join("kv_store_text_chunks.json")).unwrap();
    let taken = app.snapshot("g", &source).await;
    let none_good = drill(&app, json!({ "graph_id": "g" })).await;
    assert_eq!((none_good.status, &none_good.json["reason"]), (409, &json!("NO_GOOD_SNAPSHOT")));
    let failed = drill(&app, json!({ "graph_id": "g", "snapshot_id": taken.backup_id })).await.ok();
    assert_eq!((&failed["state"], &failed["consistency"]), (&json!("failed"), &json!("inconsistent")));
    assert!(failed["reasons"][0].as_str().unwrap().starts_with("the restored graph contradicts itself: "), "{failed}");
    app
});

on_each_database!(a_repeated_request_makes_one_drill, async |app: TestApp| {
    app.snapshot("g", &files::small(&app.data("c"))).await;
    let body = json!({ "graph_id": "g", "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let answers = futures_util::future::join_all((0..4).map(|_| drill(&app, body.clone()))).await;
    let ids: Vec<Json> = answers.into_iter().map(|answer| answer.ok()["drill_id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(get(&app, DRILLS).await.ok().as_array().unwrap().len(), 1);
    app
});

on_each_database!(a_snapshot_whose_drill_waits_is_in_use, async |app: TestApp| {
    let source = files::small(&app.data("c"));
    let first = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    app.clock.advance(HOUR * 24 * 31);
    let lock = open(&app, "g").lock(LockKind::Exclusive, START.plus(HOUR * 24 * 31), "another-host").unwrap();
    let queued = drill(&app, json!({ "graph_id": "g", "snapshot_id": first.backup_id, "wait": false })).await.ok();
    assert_eq!((&queued["state"], &queued["stages"], &queued["ended_at"]), (&json!("running"), &json!(null), &json!(null)));
    let preview = post(&app, &format!("{GRAPHS}/g/retention/preview"), &json!({})).await.ok();
    assert_eq!(preview["verdicts"][1]["verdict"], json!("in_use"), "{preview}");
    let id = queued["operation_id"].as_str().unwrap();
    post(&app, &format!("/api/operations/{id}/cancel"), &json!({})).await.ok();
    drop(lock);
    settled(&app).await;
    let ended = get(&app, &format!("{DRILLS}/{}", queued["drill_id"].as_str().unwrap())).await.ok();
    assert_eq!(ended["state"], json!("failed"));
    assert!(ended["reasons"][0].as_str().unwrap().starts_with("it could not be done: "), "{ended}");
    app
});

on_each_database!(each_graph_of_a_checkpoint_is_drilled, async |app: TestApp| {
    for (graph_id, source) in [("a", app.sample("a")), ("b", app.sample("b")), ("c", files::small(&app.data("c")))] {
        post(&app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
    }
    let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": ["c", "a", "b"], "validate": false })).await.ok();
    let id = made["checkpoint_id"].as_str().unwrap();
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let run = post(&app, &format!("{CHECKPOINTS}/{id}/drill"), &body).await.ok();
    assert_eq!(run["passed"], json!(true), "{run}");
    let graphs: Vec<&Json> = run["drills"].as_array().unwrap().iter().map(|one| &one["graph_id"]).collect();
    assert_eq!(graphs, ["a", "b", "c"]);
    assert!(run["drills"].as_array().unwrap().iter().all(|one| one["run_id"] == run["drills"][0]["run_id"] && one["checkpoint_id"] == id));
    assert_eq!(post(&app, &format!("{CHECKPOINTS}/{id}/drill"), &body).await.ok(), run, "asked again");
    let record = get(&app, &format!("{GRAPHS}/b/snapshots/{}", run["drills"][1]["snapshot_id"].as_str().unwrap())).await.ok();
    fs::remove_file(record["checkpoint_path"].as_str().unwrap()).unwrap();
    for told in ["record", "it cannot be restored any more"] {
        app.clock.advance(HOUR);
        let again = post(&app, &format!("{CHECKPOINTS}/{id}/drill"), &json!({})).await.ok();
        assert_eq!((&again["passed"], &again["drills"][0]["state"]), (&json!(false), &json!("passed")));
        let failed = &again["drills"][1];
        assert!(failed["state"] == "failed" && failed["reasons"][0].as_str().unwrap().contains(told), "{failed}");
        post(&app, &format!("{GRAPHS}/b/repository/reconcile"), &json!({})).await.ok();
    }
    assert_eq!(get(&app, &format!("{DRILLS}?checkpoint_id={id}")).await.ok().as_array().unwrap().len(), 9);
    app
});

/// Starts a server whose drills go to a place below its directory.
async fn with_place(kind: Kind, make: impl FnOnce(&Path) -> PathBuf) -> TestApp {
    let (directory, mut environment) = TestApp::place(kind).await;
    let place = make(&directory.path().canonicalize().unwrap());
    environment.insert("LIGHTKEEP_DRILL_DIR".to_owned(), place.display().to_string());
    TestApp::start_in(directory, environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_nothing_is_restored() {
    let mut disk = None;
    let app = with_place(Kind::Sqlite, |directory| {
        disk = TinyDisk::mount(directory.join("disk"));
        directory.join("disk/drills")
    })
    .await;
    if disk.is_none() {
        println!("skipped: the tests may not mount a file system here");
        return finish(app).await;
    }
    app.snapshot("g", &app.sample("rag")).await;
    let refused = drill(&app, json!({ "graph_id": "g" })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_FULL")), "{}", refused.text);
    let kept = &get(&app, DRILLS).await.ok()[0];
    assert!(kept["state"] == "failed" && kept["reasons"][0].as_str().unwrap().contains("bytes"), "{kept}");
    assert_eq!(fs::read_dir(disk.as_ref().unwrap().0.join("drills")).unwrap().count(), 0);
    drop(disk);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_in_a_graph_is_refused() {
    let app = with_place(Kind::Sqlite, |directory| directory.join("data/rag/drills")).await;
    app.snapshot("g", &app.sample("rag")).await;
    let refused = drill(&app, json!({ "graph_id": "g" })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("DRILL_PLACE_IN_GRAPH")), "{}", refused.text);
    finish(app).await;
}

async fn by_themselves(kind: Kind) {
    let app = TestApp::start_with(kind, &[("LIGHTKEEP_DRILL_INTERVAL_HOURS", "24")]).await;
    for graph_id in ["a", "b"] {
        app.snapshot(graph_id, &files::small(&app.data(graph_id))).await;
    }
    post(&app, GRAPHS, &json!({ "graph_id": "c", "source_dir": files::small(&app.data("c")) })).await.ok();
    let drilled = async || {
        app.server.services().drill_next().await.unwrap();
        settled(&app).await;
        let listed = get(&app, DRILLS).await.ok();
        let passed = listed.as_array().unwrap().iter().inspect(|one| assert_eq!(one["state"], json!("passed"), "{one}"));
        passed.map(|one| one["graph_id"].as_str().unwrap().to_owned()).collect::<Vec<String>>().join("")
    };
    assert_eq!(drilled().await, "a", "one at a time");
    app.clock.advance(HOUR);
    assert_eq!(drilled().await, "ba");
    assert_eq!(drilled().await, "ba", "that of c has nothing to restore");
    app.clock.advance(HOUR * 23);
    assert_eq!(drilled().await, "aba", "a day after its last");
    assert_eq!(drilled().await, "aba");
    app.clock.advance(HOUR * 24);
    assert_eq!(drilled().await, "baba", "the one that has waited longest");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_made_by_themselves_sqlite() {
    by_themselves(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_made_by_themselves_postgres() {
    by_themselves(Kind::Postgres).await;
}
