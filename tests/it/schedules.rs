//! Schedules: made, changed, fired, missed, in each other's way.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{GRAPHS, delete, get, post, send};

pub(crate) const SCHEDULES: &str = "/api/backup/backup/schedules";
pub(crate) const SCHEDULE: &str = "/api/backup/backup/schedule";
const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn register(app: &TestApp, graph_id: &str, labels: Json) {
    let source = app.data(graph_id);
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("notes.txt"), graph_id).unwrap();
    post(app, GRAPHS, &json!({ "graph_id": graph_id, "source_dir": source, "labels": labels })).await.ok();
}

pub(crate) async fn create(app: &TestApp, schedule: Json) -> Json {
    post(app, SCHEDULES, &json!({ "schedule": schedule })).await.ok()["schedule"].clone()
}

pub(crate) fn path(schedule: &Json) -> String {
    format!("{SCHEDULES}/{}", schedule["schedule_id"].as_str().unwrap())
}

/// Lets everything that is due now fire, and end.
pub(crate) async fn fire(app: &TestApp) {
    app.server.services().fire_due().await.unwrap();
    settle(app).await;
}

/// Waits until no operation is left undone.
async fn settle(app: &TestApp) {
    let mut changes = app.server.services().wakeup().changes();
    for state in ["queued", "running"] {
        while get(app, &format!("/api/operations?state={state}")).await.ok()["operations"] != json!([]) {
            changes.next().await;
        }
    }
}

/// Result and due time of each run, oldest first.
pub(crate) async fn runs(app: &TestApp, schedule: &Json) -> Vec<(String, String)> {
    let list = get(app, &format!("{}/runs?page_size=1000", path(schedule))).await.ok();
    let text = |run: &Json, field: &str| run[field].as_str().unwrap().to_owned();
    let mut runs: Vec<_> = list.as_array().unwrap().iter().map(|run| (text(run, "result"), text(run, "fire_at"))).collect();
    runs.reverse();
    runs
}

pub(crate) fn succeeded(times: &[&str]) -> Vec<(String, String)> {
    times.iter().map(|time| ("succeeded".to_owned(), (*time).to_owned())).collect()
}

on_each_database!(an_interval_fires_on_time_and_its_runs_are_listed, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let answer = post(&app, SCHEDULES, &json!({ "schedule": { "graph_id": "g", "interval_hours": 6 } })).await.ok();
    let schedule = &answer["schedule"];
    assert_eq!(
        (&schedule["interval_seconds"], &schedule["overlap_policy"], &schedule["origin"]),
        (&json!(21600), &json!("wait"), &json!("created"))
    );
    assert_eq!(answer["next_runs"].as_array().unwrap()[..2], [json!("2020-11-22T18:00:00Z"), json!("2020-11-23T00:00:00Z")]);
    fire(&app).await;
    assert_eq!(runs(&app, schedule).await, []);
    app.clock.advance(HOUR * 6 + Duration::from_secs(2));
    fire(&app).await;
    app.clock.advance(HOUR * 6 - Duration::from_secs(2));
    fire(&app).await;
    assert_eq!(runs(&app, schedule).await, succeeded(&["2020-11-22T18:00:00Z", "2020-11-23T00:00:00Z"]));
    let list = get(&app, &format!("{}/runs?page_size=1", path(schedule))).await;
    assert!(!list.header("x-next-page-token").is_empty());
    let newest = &list.ok()[0];
    assert_eq!((&newest["delay_seconds"], &newest["count"], &newest["message"]), (&json!(0.0), &json!(1), &json!(null)));
    let snapshots = app.list("g").await;
    assert_eq!((snapshots.len(), newest["snapshot_id"].as_str().unwrap()), (2, snapshots[0].backup_id.as_str()));
    let now = get(&app, &path(schedule)).await.ok();
    assert_eq!((&now["next_run_at"], &now["last_run_at"]), (&json!("2020-11-23T06:00:00Z"), &json!("2020-11-23T00:00:00Z")));
    app
});

on_each_database!(clocks_that_are_changed_neither_lose_nor_double_a_run, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let cron = |cron: &str| json!({ "graph_id": "g", "cron": cron, "time_zone": "Europe/Berlin" });
    // 2021-03-28T00:50:00Z, ten minutes before the clocks are put forward; then 2021-10-30T23:50:00Z, before they are put back.
    for (at, daily) in [(1_616_892_600, "2021-03-28T01:00:00Z"), (1_635_637_800, "2021-10-31T00:30:00Z")] {
        let now = app.server.services().now().micros() / 1_000_000;
        app.clock.advance(Duration::from_secs(u64::try_from(at - now).unwrap()));
        let rhythm = create(&app, cron("*/20 * * * *")).await;
        let time_of_day = create(&app, cron("30 2 * * *")).await;
        for _ in 0..12 {
            app.clock.advance(MINUTE * 20);
            fire(&app).await;
        }
        let fired = runs(&app, &rhythm).await;
        assert_eq!(fired.len(), 12, "{fired:?}");
        let times: Vec<jiff::Timestamp> = fired.iter().map(|(_, time)| time.parse().unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[1].duration_since(pair[0]).as_secs() == 1200), "{fired:?}");
        assert_eq!(runs(&app, &time_of_day).await, succeeded(&[daily]));
        for schedule in [rhythm, time_of_day] {
            delete(&app, &path(&schedule)).await.ok();
        }
    }
    app
});

on_each_database!(after_three_days_down_one_late_run_or_none, async |app: TestApp| {
    for graph in ["once", "skip", "grace"] {
        register(&app, graph, json!({})).await;
    }
    let hourly = |graph: &str| json!({ "graph_id": graph, "interval_hours": 1 });
    let with = |mut schedule: Json, field: &str, value: Json| {
        schedule[field] = value;
        schedule
    };
    let once = create(&app, hourly("once")).await;
    let skip = create(&app, with(hourly("skip"), "missed_run_policy", json!("skip"))).await;
    let grace = create(&app, with(hourly("grace"), "missed_run_grace_seconds", json!(600))).await;
    app.clock.advance(DAY * 3 + MINUTE * 30);
    let app = app.restart().await;
    fire(&app).await;
    let at = "2020-11-25T12:00:00Z";
    let missed = |time: &str| ("missed".to_owned(), time.to_owned());
    assert_eq!(runs(&app, &once).await, [vec![missed("2020-11-25T11:00:00Z")], succeeded(&[at])].concat());
    assert_eq!(runs(&app, &skip).await, [missed(at)]);
    assert_eq!(runs(&app, &grace).await, [missed(at)], "half an hour is later than ten minutes");
    let list = get(&app, &format!("{}/runs", path(&skip))).await.ok();
    assert_eq!(list[0]["count"], json!(72));
    let late = get(&app, &format!("{}/runs?page_size=1", path(&once))).await.ok();
    assert_eq!((&late[0]["delay_seconds"], app.list("once").await.len(), app.list("skip").await.len()), (&json!(1800.0), 1, 0));
    assert_eq!(get(&app, &path(&skip)).await.ok()["next_run_at"], json!("2020-11-25T13:00:00Z"));
    app
});

on_each_database!(a_paused_schedule_goes_on_from_its_resumption, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let schedule = create(&app, json!({ "graph_id": "g", "cron": "0 * * * *" })).await;
    let paused = post(&app, &format!("{}/pause", path(&schedule)), &json!({})).await.ok();
    assert_eq!((&paused["paused"], &paused["next_run_at"]), (&json!(true), &json!(null)));
    app.clock.advance(DAY);
    fire(&app).await;
    assert_eq!(post(&app, &format!("{}/run", path(&schedule)), &json!({})).await.ok()["runs"].as_array().unwrap().len(), 1);
    settle(&app).await;
    let resumed = post(&app, &format!("{}/resume", path(&schedule)), &json!({})).await.ok();
    assert_eq!(resumed["next_run_at"], json!("2020-11-23T13:00:00Z"));
    fire(&app).await;
    assert_eq!(runs(&app, &schedule).await, succeeded(&["2020-11-23T12:00:00Z"]), "only the one that was asked for");
    app
});

on_each_database!(a_selector_fires_for_its_graphs_as_they_are_then, async |app: TestApp| {
    register(&app, "a", json!({ "env": "prod" })).await;
    register(&app, "b", json!({ "env": "test" })).await;
    let schedule = create(&app, json!({ "graph_selector": "env=prod", "interval_hours": 1 })).await;
    app.clock.advance(HOUR);
    fire(&app).await;
    register(&app, "c", json!({ "env": "prod", "team": "x" })).await;
    let labels = json!({ "labels": { "env": "none" } });
    assert_eq!(send(&app, "PATCH", &format!("{GRAPHS}/a"), &[], labels.to_string()).await.ok()["labels"], json!({ "env": "none" }));
    app.clock.advance(HOUR);
    fire(&app).await;
    let count = async |graph: &str| app.list(graph).await.len();
    assert_eq!((count("a").await, count("b").await, count("c").await), (1, 0, 1));
    let list = get(&app, &format!("{SCHEDULES}?graph_id=b")).await.ok();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let only = get(&app, &format!("{}/runs?graph_id=c", path(&schedule))).await.ok();
    assert_eq!(only.as_array().unwrap().len(), 1);
    app
});

on_each_database!(a_run_that_meets_the_one_before_waits_or_is_left_out, async |app: TestApp| {
    // A server that takes the question and never answers keeps a snapshot waiting.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for (graph, policy) in [("wait", "wait"), ("skip", "skip")] {
        register(&app, graph, json!({})).await;
        let server = json!({ "server": { "url": url, "quiet_wait_seconds": 3600 } });
        send(&app, "PATCH", &format!("{GRAPHS}/{graph}"), &[], server.to_string()).await.ok();
        create(&app, json!({ "graph_id": graph, "interval_hours": 1, "overlap_policy": policy })).await;
    }
    let schedules = get(&app, SCHEDULES).await.ok();
    for _ in 0..3 {
        app.clock.advance(HOUR);
        app.server.services().fire_due().await.unwrap();
        let mut changes = app.server.services().wakeup().changes();
        while get(&app, "/api/operations?state=running").await.ok()["operations"].as_array().unwrap().len() < 2 {
            changes.next().await;
        }
    }
    let results = async |schedule: &Json| runs(&app, schedule).await.into_iter().map(|(result, _)| result).collect::<Vec<_>>();
    assert_eq!(results(&schedules[0]).await, ["running", "running", "overlapped"], "one waits at most");
    assert_eq!(results(&schedules[1]).await, ["running", "overlapped", "overlapped"]);
    for operation in get(&app, "/api/operations").await.ok()["operations"].as_array().unwrap() {
        let id = operation["operation_id"].as_str().unwrap();
        post(&app, &format!("/api/operations/{id}/cancel"), &json!({})).await.ok();
    }
    settle(&app).await;
    app
});

on_each_database!(the_old_form_sets_the_one_schedule_of_a_graph, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    assert_eq!(get(&app, &format!("{SCHEDULE}/g")).await.status, 404);
    let set = post(&app, SCHEDULE, &json!({ "graph_id": "g", "interval_hours": 12 })).await.ok();
    for (field, expected) in [
        ("graph_id", json!("g")),
        ("interval_hours", json!(12.0)),
        ("cron", json!(null)),
        ("time_zone", json!("")),
        ("jitter_seconds", json!(0)),
        ("paused", json!(false)),
        ("next_run_at", json!("2020-11-23T00:00:00Z")),
        ("origin", json!("graph")),
    ] {
        assert_eq!(set[field], expected, "{field}");
    }
    app.clock.advance(HOUR);
    let again = post(&app, SCHEDULE, &json!({ "graph_id": "g", "cron": "30 3 * * *", "time_zone": "America/New_York" })).await.ok();
    assert_eq!(again["schedule_id"], set["schedule_id"]);
    assert_eq!((&again["interval_hours"], &again["next_run_at"]), (&json!(null), &json!("2020-11-23T08:30:00Z")));
    assert_eq!(get(&app, &format!("{SCHEDULE}/g")).await.ok(), again);
    assert_eq!(post(&app, SCHEDULE, &json!({ "graph_id": "none", "interval_hours": 1 })).await.status, 404);
    app
});

on_each_database!(an_update_changes_what_its_mask_names, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let schedule = create(&app, json!({ "graph_id": "g", "interval_hours": 1, "jitter_seconds": 0 })).await;
    let patch = async |body: Json| send(&app, "PATCH", &path(&schedule), &[], body.to_string()).await;
    let changed = patch(json!({ "cron": "15 * * * *", "overlap_policy": "skip" })).await.ok();
    assert_eq!(
        (&changed["interval_hours"], &changed["cron"], &changed["overlap_policy"]),
        (&json!(null), &json!("15 * * * *"), &json!("skip"))
    );
    assert_eq!(changed["next_run_at"], json!("2020-11-22T12:15:00Z"));
    assert_ne!(changed["etag"], schedule["etag"]);
    let refused = patch(json!({ "time_zone": "Europe/Berlin", "etag": schedule["etag"] })).await;
    assert_eq!((refused.status, &refused.json["reason"]), (409, &json!("ETAG_MISMATCH")));
    let wrong = patch(json!({ "cron": "15 25 * * *" })).await;
    assert!(wrong.status == 400 && wrong.refusal().1.contains("field 2 (hour)"), "{}", wrong.text);
    assert_eq!(get(&app, &path(&schedule)).await.ok(), changed, "nothing of a refused change is there");
    delete(&app, &path(&schedule)).await.ok();
    assert_eq!(
        get(&app, &path(&schedule)).await.refusal(),
        (404, format!("Schedule {} not found", schedule["schedule_id"].as_str().unwrap()).as_str())
    );
    app
});

on_each_database!(bad_schedules_are_refused_with_all_that_is_wrong, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    for (schedule, words) in [
        (json!({ "graph_id": "g", "cron": "61 * * * *" }), vec!["`cron`", "field 1 (minute) at column 1", "61"]),
        (json!({ "graph_id": "g", "cron": "0 0 30 2 *" }), vec!["never fires"]),
        (json!({ "graph_id": "g", "cron": "* * * * * *" }), vec!["five fields"]),
        (json!({ "graph_id": "g", "cron": "0 0 * * *", "time_zone": "Mars/Olympus" }), vec!["`time_zone`", "Mars/Olympus"]),
        (json!({ "graph_id": "g", "interval_hours": 0 }), vec!["`interval_hours`", ": 0"]),
        (json!({ "graph_id": "g", "interval_seconds": 59 }), vec!["`interval_seconds`", "59"]),
        (json!({ "graph_id": "g" }), vec!["`cron` must be given, or `interval_seconds`"]),
        (json!({ "graph_id": "g", "cron": "0 0 * * *", "interval_hours": 1 }), vec!["just one of them"]),
        (json!({ "graph_id": "g", "interval_hours": 1, "overlap_policy": "start" }), vec!["not possible within one graph"]),
        (json!({ "graph_id": "g", "interval_hours": 1, "jitter_seconds": 3600 }), vec!["`jitter_seconds`"]),
        (json!({ "graph_id": "g", "interval_hours": -1, "overlap_policy": "start" }), vec!["`interval_hours`"]),
        (json!({ "interval_hours": 1 }), vec!["`graph_id` must be given, or `graph_selector`"]),
        (json!({ "graph_selector": "env", "interval_hours": 1 }), vec!["`graph_selector`", "key=value"]),
        (json!({ "graph_id": "g", "on_change": { "debounce_seconds": -1 } }), vec!["`on_change.debounce_seconds`"]),
    ] {
        let answer = post(&app, SCHEDULES, &json!({ "schedule": schedule })).await;
        let (status, detail) = answer.refusal();
        assert_eq!(status, 400, "{schedule}: {detail}");
        assert!(words.iter().all(|word| detail.contains(word)), "{schedule}: {detail}");
    }
    assert_eq!(get(&app, SCHEDULES).await.ok(), json!([]));
    assert_eq!(post(&app, SCHEDULES, &json!({ "schedule": { "graph_id": "none", "interval_hours": 1 } })).await.status, 404);
    let looked = post(&app, SCHEDULES, &json!({ "schedule": { "graph_id": "g", "cron": "0 0 * * *" }, "validate_only": true })).await.ok();
    assert_eq!((&looked["schedule"]["schedule_id"], looked["next_runs"].as_array().unwrap().len()), (&json!(""), 10));
    assert_eq!(get(&app, SCHEDULES).await.ok(), json!([]), "looking makes nothing");
    app
});

on_each_database!(repeated_requests_give_the_first_answer, async |app: TestApp| {
    register(&app, "g", json!({})).await;
    let id = |number: u8| format!("0191e7a0-1111-7222-8333-4444555566{number:02}");
    let new = json!({ "schedule": { "graph_id": "g", "interval_hours": 1 }, "request_id": id(1) });
    let first = post(&app, SCHEDULES, &new).await.ok();
    assert_eq!(post(&app, SCHEDULES, &new).await.ok(), first);
    let other = json!({ "schedule": { "graph_id": "g", "interval_hours": 2 }, "request_id": id(1) });
    assert_eq!(post(&app, SCHEDULES, &other).await.status, 409);
    let run = format!("{}/run", path(&first["schedule"]));
    let ran = post(&app, &run, &json!({ "request_id": id(2) })).await.ok();
    settle(&app).await;
    app.clock.advance(MINUTE);
    let again = post(&app, &run, &json!({ "request_id": id(2) })).await.ok();
    assert_eq!(again["runs"][0]["schedule_run_id"], ran["runs"][0]["schedule_run_id"]);
    assert_eq!(app.list("g").await.len(), 1);
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registered_graphs_have_the_default_schedule_until_another_names_them() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let app = TestApp::start_with(kind, &[("LIGHTRAG_AUTO_BACKUP_INTERVAL", "24")]).await;
        register(&app, "g", json!({})).await;
        let default = get(&app, &format!("{SCHEDULE}/g")).await.ok();
        assert_eq!(
            (&default["origin"], &default["interval_hours"], &default["next_run_at"]),
            (&json!("default"), &json!(24.0), &json!("2020-11-23T12:00:00Z"))
        );
        app.clock.advance(DAY);
        fire(&app).await;
        assert_eq!(app.list("g").await.len(), 1);
        let named = create(&app, json!({ "graph_id": "g", "interval_hours": 2 })).await;
        let all = get(&app, SCHEDULES).await.ok();
        assert_eq!((all.as_array().unwrap().len(), &all[0]["schedule_id"]), (1, &named["schedule_id"]));
        let app = app.restart().await;
        assert_eq!(get(&app, SCHEDULES).await.ok().as_array().unwrap().len(), 1);
        delete(&app, &path(&named)).await.ok();
        let app = app.restart().await;
        assert_eq!(
            get(&app, &format!("{SCHEDULE}/g")).await.ok()["origin"],
            json!("default"),
            "with no other, the next start brings it back"
        );
        delete(&app, &format!("{GRAPHS}/g?repository=keep")).await.ok();
        assert_eq!(get(&app, SCHEDULES).await.ok(), json!([]), "it goes with its graph");
        crate::support::app::finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_doubles_nothing() {
    let app = TestApp::start(Kind::Postgres).await;
    let second = app.second_instance().await;
    let mut schedules = Vec::new();
    for number in 0..20 {
        let graph = format!("g{number}");
        register(&app, &graph, json!({})).await;
        schedules.push(create(&app, json!({ "graph_id": graph, "interval_hours": 1 })).await);
    }
    for round in 1..=3 {
        app.clock.advance(HOUR);
        let (one, other) = tokio::join!(app.server.services().fire_due(), second.services().fire_due());
        one.unwrap();
        other.unwrap();
        settle(&app).await;
        for schedule in &schedules {
            assert_eq!(runs(&app, schedule).await.len(), round);
        }
    }
    assert_eq!(app.server.services().now(), START.plus(HOUR * 3));
    second.stop().await.unwrap();
    crate::support::app::finish(app).await;
}
