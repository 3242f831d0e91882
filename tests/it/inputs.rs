//! The inputs directory: a graph that names it has it in each of its snapshots, beside the source.

use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::process::{Process, run};
use crate::support::rest::{Answer, GRAPHS, get, post, send};
use crate::support::tools::restic_ok;

/// Uploads as LightRAG leaves them: one that waits, one that was parsed, with its sidecar.
pub(crate) fn uploads(directory: &Path) {
    fs::create_dir_all(directory.join("__parsed__/done.parsed/images")).unwrap();
    fs::write(directory.join("waiting.txt"), "not parsed yet").unwrap();
    fs::write(directory.join("__parsed__/done.pdf"), "the original").unwrap();
    fs::write(directory.join("__parsed__/done.parsed/content.json"), "{}").unwrap();
    fs::write(directory.join("__parsed__/done.parsed/images/1.png"), [7; 3000]).unwrap();
}

/// A graph `g` with the sample as its source and uploads as its inputs.
pub(crate) async fn register(app: &TestApp) -> (PathBuf, PathBuf) {
    let (source, inputs) = (app.sample("rag"), app.data("inputs"));
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    uploads(&inputs);
    let request = json!({ "graph_id": "g", "source_dir": source, "inputs_dir": inputs });
    assert_eq!(post(app, GRAPHS, &request).await.ok()["inputs_dir"], json!(inputs));
    (source, inputs)
}

pub(crate) async fn snapshot(app: &TestApp, graph_id: &str) -> v1::Snapshot {
    try_snapshot(app, graph_id).await.unwrap()
}

async fn try_snapshot(app: &TestApp, graph_id: &str) -> Result<v1::Snapshot, Status> {
    let request = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), ..Default::default() };
    Ok(app.backup().await.create_snapshot(request).await?.into_inner())
}

async fn patch(app: &TestApp, path: &str, body: Json) -> Answer {
    send(app, "PATCH", path, &[("content-type", "application/json")], body.to_string()).await
}

fn figures(snapshot: &v1::Snapshot) -> (Option<String>, Option<i64>, Option<i64>, Option<String>) {
    let v1::Snapshot { inputs_dir, inputs_files, inputs_size_bytes, inputs_data_hash, .. } = snapshot.clone();
    (inputs_dir, inputs_files, inputs_size_bytes, inputs_data_hash)
}

on_each_database!(restic_restores_both_and_figures_are_apart, async |app: TestApp| {
    let source = app.sample("alone");
    fs::remove_dir_all(source.join("tenant_b")).unwrap();
    let alone = app.snapshot("alone", &source).await;
    assert_eq!(figures(&alone), (None, None, None, None));
    let (source, inputs) = register(&app).await;
    noise(&inputs.join("large.pdf"), 100_000);
    let first = snapshot(&app, "g").await;
    assert_eq!((first.files, first.size_bytes, first.entities), (alone.files, alone.size_bytes, alone.entities));
    assert_eq!((first.consistency(), first.inputs_data_hash.as_ref().unwrap().len()), (v1::Consistency::Consistent, 64));
    let (dir, files, size_bytes, _) = figures(&first);
    assert_eq!((dir.unwrap(), files, size_bytes), (inputs.to_str().unwrap().to_owned(), Some(5), Some(14 + 12 + 2 + 3000 + 100_000)));

    let target = app.data("by restic");
    restic_ok(&app.storage(), "g", &["restore", "latest", "--target", target.to_str().unwrap()]);
    for directory in [&source, &inputs] {
        assert_eq!(files::describe(&target.join(directory.strip_prefix("/").unwrap())), files::describe(directory));
    }
    // restic sorts them.
    let listed: Json = serde_json::from_str(&restic_ok(&app.storage(), "g", &["snapshots", "--json"])).unwrap();
    assert_eq!(listed[0]["paths"], json!([inputs, source]));

    // What is unchanged adds nothing: only the directories above both have other times.
    let second = snapshot(&app, "g").await;
    assert_eq!((figures(&second), &second.data_hash), (figures(&first), &first.data_hash));
    assert!(second.stored_bytes < 10_000 && first.stored_bytes > 100_000, "{}", second.stored_bytes);
    fs::rename(inputs.join("waiting.txt"), inputs.join("__parsed__/waiting.txt")).unwrap();
    let third = snapshot(&app, "g").await;
    assert_eq!((&third.data_hash, third.inputs_files), (&first.data_hash, Some(5)));
    assert_ne!(third.inputs_data_hash, first.inputs_data_hash);
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    // Differences are those of the graph.
    let path = format!("{GRAPHS}/g/snapshots/{}/diff", third.backup_id);
    assert_eq!(get(&app, &path).await.ok()["differences"], json!([]));
    app
});

on_each_database!(inputs_are_browsed_and_read, async |app: TestApp| {
    register(&app).await;
    let snapshot = snapshot(&app, "g").await;
    let path = format!("{GRAPHS}/g/snapshots/{}/files", snapshot.backup_id);
    let top = get(&app, &path).await.ok();
    assert!(!top.to_string().contains("__parsed__"), "{top}");
    let hash = |name: &str| top["manifest"][name].clone();
    assert_eq!((hash("inputs_data_hash"), hash("inputs_files")), (json!(snapshot.inputs_data_hash), json!(4)));
    assert_eq!((hash("data_hash"), hash("inputs_dir")), (json!(snapshot.data_hash), json!(snapshot.inputs_dir)));
    let listed = get(&app, &format!("{path}?inputs=true")).await.ok();
    let names: Vec<&str> = listed["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!((names, &listed["manifest"]), (vec!["__parsed__", "waiting.txt"], &json!(null)));
    assert_eq!(get(&app, &format!("{path}/__parsed__/done.pdf?inputs=true")).await.text, "the original");
    assert_eq!(get(&app, &format!("{path}/__parsed__/done.pdf")).await.status, 404);
    let other = app.snapshot("other", &app.sample("other")).await;
    assert_eq!(get(&app, &format!("{GRAPHS}/other/snapshots/{}/files?inputs=true", other.backup_id)).await.status, 400);
    app
});

on_each_database!(what_is_not_the_graphs_own_is_left_out, async |app: TestApp| {
    let (_, inputs) = register(&app).await;
    // Another graph's inputs, what a restore has kept, our own files.
    uploads(&inputs.join("tenant_b"));
    fs::create_dir(inputs.join("x_pre_restore_20200101T000000.000000Z")).unwrap();
    fs::write(inputs.join("x_pre_restore_20200101T000000.000000Z/old"), "old").unwrap();
    fs::create_dir(inputs.join(".lightkeep-left")).unwrap();
    // Files of such names belong to it.
    fs::write(inputs.join("y_pre_restore_.txt"), "upload").unwrap();
    fs::write(inputs.join("__parsed__/kv_store_doc_status.json"), "upload").unwrap();
    let source = app.sample("rag_b");
    let other = json!({ "graph_id": "b", "source_dir": source, "inputs_dir": inputs.join("tenant_b") });
    post(&app, GRAPHS, &other).await.ok();
    let taken = snapshot(&app, "g").await;
    assert_eq!(taken.inputs_files, Some(6));
    let path = format!("{GRAPHS}/g/snapshots/{}/files?inputs=true", taken.backup_id);
    let listed = get(&app, &path).await.ok();
    let names: Vec<&str> = listed["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["__parsed__", "waiting.txt", "y_pre_restore_.txt"]);
    assert_eq!(snapshot(&app, "b").await.inputs_files, Some(4));
    fs::remove_dir(inputs.join(".lightkeep-left")).unwrap();
    app
});

on_each_database!(inputs_that_are_gone_are_named, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    fs::remove_dir_all(&inputs).unwrap();
    let error = try_snapshot(&app, "g").await.unwrap_err();
    assert_eq!((error.code(), error.get_details_error_info().unwrap().reason.as_str()), (Code::InvalidArgument, "SOURCE_NOT_FOUND"));
    assert_eq!(error.message(), format!("Inputs directory not found: {}", inputs.display()));
    fs::write(&inputs, "a file").unwrap();
    assert_eq!(try_snapshot(&app, "g").await.unwrap_err().code(), Code::InvalidArgument);
    // A graph that has given its inputs up is saved without.
    let changed = patch(&app, &format!("{GRAPHS}/g"), json!({ "inputs_dir": null })).await.ok();
    assert_eq!((&changed["inputs_dir"], &changed["source_dir"]), (&json!(null), &json!(source)));
    assert_eq!(figures(&snapshot(&app, "g").await), (None, None, None, None));
    app
});

on_each_database!(an_update_names_or_takes_away_the_inputs, async |app: TestApp| {
    let (_, inputs) = register(&app).await;
    let (other, path) = (app.data("other"), format!("{GRAPHS}/g"));
    uploads(&other);
    fs::write(other.join("more"), "one more").unwrap();
    assert_eq!(patch(&app, &path, json!({ "inconsistent_policy": "fail" })).await.ok()["inputs_dir"], json!(inputs));
    assert_eq!(patch(&app, &path, json!({ "inputs_dir": other })).await.ok()["inputs_dir"], json!(other));
    assert_eq!(snapshot(&app, "g").await.inputs_files, Some(5));
    let mut client = app.backup().await;
    let mut update = async |inputs_dir: Option<&str>, paths: &[&str]| {
        let graph = v1::Graph { inputs_dir: inputs_dir.map(str::to_owned), ..Default::default() };
        let mask = prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let update_mask = (!paths.is_empty()).then_some(mask);
        let request = v1::UpdateGraphRequest { graph_id: "g".to_owned(), graph: Some(graph), update_mask, ..Default::default() };
        client.update_graph(request).await.unwrap().into_inner().inputs_dir
    };
    assert_eq!(update(inputs.to_str(), &[]).await.as_deref(), inputs.to_str());
    assert_eq!(update(None, &[]).await.as_deref(), inputs.to_str(), "what is not set stays");
    assert_eq!(update(None, &["inputs_dir"]).await, None);
    assert_eq!(snapshot(&app, "g").await.inputs_dir, None);
    app
});

on_each_database!(directories_that_do_not_fit_are_refused, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    fs::create_dir(source.join("below")).unwrap();
    fs::create_dir(inputs.join("below")).unwrap();
    let refused = async |answer: Answer, status: u16, words: &str| {
        assert!(answer.refusal().0 == status && answer.refusal().1.contains(words), "{}", answer.text);
    };
    let cases = [
        (source.join("below"), 400, "is part of each snapshot as it is"),
        (source.clone(), 400, "is part of each snapshot as it is"),
        (app.data(""), 400, "contains the source"),
        (app.data("none"), 400, "Inputs directory not found"),
        (source.join("vdb_chunks.json"), 400, "is not a directory"),
        (app.storage(), 403, "`inputs_dir` lies outside the allowed directories"),
        (PathBuf::from("/proc"), 403, "`inputs_dir` lies outside the allowed directories"),
    ];
    for (inputs_dir, status, words) in cases {
        let new = json!({ "graph_id": "h", "source_dir": source, "inputs_dir": inputs_dir });
        refused(post(&app, GRAPHS, &new).await, status, words).await;
        refused(patch(&app, &format!("{GRAPHS}/g"), json!({ "inputs_dir": inputs_dir })).await, status, words).await;
    }
    assert_eq!(get(&app, &format!("{GRAPHS}/h")).await.status, 404);
    // Neither may the source come into its inputs later, nor a snapshot's own source.
    for wrong in [inputs.join("below"), app.data("")] {
        assert_eq!(patch(&app, &format!("{GRAPHS}/g"), json!({ "source_dir": wrong })).await.status, 400);
        let snapshot = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "source_dir": wrong })).await;
        assert_eq!(snapshot.status, 400, "{}", snapshot.text);
    }
    app
});

on_each_database!(a_plain_directory_may_have_inputs_too, async |app: TestApp| {
    let (source, inputs) = (app.data("plain"), app.data("a/inputs"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    uploads(&inputs);
    post(&app, GRAPHS, &json!({ "graph_id": "p", "source_dir": source, "inputs_dir": inputs })).await.ok();
    let taken = snapshot(&app, "p").await;
    assert_eq!((taken.consistency(), taken.files, taken.inputs_files), (v1::Consistency::NotApplicable, 1, Some(4)));
    app
});

/// LightRAG moves uploads while they are saved: each is in the snapshot, here or there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_moved_meanwhile_is_never_lost() {
    const UPLOADS: i64 = 200;
    let app = TestApp::start(crate::support::database::Kind::Sqlite).await;
    let (_, inputs) = register(&app).await;
    for number in 0..UPLOADS {
        fs::write(inputs.join(format!("upload {number}.txt")), format!("content {number}")).unwrap();
    }
    let mover = std::thread::spawn(move || {
        for number in 0..UPLOADS {
            let name = format!("upload {number}.txt");
            fs::rename(inputs.join(&name), inputs.join("__parsed__").join(&name)).unwrap();
        }
    });
    let mut is_last = false;
    while !is_last {
        is_last = mover.is_finished();
        match try_snapshot(&app, "g").await {
            Ok(snapshot) => assert!(snapshot.inputs_files.unwrap() >= 4 + UPLOADS, "{snapshot:?}"),
            Err(error) => assert_eq!(error.get_details_error_info().unwrap().reason, "SOURCE_CHANGED", "{error}"),
        }
    }
    mover.join().unwrap();
    let last = app.list("g").await.remove(0);
    assert_eq!(last.inputs_files, Some(4 + UPLOADS));
    crate::support::app::finish(app).await;
}

/// Content that does not compress.
fn noise(path: &Path, length: u32) {
    let bytes = (0..length).scan(1_u32, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24).to_le_bytes()[0])
    });
    fs::write(path, bytes.collect::<Vec<u8>>()).unwrap();
}

fn packs(app: &TestApp) -> Vec<(u64, PathBuf)> {
    let mut packs = vec![];
    for directory in fs::read_dir(app.storage().join("g/data")).unwrap() {
        for pack in fs::read_dir(directory.unwrap().path()).unwrap() {
            let pack = pack.unwrap();
            packs.push((pack.metadata().unwrap().len(), pack.path()));
        }
    }
    packs.sort();
    packs
}

on_each_database!(damaged_inputs_are_found_and_healed_from_where_they_are, async |app: TestApp| {
    let (_, inputs) = register(&app).await;
    snapshot(&app, "g").await;
    noise(&inputs.join("large.pdf"), 2_000_000);
    uploads(&inputs.join("tenant_b"));
    let other = json!({ "graph_id": "b", "source_dir": app.sample("rag_b"), "inputs_dir": inputs.join("tenant_b") });
    post(&app, GRAPHS, &other).await.ok();
    noise(&inputs.join("tenant_b/theirs.pdf"), 3_000_000);
    let taken = snapshot(&app, "g").await;
    let verify = async |level: &str| {
        let path = format!("{GRAPHS}/g/snapshots/{}/verify", taken.backup_id);
        post(&app, &path, &json!({ "level": level })).await.ok()["verification"].clone()
    };
    assert_eq!(verify("data").await["passed"], json!(true));
    let (_, pack) = packs(&app).pop().unwrap();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[1000] ^= 1;
    fs::write(&pack, damaged).unwrap();
    let found = verify("data").await;
    assert_eq!(found["passed"], json!(false));
    assert!(found["problems"].to_string().contains(inputs.join("large.pdf").to_str().unwrap()), "{found}");

    let repaired = post(&app, &format!("{GRAPHS}/g/repository/repair"), &json!({})).await.ok()["report"].clone();
    assert_eq!(repaired["lost"], json!([]), "{repaired}");
    let restored = repaired["restored_bytes"].as_i64().unwrap();
    assert!((1..2_500_000).contains(&restored), "what is another graph's is not stored here: {restored}");
    assert_eq!(verify("data").await["passed"], json!(true));
    restic_ok(&app.storage(), "g", &["check", "--read-data"]);
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_loss_of_the_database_the_inputs_are_known_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    // Their common directory holds more than both.
    let (source, inputs) = (root.join("data/rag"), root.join("data/uploads/inputs"));
    files::copy_tree(&files::sample().join("tenant_b"), &source);
    uploads(&inputs);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let request = v1::CreateSnapshotRequest { graph_id: "g".to_owned(), ..Default::default() };
    let taken = {
        let server = Process::start(&root, &[]);
        let (source_dir, inputs_dir) = (text(&source), text(&inputs));
        let register = v1::RegisterGraphRequest { graph_id: "g".to_owned(), source_dir, inputs_dir, ..Default::default() };
        server.backup().await.register_graph(register).await.unwrap();
        server.backup().await.create_snapshot(request.clone()).await.unwrap().into_inner()
    };
    for name in ["lightrag_recovery.db", "lightrag_recovery.db-wal", "lightrag_recovery.db-shm"] {
        let _ = fs::remove_file(root.join(name));
    }
    let adopted = run(&root, &["adopt"], &[]);
    assert!(adopted.status.success(), "{adopted:?}");
    let server = Process::start(&root, &[]);
    let graph = v1::GetGraphRequest { graph_id: "g".to_owned() };
    let graph = server.backup().await.get_graph(graph).await.unwrap().into_inner();
    assert_eq!((graph.source_dir, graph.inputs_dir), (text(&source), Some(text(&inputs))));
    let found = v1::GetSnapshotRequest { graph_id: "g".to_owned(), snapshot_id: taken.backup_id.clone() };
    let found = server.backup().await.get_snapshot(found).await.unwrap().into_inner();
    assert_eq!(figures(&found), figures(&taken));
    assert_eq!((&found.source_dir, &found.data_hash, found.files), (&taken.source_dir, &taken.data_hash, taken.files));
    let (again, inputs_again) = (root.join("again"), root.join("inputs again"));
    let restore = v1::RestoreSnapshotRequest {
        graph_id: "g".to_owned(),
        snapshot_id: taken.backup_id,
        target_dir: text(&again),
        inputs_target_dir: text(&inputs_again),
        ..Default::default()
    };
    server.backup().await.restore_snapshot(restore).await.unwrap();
    assert_eq!((files::describe(&again), files::describe(&inputs_again)), (files::describe(&source), files::describe(&inputs)));
    let next = server.backup().await.create_snapshot(request).await.unwrap().into_inner();
    assert_eq!(figures(&next), figures(&found));
}
