//! Snapshots by gRPC: what they say, what they cost, and that restic reads them.

use std::fs;

use lightkeep::proto::v1;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::tools::restic_ok;

on_each_database!(a_snapshot_of_the_sample_says_what_is_in_it, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    assert_eq!(snapshot.status(), v1::SnapshotStatus::Completed);
    assert_eq!(snapshot.consistency(), v1::Consistency::Consistent, "{:?}", snapshot.findings);
    assert_eq!((snapshot.documents, snapshot.chunks, snapshot.entities, snapshot.relations, snapshot.vectors), (6, 6, 34, 44, 84));
    assert_eq!(snapshot.files, 12, "tenant_b is another workspace");
    assert_eq!(snapshot.data_hash().len(), 64);
    assert!(fs::exists(snapshot.checkpoint_path()).unwrap());
    assert_eq!(app.list("graph1").await, vec![snapshot]);
    app
});

on_each_database!(an_unchanged_snapshot_stores_nothing_again, async |app: TestApp| {
    let source = app.sample("sample");
    let first = app.snapshot("graph1", &source).await;
    let second = app.snapshot("graph1", &source).await;
    assert_eq!(second.data_hash, first.data_hash);
    assert!(first.stored_bytes > 10_000);
    // Only the directory's own metadata may be another.
    assert!(second.stored_bytes < 3_000, "{}", second.stored_bytes);
    let stats = app.backup().await.get_backup_stats(v1::GetBackupStatsRequest {}).await.unwrap().into_inner();
    assert_eq!((stats.total_graphs, stats.total_snapshots, stats.total_size_bytes), (1, 2, first.size_bytes * 2));
    app
});

on_each_database!(snapshots_are_still_there_after_a_restart, async |app: TestApp| {
    let source = app.sample("sample");
    let snapshot = app.snapshot("graph1", &source).await;
    let app = app.restart().await;
    assert_eq!(app.list("graph1").await, vec![snapshot.clone()]);
    app.restore(&snapshot, &app.data("again")).await.unwrap();
    app
});

on_each_database!(restic_reads_what_we_wrote, async |app: TestApp| {
    let source = app.sample("sample");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    app.snapshot("graph1", &source).await;
    restic_ok(&app.storage(), "graph1", &["check", "--read-data"]);
    let target = app.data("by-restic");
    restic_ok(&app.storage(), "graph1", &["restore", "latest", "--target", target.to_str().unwrap()]);
    let restored = target.join(source.strip_prefix("/").unwrap());
    assert_eq!(files::describe(&restored), files::describe(&source));
    app
});

on_each_database!(a_plain_directory_is_kept_as_it_is, async |app: TestApp| {
    let source = app.data("plain");
    fs::create_dir_all(source.join("below/deeper")).unwrap();
    fs::write(source.join("below/a.txt"), "one").unwrap();
    fs::write(source.join("below/deeper/empty"), "").unwrap();
    std::os::unix::fs::symlink("/nowhere", source.join("dangling")).unwrap();
    let snapshot = app.snapshot("plain", &source).await;
    assert_eq!(snapshot.consistency(), v1::Consistency::NotApplicable);
    assert_eq!((snapshot.files, snapshot.documents), (2, 0));
    let target = app.data("plain-restored");
    app.restore(&snapshot, &target).await.unwrap();
    assert_eq!(files::describe(&target), files::describe(&source));
    app
});

on_each_database!(damage_in_the_source_is_named_and_kept, async |app: TestApp| {
    let source = app.sample("sample");
    let index = fs::OpenOptions::new().write(true).open(source.join("vdb_entities.json")).unwrap();
    index.set_len(1000).unwrap();
    fs::remove_file(source.join("kv_store_text_chunks.json")).unwrap();
    let snapshot = app.snapshot("graph1", &source).await;
    assert_eq!(snapshot.status(), v1::SnapshotStatus::Completed);
    assert_eq!(snapshot.consistency(), v1::Consistency::Inconsistent);
    let named = |rule: &str, what: &str| {
        let of_rule = snapshot.findings.iter().filter(|finding| finding.rule == rule);
        of_rule.flat_map(|finding| &finding.examples).any(|example| example.contains(what))
    };
    assert!(named("Parses", "vdb_entities.json"), "{:?}", snapshot.findings);
    assert!(named("Present", "kv_store_text_chunks.json"), "{:?}", snapshot.findings);
    app
});

on_each_database!(a_graph_may_rather_fail_than_keep_damage, async |app: TestApp| {
    let source = app.sample("sample");
    fs::remove_file(source.join("graph_chunk_entity_relation.graphml")).unwrap();
    let request = v1::RegisterGraphRequest {
        graph_id: "strict".to_owned(),
        source_dir: source.to_str().unwrap().to_owned(),
        inconsistent_policy: v1::InconsistentPolicy::Fail.into(),
        ..Default::default()
    };
    app.backup().await.register_graph(request).await.unwrap();
    let error = app.try_snapshot("strict", &source).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition);
    let failed = app.list("strict").await.remove(0);
    assert_eq!(failed.status(), v1::SnapshotStatus::Failed);
    assert_eq!(failed.error_message(), error.message());
    restic_ok(&app.storage(), "strict", &["check", "--read-data"]);
    assert_eq!(restic_ok(&app.storage(), "strict", &["snapshots", "--json"]).trim(), "[]");
    app
});

on_each_database!(another_source_is_used_once_and_changes_nothing, async |app: TestApp| {
    let (source, other) = (app.sample("sample"), app.sample("other"));
    app.snapshot("graph1", &source).await;
    let snapshot = app.snapshot("graph1", &other).await;
    assert_eq!(snapshot.source_dir, other.to_str().unwrap());
    let graph = app.backup().await.get_graph(v1::GetGraphRequest { graph_id: "graph1".to_owned() }).await.unwrap().into_inner();
    assert_eq!(graph.source_dir, source.to_str().unwrap());
    app
});

on_each_database!(two_workspaces_in_one_directory_are_two_graphs, async |app: TestApp| {
    let source = app.sample("sample");
    let tenant = app.snapshot("tenant_b", &source.join("tenant_b")).await;
    let main = app.snapshot("main", &source).await;
    assert_eq!((tenant.files, main.files), (12, 12));
    assert_ne!(tenant.data_hash, main.data_hash);
    app
});
