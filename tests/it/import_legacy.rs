//! What the old Python server has kept becomes snapshots: ids, times, metadata and bytes; and nothing of it is changed.

mod odd;
mod rows;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Output;

use lightkeep::proto::v1;
use sea_orm::{ConnectionTrait as _, Database};

use crate::support::database::{self, Kind};
use crate::support::process::{Process, run};
use crate::support::tools::restic_ok;
use crate::support::{files, legacy};

const FIRST: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0001";
const SECOND: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0002";
const HALF: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0003";
const UNNOTED: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0004";
const OTHER: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0005";
const GONE: &str = "0b5f7c1e-3f7a-4d51-9a44-6a1d2f9e0006";

/// 2024-05-06T07:08:09Z.
const CHANGED_AT: u64 = 1_714_979_289;

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    /// The old server's storage of two graphs, one of them with a failed copy and one that nobody has noted.
    fn new() -> Self {
        let scene = Self { directory: tempfile::tempdir().unwrap() };
        let (old, rag) = (scene.path("old"), scene.path("rag"));
        files::copy_tree(&files::sample(), &rag);
        legacy::copy(&old, "graph1", FIRST, &rag, CHANGED_AT);
        fs::write(rag.join("tenant_b/note"), "more, and in another workspace").unwrap();
        symlink("note", rag.join("tenant_b/link")).unwrap();
        symlink("kv_store_gone.json", rag.join("tenant_b/dangling")).unwrap();
        legacy::copy(&old, "graph1", SECOND, &rag.join("tenant_b"), CHANGED_AT);
        legacy::copy(&old, "graph1", HALF, &files::small(&scene.path("half")), CHANGED_AT);
        legacy::copy(&old, "graph1", UNNOTED, &rag.join("tenant_b"), CHANGED_AT);
        legacy::copy(&old, "graph2", OTHER, &scene.path("half"), CHANGED_AT);
        let note = format!(r#"{{"backup_id": "{OTHER}", "timestamp": "2024-01-02T03:04:05", "metadata": {{"by": "file"}}}}"#);
        fs::write(old.join("graph2").join(format!("{OTHER}.json")), note).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    /// What the old server has noted of `graph1`.
    fn rows(&self) -> [String; 3] {
        let source = self.path("rag").display().to_string();
        [
            format!(
                "'{FIRST}', 'graph1', '2025-03-01 10:20:30.5', 'completed', 1, 'ab', '2025-03-31 10:20:30', \
                 '{{\"source_dir\": \"{source}\", \"reason\": \"before\"}}', '/old/{FIRST}', 'the first'"
            ),
            format!("'{SECOND}', 'graph1', '2025-03-02 10:20:30', 'BackupStatus.RESTORED', NULL, NULL, NULL, NULL, NULL, NULL"),
            format!("'{HALF}', 'graph1', '2025-03-03 10:20:30', 'in_progress', NULL, NULL, NULL, NULL, NULL, NULL"),
        ]
    }

    fn import(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        run(self.directory.path(), &[&["import-legacy", "old"], arguments].concat(), environment)
    }

    fn old(&self) -> Vec<String> {
        files::describe(&self.path("old"))
    }

    async fn restore(&self, server: &Process, snapshot: &v1::Snapshot) -> PathBuf {
        let target = self.path(&format!("restored-{}", snapshot.backup_id));
        let request = v1::RestoreSnapshotRequest {
            graph_id: snapshot.graph_id.clone(),
            snapshot_id: snapshot.backup_id.clone(),
            target_dir: target.to_str().unwrap().to_owned(),
            ..Default::default()
        };
        server.backup().await.restore_snapshot(request).await.unwrap();
        target
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_lines(output: &Output, code: i32, lines: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    for line in lines {
        assert!(text(output).contains(line), "{line:?} is not in\n{}", text(output));
    }
}

async fn list(server: &Process, graph_id: &str) -> Vec<v1::Snapshot> {
    let request = v1::ListSnapshotsRequest { graph_id: graph_id.to_owned(), ..Default::default() };
    server.backup().await.list_snapshots(request).await.unwrap().into_inner().snapshots
}

fn json(structure: &prost_types::Struct) -> String {
    let plain = |value: &prost_types::Value| match value.kind.as_ref().unwrap() {
        prost_types::value::Kind::StringValue(text) => text.clone(),
        prost_types::value::Kind::StructValue(inner) => json(inner),
        other => format!("{other:?}"),
    };
    structure.fields.iter().map(|(name, value)| format!("{name}={} ", plain(value))).collect()
}

async fn the_whole_way(kind: Kind) {
    let scene = Scene::new();
    let url = database::fresh(kind, scene.directory.path()).await;
    let environment = [("LIGHTRAG_RECOVERY_DB_URL", url.as_str())];
    let old_url = match kind {
        Kind::Sqlite => format!("sqlite:///{}/old.db", scene.directory.path().display()),
        Kind::Postgres => database::fresh(kind, scene.directory.path()).await,
    };
    let rows = scene.rows();
    legacy::database(&old_url.replace("sqlite:///", "sqlite://").replace(".db", ".db?mode=rwc"), &rows.each_ref().map(String::as_str))
        .await;
    let arguments = ["--legacy-database", &old_url, "--source", "graph2=nowhere/yet"];
    let (old, all) = (scene.old(), files::describe(scene.directory.path()));

    let dry = scene.import(&[&arguments[..], &["--dry-run"]].concat(), &environment);
    let first_line = format!("  {FIRST}  2025-03-01T10:20:30.5Z (database)  ");
    let expected = [
        &format!("graph `graph1`, source {} (old server)", scene.path("rag").display()),
        first_line.as_str(),
        "would be imported; the old server noted 1 bytes",
        &format!("  {SECOND}  2025-03-02T10:20:30Z (database)  "),
        &format!("  {UNNOTED}  2024-05-06T07:08:09Z (directory)  "),
        &format!("graph `graph2`, source {} (--source)", scene.path("nowhere/yet").display()),
        &format!("  {OTHER}  2024-01-02T03:04:05Z (file)  1 files, 6 bytes  would be imported"),
        &format!("left out: graph1/{HALF}: the old server calls it in_progress"),
        "4 would be imported, 0 there already, 1 left out, 0 that cannot be imported",
    ];
    assert_lines(&dry, 0, &expected);
    assert_eq!(files::describe(scene.directory.path()), all, "a dry run changes nothing");

    let imported = scene.import(&arguments, &environment);
    assert_lines(
        &imported,
        0,
        &[
            "3 rows about copies in the old server's database, 0 without a usable id",
            "copy stored",
            &first_line,
            "imported, consistent",
            "4 imported, 0 there already, 1 left out, 0 that cannot be imported",
        ],
    );
    assert!(text(&imported).contains("no snapshot of it can be taken now"), "{}", text(&imported));
    assert_eq!(scene.old(), old, "nothing of the old server's is changed");

    let figures = "SELECT snapshot_id || status || created_at || data_hash || retention_until FROM snapshots ORDER BY 1";
    let (known, storage) = (database::texts(&url, figures).await, files::describe(&scene.path("lightrag_backups")));
    let dry = scene.import(&[&arguments[..], &["--dry-run"]].concat(), &environment);
    assert_lines(&dry, 0, &["is there already", "0 would be imported, 4 there already"]);
    assert_eq!((database::texts(&url, figures).await, files::describe(&scene.path("lightrag_backups"))), (known.clone(), storage));
    let again = scene.import(&arguments, &environment);
    assert_lines(&again, 0, &["is there already", "0 imported, 4 there already, 1 left out"]);
    assert!(!text(&again).contains("its snapshot has the time"), "{}", text(&again));
    assert_eq!(database::texts(&url, figures).await, known);

    let server = Process::start(scene.directory.path(), &environment);
    // Their times are old, and they are not deleted for that.
    let cleaned = server.backup().await.cleanup_snapshots(v1::CleanupSnapshotsRequest::default()).await.unwrap().into_inner();
    assert_eq!(cleaned.deleted_snapshots, 0);
    let found = list(&server, "-").await;
    let ids: Vec<(&str, &str)> = found.iter().map(|one| (one.graph_id.as_str(), one.backup_id.as_str())).collect();
    assert_eq!(ids, [("graph1", SECOND), ("graph1", FIRST), ("graph1", UNNOTED), ("graph2", OTHER)], "newest first, by the old times");
    for snapshot in &found {
        let copy = scene.path("old").join(&snapshot.graph_id).join(&snapshot.backup_id);
        assert_eq!(files::describe(&scene.restore(&server, snapshot).await), files::describe(&copy), "{snapshot:?}");
    }
    let first = &found[1];
    assert_eq!(first.timestamp.as_ref().unwrap().to_string(), "2025-03-01T10:20:30.500Z");
    assert_eq!((first.documents, first.consistency()), (6, v1::Consistency::Consistent));
    assert_eq!(first.source_dir, scene.path("rag").to_str().unwrap());
    let told = json(first.metadata.as_ref().unwrap());
    for part in
        ["reason=before", "description=the first", "data_hash=ab", "status=completed", "time_from=database", &format!("old/graph1/{FIRST}")]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(json(found[3].metadata.as_ref().unwrap()).contains("by=file"));

    // A graph whose source was not there gets another one, and life goes on.
    let request = v1::UpdateGraphRequest {
        graph_id: "graph2".to_owned(),
        graph: Some(v1::Graph { source_dir: scene.path("half").to_str().unwrap().to_owned(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["source_dir".to_owned()] }),
        ..Default::default()
    };
    server.backup().await.update_graph(request).await.unwrap();
    for graph_id in ["graph1", "graph2"] {
        let request = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), ..Default::default() };
        let next = server.backup().await.create_snapshot(request).await.unwrap().into_inner();
        assert!(next.stored_bytes < 20_000, "what was imported is not stored again: {}", next.stored_bytes);
        restic_ok(&scene.path("lightrag_backups"), graph_id, &["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_become_snapshots_on_sqlite() {
    the_whole_way(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_become_snapshots_on_postgres() {
    the_whole_way(Kind::Postgres).await;
}

/// Without a database of the old server, from a tree alone; and restic knows what came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restic_lists_and_restores_what_was_imported() {
    let scene = Scene::new();
    let rag = format!("graph1={}", scene.path("rag").display());
    let imported = scene.import(&["--graph", "graph1", "--source", &rag], &[]);
    assert_lines(&imported, 0, &["4 imported, 0 there already, 0 left out, 0 that cannot be imported"]);
    assert!(!text(&imported).contains("graph2"), "{}", text(&imported));
    let listed = restic_ok(&scene.path("lightrag_backups"), "graph1", &["snapshots", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 4);
    for id in [FIRST, SECOND, HALF, UNNOTED] {
        let record = listed.iter().find(|one| one["tags"].as_array().unwrap().contains(&format!("snapshot:{id}").into())).unwrap();
        assert!(record["time"].as_str().unwrap().starts_with("2024-05-06T07:08:09"), "{record}");
        let target = scene.path(&format!("by-restic-{id}"));
        let arguments = ["restore", record["id"].as_str().unwrap(), "--target", target.to_str().unwrap()];
        restic_ok(&scene.path("lightrag_backups"), "graph1", &arguments);
        let restored = files::describe(&target.join(scene.path("rag").strip_prefix("/").unwrap()));
        assert_eq!(restored, files::describe(&scene.path("old/graph1").join(id)));
    }
}

/// Where the variables stayed as they were, the database is the old server's. And one that is in use is read from a copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_tables_are_found_in_our_database_and_beside_a_log() {
    let scene = Scene::new();
    let rows = scene.rows();
    let rows = rows.each_ref().map(String::as_str);
    legacy::database(&format!("sqlite://{}?mode=rwc", scene.path("lightrag_recovery.db").display()), &rows).await;
    let only = ["--graph", "graph1"];
    let all = files::describe(scene.directory.path());
    let dry = scene.import(&[&only[..], &["--dry-run"]].concat(), &[]);
    assert_lines(&dry, 0, &["(old server)", "3 would be imported, 0 there already, 1 left out"]);
    assert_eq!(files::describe(scene.directory.path()), all);
    assert_lines(&scene.import(&only, &[]), 0, &["(database)", "3 imported, 0 there already, 1 left out"]);
    let url = format!("sqlite://{}", scene.path("lightrag_recovery.db").display());
    assert_eq!(database::texts(&url, "SELECT description FROM backup_metadata WHERE description IS NOT NULL").await, ["the first"]);

    let busy = Database::connect(format!("sqlite://{}?mode=rwc", scene.path("old.db").display())).await.unwrap();
    busy.execute_unprepared("PRAGMA journal_mode = WAL").await.unwrap();
    let unhyphenated = OTHER.replace('-', "");
    let statements = [
        "CREATE TABLE other_name (graph_id TEXT, backup_id BLOB, created_at INTEGER)".to_owned(),
        format!("INSERT INTO other_name VALUES ('graph2', X'{unhyphenated}', 1740824430)"),
        format!("INSERT INTO other_name VALUES ('graph2', '{GONE}', NULL)"),
    ];
    for statement in statements {
        busy.execute_unprepared(&statement).await.unwrap();
    }
    let before = files::describe(scene.directory.path());
    assert!(before.iter().any(|line| line.contains("old.db-wal")), "{before:?}");
    let arguments = ["--legacy-database", "sqlite:///old.db", "--graph", "graph2", "--source", "graph2=rag", "--dry-run"];
    let line = format!("  {OTHER}  2025-03-01T10:20:30Z (database)  ");
    let gone = format!("cannot be imported: graph2/{GONE}: the old server's database knows it, but it is not there");
    assert_lines(&scene.import(&arguments, &[]), 1, &[&line, &gone, "1 would be imported"]);
    assert_eq!(files::describe(scene.directory.path()), before);
    busy.close().await.unwrap();
}

/// What cannot be imported is named, and keeps nothing else from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_imported_is_told() {
    let scene = Scene::new();
    let old = scene.path("old");
    for directory in ["empty", "no graph id", "graph1/latest", &format!("graph1/{GONE}")] {
        fs::create_dir(old.join(directory)).unwrap();
    }
    fs::write(old.join("README"), "of the old server").unwrap();
    symlink("graph1", old.join("linked")).unwrap();
    symlink("/etc/hostname", old.join("graph1").join(FIRST).join("host")).unwrap();
    let unreadable = old.join("graph1").join(SECOND).join("kv_store_doc_status.json");
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
    legacy::give_away(scene.directory.path());
    let rag = format!("graph1={}", scene.path("rag").display());
    let lines = [
        "1 links lead out of it and are kept as links",
        "left out: README: it is no directory",
        "left out: empty: it is empty",
        "cannot be imported: no graph id: its name is no graph id: must consist of",
        "cannot be imported: linked: it is a link",
        "cannot be imported: graph1/latest: its name is no UUID",
        &format!("cannot be imported: graph1/{GONE}: it holds no file"),
        &format!("cannot be imported: graph1/{SECOND}: it cannot be read: `kv_store_doc_status.json`: Permission denied"),
        "graph `graph2`, source unknown: name it with `--source graph2=DIRECTORY`",
        "cannot be imported without a source",
        "cannot be imported: none: there is no such graph",
    ];
    let before = scene.old();
    for (more, summary) in [
        (&["--dry-run"][..], "3 would be imported, 0 there already, 2 left out, 7 that cannot be imported"),
        (&[], "3 imported, 0 there already, 2 left out, 7 that cannot be imported"),
    ] {
        let arguments = [&["import-legacy", "old", "--source", &rag, "--source", "none=rag"], more].concat();
        let output = legacy::run_as_nobody(scene.directory.path(), &arguments);
        assert_lines(&output, 1, &[&lines[..], &[summary]].concat());
    }
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o644)).unwrap();
    // What was in the way is gone: the next import brings the rest.
    let output = legacy::run_as_nobody(scene.directory.path(), &["import-legacy", "old", "--graph", "graph1"]);
    assert_lines(&output, 1, &["(registered)", "1 imported, 3 there already, 0 left out, 2 that cannot be imported"]);
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(scene.old(), before);
}

#[test]
fn arguments_that_can_never_be_right_touch_nothing() {
    let scene = Scene::new();
    let all = files::describe(scene.directory.path());
    for (arguments, line) in [
        (&["nowhere"][..], "the old storage cannot be found: nowhere"),
        (&["old/graph2/../../half/note"], "the old storage must be a directory"),
        (&["old", "--storage", "old"], "must lie apart"),
        (&["old", "--storage", "old/new"], "must lie apart"),
        (&["old/graph1", "--storage", "old"], "must lie apart"),
        (&["old", "--source", "graph1"], "use GRAPH_ID=DIRECTORY"),
        (&["old", "--source", "graph1=old/graph1"], "must not lie in the old storage"),
        (&["old", "--source", "graph1=none/../old/graph1"], "must not use `..` below a directory that does not exist"),
        (&["old", "--source", "graph1=a", "--source", "graph1=b"], "graph `graph1` has two sources"),
        (&["old", "--graph", "../x"], "--graph"),
        (&["old", "--legacy-database", "mysql://u:secret@h/d"], "`--legacy-database` names no database that is supported"),
    ] {
        let output = run(scene.directory.path(), &[&["import-legacy"], arguments].concat(), &[]);
        assert_lines(&output, 2, &[line]);
        assert!(!text(&output).contains("secret"), "{}", text(&output));
    }
    assert_eq!(files::describe(scene.directory.path()), all);
}

/// `kill -9` on the way: the next import goes on, and nothing is there twice.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_killed_goes_on() {
    let scene = Scene::new();
    let rag = format!("graph1={}", scene.path("rag").display());
    let arguments = ["--graph", "graph1", "--source", &rag];
    for step in ["repository.key_written", "repository.packs_written", "repository.record_written", "reconcile.adopted"] {
        let killed = scene.import(&arguments, &[("LIGHTKEEP_FAILPOINT", step)]);
        assert_eq!(killed.status.code(), None, "{step}: {}", text(&killed));
    }
    let imported = scene.import(&arguments, &[]);
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported));
    assert_lines(&scene.import(&arguments, &[]), 0, &["0 imported, 4 there already"]);
    let listed = restic_ok(&scene.path("lightrag_backups"), "graph1", &["snapshots", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&listed).unwrap().len(), 4);
    restic_ok(&scene.path("lightrag_backups"), "graph1", &["check", "--read-data"]);
    let server = Process::start(scene.directory.path(), &[]);
    let found = list(&server, "graph1").await;
    assert_eq!(found.len(), 4);
    for snapshot in &found {
        let copy = scene.path("old/graph1").join(&snapshot.backup_id);
        assert_eq!(files::describe(&scene.restore(&server, snapshot).await), files::describe(&copy));
    }
}
