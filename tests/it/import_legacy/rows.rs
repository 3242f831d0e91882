//! What the old server's database says, and in how odd a way.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, Database};

use super::*;

/// Runs statements in a SQLite file of the scene, which is made, or in another database.
async fn execute(url: &str, statements: &[&str]) {
    let connection = Database::connect(url).await.unwrap();
    for statement in statements {
        connection.execute_unprepared(statement).await.unwrap();
    }
    connection.close().await.unwrap();
}

fn sqlite(file: &Path) -> String {
    format!("sqlite://{}?mode=rwc", file.display())
}

impl Scene {
    /// A dry run over `graph1` with a database of the old server in which these statements were run.
    async fn look(&self, statements: &[&str]) -> Output {
        execute(&sqlite(&self.path("old.db")), statements).await;
        let source = format!("graph1={}", self.path("rag").display());
        self.import(&["--legacy-database", "sqlite:///old.db", "--graph", "graph1", "--source", &source, "--dry-run"], &[])
    }
}

/// A table about what was done with copies says neither when they were made nor that they are half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_whole_if_any_row_says_so() {
    let scene = Scene::new();
    legacy::database(&sqlite(&scene.path("old.db")), &scene.rows().each_ref().map(String::as_str)).await;
    let event = format!("INSERT INTO a_events VALUES ('{FIRST}', 'graph1', 'failed', '2025-06-07 08:09:10')");
    let archived =
        format!("INSERT INTO backup_metadata (backup_id, graph_id, timestamp, status) VALUES ('{GONE}', 'graph1', '', 'archived')");
    let table = "CREATE TABLE a_events (backup_id TEXT, graph_id TEXT, status TEXT, created_at TEXT)";
    let looked = scene.look(&[table, &event, &event, &archived]).await;
    let gone = format!("cannot be imported: graph1/{GONE}: the old server's database knows it, but it is not there");
    let expected = [&format!("  {FIRST}  2025-03-01T10:20:30.5Z (database)  "), "3 would be imported, 0 there already, 1 left out", &gone];
    assert_lines(&looked, 1, &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_that_are_not_taken_are_told() {
    let scene = Scene::new();
    let rows = [(FIRST, "2999-01-01"), (SECOND, "2025-03-01 10:20:30 UTC"), (HALF, "1740824430")]
        .map(|(id, time)| format!("INSERT INTO t VALUES ('{id}', 'graph1', '{time}')"));
    let ahead = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800);
    fs::File::open(scene.path("old/graph1").join(UNNOTED)).unwrap().set_modified(ahead).unwrap();
    let looked = scene.look(&["CREATE TABLE t (backup_id TEXT, graph_id TEXT, timestamp TEXT)", &rows[0], &rows[1], &rows[2]]).await;
    let expected = [
        "would be imported; the old server's time `2999-01-01` lies before 1970 or in the future",
        "would be imported; the old server's time `2025-03-01 10:20:30 UTC` cannot be read",
        &format!("  {FIRST}  2024-05-06T07:08:09Z (directory)  "),
        &format!("  {SECOND}  2024-05-06T07:08:09Z (directory)  "),
        &format!("  {HALF}  2025-03-01T10:20:30Z (database)  "),
        "would be imported; its time 2100-01-01T00:00:00Z lies before 1970 or in the future",
    ];
    assert_lines(&looked, 0, &expected);
    assert!(!text(&looked).contains(&format!("  {UNNOTED}  2100")), "{}", text(&looked));
}

/// The graph would be replaced by a restore in place, and the old storage with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_in_the_old_storage_is_none() {
    let scene = Scene::new();
    symlink("old", scene.path("link")).unwrap();
    for source in ["link/graph1", "none/../old/graph1", "link/not/there", "old/graph1"] {
        let (file, source) = (scene.path("old.db"), scene.path(source).display().to_string());
        let row = format!("INSERT INTO t VALUES ('{FIRST}', 'graph1', '{source}')");
        execute(&sqlite(&file), &["CREATE TABLE t (backup_id TEXT, graph_id TEXT, source_dir TEXT)", &row]).await;
        let looked = scene.import(&["--legacy-database", "sqlite:///old.db", "--graph", "graph1", "--dry-run"], &[]);
        assert_lines(&looked, 1, &["graph `graph1`, source unknown"]);
        fs::remove_file(file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_rows_about_copies_ends_it() {
    let scene = Scene::new();
    execute(&sqlite(&scene.path("old.db")), &["CREATE TABLE t (backup_id TEXT, graph_id TEXT)"]).await;
    let all = files::describe(scene.directory.path());
    let source = format!("graph1={}", scene.path("rag").display());
    for (database, line) in [
        ("sqlite:///old.db", "there is no row about a copy in the old server's database"),
        ("sqlite:///none.db", "cannot open the database to read it"),
    ] {
        let output = scene.import(&["--legacy-database", database, "--graph", "graph1", "--source", &source], &[]);
        assert_lines(&output, 1, &[line]);
        assert!(!text(&output).contains("cannot read the old server's database"), "told twice: {}", text(&output));
    }
    assert_eq!(files::describe(scene.directory.path()), all);
}

/// Names in capitals, ids that are none, and values that JSON has no place for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_odd_row_keeps_nothing_from_the_others() {
    let scene = Scene::new();
    let rows = [
        format!("INSERT INTO t VALUES ('{FIRST}', 'graph1', '2025-03-01', 9e999)"),
        format!("INSERT INTO t VALUES ('{SECOND}', 'graph1', '2025-03-02', CAST(X'ff41' AS TEXT))"),
        "INSERT INTO t VALUES ('backup_1', 'graph1', '2025-03-02', NULL)".to_owned(),
    ];
    let table = "CREATE TABLE t (Backup_ID TEXT, GRAPH_ID TEXT, Timestamp TEXT, Odd)";
    let looked = scene.look(&[table, &rows[0], &rows[1], &rows[2]]).await;
    let (first, second) =
        (format!("  {FIRST}  2025-03-01T00:00:00Z (database)  "), format!("  {SECOND}  2025-03-02T00:00:00Z (database)  "));
    assert_lines(&looked, 0, &["3 rows about copies in the old server's database, 1 without a usable id", &first, &second]);

    let url = database::fresh(Kind::Postgres, scene.directory.path()).await;
    let rows = [(FIRST, "1"), (SECOND, "'1e400'")].map(|(id, odd)| format!("INSERT INTO t VALUES ('{id}', 'graph1', '2025-03-01', {odd})"));
    let table = "CREATE TABLE t (\"Backup_ID\" TEXT, \"GRAPH_ID\" TEXT, \"Timestamp\" TIMESTAMP, odd NUMERIC)";
    execute(&url, &[table, &rows[0], &rows[1]]).await;
    let source = format!("graph1={}", scene.path("rag").display());
    let looked = scene.import(&["--legacy-database", &url, "--graph", "graph1", "--source", &source, "--dry-run"], &[]);
    let unreadable = "1 rows of table `t` cannot be read";
    assert_lines(&looked, 0, &["1 rows about copies in the old server's database, 0 without a usable id", unreadable, &first]);
}

/// Without its database the copies get the times of their directories; with it, they have them all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_with_another_time_is_told() {
    let scene = Scene::new();
    let source = format!("graph1={}", scene.path("rag").display());
    assert_eq!(scene.import(&["--graph", "graph1", "--source", &source], &[]).status.code(), Some(0));
    let row = format!("INSERT INTO t VALUES ('{FIRST}', 'graph1', '2025-03-01')");
    let looked = scene.look(&["CREATE TABLE t (backup_id TEXT, graph_id TEXT, timestamp TEXT)", &row]).await;
    let told = "is there already; its snapshot has the time 2024-05-06T07:08:09Z, delete that to import it with this one";
    assert_lines(&looked, 0, &[told]);
    assert_eq!(text(&looked).matches("its snapshot has the time").count(), 1, "{}", text(&looked));
}

/// Our own tables: a policy is told of before anything is imported, and old ones are no reason for a riddle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_looks_at_our_own_tables() {
    let scene = Scene::new();
    let source = format!("graph2={}", scene.path("rag").display());
    assert_eq!(scene.import(&["--graph", "graph2", "--source", &source], &[]).status.code(), Some(0));
    legacy::copy(&scene.path("old"), "graph2", GONE, &scene.path("half"), CHANGED_AT);
    let ours = sqlite(&scene.path("lightrag_recovery.db"));
    execute(&ours, &["UPDATE graphs SET retention_policy = '{}'"]).await;
    let looked = scene.import(&["--graph", "graph2", "--dry-run"], &[]);
    assert_lines(&looked, 0, &["the graph has a retention policy, which counts for these snapshots at once", "1 would be imported"]);
    let latest = "(SELECT MAX(version) FROM seaql_migrations)";
    execute(&ours, &[&format!("DELETE FROM seaql_migrations WHERE version = {latest}")]).await;
    assert_lines(&scene.import(&["--graph", "graph2", "--dry-run"], &[]), 1, &["run `lightkeep migrate` first"]);
}
