//! Copies, sources and callers that are odd.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use lightkeep::service::change_runs::Answer;
use serde_json::json;

use super::*;
use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::process::command;
use crate::support::rest::post;

/// A name that is written otherwise, or another graph: one copy becomes the snapshot, the others are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_copies_with_one_id_one_is_imported() {
    for (graph_id, name) in [("graph1", FIRST.to_uppercase()), ("graph1", FIRST.replace('-', "")), ("graph3", FIRST.to_owned())] {
        let scene = Scene::new();
        legacy::copy(&scene.path("old"), graph_id, &name, &scene.path("half"), CHANGED_AT);
        let source = format!("graph1={}", scene.path("rag").display());
        let arguments = ["--graph", "graph1", "--graph", graph_id, "--source", &source];
        // In the order of their names.
        let (mut first, mut second) = (scene.path("old/graph1").join(FIRST), scene.path("old").join(graph_id).join(&name));
        if second < first {
            (first, second) = (second, first);
        }
        let second = second.strip_prefix(scene.path("old")).unwrap().display().to_string();
        let told = format!("cannot be imported: {second}: the copy `{}` has its id too", first.display());
        let dry = scene.import(&[&arguments[..], &["--dry-run"]].concat(), &[]);
        assert_lines(&dry, 1, &[&told, "4 would be imported, 0 there already, 0 left out, 1 that cannot be imported"]);
        assert_lines(&scene.import(&arguments, &[]), 1, &[&told, "4 imported, 0 there already, 0 left out"]);
        let url = format!("sqlite://{}", scene.path("lightrag_recovery.db").display());
        let ids = database::texts(&url, "SELECT lower(snapshot_id) FROM snapshots ORDER BY 1").await;
        assert_eq!(ids, [FIRST, SECOND, HALF, UNNOTED]);
        assert_lines(&scene.import(&arguments, &[]), 1, &["0 imported, 4 there already, 0 left out, 1 that cannot be imported"]);
    }
}

/// On PostgreSQL, where no lock of the database keeps another process out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_import_at_once() {
    let scene = Scene::new();
    let url = database::fresh(Kind::Postgres, scene.directory.path()).await;
    let source = format!("graph1={}", scene.path("rag").display());
    let import = || scene.import(&["--graph", "graph1", "--source", &source], &[("LIGHTRAG_RECOVERY_DB_URL", &url)]);
    fs::create_dir(scene.path("lightrag_backups")).unwrap();
    let other = File::create(scene.path("lightrag_backups/.import-legacy.lock")).unwrap();
    other.try_lock().unwrap();
    assert_lines(&import(), 1, &["another lightkeep uses the storage for an import"]);
    assert!(database::texts(&url, "SELECT snapshot_id FROM snapshots").await.is_empty());
    drop(other);
    assert_lines(&import(), 0, &["4 imported"]);
}

/// A source that need not exist yet may still not lie where a graph never may.
#[test]
fn sources_that_can_never_be_right_are_refused() {
    let scene = Scene::new();
    symlink("nowhere", scene.path("dangling")).unwrap();
    for (source, line) in [
        (".", "contains the storage of the repositories"),
        ("lightrag_backups", "the storage of the repositories"),
        ("lightrag_backups/not/there", "the storage of the repositories"),
        ("half/note", "is not a directory"),
        ("dangling", "passes through a link that leads nowhere"),
    ] {
        let output = scene.import(&["--graph", "graph1", "--source", &format!("graph1={source}")], &[]);
        assert_lines(&output, 1, &[line, "0 imported, 0 there already, 0 left out, 4 that cannot be imported"]);
        assert!(!scene.path("lightrag_backups/graph1").exists());
    }
}

/// Who imports need not be who serves.
#[test]
fn a_source_that_may_not_be_read_is_taken() {
    let scene = Scene::new();
    fs::create_dir(scene.path("closed")).unwrap();
    fs::set_permissions(scene.path("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    legacy::give_away(scene.directory.path());
    let source = format!("graph2={}", scene.path("closed").display());
    let output = legacy::run_as_nobody(scene.directory.path(), &["import-legacy", "old", "--graph", "graph2", "--source", &source]);
    assert_lines(&output, 0, &["no snapshot of it can be taken now: ", "check its permissions", "1 imported"]);
}

/// As with `import-legacy … | head -1`.
#[test]
fn who_stops_reading_stops_nothing() {
    let scene = Scene::new();
    let source = format!("graph1={}", scene.path("rag").display());
    let mut import = command(scene.directory.path(), &["import-legacy", "old", "--graph", "graph1", "--source", &source]);
    let mut import = import.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(import.stdout.take());
    assert_eq!(import.wait().unwrap().code(), Some(0));
    assert_lines(&scene.import(&["--graph", "graph1"], &[]), 0, &["0 imported, 4 there already"]);
}

/// What is recorded has its source already.
#[cfg(feature = "failpoints")]
#[test]
fn an_import_that_goes_on_tells_the_source_that_it_finds() {
    let scene = Scene::new();
    let (rag, other) = (format!("graph1={}", scene.path("rag").display()), format!("graph1={}", scene.path("elsewhere").display()));
    let killed = scene.import(&["--graph", "graph1", "--source", &rag], &[("LIGHTKEEP_FAILPOINT", "repository.record_written")]);
    assert_eq!(killed.status.code(), None, "{}", text(&killed));
    let told = format!("its repository was there, and says that its source is {}: UpdateGraph changes that", scene.path("rag").display());
    assert_lines(&scene.import(&["--graph", "graph1", "--source", &other], &[]), 0, &[&told]);
}

// Nobody has seen when such a copy was begun: it has what was changed before its time, and counts for the least interval.
on_each_database!(an_imported_snapshot_has_the_changes_before_it, async |app: TestApp| {
    let source = app.sample("g");
    app.snapshot("g", &source).await;
    let services = app.server.services();
    services.store().read().execute_unprepared("UPDATE snapshots SET started_at = NULL").await.unwrap();
    let schedule = json!({ "graph_id": "g", "on_change": { "debounce_seconds": 30, "minimum_interval_seconds": 60 } });
    post(&app, "/api/backup/backup/schedules", &json!({ "schedule": schedule })).await.ok();
    let followed = services.list_followed().await.unwrap().remove(0);
    let changed_at = services.now().minus(Duration::from_secs(3600));
    assert_eq!(services.follow_change(&followed, changed_at).await.unwrap(), Answer::Captured);
    app
});
