//! Failovers of checkpoints: all graphs are put in place or none, and put back to the byte; to a recovery site and back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::lightrag::workspaces::remove_node;
use crate::restore_targets::{TinyDisk, server_of};
use crate::support::app::{START, TestApp, settled};
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::repositories::{flip, open};
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send};
use crate::trouble::files_below;

pub(crate) const CHECKPOINTS: &str = "/api/backup/recovery/checkpoints";
pub(crate) const FAILOVERS: &str = "/api/backup/recovery/failovers";

/// Three registered graphs: a workspace with another one's directory in it, one alone, and a plain directory.
pub(crate) async fn three(app: &TestApp) -> Vec<PathBuf> {
    let sources = vec![app.sample("a"), app.sample("b"), files::small(&app.data("c"))];
    fs::remove_dir_all(sources[1].join("tenant_b")).unwrap();
    for (graph_id, source) in ["a", "b", "c"].into_iter().zip(&sources) {
        post(app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
    }
    sources
}

/// A checkpoint over the three.
pub(crate) async fn checkpoint(app: &TestApp) -> String {
    let made = post(app, CHECKPOINTS, &json!({ "graph_ids": ["b", "a", "c"], "description": "d" })).await.ok();
    made["checkpoint_id"].as_str().unwrap().to_owned()
}

pub(crate) async fn fail_over(app: &TestApp, checkpoint_id: &str, body: Json) -> Answer {
    post(app, &format!("{CHECKPOINTS}/{checkpoint_id}/failover"), &body).await
}

fn path_of(failover: &Json, action: &str) -> String {
    format!("{FAILOVERS}/{}{action}", failover["failover_id"].as_str().unwrap())
}

/// Changes each graph, so that old and new can be told apart.
pub(crate) fn change(sources: &[PathBuf]) {
    for source in sources {
        fs::write(source.join("changed"), "since the checkpoint").unwrap();
    }
    fs::remove_file(sources[1].join("kv_store_full_docs.json")).unwrap();
}

fn describe(sources: &[PathBuf]) -> Vec<Vec<String>> {
    sources.iter().map(|source| files::describe(source)).collect()
}

/// What restores have kept left out.
fn without_kept(lines: Vec<Vec<String>>) -> Vec<Vec<String>> {
    lines.into_iter().map(|lines| lines.into_iter().filter(|line| !line.contains("_pre_restore_")).collect()).collect()
}

async fn source_dir(app: &TestApp, graph_id: &str) -> Json {
    get(app, &format!("{GRAPHS}/{graph_id}")).await.ok()["source_dir"].clone()
}

on_each_database!(all_graphs_are_put_in_place_and_back, async |app: TestApp| {
    let sources = three(&app).await;
    let before = describe(&sources);
    let id = checkpoint(&app).await;
    change(&sources);
    let changed = describe(&sources);
    let answer = fail_over(&app, &id, json!({})).await.ok();
    let failover = &answer["failover"];
    assert_eq!((&answer["success"], &failover["state"]), (&json!(true), &json!("succeeded")), "{answer}");
    assert_eq!(describe(&sources), before);
    let named = |field: &str| failover["steps"].as_array().unwrap().iter().map(|step| step[field].clone()).collect::<Vec<_>>();
    let kinds = ["check", "validate", "validate", "validate", "check", "fence", "restore", "restore", "restore", "audit", "audit", "audit"];
    assert_eq!(named("kind"), kinds.into_iter().chain(["switch", "switch", "switch"]).map(Json::from).collect::<Vec<_>>());
    assert_eq!(named("outcome"), vec![json!("done"); 15]);
    let graphs: Vec<_> = failover["graphs"].as_array().unwrap().iter().map(|graph| graph["graph_id"].clone()).collect();
    assert_eq!(graphs, ["b", "a", "c"]);
    assert_eq!(get(&app, &path_of(failover, "")).await.ok(), *failover);
    assert_eq!(get(&app, &format!("{FAILOVERS}?checkpoint_id={id}")).await.ok(), json!([failover]));
    // The graphs are anybody's again.
    post(&app, &format!("{GRAPHS}/a/snapshots"), &json!({})).await.ok();
    fs::write(sources[2].join("later"), "since the failover").unwrap();

    let rolled_back = post(&app, &path_of(failover, "/rollback"), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    assert_eq!(describe(&sources), changed);
    let replaced = |graph: usize| PathBuf::from(rolled_back["graphs"][graph]["source"]["replaced_as"].as_str().unwrap());
    assert!(replaced(2).join("later").exists() && replaced(0).join("kv_store_full_docs.json").exists(), "what stood there is kept");
    let again = post(&app, &path_of(failover, "/rollback"), &json!({})).await;
    assert_eq!((again.status, &again.json["reason"]), (409, &json!("FAILOVER_NOT_SWITCHED")), "{}", again.text);
    app
});

on_each_database!(a_plan_tells_and_does_nothing, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let before = describe(&sources);
    let answer = fail_over(&app, &id, json!({ "validate_only": true })).await.ok();
    assert_eq!((&answer["success"], &answer["failover"]), (&json!(false), &json!(null)));
    let plan = &answer["plan"];
    assert_eq!((&plan["refusals"], &plan["remarks"]), (&json!([]), &json!([])));
    assert_eq!(plan["steps"], json!(["check", "validate", "fence", "restore", "audit", "switch", "server"]));
    let size_bytes = |graph: usize| plan["graphs"][graph]["source"]["size_bytes"].as_i64().unwrap();
    assert_eq!(plan["size_bytes"], json!(size_bytes(0) + size_bytes(1) + size_bytes(2)));
    assert_eq!(plan["graphs"][0]["source"]["target_dir"], json!(sources[1]));
    // Nothing was measured yet.
    assert_eq!(plan["expected_seconds"], json!(null));
    for graph_id in ["a", "b", "c"] {
        post(&app, "/api/backup/recovery/drills", &json!({ "graph_id": graph_id })).await.ok();
    }
    let planned = fail_over(&app, &id, json!({ "validate_only": true })).await.ok();
    assert!(planned["plan"]["expected_seconds"].is_number(), "{planned}");
    assert_eq!(describe(&sources), before);
    assert_eq!(get(&app, FAILOVERS).await.ok(), json!([]));
    app
});

on_each_database!(what_speaks_against_it_is_named_before_anything_is_made, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    let before = describe(&sources);
    let unknown = fail_over(&app, "0191e7a0-1111-7222-8333-444455556666", json!({})).await;
    assert_eq!(unknown.refusal(), (404, "Checkpoint 0191e7a0-1111-7222-8333-444455556666 not found"));
    for (wrong, status, reason) in [
        (json!({ "target_dirs": { "none": app.data("x") } }), 400, "INVALID_ARGUMENT"),
        (json!({ "target_dirs": { "a": "" } }), 400, "INVALID_ARGUMENT"),
        (json!({ "target_dirs": { "a": "/elsewhere" } }), 403, "PATH_FORBIDDEN"),
        (json!({ "target_dirs": { "a": sources[1] } }), 409, "TARGET_OF_OTHER_GRAPH"),
        (json!({ "target_dirs": { "a": app.data("x"), "b": app.data("x") } }), 409, "TARGET_CONFLICT"),
        (json!({ "target_dirs": { "a": app.data("x"), "c": app.data("x/y") } }), 409, "TARGET_CONFLICT"),
    ] {
        let refused = fail_over(&app, &id, wrong.clone()).await;
        assert_eq!((refused.status, &refused.json["reason"]), (status, &json!(reason)), "{wrong}: {}", refused.text);
    }
    let server = json!({ "server": { "url": server_of(&sources[0]) } });
    send(&app, "PATCH", &format!("{GRAPHS}/a"), &[("content-type", "application/json")], server.to_string()).await.ok();
    let in_use = fail_over(&app, &id, json!({})).await;
    assert_eq!((in_use.status, &in_use.json["reason"]), (409, &json!("TARGET_IN_USE")), "{}", in_use.text);
    assert!(in_use.refusal().1.contains("graph `a`"));
    let planned = fail_over(&app, &id, json!({ "validate_only": true })).await.ok();
    assert_eq!(planned["plan"]["refusals"].as_array().unwrap().len(), 1, "{planned}");
    for pack in files_below(&app.storage().join("b/data")) {
        flip(&pack);
    }
    post(&app, &format!("{CHECKPOINTS}/{id}/validate"), &json!({})).await.ok();
    let invalid = fail_over(&app, &id, json!({ "force": true })).await;
    assert_eq!((invalid.status, &invalid.json["reason"]), (409, &json!("CHECKPOINT_NOT_VALID")), "{}", invalid.text);
    assert_eq!(get(&app, FAILOVERS).await.ok(), json!([]));
    assert_eq!(describe(&sources), before);
    app
});

on_each_database!(one_at_a_time_has_a_graph_and_nothing_else_moves_it, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    let before = describe(&sources);
    let lock = open(&app, "c").lock(LockKind::Exclusive, START, "another-host").unwrap();
    let queued = fail_over(&app, &id, json!({ "wait": false })).await.ok();
    assert_eq!((&queued["success"], &queued["failover"]["state"]), (&json!(false), &json!("running")));
    let snapshot = app.list("b").await.remove(0);
    let restore = format!("{GRAPHS}/b/snapshots/{}/restore", snapshot.backup_id);
    let update = format!("{GRAPHS}/a");
    let moved = json!({ "source_dir": sources[1] }).to_string();
    post(&app, GRAPHS, &json!({ "graph_id": "d", "source_dir": files::small(&app.data("d")) })).await.ok();
    let other = app.snapshot("d", &app.data("d")).await;
    let into_ours = format!("{GRAPHS}/d/snapshots/{}/restore", other.backup_id);
    for (refused, reason) in [
        (fail_over(&app, &id, json!({})).await, "FAILOVER_IN_PROGRESS"),
        (post(&app, &restore, &json!({ "target_dir": app.data("elsewhere") })).await, "FAILOVER_IN_PROGRESS"),
        (post(&app, &into_ours, &json!({ "target_dir": sources[1].join("in_it"), "force": true })).await, "FAILOVER_IN_PROGRESS"),
        (send(&app, "PATCH", &update, &[("content-type", "application/json")], moved).await, "FAILOVER_IN_PROGRESS"),
        (delete(&app, &format!("{update}?repository=keep")).await, "FAILOVER_IN_PROGRESS"),
        (delete(&app, &format!("{CHECKPOINTS}/{id}")).await, "FAILOVER_IN_PROGRESS"),
        (post(&app, &path_of(&queued["failover"], "/rollback"), &json!({})).await, "FAILOVER_NOT_SWITCHED"),
    ] {
        assert_eq!((refused.status, &refused.json["reason"]), (409, &json!(reason)), "{}", refused.text);
    }
    let status = get(&app, "/api/backup/recovery/status").await.ok();
    assert_eq!(status["failover_in_progress"], json!(true));
    let operation = queued["failover"]["operation_id"].as_str().unwrap();
    post(&app, &format!("/api/operations/{operation}/cancel"), &json!({})).await.ok();
    settled(&app).await;
    drop(lock);
    let ended = get(&app, &path_of(&queued["failover"], "")).await.ok();
    assert_eq!(ended["state"], json!("failed"), "{ended}");
    assert_eq!(describe(&sources), before);
    let after = fail_over(&app, &id, json!({})).await.ok();
    assert_eq!(after["success"], json!(true), "{after}");
    app
});

on_each_database!(what_cannot_be_recovered_leaves_all_graphs_as_they_are, async |app: TestApp| {
    let sources = three(&app).await;
    remove_node(&sources[1], "Gull Lighthouse");
    let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": ["a", "b", "c"], "validate": false })).await.ok();
    let id = made["checkpoint_id"].as_str().unwrap().to_owned();
    change(&sources);
    let before = describe(&sources);
    let answer = fail_over(&app, &id, json!({})).await.ok();
    assert_eq!((&answer["success"], &answer["failover"]["state"]), (&json!(false), &json!("failed")), "{answer}");
    let why = answer["failover"]["error_message"].as_str().unwrap();
    assert!(why.contains("graph `b` is not recovered") && why.contains("Gull Lighthouse"), "{why}");
    let last = answer["failover"]["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["graph_id"], &last["outcome"]), (&json!("audit"), &json!("b"), &json!("failed")));
    assert_eq!(describe(&sources), before);
    // Damage that the checkpoint's validation has not seen.
    let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": ["a", "c"] })).await.ok();
    let packs = files_below(&app.storage().join("c/data"));
    packs.iter().for_each(|pack| flip(pack));
    let answer = fail_over(&app, made["checkpoint_id"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!(answer["failover"]["state"], json!("failed"), "{answer}");
    let last = answer["failover"]["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["graph_id"], &last["outcome"]), (&json!("c"), &json!("failed")), "{answer}");
    assert!(answer["failover"]["error_message"].as_str().unwrap().contains("damaged"), "{answer}");
    assert_eq!(describe(&sources), before);
    assert_eq!(files::staged(&app.data("")), Vec::<PathBuf>::new());
    app
});

on_each_database!(graphs_go_to_a_recovery_site_and_come_back, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    fs::remove_dir_all(&sources[1]).unwrap();
    let site = [app.data("site_b"), app.data("site_c")];
    let answer = fail_over(&app, &id, json!({ "target_dirs": { "b": site[0], "c": site[1] } })).await.ok();
    let failover = &answer["failover"];
    assert_eq!(answer["success"], json!(true), "{answer}");
    assert_eq!(source_dir(&app, "b").await, json!(site[0]));
    assert_eq!((source_dir(&app, "a").await, source_dir(&app, "c").await), (json!(sources[0]), json!(site[1])));
    assert!(sources[2].join("note").exists(), "what stands elsewhere is not touched");
    fs::write(site[1].join("written"), "at the site").unwrap();
    let at_site = [files::describe(&site[0]), files::describe(&site[1])];
    let back = post(&app, &path_of(failover, "/failback"), &json!({})).await.ok();
    assert_eq!((&back["kind"], &back["state"]), (&json!("failback"), &json!("succeeded")), "{back}");
    assert_eq!(back["failed_over_by"], failover["failover_id"]);
    assert_eq!([files::describe(&sources[1]), files::describe(&sources[2])], at_site);
    assert_eq!((source_dir(&app, "b").await, source_dir(&app, "c").await), (json!(sources[1]), json!(sources[2])));
    let gone = post(&app, &path_of(failover, "/failback"), &json!({})).await;
    assert_eq!((gone.status, &gone.json["reason"]), (409, &json!("GRAPH_MOVED")), "{}", gone.text);
    // A failback is rolled back as any failover: the graphs are at the site again, and nothing stands where nothing stood.
    let again = post(&app, &path_of(&back, "/rollback"), &json!({})).await.ok();
    assert_eq!(again["state"], json!("rolled_back"), "{again}");
    assert_eq!((source_dir(&app, "b").await, sources[1].exists()), (json!(site[0]), false));
    assert_eq!([files::describe(&site[0]), files::describe(&site[1])], at_site);
    app.clock.advance(Duration::from_secs(1));
    let in_place = fail_over(&app, &id, json!({ "target_dirs": { "b": site[0], "c": site[1] } })).await.ok();
    let refused = post(&app, &path_of(&in_place["failover"], "/failback"), &json!({})).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("FAILOVER_IN_PLACE")), "{}", refused.text);
    app
});

on_each_database!(a_rollback_needs_what_was_replaced, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    change(&sources);
    let changed = describe(&sources);
    let answer = fail_over(&app, &id, json!({})).await.ok();
    let after = describe(&sources);
    let kept = Path::new(answer["failover"]["graphs"][1]["source"]["kept_as"].as_str().unwrap());
    fs::remove_dir_all(kept).unwrap();
    let refused = post(&app, &path_of(&answer["failover"], "/rollback"), &json!({})).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("FORMER_STATE_GONE")), "{}", refused.text);
    assert_eq!(describe(&sources), after);
    // The others can be put back without it.
    let rolled_back = post(&app, &path_of(&answer["failover"], "/rollback"), &json!({ "force": true })).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    let skipped: Vec<_> = rolled_back["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "skipped").collect();
    assert!(
        skipped.len() == 1 && skipped[0]["graph_id"] == "a" && skipped[0]["message"].as_str().unwrap().contains("is gone"),
        "{skipped:?}"
    );
    assert_eq!(describe(&sources), [after[0].clone(), changed[1].clone(), changed[2].clone()]);
    app
});

on_each_database!(a_repeated_request_fails_over_once, async |app: TestApp| {
    three(&app).await;
    let id = checkpoint(&app).await;
    let body = json!({ "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let answers = futures_util::future::join_all((0..4).map(|_| fail_over(&app, &id, body.clone()))).await;
    let ids: Vec<Json> = answers.into_iter().map(|answer| answer.ok()["failover"]["failover_id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(get(&app, FAILOVERS).await.ok().as_array().unwrap().len(), 1);
    let kinds = app.operations().await.list_operations(v1::ListOperationsRequest::default()).await.unwrap().into_inner().operations;
    assert_eq!(kinds.iter().filter(|operation| operation.kind() == v1::OperationKind::Failover).count(), 1);
    app
});

on_each_database!(all_graphs_together_need_room, async |app: TestApp| {
    let sources = three(&app).await;
    let id = checkpoint(&app).await;
    let Some(disk) = TinyDisk::mount(app.data("disk")) else {
        println!("skipped: the tests may not mount a file system here");
        return app;
    };
    let body = json!({ "target_dirs": { "a": disk.0.join("a"), "b": disk.0.join("b") } });
    let refused = fail_over(&app, &id, body).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("TARGET_FULL")), "{}", refused.text);
    let (a, b) = (sources[0].clone(), sources[1].clone());
    let bytes: u64 = [files_below(&b), files_below(&a)].concat().iter().map(|path| path.metadata().unwrap().len()).sum();
    let tenant: u64 = files_below(&a.join("tenant_b")).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(refused.refusal().1.starts_with(&format!("{} bytes are needed for all graphs, ", bytes - tenant)), "{}", refused.text);
    assert_eq!(get(&app, FAILOVERS).await.ok(), json!([]));
    drop(disk);
    app
});

on_each_database!(a_place_that_is_a_file_system_of_its_own_is_put_back_to_the_byte, async |app: TestApp| {
    let Some(disk) = TinyDisk::mount(app.data("disk")) else {
        println!("skipped: the tests may not mount a file system here");
        return app;
    };
    fs::write(disk.0.join("note"), "a note").unwrap();
    fs::create_dir(disk.0.join("more")).unwrap();
    fs::write(disk.0.join("more/file"), "more").unwrap();
    let sources = vec![disk.0.clone(), files::small(&app.data("c"))];
    for (graph_id, source) in ["a", "c"].into_iter().zip(&sources) {
        post(&app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source })).await.ok();
    }
    let before = describe(&sources);
    let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": ["a", "c"] })).await.ok();
    fs::write(disk.0.join("note"), "another note").unwrap();
    fs::remove_dir_all(disk.0.join("more")).unwrap();
    let changed = describe(&sources);
    let answer = fail_over(&app, made["checkpoint_id"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!(answer["success"], json!(true), "{answer}");
    assert_eq!(without_kept(describe(&sources)), before);
    let rolled_back = post(&app, &path_of(&answer["failover"], "/rollback"), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    assert_eq!(without_kept(describe(&sources)), changed);
    let kept: Vec<_> =
        fs::read_dir(&disk.0).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.join("more").exists()).collect();
    assert_eq!(kept.len(), 1, "what the failover had put there is kept in it");
    drop(disk);
    app
});

on_each_database!(workspaces_in_each_other_and_inputs_go_along, async |app: TestApp| {
    let outer = app.sample("rag");
    let inner = outer.join("tenant_b");
    let inputs = app.data("inputs");
    fs::create_dir_all(inputs.join("__parsed__")).unwrap();
    fs::write(inputs.join("upload.txt"), "an upload").unwrap();
    post(&app, GRAPHS, &json!({ "graph_id": "outer", "source_dir": outer, "inputs_dir": inputs })).await.ok();
    post(&app, GRAPHS, &json!({ "graph_id": "inner", "source_dir": inner })).await.ok();
    let places = vec![outer.clone(), inputs.clone()];
    let before = describe(&places);
    let made = post(&app, CHECKPOINTS, &json!({ "graph_ids": ["outer", "inner"] })).await.ok();
    let id = made["checkpoint_id"].as_str().unwrap();
    // Without this file the directory is no workspace that stays in another's.
    fs::remove_file(inner.join("kv_store_doc_status.json")).unwrap();
    fs::write(inputs.join("upload.txt"), "another").unwrap();
    fs::write(outer.join("changed"), "x").unwrap();
    let changed = describe(&places);
    let answer = fail_over(&app, id, json!({})).await.ok();
    assert_eq!(answer["success"], json!(true), "{answer}");
    assert_eq!(without_kept(describe(&places)), before);
    let rolled_back = post(&app, &path_of(&answer["failover"], "/rollback"), &json!({})).await.ok();
    assert_eq!(rolled_back["state"], json!("rolled_back"), "{rolled_back}");
    assert_eq!(without_kept(describe(&places)), changed);
    // To a site and back, with an upload that came there.
    app.clock.advance(Duration::from_secs(1));
    let body = json!({ "target_dirs": { "outer": app.data("site") }, "inputs_target_dirs": { "outer": app.data("site_inputs") } });
    let answer = fail_over(&app, id, body).await.ok();
    assert_eq!(answer["success"], json!(true), "{answer}");
    let graph = get(&app, &format!("{GRAPHS}/outer")).await.ok();
    assert_eq!((&graph["source_dir"], &graph["inputs_dir"]), (&json!(app.data("site")), &json!(app.data("site_inputs"))));
    fs::write(app.data("site_inputs").join("later.txt"), "later").unwrap();
    let back = post(&app, &path_of(&answer["failover"], "/failback"), &json!({})).await.ok();
    assert_eq!(back["state"], json!("succeeded"), "{back}");
    assert!(inputs.join("later.txt").exists() && inner.join("kv_store_doc_status.json").exists());
    let refused = fail_over(&app, id, json!({ "inputs_target_dirs": { "inner": app.data("x") } })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (400, &json!("INVALID_ARGUMENT")), "{}", refused.text);
    app
});
