//! Drills by schedules, beside those of snapshots.

use serde_json::json;

use crate::schedules::{HOUR, SCHEDULE, SCHEDULES, create, fire, path, register, runs, succeeded};
use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{get, post, send};

on_each_database!(drills_can_be_scheduled_beside_snapshots, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let drills = create(&app, json!({ "graph_selector": "*", "interval_hours": 24, "action": "drill" })).await;
    let named = create(&app, json!({ "graph_id": "g", "interval_hours": 12, "action": "drill" })).await;
    assert_eq!((&drills["action"], &named["action"]), (&json!("drill"), &json!("drill")));
    app.clock.advance(HOUR * 12);
    fire(&app).await;
    assert_eq!(runs(&app, &named).await, [("refused".to_owned(), "2020-11-23T00:00:00Z".to_owned())], "there is no good snapshot");
    let taken = app.snapshot("g", &app.data("g")).await;
    app.clock.advance(HOUR * 12);
    fire(&app).await;
    assert_eq!(runs(&app, &drills).await, succeeded(&["2020-11-23T12:00:00Z"]));
    let run = get(&app, &format!("{}/runs", path(&drills))).await.ok()[0].clone();
    assert_eq!(run["snapshot_id"], json!(taken.backup_id));
    let done = get(&app, "/api/backup/recovery/drills").await.ok();
    assert_eq!((done.as_array().unwrap().len(), &done[0]["state"]), (2, &json!("passed")));
    assert_eq!(app.list("g").await.len(), 1, "no snapshot was taken");
    let changed = send(&app, "PATCH", &path(&named), &[], json!({ "on_change": {} }).to_string()).await;
    assert_eq!(changed.json["reason"], json!("INVALID_ARGUMENT"), "{}", changed.text);
    for wrong in [json!({ "on_change": {} }), json!({ "interval_hours": 1, "tags": ["a"] })] {
        let mut schedule = json!({ "graph_id": "g", "action": "drill" });
        schedule.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(post(&app, SCHEDULES, &json!({ "schedule": schedule })).await.status, 400, "{wrong}");
    }
    app
});

async fn with_default(kind: Kind) {
    let app = TestApp::start_with(kind, &[("LIGHTRAG_AUTO_BACKUP_INTERVAL", "24")]).await;
    register(&app, "g", json!({})).await;
    create(&app, json!({ "graph_id": "g", "interval_hours": 12, "action": "drill" })).await;
    let default = get(&app, &format!("{SCHEDULE}/g")).await.ok();
    assert_eq!((&default["origin"], &default["action"]), (&json!("default"), &json!("snapshot")));
    let app = app.restart().await;
    assert_eq!(get(&app, &format!("{SCHEDULE}/g")).await.ok()["schedule_id"], default["schedule_id"], "a drill takes nobody's place");
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_drill_leaves_the_default_schedule_sqlite() {
    with_default(Kind::Sqlite).await;
}
