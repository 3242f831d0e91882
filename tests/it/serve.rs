//! The program as a process: what it prints, how it stops, what it refuses.

use std::fs;

use lightkeep::proto::v1;

use crate::support::files;
use crate::support::process::{Process, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_prints_where_it_listens_and_stops_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Process::start(directory.path(), &[]);
    let answer = reqwest::get(format!("http://{}/readyz", server.http)).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_runs_at_sigterm_is_done_or_goes_on_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    files::copy_tree(&files::sample(), &directory.path().join("source"));
    let mut server = Process::start(directory.path(), &[]);
    let mut asked = vec![];
    for _ in 0..10 {
        let source_dir = "source".to_owned();
        let request = v1::CreateSnapshotRequest { graph_id: "graph1".to_owned(), source_dir, wait: Some(false), ..Default::default() };
        asked.push(server.backup().await.create_snapshot(request).await.unwrap().into_inner());
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let server = Process::start(directory.path(), &[]);
    for snapshot in asked {
        let request = v1::WatchOperationRequest { operation_id: snapshot.operation_id };
        let mut stream = server.operations().await.watch_operation(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(operation) = stream.message().await.unwrap() {
            last = Some(operation);
        }
        assert_eq!(last.unwrap().state(), v1::OperationState::Succeeded);
    }
}

#[test]
fn a_second_server_on_the_same_database_or_storage_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Process::start(directory.path(), &[]);
    let names_the_first = format!("process {}", first.id());
    for other in [("LIGHTRAG_BACKUP_STORAGE", "elsewhere"), ("LIGHTRAG_RECOVERY_DB_URL", "sqlite:///elsewhere.db")] {
        let second = run(directory.path(), &["serve"], &[other]);
        let line = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{line}");
        assert!(line.contains(&names_the_first), "{line}");
    }
}

#[test]
fn a_wrong_configuration_names_every_problem_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = [
        ("LIGHTRAG_BACKUP_RETENTION_DAYS", "0"),
        ("LIGHTRAG_METRICS_ENABLED", "perhaps"),
        ("LIGHTKEEP_HTTP_ADDR", "0.0.0.0:0"),
        ("LIGHTRAG_BACKUP_S3_BUCKET", "b"),
        ("LIGHTKEEP_ALOWED_ROOTS", "/"),
    ];
    let output = run(directory.path(), &["serve"], &wrong);
    assert_eq!(output.status.code(), Some(2));
    let lines = String::from_utf8(output.stderr).unwrap();
    for (name, _) in wrong {
        assert!(lines.contains(name), "{name} is not named in: {lines}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn the_tables_of_the_old_server_stay_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("lightrag_recovery.db");
    let sqlite = |sql: &str| {
        let script = format!("import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); print(c.execute({sql:?}).fetchall()); c.commit()");
        let output = std::process::Command::new("python3").args(["-c", &script]).arg(&database).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    sqlite("CREATE TABLE backup_metadata (backup_id TEXT, graph_id TEXT)");
    sqlite("INSERT INTO backup_metadata VALUES ('b1', 'g1')");
    let output = run(directory.path(), &["migrate"], &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sqlite("SELECT * FROM backup_metadata").trim(), "[('b1', 'g1')]");
    assert!(sqlite("SELECT name FROM sqlite_master").contains("operations"));
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run(directory.path(), &["migrate"], &[]).status.success());
    let script = "import sqlite3; c=sqlite3.connect('lightrag_recovery.db'); \
                  c.execute(\"INSERT INTO seaql_migrations VALUES ('m29990101_000001_future', 0)\"); c.commit()";
    let changed = std::process::Command::new("python3").args(["-c", script]).current_dir(directory.path()).status().unwrap();
    assert!(changed.success());
    let output = run(directory.path(), &["serve"], &[]);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.contains("m29990101_000001_future"), "{line}");
}

#[test]
fn quickstart_shows_the_whole_way_twice() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = run(directory.path(), &["quickstart", "--once"], &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("6 documents, 6 chunks, 34 entities, 44 relations, 84 vectors"), "{text}");
        assert!(text.contains("files that differ from the original: 0"), "{text}");
    }
}
