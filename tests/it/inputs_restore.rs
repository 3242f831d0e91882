//! Restores of snapshots with inputs: both directories, or the source alone; and a crash between the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::inputs::{register, snapshot, uploads};
use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::process::{Process, run};
use crate::support::rest::{Answer, GRAPHS, get, post};

async fn restore(app: &TestApp, snapshot: &v1::Snapshot, target: &Path, more: Json) -> Answer {
    let mut body = json!({ "target_dir": target });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(app, &format!("{GRAPHS}/{}/snapshots/{}/restore", snapshot.graph_id, snapshot.backup_id), &body).await
}

on_each_database!(inputs_are_restored_only_where_they_are_asked_for, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    let taken = snapshot(&app, "g").await;
    restore(&app, &taken, &app.data("alone"), json!({})).await.ok();
    assert_eq!(files::describe(&app.data("alone")), files::describe(&source));
    let (target, inputs_target) = (app.data("new/rag"), app.data("new/uploads/inputs"));
    let plan = restore(&app, &taken, &target, json!({ "inputs_target_dir": inputs_target, "validate_only": true })).await.ok();
    let plan = &plan["plan"];
    assert_eq!((&plan["files"], &plan["inputs_files"], &plan["inputs_size_bytes"]), (&json!(12), &json!(4), &json!(3028)));
    assert_eq!((&plan["inputs_kept_as"], &plan["conflicts"]), (&json!(null), &json!([])));
    assert!(!app.data("new").exists());
    restore(&app, &taken, &target, json!({ "inputs_target_dir": inputs_target })).await.ok();
    assert_eq!((files::describe(&target), files::describe(&inputs_target)), (files::describe(&source), files::describe(&inputs)));
    let operation = &get(&app, "/api/operations?kind=restore").await.ok()["operations"][0];
    assert_eq!((&operation["result"]["files"], &operation["result"]["size_bytes"]), (&json!(16), &json!(taken.size_bytes + 3028)));
    app
});

on_each_database!(in_place_both_are_replaced_and_kept, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    let (original, uploaded) = (files::describe(&source), files::describe(&inputs));
    let taken = snapshot(&app, "g").await;
    fs::remove_file(source.join("vdb_chunks.json")).unwrap();
    fs::write(inputs.join("later.txt"), "uploaded later").unwrap();
    let (damaged, later) = (files::describe(&source), files::describe(&inputs));
    let plan = restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs, "validate_only": true })).await.ok();
    assert!(plan["plan"]["inputs_kept_as"].as_str().unwrap().starts_with(inputs.to_str().unwrap()), "{plan}");
    restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs })).await.ok();
    assert_eq!((files::describe(&source), files::describe(&inputs)), (original.clone(), uploaded.clone()));
    for (target, before) in [(&source, damaged), (&inputs, later.clone())] {
        let kept = files::kept(target);
        assert_eq!(kept.len(), 1);
        assert_eq!(files::describe(&kept[0]), before);
    }
    // The snapshot before it holds both too, and the next is as the first.
    let list = app.list("g").await;
    assert_eq!((list.len(), list[0].inputs_files), (2, Some(5)));
    let again = snapshot(&app, "g").await;
    assert_eq!((&again.data_hash, &again.inputs_data_hash), (&taken.data_hash, &taken.inputs_data_hash));

    // The inputs alone in place: the graph is saved as well, but for what is lost already.
    app.clock.advance(Duration::from_secs(1));
    restore(&app, &list[0], &app.data("elsewhere"), json!({ "inputs_target_dir": inputs })).await.ok();
    assert_eq!(files::describe(&inputs), later);
    assert_eq!(app.list("g").await.len(), 4);
    fs::remove_dir_all(&inputs).unwrap();
    app.clock.advance(Duration::from_secs(1));
    restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs })).await.ok();
    assert_eq!(files::describe(&inputs), uploaded);
    let safety = app.list("g").await.remove(0);
    assert_eq!((safety.status(), safety.inputs_dir), (v1::SnapshotStatus::Completed, None));
    app
});

on_each_database!(other_graphs_inputs_stay_where_they_are, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    let tenant = inputs.join("tenant_b");
    uploads(&tenant);
    let other = json!({ "graph_id": "b", "source_dir": app.sample("rag_b"), "inputs_dir": tenant });
    post(&app, GRAPHS, &other).await.ok();
    let taken = snapshot(&app, "g").await;
    let theirs = snapshot(&app, "b").await;
    fs::write(inputs.join("later.txt"), "uploaded later").unwrap();
    fs::write(tenant.join("theirs.txt"), "theirs").unwrap();
    restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs })).await.ok();
    assert!(!inputs.join("later.txt").exists() && inputs.join("__parsed__/done.pdf").exists());
    assert_eq!(fs::read(tenant.join("theirs.txt")).unwrap(), b"theirs");
    assert!(!files::kept(&inputs)[0].join("tenant_b").exists());
    // In the other's own place, what it keeps is no part of the first's inputs.
    restore(&app, &theirs, &app.data("rag_b"), json!({ "inputs_target_dir": tenant })).await.ok();
    assert!(!tenant.join("theirs.txt").exists());
    assert_eq!(files::kept(&tenant).len(), 1);
    assert_eq!(snapshot(&app, "g").await.inputs_data_hash, taken.inputs_data_hash);
    // What was the first's own when it was saved and is another's now is in the way: nothing is replaced.
    uploads(&inputs.join("tenant_c"));
    let with_c = snapshot(&app, "g").await;
    let third = json!({ "graph_id": "c", "source_dir": app.sample("rag_c"), "inputs_dir": inputs.join("tenant_c") });
    post(&app, GRAPHS, &third).await.ok();
    let before = (files::describe(&source), files::describe(&inputs));
    app.clock.advance(Duration::from_secs(1));
    let body = json!({ "inputs_target_dir": inputs, "safety_snapshot": false });
    let refused = restore(&app, &with_c, &source, body.clone()).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_CONFLICT")), "{}", refused.text);
    assert_eq!((files::describe(&source), files::describe(&inputs)), before);
    // So is a name that is taken.
    let plan = restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs, "validate_only": true })).await.ok();
    fs::create_dir(plan["plan"]["inputs_kept_as"].as_str().unwrap()).unwrap();
    let refused = restore(&app, &taken, &source, body).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_CONFLICT")), "{}", refused.text);
    assert_eq!(files::describe(&source), before.0);
    // Deeper in a target they would go with what is replaced.
    let deeper = inputs.parent().unwrap().join("x");
    fs::create_dir_all(deeper.join("y")).unwrap();
    uploads(&deeper.join("y/z"));
    let fourth = json!({ "graph_id": "d", "source_dir": app.sample("rag_d"), "inputs_dir": deeper.join("y/z") });
    post(&app, GRAPHS, &fourth).await.ok();
    let refused = restore(&app, &taken, &app.data("new"), json!({ "inputs_target_dir": deeper })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_CONFLICT")));
    app
});

on_each_database!(targets_of_inputs_that_do_not_fit_are_refused, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    let taken = snapshot(&app, "g").await;
    let without = app.snapshot("h", &app.sample("other")).await;
    let target = app.data("target");
    fs::write(app.data("a file"), "x").unwrap();
    let cases = [
        (target.clone(), 400, "lies in `target_dir`"),
        (target.join("inputs"), 400, "lies in `target_dir`"),
        (app.data(""), 400, "contains `target_dir`"),
        (app.data("a file"), 400, "is not a directory"),
        (app.storage(), 403, "`inputs_target_dir` lies outside the allowed directories"),
    ];
    for (inputs_target, status, words) in cases {
        let refused = restore(&app, &taken, &target, json!({ "inputs_target_dir": inputs_target })).await;
        assert!(refused.refusal().0 == status && refused.refusal().1.contains(words), "{}", refused.text);
    }
    let none = restore(&app, &without, &target, json!({ "inputs_target_dir": app.data("new") })).await;
    assert!(none.refusal().0 == 400 && none.refusal().1.contains("holds no inputs"), "{}", none.text);
    let fork = json!({ "inputs_target_dir": inputs, "fork_graph_id": "copy" });
    assert_eq!(restore(&app, &taken, &app.data("copy"), fork).await.status, 400);
    assert!(!target.exists() && !app.data("copy").exists());

    // A fork's inputs are its own.
    let fork = json!({ "inputs_target_dir": app.data("copied"), "fork_graph_id": "copy" });
    restore(&app, &taken, &app.data("copy"), fork).await.ok();
    assert_eq!(get(&app, &format!("{GRAPHS}/copy")).await.ok()["inputs_dir"], json!(app.data("copied")));
    let own = snapshot(&app, "copy").await;
    assert_eq!((own.inputs_files, own.files), (taken.inputs_files, taken.files));
    let plain = restore(&app, &taken, &app.data("plain_copy"), json!({ "fork_graph_id": "plain" })).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
    assert_eq!(get(&app, &format!("{GRAPHS}/plain")).await.ok()["inputs_dir"], json!(null));
    assert!(source.exists());
    app
});

on_each_database!(damaged_inputs_replace_nothing, async |app: TestApp| {
    let (source, inputs) = register(&app).await;
    let packs = || -> Vec<(u64, PathBuf)> {
        let below = fs::read_dir(app.storage().join("g/data")).unwrap().flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap());
        below.map(|pack| pack.unwrap().path()).map(|pack| (fs::metadata(&pack).unwrap().len(), pack)).collect()
    };
    snapshot(&app, "g").await;
    let known = packs();
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    fs::write(inputs.join("lost"), bytes).unwrap();
    let taken = snapshot(&app, "g").await;
    // The largest that is new has the upload, and of the rest the manifest at most.
    let (length, pack) = packs().into_iter().filter(|pack| !known.contains(pack)).max().unwrap();
    let mut damaged = fs::read(&pack).unwrap();
    damaged[usize::try_from(length / 2).unwrap()] ^= 1;
    fs::write(&pack, damaged).unwrap();
    let before = (files::describe(&source), files::describe(&inputs));
    fs::remove_file(source.join("vdb_chunks.json")).unwrap();
    let refused = restore(&app, &taken, &source, json!({ "inputs_target_dir": inputs, "safety_snapshot": false })).await;
    assert_eq!(refused.json["reason"], json!("REPOSITORY_DAMAGED"), "{}", refused.text);
    assert!(!source.join("vdb_chunks.json").exists(), "the source was whole, and is not replaced without its inputs");
    assert_eq!(files::describe(&inputs), before.1);
    assert_eq!(files::kept(&source), Vec::<PathBuf>::new());
    // Without them it is restored.
    restore(&app, &taken, &source, json!({ "safety_snapshot": false })).await.ok();
    assert_eq!(files::describe(&source), before.0);
    app
});

/// A graph with inputs, a snapshot of both, and another state of both.
struct Scene {
    directory: tempfile::TempDir,
    taken: v1::Snapshot,
    wanted: [Vec<String>; 2],
    replaced: [Vec<String>; 2],
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let [source, inputs] = ["rag", "inputs"].map(|name| root.join(name));
        files::copy_tree(&files::sample().join("tenant_b"), &source);
        uploads(&inputs);
        let wanted = [&source, &inputs].map(|directory| files::describe(directory));
        let server = Process::start(&root, &[]);
        let [source_dir, inputs_dir] = [&source, &inputs].map(|path| path.to_str().unwrap().to_owned());
        let request = v1::RegisterGraphRequest { graph_id: "g".to_owned(), source_dir, inputs_dir, ..Default::default() };
        server.backup().await.register_graph(request).await.unwrap();
        let request = v1::CreateSnapshotRequest { graph_id: "g".to_owned(), ..Default::default() };
        let taken = server.backup().await.create_snapshot(request).await.unwrap().into_inner();
        for directory in [&source, &inputs] {
            fs::write(directory.join("later"), "the old state").unwrap();
        }
        let replaced = [&source, &inputs].map(|directory| files::describe(directory));
        Self { directory, taken, wanted, replaced }
    }

    fn targets(&self) -> [PathBuf; 2] {
        ["rag", "inputs"].map(|name| self.directory.path().canonicalize().unwrap().join(name))
    }

    fn start(&self, failpoint: &str) -> Process {
        Process::start(self.directory.path(), &[("LIGHTKEEP_FAILPOINT", failpoint)])
    }

    async fn restore(&self, server: &Process) -> Result<(), tonic::Status> {
        let [target_dir, inputs_target_dir] = self.targets().map(|path| path.to_str().unwrap().to_owned());
        let request = v1::RestoreSnapshotRequest {
            graph_id: "g".to_owned(),
            snapshot_id: self.taken.backup_id.clone(),
            target_dir,
            inputs_target_dir,
            safety_snapshot: Some(false),
            ..Default::default()
        };
        server.backup().await.restore_snapshot(request).await.map(drop)
    }

    /// Waits until the restore has ended, and says how, and at which attempt.
    async fn settle(&self, server: &Process) -> (v1::OperationState, i32) {
        let mut operations = server.operations().await;
        let request = v1::ListOperationsRequest { kind: v1::OperationKind::Restore.into(), ..Default::default() };
        let restore = operations.list_operations(request).await.unwrap().into_inner().operations.remove(0);
        let request = v1::WatchOperationRequest { operation_id: restore.operation_id };
        let mut stream = operations.watch_operation(request).await.unwrap().into_inner();
        let mut last = None;
        while let Some(operation) = stream.message().await.unwrap() {
            last = Some(operation);
        }
        let last = last.unwrap();
        (last.state(), last.attempt)
    }

    fn states(&self) -> [Vec<String>; 2] {
        self.targets().map(|target| files::describe(&target))
    }

    /// Both are in place, what stood there is kept, and nothing else is left.
    fn check_done(&self) {
        assert_eq!(self.states(), self.wanted);
        for (target, replaced) in self.targets().iter().zip(&self.replaced) {
            let kept = files::kept(target);
            assert_eq!(kept.len(), 1, "{kept:?}");
            assert_eq!(files::describe(&kept[0]), *replaced);
        }
        assert_eq!(files::staged(self.directory.path()), Vec::<PathBuf>::new());
    }
}

/// Ends the process at these steps, one attempt each; the last one, which nothing interrupts, finishes.
async fn crash_at(steps: &[&str], between: impl Fn(&Scene)) {
    let scene = Scene::new().await;
    for (number, step) in steps.iter().enumerate() {
        if number == 0 {
            let mut server = scene.start(step);
            scene.restore(&server).await.unwrap_err();
            assert!(!server.wait().success(), "the step `{step}` was not reached");
        } else {
            // It goes on at once, perhaps before it is ready for others.
            let ended = run(scene.directory.path(), &["serve"], &[("LIGHTKEEP_FAILPOINT", step)]);
            assert!(!ended.status.success(), "the step `{step}` was not reached");
        }
        for (place, state) in scene.states().iter().enumerate() {
            assert!(*state == scene.wanted[place] || *state == scene.replaced[place], "a mixture after `{step}`");
        }
    }
    between(&scene);
    let server = scene.start("none");
    assert_eq!(scene.settle(&server).await, (v1::OperationState::Succeeded, i32::try_from(steps.len()).unwrap() + 1));
    scene.check_done();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_both_begins_anew() {
    crash_at(&["restore.verified"], |scene| assert_eq!(scene.states(), scene.replaced)).await;
    crash_at(&["apply.journal_written"], |scene| assert_eq!(scene.states(), scene.replaced)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_both_is_finished() {
    let half = |scene: &Scene| assert_eq!(scene.states(), [scene.wanted[0].clone(), scene.replaced[1].clone()]);
    crash_at(&["apply.exchanged"], half).await;
    crash_at(&["apply.kept"], half).await;
    crash_at(&["restore.target_applied"], half).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_both_is_done() {
    crash_at(&["restore.applied"], |scene| assert_eq!(scene.states(), scene.wanted)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_crash_while_the_inputs_are_put_in_place_is_finished_too() {
    for (step, are_placed) in [("apply.journal_written", false), ("apply.exchanged", true), ("apply.kept", true)] {
        let half = |scene: &Scene| {
            let inputs = if are_placed { &scene.wanted } else { &scene.replaced };
            assert_eq!(scene.states(), [scene.wanted[0].clone(), inputs[1].clone()], "{step}");
        };
        crash_at(&["restore.target_applied", step], half).await;
    }
}

/// Whoever has tampered with what waited is found out: it is not put in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_and_has_changed_is_not_put_in_place() {
    let scene = Scene::new().await;
    let mut server = scene.start("restore.target_applied");
    scene.restore(&server).await.unwrap_err();
    assert!(!server.wait().success());
    let waiting = files::staged(scene.directory.path());
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    fs::remove_file(waiting[0].join("waiting.txt")).unwrap();
    let server = scene.start("none");
    assert_eq!(scene.settle(&server).await, (v1::OperationState::Failed, 2));
    assert_eq!(scene.states(), [scene.wanted[0].clone(), scene.replaced[1].clone()]);
    assert_eq!(files::staged(scene.directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operation_has_left_is_swept_when_it_is_over() {
    let scene = Scene::new().await;
    let server = scene.start("none");
    scene.restore(&server).await.unwrap();
    let operations = server.operations().await.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner();
    let id = operations.operations[0].operation_id.clone();
    drop(server);
    let left = scene.directory.path().join(format!(".lightkeep-{id}-inputs"));
    fs::create_dir(&left).unwrap();
    let foreign = scene.directory.path().join(".lightkeep-unknown-inputs");
    fs::create_dir(&foreign).unwrap();
    drop(scene.start("none"));
    assert!(!left.exists());
    assert!(foreign.exists(), "nobody knows whose it is");
}
