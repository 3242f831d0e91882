//! Bad names, sources, targets and numbers: each has its error, on both doors, and nothing is made or lost.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::files;
use crate::support::rest::{GRAPHS, post, raw};

/// Nothing is known, nothing is stored, nothing is staged.
async fn assert_nothing_made(app: &TestApp) {
    let mut backup = app.backup().await;
    let graphs = backup.list_graphs(v1::ListGraphsRequest::default()).await.unwrap().into_inner().graphs;
    assert_eq!(graphs, vec![], "registered graphs");
    assert_eq!(app.list("-").await, vec![], "snapshots");
    let operations = app.operations().await.list_operations(v1::ListOperationsRequest::default()).await.unwrap();
    assert_eq!(operations.into_inner().operations, vec![], "operations");
    let stored = fs::read_dir(app.storage()).unwrap().map(|entry| entry.unwrap().file_name());
    let stored: Vec<_> =
        stored.filter(|name| !["repository.key", "secrets.key", ".lightkeep.lock"].contains(&name.to_str().unwrap())).collect();
    assert!(stored.is_empty(), "below the storage: {stored:?}");
    assert_eq!(files::staged(app.directory.path()), Vec::<PathBuf>::new(), "staging directories");
}

fn told<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String, String) {
    let status = result.unwrap_err();
    (status.code(), status.get_details_error_info().unwrap().reason, status.message().to_owned())
}

on_each_database!(graph_ids_that_are_no_safe_names_are_refused_by_grpc, async |app: TestApp| {
    let source = app.sample("rag");
    let source_dir = source.to_str().unwrap().to_owned();
    let long = "ä".repeat(101);
    let mut backup = app.backup().await;
    for id in ["", "a/b", "/", "..", ".", "%2e%2e", ".hidden", "a b", "a\0b", "a\\b", "replicas", "repository.key", "u\u{308}", &long] {
        let graph_id = id.to_owned();
        let create = app.try_snapshot(id, &source).await.map(|_| ());
        let register = v1::RegisterGraphRequest { graph_id: graph_id.clone(), source_dir: source_dir.clone(), ..Default::default() };
        let register = backup.register_graph(register).await.map(|_| ());
        let get = backup.get_graph(v1::GetGraphRequest { graph_id: graph_id.clone() }).await.map(|_| ());
        let list = backup.list_snapshots(v1::ListSnapshotsRequest { graph_id, ..Default::default() }).await.map(|_| ());
        let unknown = v1::Snapshot { graph_id: id.to_owned(), backup_id: "x".to_owned(), ..Default::default() };
        let restore = app.restore(&unknown, &app.data("copy")).await.map(|_| ());
        let delete = app.delete(&unknown).await.map(|_| ());
        for result in [create, register, get, list, restore, delete] {
            let status = result.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{id:?}: {status}");
            let fields = status.get_details_bad_request().unwrap().field_violations;
            assert_eq!(fields.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), ["graph_id"], "{id:?}");
        }
    }
    // The name for all graphs is no graph's.
    assert_eq!(told(app.try_snapshot("-", &source).await).0, Code::InvalidArgument);
    assert_nothing_made(&app).await;
    assert!(!app.data("copy").exists());
    app
});

on_each_database!(graph_ids_that_are_no_safe_names_are_refused_by_rest, async |app: TestApp| {
    let source = app.sample("rag");
    let body = json!({ "source_dir": source });
    let long = "a".repeat(201);
    for id in
        ["..", "%2e%2e", "%2E%2E%2Fx", "a%2Fb", "%252e%252e", ".hidden", "a%20b", "%00", "replicas", "repository.key", "u%CC%88", &long]
    {
        let (status, json) = raw(&app, "POST", &format!("{GRAPHS}/{id}/snapshots"), &body).await;
        assert_eq!((status, json["code"].as_str()), (400, Some("INVALID_ARGUMENT")), "{id}: {json}");
        assert!(json["detail"].as_str().unwrap().starts_with("`graph_id` "), "{id}: {json}");
    }
    // Without an id, or with one that is not text, there is no such path.
    for (id, expected) in [("", 404), ("a/b", 404), ("%ff", 400)] {
        let (status, json) = raw(&app, "POST", &format!("{GRAPHS}/{id}/snapshots"), &body).await;
        assert_eq!(status, expected, "{id}: {json}");
    }
    assert_nothing_made(&app).await;
    app
});

on_each_database!(unfit_sources_are_refused_and_nothing_is_registered, async |app: TestApp| {
    let source = app.sample("rag");
    let before = files::describe(app.directory.path().join("data").as_path());
    let outside = tempfile::tempdir().unwrap();
    let (missing, file) = (app.data("missing"), source.join("kv_store_doc_status.json"));
    for (path, code, reason, text) in [
        (missing.clone(), Code::InvalidArgument, "SOURCE_NOT_FOUND", format!("Source directory not found: {}", missing.display())),
        (file.clone(), Code::InvalidArgument, "INVALID_ARGUMENT", format!("`source_dir` is not a directory: {}", file.display())),
        (outside.path().to_owned(), Code::PermissionDenied, "PATH_FORBIDDEN", String::new()),
        (app.data("../.."), Code::PermissionDenied, "PATH_FORBIDDEN", String::new()),
        (app.storage(), Code::PermissionDenied, "PATH_FORBIDDEN", String::new()),
    ] {
        let (found_code, found_reason, message) = told(app.try_snapshot("g", &path).await);
        assert_eq!((found_code, found_reason.as_str()), (code, reason), "{}: {message}", path.display());
        assert!(text.is_empty() || message == text, "{message}");
        let http = if code == Code::PermissionDenied { 403 } else { 400 };
        let answer = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "source_dir": path })).await;
        assert_eq!(answer.refusal(), (http, message.as_str()));
    }
    assert_eq!(told(app.try_snapshot("g", Path::new("with\0nul")).await).0, Code::InvalidArgument);
    assert_nothing_made(&app).await;
    assert_eq!(files::describe(app.directory.path().join("data").as_path()), before);
    app
});

on_each_database!(links_do_not_lead_out_of_the_allowed_directories, async |app: TestApp| {
    let source = app.sample("rag");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "as it was").unwrap();
    symlink(outside.path(), app.data("door")).unwrap();
    symlink(outside.path().join("nowhere"), app.data("dangling")).unwrap();
    assert_eq!(told(app.try_snapshot("g", &app.data("door")).await).0, Code::PermissionDenied);
    assert_eq!(told(app.try_snapshot("g", &app.data("dangling")).await).0, Code::InvalidArgument);
    assert_nothing_made(&app).await;

    let taken = app.snapshot("g", &source).await;
    for (target, code) in [("door", Code::PermissionDenied), ("door/below", Code::PermissionDenied), ("dangling", Code::InvalidArgument)] {
        assert_eq!(told(app.restore(&taken, &app.data(target)).await).0, code, "{target}");
    }
    let left: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["precious"]);
    // A link inside leads to what it names.
    symlink(&source, app.data("alias")).unwrap();
    assert_eq!(app.snapshot("h", &app.data("alias")).await.source_dir, source.to_str().unwrap());
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storage_is_neither_source_nor_target() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_ALLOWED_ROOTS", "/")]).await;
    let (storage, parent) = (app.storage(), app.storage().parent().unwrap().to_owned());
    for (path, says) in [
        (storage.clone(), "lies inside the storage"),
        (parent.clone(), "contains the storage"),
        (PathBuf::from("/"), "contains the storage"),
    ] {
        let (code, _, message) = told(app.try_snapshot("g", &path).await);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.contains(says), "{message}");
    }
    assert_nothing_made(&app).await;

    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let before = files::describe(&storage);
    for target in [storage.clone(), storage.join("g"), storage.join("g/snapshots/below"), storage.join("new"), parent, PathBuf::from("/")] {
        let (code, _, message) = told(app.restore(&taken, &target).await);
        assert_eq!(code, Code::InvalidArgument, "{}: {message}", target.display());
    }
    assert_eq!(files::describe(&storage), before);
    app.restore(&taken, &app.data("copy")).await.unwrap();
    finish(app).await;
}

on_each_database!(unfit_targets_are_refused_and_stay_as_they_were, async |app: TestApp| {
    let source = app.sample("rag");
    let taken = app.snapshot("g", &source).await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(app.data("file"), "mine").unwrap();
    let before = files::describe(&app.data(""));
    for (target, code) in [
        (app.data("file"), Code::InvalidArgument),
        (app.data("file/below"), Code::InvalidArgument),
        (app.data("missing/../../x"), Code::InvalidArgument),
        (outside.path().join("x"), Code::PermissionDenied),
        (app.storage().join("g"), Code::PermissionDenied),
        (PathBuf::new(), Code::InvalidArgument),
    ] {
        let (found, _, message) = told(app.restore(&taken, &target).await);
        assert_eq!(found, code, "{}: {message}", target.display());
        assert_eq!(files::describe(&app.data("")), before, "{}", target.display());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    app.restore(&taken, &app.data("copy")).await.unwrap();
    app
});

on_each_database!(numbers_that_no_enum_has_are_refused_all_at_once, async |app: TestApp| {
    let source = app.sample("rag");
    let server = v1::LightragServer { url: "lightrag:9621".to_owned(), busy_policy: 77, quiet_wait_seconds: -1, ..Default::default() };
    let request = v1::RegisterGraphRequest {
        graph_id: "a/b".to_owned(),
        source_dir: source.to_str().unwrap().to_owned(),
        server: Some(server),
        inconsistent_policy: 99,
        request_id: "no uuid".to_owned(),
        ..Default::default()
    };
    let status = app.backup().await.register_graph(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let mut fields: Vec<String> = status.get_details_bad_request().unwrap().field_violations.into_iter().map(|found| found.field).collect();
    fields.sort();
    assert_eq!(fields, ["graph_id", "inconsistent_policy", "request_id", "server.busy_policy", "server.quiet_wait_seconds", "server.url"]);
    let request = v1::ListOperationsRequest { state: 99, page_size: -1, ..Default::default() };
    let status = app.operations().await.list_operations(request).await.unwrap_err();
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!((status.code(), fields.len()), (Code::InvalidArgument, 2), "{status}");
    assert_nothing_made(&app).await;
    app
});

on_each_database!(requests_over_one_mebibyte_are_refused_by_grpc, async |app: TestApp| {
    let source = app.sample("rag");
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(1024 * 1024))) };
    let metadata = prost_types::Struct { fields: [("filler".to_owned(), value)].into() };
    let source_dir = source.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "g".to_owned(), source_dir, metadata: Some(metadata), ..Default::default() };
    assert_eq!(app.backup().await.create_snapshot(request).await.unwrap_err().code(), Code::OutOfRange);
    assert_nothing_made(&app).await;
    app
});
