//! The ways that people go on the command line, from the first graph to a failover and back.

use std::fs;

use serde_json::Value as Json;

use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::repositories::{flip_a_bit, packs};
use crate::support::terminal::{Said, say, say_all};

/// The JSON of a command.
fn json(app: &TestApp, words: &str) -> Json {
    say(app, &format!("{words} --output json")).json()
}

fn text<'a>(value: &'a Json, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

on_each_database!(a_graph_is_added_saved_damaged_and_restored, async |app: TestApp| {
    let source = app.sample("rag");
    let before = files::describe(&source);
    let graph = json(&app, "graph add g rag --label env=prod");
    assert_eq!(text(&graph, "source_dir"), source.to_str().unwrap(), "a relative directory is that of the shell");
    let snapshot = json(&app, "snapshot create g");
    let id = text(&snapshot, "backup_id").to_owned();

    // The beginning of an id is enough.
    assert_eq!(text(&json(&app, &format!("snapshot show g {}", &id[..13])), "backup_id"), id);
    assert!(say(&app, "snapshot browse g latest").ok().contains("vdb_entities.json"));
    let cat = say(&app, "snapshot cat g latest kv_store_doc_status.json").ok();
    assert_eq!(cat, fs::read_to_string(source.join("kv_store_doc_status.json")).unwrap());
    assert_eq!(say(&app, "snapshot cat g latest kv_store_doc_status.json --file copy").code, 0);
    assert_eq!(say(&app, "snapshot cat g latest kv_store_doc_status.json --file copy").code, 1, "a file that is there stays");
    assert_eq!(json(&app, "snapshot verify g latest")["verification"]["passed"], true);

    fs::remove_file(source.join("vdb_entities.json")).unwrap();
    assert!(say(&app, "restore g latest --plan").ok().contains("files_added"));
    assert!(!source.join("vdb_entities.json").exists(), "a plan changes nothing");
    let told = say_all(&app, &["restore", "g", &id, "--yes"]).ok();
    assert!(told.starts_with(&format!("Restored snapshot {id} to")), "{told}");
    assert_eq!(files::describe(&source), before);

    // The newest is now what was damaged: that is said before it is put in place.
    let damaged = say(&app, "restore g latest --plan").ok();
    assert!(damaged.contains("This snapshot contradicts itself"), "{damaged}");
    let safety = json(&app, "snapshot list g")[0]["backup_id"].as_str().unwrap().to_owned();
    let diff = json(&app, &format!("snapshot diff g {safety} {id} --part files"));
    assert_eq!(
        (&diff["differences"][0]["change"], &diff["differences"][0]["key"]),
        (&Json::from("removed"), &Json::from("vdb_entities.json"))
    );
    assert!(say_all(&app, &["snapshot", "diff", "g", &safety, &id]).ok().contains("vdb_entities.json"));

    let elsewhere = say(&app, "restore g latest --target-dir fork --fork-graph-id fork --yes");
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
    assert_eq!(text(&json(&app, "graph show fork"), "graph_id"), "fork");
    let edited = json(&app, "graph edit g --rpo 6h --clear labels --fail-inconsistent");
    assert_eq!(
        (&edited["objectives"]["rpo_seconds"], &edited["labels"], &edited["inconsistent_policy"]),
        (&Json::from(21_600), &serde_json::json!({}), &Json::from("fail"))
    );
    // What is not given stays.
    let merged = json(&app, "graph edit g --rto 1h --label team=a --server-url http://127.0.0.1:1");
    assert_eq!((&merged["objectives"]["rpo_seconds"], &merged["objectives"]["rto_seconds"]), (&Json::from(21_600), &Json::from(3600)));
    let merged = json(&app, "graph edit g --rpo 2h --label env=test");
    assert_eq!((&merged["objectives"]["rpo_seconds"], &merged["objectives"]["rto_seconds"]), (&Json::from(7200), &Json::from(3600)));
    assert_eq!(
        (&merged["labels"], &merged["server"]["url"]),
        (&serde_json::json!({"env": "test", "team": "a"}), &Json::from("http://127.0.0.1:1"))
    );
    json(&app, "graph edit g --clear server");
    assert_eq!(say(&app, "graph edit g").code, 1, "nothing to change");
    assert_eq!(say_all(&app, &["snapshot", "delete", "g", &safety, "--yes"]).code, 0);
    // As a variable of a script that is not set.
    assert_eq!(say_all(&app, &["snapshot", "delete", "g", "", "--yes"]).refusal().0, 1);
    assert_eq!(say(&app, "graph remove fork --purge --yes").code, 0);
    assert_eq!(say(&app, "graph remove g --keep").code, 0);
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_and_said_by_the_code() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    assert_eq!(json(&app, "repository check g")["report"]["total_problems"], 0);
    flip_a_bit(&packs(&app.storage().join("g")).pop().unwrap().0);
    let verified = say(&app, "snapshot verify g latest --level data");
    assert!(verified.code == 1 && verified.output.contains("problems"), "{verified:?}");
    assert_eq!(say(&app, "repository check g").code, 1);
    let repaired = json(&app, "repository repair g --yes");
    assert_eq!(repaired["report"]["lost"], serde_json::json!([]), "the source still has it all: {repaired}");
    assert_eq!(say(&app, "snapshot verify g latest").code, 0);
    assert_eq!(say(&app, "repository reconcile g").code, 0);
    assert_eq!(say(&app, "repository prune g --dry-run").code, 0);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_and_retention() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    let cron = ["schedule", "add", "--graph", "g", "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--output", "json"];
    let planned = say_all(&app, &[cron.as_slice(), &["--dry-run"]].concat()).json();
    assert_eq!(planned["next_runs"].as_array().unwrap().len(), 10);
    assert_eq!(json(&app, "schedule list"), serde_json::json!([]));
    let made = say_all(&app, &cron).json();
    let id = text(&made["schedule"], "schedule_id");
    assert_eq!(json(&app, &format!("schedule edit {id} --every 6h"))["interval_seconds"], 21_600);
    assert_eq!(json(&app, &format!("schedule pause {id}"))["paused"], true);
    assert_eq!(json(&app, &format!("schedule resume {id}"))["paused"], false);
    assert_eq!(json(&app, &format!("schedule run {id}"))[0]["graph_id"], "g");
    assert_eq!(json(&app, &format!("schedule runs {id}")).as_array().unwrap().len(), 1);
    assert_eq!(text(&json(&app, &format!("schedule show {id}")), "schedule_id"), id);
    assert!(say(&app, "schedule list g").ok().contains(id));
    assert_eq!(say(&app, &format!("schedule remove {id} --yes")).code, 0);
    crate::support::app::settled(&app).await;

    let policy = json(&app, "retention set g --keep-last 1 --keep-daily 7 --minimum-good 1");
    assert_eq!(policy["policy"]["keep_daily"], 7);
    let verdicts = json(&app, "retention preview g --keep-last 1");
    let judged: Vec<&str> = verdicts.as_array().unwrap().iter().map(|verdict| text(verdict, "verdict")).collect();
    assert_eq!(judged, ["newest_good", "expired"]);
    assert!(say(&app, "retention cleanup g --dry-run").ok().contains("VERDICT"));
    assert_eq!(say(&app, "retention clear g --output json").json()["policy"], Json::Null);
    assert!(say(&app, "retention cleanup g --yes").ok().starts_with("deleted "));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_and_the_way_back() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.sample("rag");
    say(&app, "graph add g rag").ok();
    let checkpoint = json(&app, "checkpoint create g --description first");
    assert_eq!((&checkpoint["state"], &checkpoint["validated"]), (&Json::from("completed"), &Json::from(true)));
    assert_eq!(json(&app, "checkpoint validate latest")["valid"], true);
    assert!(say(&app, "checkpoint validate latest --level record").ok().contains("passed"));
    assert_eq!(text(&json(&app, "checkpoint show latest"), "description"), "first");
    assert_eq!(say(&app, "checkpoint failover latest --plan").code, 0);
    let failover = json(&app, "checkpoint failover latest --yes");
    assert_eq!(text(&failover, "state"), "succeeded");
    let id = text(&failover, "failover_id");
    assert!(say(&app, "checkpoint failovers").ok().contains(id));
    assert_eq!(text(&json(&app, &format!("checkpoint rollback {id} --yes")), "state"), "rolled_back");

    let away = json(&app, "checkpoint failover latest --target-dir g=away --yes");
    let back = say(&app, &format!("checkpoint failback {} --yes --output json", text(&away, "failover_id")));
    assert_eq!(text(&back.json(), "state"), "succeeded");
    let drill = json(&app, "drill run g");
    assert_eq!(text(&drill, "state"), "passed");
    assert_eq!(json(&app, "drill run --checkpoint latest")["passed"], true);
    assert_eq!(text(&json(&app, &format!("drill show {}", text(&drill, "drill_id"))), "graph_id"), "g");
    assert_eq!(say(&app, "checkpoint delete latest --yes").code, 0);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_elsewhere_and_the_way_back() {
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().to_str().unwrap();
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_REPLICATION_ROOTS", roots)]).await;
    app.snapshot("g", &app.sample("rag")).await;
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    assert_eq!(text(&json(&app, &format!("target add disk --path {} --off-site", disk.display())), "name"), "disk");
    assert_eq!(text(&json(&app, "replicate g --target disk"), "state"), "succeeded");
    assert_eq!(json(&app, "target lag g")["replicas"][0]["lag_snapshots"], 0);
    assert!(say(&app, "target lag g").ok().contains("disk"));
    assert_eq!(text(&json(&app, "target health disk"), "status"), "healthy");
    assert_eq!(json(&app, "target verify disk g")["damaged_files"], serde_json::json!([]));
    assert_eq!(json(&app, "target disable disk")["enabled"], false);
    assert_eq!(json(&app, "target enable disk")["enabled"], true);
    assert_eq!(text(&json(&app, "target show disk"), "name"), "disk");

    fs::rename(app.storage().join("g"), app.storage().join("lost")).unwrap();
    assert_eq!(text(&json(&app, "target recover disk g"), "state"), "succeeded");
    assert_eq!(say(&app, "snapshot verify g latest").code, 0);
    fs::remove_dir_all(app.storage().join("lost")).unwrap();
    assert_eq!(say(&app, "target remove disk --yes").code, 0);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_listed_watched_and_cancelled() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.sample("rag");
    say(&app, "graph add g rag").ok();
    let snapshot = json(&app, "snapshot create g --no-wait");
    let id = text(&snapshot, "operation_id");
    assert_eq!(text(&json(&app, &format!("operation watch {id}")), "state"), "succeeded");
    assert_eq!(text(&json(&app, &format!("operation show {id}")), "kind"), "snapshot");
    assert!(say(&app, "operation list g").ok().contains(id));
    assert_eq!(json(&app, "operation list --open"), serde_json::json!([]));
    assert_eq!(text(&json(&app, &format!("operation cancel {id}")), "state"), "succeeded", "what is over stays as it is");
    assert_eq!(json(&app, "alert list"), serde_json::json!([]));

    fs::rename(app.data("rag"), app.data("gone")).unwrap();
    let failed: Said = say(&app, "snapshot create g");
    assert!(failed.refusal().0 == 1 && failed.refusal().1.contains("SOURCE_NOT_FOUND"), "{failed:?}");
    fs::rename(app.data("gone"), app.data("rag")).unwrap();
    finish(app).await;
}
