//! Drills that start a command over the restored graph: what it is told, what happens when it does harm, hangs or ends, and that nothing of
//! it is left, whatever ends the drill.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::crash::{Scene, crash_tests, settle, snapshot};
use crate::drills::{DRILLS, drill, scratches};
use crate::graph_probes::set;
use crate::lightrag::workspaces::{remove_node, remove_vector};
use crate::support::app::{TestApp, finish, settled};
use crate::support::database::Kind;
use crate::support::files;
use crate::support::process::Process;
use crate::support::rest::{get, post};

const LIGHTHOUSE: &str = "Gull Lighthouse";
const QUESTION: &str = "Who built the Gull Lighthouse?";

/// The end of a command that stands for a LightRAG: this test answers on the port that it writes down.
fn serve(home: &Path) -> String {
    format!("echo $PORT > port.new && mv port.new {}; sleep 600", home.join("port").display())
}

/// Answers `GET /health` on each port that a command has written down, until it is dropped.
fn answer(home: &Path) -> JoinSet<()> {
    let (path, mut answering) = (home.join("port"), JoinSet::new());
    answering.spawn(async move {
        loop {
            let Ok(port) = fs::read_to_string(&path) else {
                tokio::task::yield_now().await;
                continue;
            };
            fs::remove_file(&path).unwrap();
            let listener = TcpListener::bind(("127.0.0.1", port.trim().parse().unwrap())).await.unwrap();
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let length = connection.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await.unwrap();
        }
    });
    answering
}

/// The processes that a drill has started and that still run.
fn left_of(operation_id: &str) -> Vec<PathBuf> {
    // The attempt follows.
    let mark = format!("LIGHTKEEP_DRILL_OPERATION_ID={operation_id}");
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let has_mark = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    processes.filter(has_mark).collect()
}

fn check_nothing_left(app: &TestApp, drill: &Json) {
    assert_eq!(scratches(&app.storage()), Vec::<PathBuf>::new());
    assert_eq!(left_of(drill["operation_id"].as_str().unwrap()), Vec::<PathBuf>::new());
}

async fn start(command: &str, more: &[(&str, &str)]) -> TestApp {
    let environment: Vec<(&str, &str)> = [("LIGHTKEEP_DRILL_COMMAND", command)].into_iter().chain(more.iter().copied()).collect();
    TestApp::start_with(Kind::Sqlite, &environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_told_where_the_graph_is_and_ends_with_the_drill() {
    let home = tempfile::tempdir().unwrap();
    let told = home.path().join("told");
    let command = format!("env > {0}; ls $WORKING_DIR > {0}.files; stat -c %a . >> {0}; {1}", told.display(), serve(home.path()));
    let app = start(&command, &[]).await;
    app.snapshot("g", &app.sample("rag")).await;
    let health = answer(home.path());
    let done = drill(&app, json!({ "graph_id": "g" })).await.ok();
    drop(health);
    assert!(done["state"] == "passed" && done["stages"]["start_seconds"].as_f64().unwrap() > 0.0, "{done}");
    let scratch = app.storage().join(".drills").join(format!("{}-1", done["operation_id"].as_str().unwrap()));
    let told = fs::read_to_string(told).unwrap();
    let expected = [
        format!("WORKING_DIR={}", scratch.join("graph").display()),
        format!("INPUT_DIR={}", scratch.join("inputs").display()),
        format!("PWD={}", scratch.display()),
        "WORKSPACE=".to_owned(),
        "HOST=127.0.0.1".to_owned(),
        "LIGHTKEEP_DRILL_GRAPH_ID=g".to_owned(),
        "700".to_owned(),
    ];
    assert!(expected.iter().all(|line| told.lines().any(|other| other == line)), "{told}");
    assert!(fs::read_to_string(home.path().join("told.files")).unwrap().contains("vdb_entities.json"));
    check_nothing_left(&app, &done);
    finish(app).await;
}

/// Drills a graph of which the command takes one entity away.
async fn with_a_lost_entity(minimum_recall: &str) -> Json {
    let home = tempfile::tempdir().unwrap();
    let damaged = home.path().join("damaged");
    files::copy_tree(&files::sample(), &damaged);
    remove_node(&damaged, LIGHTHOUSE);
    remove_vector(&damaged, LIGHTHOUSE);
    let stores = damaged.join("*.json").display().to_string();
    let command = format!("cp {stores} {} \"$WORKING_DIR\"; {}", damaged.join("*.graphml").display(), serve(home.path()));
    let app = start(&command, &[("LIGHTKEEP_DRILL_MINIMUM_RECALL", minimum_recall)]).await;
    app.snapshot("g", &app.sample("rag")).await;
    set(&app, "g", json!({ "sample": 3 })).await.ok();
    let health = answer(home.path());
    let done = drill(&app, json!({ "graph_id": "g" })).await.ok();
    drop(health);
    check_nothing_left(&app, &done);
    finish(app).await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_lost_an_entity_fails_and_the_probe_is_named() {
    let failed = with_a_lost_entity("1.0").await;
    assert_eq!((&failed["state"], &failed["consistency"]), (&json!("failed"), &json!("consistent")), "{failed}");
    let recall = failed["recall"].as_f64().unwrap();
    assert!(recall > 0.0 && recall < 1.0, "{failed}");
    let reasons: Vec<&str> = failed["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
    let named = reasons.iter().find(|reason| reason.starts_with(&format!("probe `{QUESTION}` has a recall of 0."))).unwrap();
    assert!(named.contains(&format!("`{LIGHTHOUSE}`")), "{named}");
    let probe = failed["probes"].as_array().unwrap().iter().find(|probe| probe["name"] == QUESTION).unwrap();
    assert_eq!((&probe["missing"]["entities"], &probe["chunks_recall"]), (&json!([LIGHTHOUSE]), &json!(1.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_much_may_be_lost_is_the_operators_word() {
    let passed = with_a_lost_entity("0.1").await;
    assert!(passed["state"] == "passed" && passed["recall"].as_f64().unwrap() < 1.0, "{passed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_the_command_damages_cannot_be_asked() {
    let home = tempfile::tempdir().unwrap();
    let app = start(&format!("echo '{{' > \"$WORKING_DIR/vdb_entities.json\"; {}", serve(home.path())), &[]).await;
    app.snapshot("g", &app.sample("rag")).await;
    set(&app, "g", json!({ "sample": 1 })).await.ok();
    let health = answer(home.path());
    let failed = drill(&app, json!({ "graph_id": "g" })).await.ok();
    drop(health);
    let reason = failed["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("the restored graph cannot be asked the probes: ") && reason.contains("vdb_entities.json"), "{failed}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_hangs_is_killed_with_its_children() {
    // One child of its group that does not hear, and one that has left it.
    let command = "(trap '' TERM; sleep 600) & setsid sleep 600 & echo 'waiting for a model'; sleep 600";
    let app = start(command, &[("LIGHTKEEP_DRILL_TIMEOUT_SECONDS", "1")]).await;
    app.snapshot("g", &app.sample("rag")).await;
    let failed = drill(&app, json!({ "graph_id": "g" })).await.ok();
    let expected = "the command was not healthy within 1 s; it printed last: waiting for a model";
    assert_eq!((&failed["state"], &failed["reasons"]), (&json!("failed"), &json!([expected])));
    check_nothing_left(&app, &failed);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_says_why() {
    let app = start("echo 'no such model' >&2; exit 3", &[]).await;
    app.snapshot("g", &app.sample("rag")).await;
    app.snapshot("plain", &files::small(&app.data("plain"))).await;
    let failed = drill(&app, json!({ "graph_id": "g" })).await.ok();
    let expected = "the command ended before it was healthy: exit status: 3; it printed last: no such model";
    assert_eq!((&failed["state"], &failed["reasons"]), (&json!("failed"), &json!([expected])));
    let plain = drill(&app, json!({ "graph_id": "plain" })).await.ok();
    assert_eq!(plain["state"], json!("passed"), "nothing is started over a plain directory: {plain}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_is_cancelled_ends_its_command() {
    let app = start("sleep 600 & sleep 600", &[]).await;
    app.snapshot("g", &app.sample("rag")).await;
    let begun = drill(&app, json!({ "graph_id": "g", "wait": false })).await.ok();
    let operation = begun["operation_id"].as_str().unwrap();
    while left_of(operation).len() < 2 {
        tokio::task::yield_now().await;
    }
    post(&app, &format!("/api/operations/{operation}/cancel"), &json!({})).await.ok();
    settled(&app).await;
    let ended = &get(&app, DRILLS).await.ok()[0];
    assert!(ended["state"] == "failed" && ended["reasons"][0].as_str().unwrap().contains("cancelled"), "{ended}");
    check_nothing_left(&app, ended);
    finish(app).await;
}

async fn crash_in_drill(step: &str) {
    let scene = Scene::new();
    let command = format!("sleep 600 & {}", serve(&scene.path("")));
    let server = |failpoint| {
        Process::start(scene.directory.path(), &[("LIGHTKEEP_FAILPOINT", failpoint), ("LIGHTKEEP_DRILL_COMMAND", command.as_str())])
    };
    let mut first = server(step);
    snapshot(&first, &scene.path("source")).await.unwrap();
    let health = answer(&scene.path(""));
    let mut recovery = first.recovery().await;
    recovery.set_probes(v1::SetProbesRequest { graph_id: "graph1".to_owned(), sample: 2, ..Default::default() }).await.unwrap();
    recovery.run_drill(v1::RunDrillRequest { graph_id: "graph1".to_owned(), ..Default::default() }).await.unwrap_err();
    assert!(!first.wait().success(), "the step `{step}` was not reached");
    let storage = scene.path("lightrag_backups");
    let left = scratches(&storage);
    assert_eq!(left.len(), 1, "the crash leaves what the restart has to sweep");
    let operation = left[0].file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(left_of(&operation).is_empty(), step != "drill.started");
    let second = server("none");
    settle(&second).await;
    drop(health);
    let listed = second.recovery().await.list_drills(v1::ListDrillsRequest::default()).await.unwrap().into_inner().drills;
    assert_eq!((listed.len(), listed[0].state(), listed[0].recall), (1, v1::DrillState::Passed, Some(1.0)), "{listed:?}");
    // By a clock that goes.
    let stages = listed[0].stages.as_ref().unwrap();
    let measured = [stages.restore_seconds, stages.audit_seconds, stages.start_seconds, stages.probes_seconds];
    assert!(measured.iter().all(|seconds| seconds.unwrap() > 0.0), "{stages:?}");
    assert!((listed[0].rto_seconds() - measured.iter().flatten().sum::<f64>()).abs() < 1e-9);
    assert!(listed[0].bytes_per_second() > 0.0);
    assert_eq!((scratches(&storage), left_of(&operation)), (vec![], vec![]));
}

crash_tests! {
    crash_in_drill:
    after_the_restore = "drill.restored",
    after_the_start = "drill.started",
    after_the_probes = "drill.probed",
}

/// A scratch place whose drill nobody goes on with goes at the next start, with the processes in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_drill_has_left_that_is_over_goes_at_the_next_start() {
    let scene = Scene::new();
    let server = scene.start("none");
    snapshot(&server, &scene.path("source")).await.unwrap();
    let listed = server.operations().await.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner();
    let name = format!("{}-1", listed.operations[0].operation_id);
    drop(server);
    let place = |name: &str| scene.path(&format!("lightrag_backups/.drills/{name}"));
    let (left, others) = (place(&name), [place("somebodys"), place("0191e7a0-1111-7222-8333-444455556666-1")]);
    fs::create_dir_all(left.join("graph")).unwrap();
    others.iter().for_each(|other| fs::create_dir(other).unwrap());
    let mut process = Command::new("sleep").arg("600").env("LIGHTKEEP_DRILL_OPERATION_ID", &name).spawn().unwrap();
    let server = scene.start("none");
    assert!(!left.exists() && others.iter().all(|other| other.exists()), "what is not this database's stays");
    assert!(!process.wait().unwrap().success());
    drop(server);
}
