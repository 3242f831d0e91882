//! The command line: its forms, its errors, its exit codes.

use std::fs;

use serde_json::Value as Json;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::rest::{GRAPHS, get};
use crate::support::terminal::{at_terminal, lightkeep, say, say_all, say_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_what_rest_answers() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.sample("rag");
    say(&app, "graph add g rag --label env=prod --rpo 6h").ok();
    say(&app, "snapshot create g --tag first --metadata who=me").ok();
    let snapshots = format!("{GRAPHS}/g/snapshots");
    for (words, path) in [
        ("graph list", GRAPHS),
        ("graph show g", &format!("{GRAPHS}/g")),
        ("snapshot list g", &snapshots),
        ("schedule list", "/api/backup/backup/schedules"),
        ("retention show g", &format!("{GRAPHS}/g/retention")),
        ("target list", "/api/backup/replication/targets"),
        ("checkpoint list", "/api/backup/recovery/checkpoints"),
        ("drill list", "/api/backup/recovery/drills"),
    ] {
        let told = say(&app, &format!("{words} --output json")).ok();
        assert_eq!(told.trim_end(), get(&app, path).await.text.trim_end(), "{words}");
    }
    let snapshot = say(&app, "snapshot show g latest --output json").json();
    assert_eq!((&snapshot["tags"][0], &snapshot["metadata"]["who"]), (&Json::from("first"), &Json::from("me")));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_one_line_that_says_what_to_do() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_API_KEY", "secret")]).await;
    let (address, directory) = (format!("http://{}", app.server.grpc_addr()), app.data(""));
    let with_key = [("LIGHTKEEP_TOKEN", "secret")];

    let refused = say_at(&address, &directory, "graph list", &[]);
    let expected = "Set LIGHTKEEP_TOKEN or --token-file to the server's LIGHTRAG_API_KEY";
    assert!(refused.refusal().0 == 3 && refused.refusal().1.ends_with(expected), "{refused:?}");
    fs::write(app.data("token"), "secret\n").unwrap();
    assert_eq!(say_at(&address, &directory, "graph list --token-file token", &[]).code, 0);

    let unknown = say_at(&address, &directory, "graph show no", &with_key);
    assert_eq!(unknown.refusal(), (1, "lightkeep: Graph no not found (GRAPH_NOT_FOUND). `lightkeep graph list` shows the graphs"));
    let bad = say_at(&address, &directory, "graph add .. rag", &with_key);
    assert!(bad.refusal().0 == 1 && bad.refusal().1.contains("graph_id"), "{bad:?}");
    let away = say_at("http://127.0.0.1:1", &directory, "graph list --timeout 1", &with_key);
    assert_eq!(away.refusal().0, 3);
    assert_eq!(say_at(&address, &directory, "status --token-file nowhere", &[]).refusal().0, 3, "nothing is known");
    assert_eq!(say_at(&address, &directory, "graph list --timeout 18446744073709551615", &with_key).code, 0);
    assert_eq!(say_at(&address, &directory, "graph lost", &with_key).code, 2);
    assert_eq!(say_at(&address, &directory, "snapshot list --since soon", &with_key).code, 2);
    assert_eq!(say_at(&address, &directory, "graph remove g", &with_key).code, 2, "the fate of the repository must be said");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replaces_or_deletes_asks_first() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    for words in ["restore g latest", "snapshot delete g latest", "graph remove g --purge", "repository repair g"] {
        let (code, line) = (say(&app, words).code, say(&app, words).errors);
        assert!(code == 1 && line.contains("nothing was done") && line.contains("--yes"), "{words}: {line}");
    }
    let (code, screen) = at_terminal(&app, "snapshot delete g latest", "n\n");
    assert!(code == 1 && screen.contains("[y/N]") && screen.contains("nothing was done"), "{screen}");
    let (code, screen) = at_terminal(&app, "graph remove g --purge", "other\n");
    assert!(code == 1 && screen.contains("for ever"), "{screen}");
    assert_eq!(say(&app, "snapshot list g --output json").json().as_array().unwrap().len(), 1);
    let (code, screen) = at_terminal(&app, "snapshot delete g latest", "y\n");
    assert!(code == 0 && screen.contains("Deleted snapshot"), "{screen}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bars_and_colours_are_for_terminals() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.sample("rag");
    say(&app, "graph add g rag").ok();
    let (code, screen) = at_terminal(&app, "snapshot create g", "");
    assert!(code == 0 && screen.contains("snapshot g") && screen.contains("done in"), "{screen}");
    assert!(at_terminal(&app, "snapshot list g", "").1.contains("\u{1b}["), "no colours at a terminal");

    let piped = say(&app, "snapshot create g");
    assert!(piped.errors.is_empty(), "a bar where nobody looks: {}", piped.errors);
    assert!(!piped.output.contains('\u{1b}') && !say(&app, "snapshot list g").ok().contains('\u{1b}'));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_fit_the_terminal_and_are_whole_without_one() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    let (_, screen) = at_terminal(&app, "snapshot list g", "");
    let plain = |line: &str| line.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>();
    let widest = screen.lines().map(|line| plain(line).trim_end().chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest} columns: {screen}");
    let id = say(&app, "snapshot show g latest --output json").json()["backup_id"].as_str().unwrap().to_owned();
    assert!(screen.contains(&id), "an id is copied in one piece: {screen}");
    let whole = say(&app, "snapshot list g").ok();
    assert_eq!(whole.lines().count(), 2, "{whole}");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_in_its_code_how_protected_the_graphs_are() {
    // In memory: a disk that is nearly full is no healthy storage, and the tests' one may be.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_BACKUP_STORAGE", memory.path().to_str().unwrap())]).await;
    assert_eq!(say(&app, "status").code, 1, "nothing is protected where nothing is known");
    app.snapshot("g", &app.sample("rag")).await;
    let unknown = say(&app, "status");
    assert!(unknown.code == 1 && unknown.output.starts_with("DEGRADED"), "{unknown:?}");
    let checked = say(&app, "status --check");
    assert!(checked.code == 0 && checked.output.starts_with("PROTECTED  1 graph"), "{checked:?}");
    fs::rename(app.data("rag"), app.data("gone")).unwrap();
    let critical = say(&app, "status --check --output json");
    let json: Json = serde_json::from_str(&critical.output).unwrap();
    assert_eq!((critical.code, &json["status"]), (2, &Json::from("critical")), "{critical:?}");
    fs::rename(app.data("gone"), app.data("rag")).unwrap();
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_complete_in_the_shell() {
    let app = TestApp::start(Kind::Sqlite).await;
    let snapshot = app.snapshot("graph1", &app.sample("rag")).await;
    app.snapshot("other", &app.sample("rag2")).await;
    let address = format!("http://{}", app.server.grpc_addr());
    let complete = |words: &[&str]| {
        let mut command = lightkeep(&address, &app.data(""));
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).env("_CLAP_IFS", "\n");
        String::from_utf8(command.arg("--").args(words).output().unwrap().stdout).unwrap()
    };
    assert_eq!(complete(&["lightkeep", "graph", "show", "gr"]), "graph1");
    let ids = complete(&["lightkeep", "snapshot", "show", "graph1", ""]);
    let ids: Vec<&str> = ids.lines().filter(|word| !word.starts_with('-')).collect();
    assert_eq!(ids, [snapshot.backup_id.as_str(), "latest"]);
    assert!(complete(&["lightkeep", "snapshot", "ve"]).contains("verify"));
    assert!(say(&app, "completions bash").ok().contains("lightkeep"));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_is_no_error() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    let address = format!("http://{}", app.server.grpc_addr());
    let mut command = lightkeep(&address, &app.data(""));
    command.args(["snapshot", "list"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_with_spaces_stay_one() {
    let app = TestApp::start(Kind::Sqlite).await;
    app.snapshot("g", &app.sample("rag")).await;
    let pinned =
        say_all(&app, &["snapshot", "pin", "g", "latest", "--reason", "before the upgrade", "--for", "7d", "--output", "json"]).json();
    assert_eq!(pinned["pin_reason"], "before the upgrade");
    assert_eq!(say(&app, "snapshot delete g latest --yes").code, 1, "pinned");
    assert_eq!(say(&app, "snapshot unpin g latest --output json").json()["pin_reason"], Json::Null);
    finish(app).await;
}
