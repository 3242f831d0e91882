//! Probes of graphs: given or sampled, asked of each snapshot, and what is wrong with them told.

use std::fs;

use lightkeep::proto::v1;
use serde_json::{Value as Json, json};

use crate::crash::{Scene, crash_tests, settle, snapshot};
use crate::support::app::TestApp;
use crate::support::database::on_each_database;
use crate::support::files;
use crate::support::rest::{Answer, GRAPHS, delete, get, send};

const QUESTION: &str = "Who built the Gull Lighthouse?";

fn path(graph_id: &str) -> String {
    format!("/api/backup/recovery/graphs/{graph_id}/probes")
}

pub(crate) async fn set(app: &TestApp, graph_id: &str, body: Json) -> Answer {
    send(app, "PUT", &path(graph_id), &[], body.to_string()).await
}

async fn of_snapshot(app: &TestApp, graph_id: &str, snapshot_id: &str) -> Json {
    get(app, &format!("{}?snapshot_id={snapshot_id}", path(graph_id))).await.ok()
}

fn names(probes: &Json) -> Vec<&str> {
    probes["probes"].as_array().unwrap().iter().map(|probe| probe["name"].as_str().unwrap()).collect()
}

fn retrieved(probes: &Json) -> Vec<Json> {
    probes["probes"].as_array().unwrap().iter().map(|probe| probe["retrieved"].clone()).collect()
}

on_each_database!(sampled_probes_are_asked_of_that_snapshot_and_each_later_one, async |app: TestApp| {
    let source = app.sample("rag");
    let first = app.snapshot("g", &source).await;
    let nothing = get(&app, &path("g")).await.ok();
    assert_eq!((&nothing["probes"], &nothing["set_at"]), (&json!([]), &json!(null)));
    assert_eq!(of_snapshot(&app, "g", &first.backup_id).await["snapshot_id"], json!(""), "it was asked nothing");
    let made = set(&app, "g", json!({ "sample": 3 })).await.ok();
    assert_eq!((names(&made).len(), names(&made)[0], &made["snapshot_id"]), (3, QUESTION, &json!(first.backup_id)));
    assert!(!made["probes"][0]["retrieved"]["entities"].as_array().unwrap().is_empty(), "{made}");
    assert_eq!(of_snapshot(&app, "g", &first.backup_id).await, made);
    let present = get(&app, &path("g")).await.ok();
    assert_eq!((names(&present), &present["probes"][0]["retrieved"]), (names(&made), &json!(null)));
    let second = app.snapshot("g", &source).await;
    let later = of_snapshot(&app, "g", &second.backup_id).await;
    assert_eq!((retrieved(&later), &later["error_message"]), (retrieved(&made), &json!(null)));
    // Other probes: the snapshots that are there keep theirs, as the first was not asked anew.
    let one = json!({ "probes": [{ "name": "mine", "vectors": made["probes"][1]["vectors"] }] });
    let given = set(&app, "g", one).await.ok();
    assert_eq!((names(&given), &given["probes"][0]["top_k"], &given["snapshot_id"]), (vec!["mine"], &json!(40), &json!(second.backup_id)));
    assert_eq!(retrieved(&given)[0], retrieved(&made)[1], "the same vectors retrieve the same, whether they are given or made");
    assert_eq!(of_snapshot(&app, "g", &first.backup_id).await, made);
    assert_eq!(set(&app, "g", json!({})).await.ok()["probes"], json!([]), "taken away");
    let third = app.snapshot("g", &source).await;
    assert_eq!(of_snapshot(&app, "g", &third.backup_id).await["probes"], json!([]));
    assert_eq!(app.query("SELECT probe_set_id FROM probe_sets").await.len(), 3, "none that a snapshot was asked is lost");
    app.delete(&first).await.unwrap();
    set(&app, "g", json!({ "sample": 1 })).await.ok();
    assert_eq!(app.query("SELECT snapshot_id FROM retrievals").await.len(), 2, "they go with their snapshot");
    assert_eq!(app.query("SELECT probe_set_id FROM probe_sets").await.len(), 2);
    assert_eq!(delete(&app, &format!("{GRAPHS}/g?repository=keep")).await.status, 200);
    assert_eq!(app.query("SELECT probe_set_id FROM probe_sets").await.len(), 0, "they go with their graph");
    app
});

on_each_database!(wrong_probes_are_refused_and_change_nothing, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    files::small(&app.data("plain"));
    app.snapshot("plain", &app.data("plain")).await;
    let vectors = |numbers: Json| json!([{ "asks": ["entities"], "numbers": numbers }]);
    let wrong = [
        (json!({ "sample": 101 }), "sample"),
        (json!({ "sample": -1 }), "sample"),
        (json!({ "sample": 1, "probes": [{ "name": "a", "vectors": vectors(json!([1.0])) }] }), "sample"),
        (json!({ "probes": [{ "name": " ", "vectors": vectors(json!([1.0])) }] }), "probes[0].name"),
        (json!({ "probes": [{ "name": "a", "top_k": 201, "vectors": vectors(json!([1.0])) }] }), "probes[0].top_k"),
        (json!({ "probes": [{ "name": "a", "top_k": -1, "vectors": vectors(json!([1.0])) }] }), "probes[0].top_k"),
        (json!({ "probes": [{ "name": "a", "vectors": vectors(json!([0.0])) }] }), "probes[0].vectors[0].numbers"),
        (
            json!({ "probes": [{ "name": "a", "vectors": [{ "asks": ["chunks", "chunks"], "numbers": [1.0] }] }] }),
            "probes[0].vectors[0].asks",
        ),
    ];
    for (body, field) in wrong {
        let refused = set(&app, "g", body.clone()).await;
        assert!(refused.status == 400 && refused.text.contains(field), "{body}: {}", refused.text);
    }
    for (graph_id, body, reason) in [
        ("g", json!({ "probes": [{ "name": "a", "vectors": vectors(json!([1.0, 2.0])) }] }), "PROBE_DIMENSION"),
        ("plain", json!({ "sample": 1 }), "NOTHING_TO_SAMPLE"),
    ] {
        let refused = set(&app, graph_id, body).await;
        assert_eq!((refused.status, &refused.json["reason"]), (409, &json!(reason)), "{}", refused.text);
    }
    assert_eq!(get(&app, &path("g")).await.ok()["set_at"], json!(null));
    app
});

on_each_database!(a_snapshot_that_cannot_be_asked_is_good_and_says_why, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    set(&app, "g", json!({ "sample": 2 })).await.ok();
    fs::write(source.join("vdb_entities.json"), "{").unwrap();
    let taken = app.snapshot("g", &source).await;
    assert!(taken.completed_at.is_some());
    let asked = of_snapshot(&app, "g", &taken.backup_id).await;
    assert!(asked["error_message"].as_str().unwrap().contains("vdb_entities.json"), "{asked}");
    assert_eq!(retrieved(&asked), [json!(null), json!(null)]);
    app
});

on_each_database!(a_repeated_request_sets_probes_once, async |app: TestApp| {
    app.snapshot("g", &app.sample("rag")).await;
    let body = json!({ "sample": 2, "request_id": "0191e7a0-1111-7222-8333-444455556666" });
    let first = set(&app, "g", body.clone()).await.ok();
    let again = set(&app, "g", body).await.ok();
    assert_eq!((&again["set_at"], names(&again)), (&first["set_at"], names(&first)));
    assert_eq!(app.query("SELECT probe_set_id FROM probe_sets").await.len(), 1);
    let other = set(&app, "g", json!({ "sample": 1, "request_id": "0191e7a0-1111-7222-8333-444455556666" })).await;
    assert_eq!(other.json["reason"], json!("REQUEST_ID_REUSED"));
    app
});

async fn crash_before_it_is_asked(step: &str) {
    let scene = Scene::new();
    let server = scene.start("none");
    let first = snapshot(&server, &scene.path("source")).await.unwrap();
    let sampled = v1::SetProbesRequest { graph_id: "graph1".to_owned(), sample: 2, ..Default::default() };
    let made = server.recovery().await.set_probes(sampled).await.unwrap().into_inner();
    assert_eq!(made.snapshot_id, first.backup_id);
    drop(server);
    let mut server = scene.start(step);
    snapshot(&server, &scene.path("source")).await.unwrap_err();
    assert!(!server.wait().success(), "the step `{step}` was not reached");
    let server = scene.start("none");
    settle(&server).await;
    let listed = v1::ListSnapshotsRequest { graph_id: "graph1".to_owned(), ..Default::default() };
    let second = server.backup().await.list_snapshots(listed).await.unwrap().into_inner().snapshots.remove(0);
    assert_ne!(second.backup_id, first.backup_id);
    let request = v1::GetProbesRequest { graph_id: "graph1".to_owned(), snapshot_id: second.backup_id.clone() };
    let asked = server.recovery().await.get_probes(request).await.unwrap().into_inner();
    assert_eq!(asked, v1::GraphProbes { snapshot_id: second.backup_id, ..made });
}

crash_tests! {
    crash_before_it_is_asked:
    it_is_asked_although_it_was_not_recorded = "snapshot.figures_saved",
    it_is_asked_although_its_completion_was_interrupted = "snapshot.recorded",
}
