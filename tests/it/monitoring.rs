//! Monitoring: what is told was measured, survives restarts, and is the same wherever it is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lightkeep::base::clock::Clock as _;
use lightkeep::base::ids::{EventId, IdSource};
use lightkeep::domain::event::{EventTopic, Severity};
use lightkeep::store::entity::event;
use lightkeep::store::events::{self, EventFilter};
use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{client, get, post, send};

const M: &str = "/api/monitoring";
const HOUR: Duration = Duration::from_secs(3600);

async fn collect(app: &TestApp) {
    let answer = post(app, &format!("{M}/metrics/collect"), &json!({})).await.ok();
    assert_eq!(answer, json!({ "status": "success", "message": "Metrics collection triggered" }));
}

/// The sum of the sizes of all files below a directory.
fn bytes_below(directory: &Path) -> u64 {
    let sizes = std::fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { bytes_below(&entry.path()) } else { entry.metadata().unwrap().len() }
    });
    sizes.sum()
}

/// The samples of a page by their series.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').map(|(series, value)| (series.to_owned(), value.parse().unwrap())).unwrap()).collect()
}

async fn scraped(address: std::net::SocketAddr) -> BTreeMap<String, f64> {
    let response = client().get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    samples(&response.text().await.unwrap())
}

async fn scrape(app: &TestApp) -> BTreeMap<String, f64> {
    collect(app).await;
    scraped(app.server.metrics_addr().unwrap()).await
}

/// Names, types and help texts of the old server, which its users' dashboards know.
const OLD: [(&str, &str, &str); 18] = [
    ("lightrag_backup_snapshots_total", "counter", "Total number of backup snapshots created"),
    ("lightrag_backup_size_bytes", "gauge", "Current total backup storage size in bytes"),
    ("lightrag_backup_restore_duration_seconds", "histogram", "Backup restore operation duration in seconds"),
    ("lightrag_backup_errors_total", "counter", "Total number of backup errors"),
    ("lightrag_replication_operations_total", "counter", "Total number of replication operations"),
    ("lightrag_replication_lag_seconds", "gauge", "Replication lag in seconds"),
    ("lightrag_replication_errors_total", "counter", "Total number of replication errors"),
    ("lightrag_replication_bytes_transferred_total", "counter", "Total bytes transferred during replication"),
    ("lightrag_recovery_points_total", "gauge", "Total number of recovery checkpoints"),
    ("lightrag_recovery_validations_total", "counter", "Total number of recovery validations"),
    ("lightrag_recovery_validation_failures_total", "counter", "Total number of failed recovery validations"),
    ("lightrag_recovery_failovers_total", "counter", "Total number of failover operations"),
    ("lightrag_health_check_duration_seconds", "histogram", "Health check operation duration"),
    ("lightrag_health_check_failures_total", "counter", "Total number of health check failures"),
    ("lightrag_component_health_status", "gauge", "Component health status (1=healthy, 0.5=degraded, 0=critical)"),
    ("lightrag_graphs_total", "gauge", "Total number of graphs"),
    ("lightrag_graph_entities_total", "gauge", "Total number of entities per graph"),
    ("lightrag_graph_relations_total", "gauge", "Total number of relations per graph"),
];

on_each_database!(the_old_names_always_show_samples, async |app: TestApp| {
    let page = get(&app, &format!("{M}/metrics/prometheus")).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    for (name, metric_type, help) in OLD {
        assert!(page.text.contains(&format!("# HELP {name} {help}\n# TYPE {name} {metric_type}\n{name}")), "{name}: {}", page.text);
    }
    let page = samples(&page.text);
    assert_eq!(page["lightrag_backup_restore_duration_seconds_bucket{le=\"+Inf\"}"], 0.0);
    assert_eq!(page["lightrag_component_health_status{component=\"metadata\",component_type=\"database\"}"], 1.0);
    // By the name alone, as the old server told them.
    let metrics = get(&app, &format!("{M}/metrics")).await.ok();
    for (name, metric_type, help) in OLD {
        let metric = &metrics[name];
        assert_eq!((&metric["name"], &metric["type"], &metric["help"]), (&json!(name), &json!(metric_type), &json!(help)));
        assert!(metric["value"].is_number() && metric["timestamp"].is_string(), "{metric}");
    }
    app
});

on_each_database!(what_has_happened_is_counted_once_and_survives_a_restart, async |app: TestApp| {
    let source = app.sample("rag");
    let first = app.snapshot("g", &source).await;
    let second = app.snapshot("g", &source).await;
    app.restore(&second, &app.data("restored")).await.unwrap();
    // Refused at the door: there is no such directory, so nothing was begun that could fail.
    app.try_snapshot("other", &app.data("nowhere")).await.unwrap_err();
    app.delete(&first).await.unwrap();
    // Repositories are measured soon after what changes them.
    let stored = f64::from(u32::try_from(bytes_below(&app.storage().join("g"))).unwrap());
    let mut page = scrape(&app).await;
    while page["lightrag_backup_size_bytes"] != stored {
        page = scrape(&app).await;
    }
    let expected = [
        ("lightrag_backup_snapshots_total", 2.0),
        ("lightrag_backup_errors_total", 0.0),
        ("lightrag_backup_restore_duration_seconds_count", 1.0),
        ("lightrag_graphs_total", 1.0),
        ("lightrag_graph_entities_total{graph=\"g\"}", 34.0),
        ("lightkeep_backup_runs_total{graph=\"g\",result=\"succeeded\"}", 2.0),
        ("lightkeep_backup_last_result{graph=\"g\"}", 1.0),
        ("lightkeep_backup_duration_seconds_count", 2.0),
        ("lightkeep_snapshots{graph=\"g\"}", 1.0),
        ("lightkeep_retention_deleted_total", 1.0),
        ("lightkeep_restore_runs_total{result=\"succeeded\"}", 1.0),
        ("lightkeep_graph_protected_timestamp_seconds{graph=\"g\"}", 1_606_046_400.0),
        ("lightkeep_objective_rpo_seconds{graph=\"g\"}", 172_800.0),
        ("lightkeep_backup_records{graph=\"g\",kind=\"entity\"}", 34.0),
    ];
    for (series, value) in expected.iter() {
        assert_eq!(page.get(*series), Some(value), "{series}");
    }
    assert!(page.keys().all(|series| !series.contains("graph=\"other\"")));
    let app = app.restart().await;
    // The first scrape, before anybody has asked for a collection.
    let again = scraped(app.server.metrics_addr().unwrap()).await;
    for (series, value) in page.iter().filter(|(series, _)| series.starts_with("light") && !series.contains("request")) {
        let is_of_process = ["lightkeep_database", "lightkeep_collection", "lightkeep_lease", "lightkeep_storage"];
        if is_of_process.iter().all(|name| !series.starts_with(name)) {
            assert_eq!(again.get(series), Some(value), "{series}");
        }
    }
    app
});

on_each_database!(what_has_become_less_shows, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    app.clock.advance(HOUR);
    std::fs::write(source.join("kv_store_doc_status.json"), "{}").unwrap();
    app.snapshot("g", &source).await;
    let page = scrape(&app).await;
    assert_eq!(page["lightkeep_backup_records_change_ratio{graph=\"g\",kind=\"document\"}"], -1.0);
    assert_eq!(page["lightkeep_backup_records_change_ratio{graph=\"g\",kind=\"entity\"}"], 0.0);
    app
});

on_each_database!(series_come_and_go_with_what_they_are_of, async |app: TestApp| {
    let source = app.sample("rag");
    app.snapshot("g", &source).await;
    let schedule = json!({ "graph_id": "g", "interval_hours": 6 });
    let id = post(&app, "/api/backup/backup/schedule", &schedule).await.ok()["schedule_id"].as_str().unwrap().to_owned();
    let page = scrape(&app).await;
    let of_schedule = |name: &str, more: &str| format!("{name}{{{more}schedule=\"{id}\"}}");
    assert_eq!(page[&of_schedule("lightkeep_schedule_missed_runs_total", "")], 0.0);
    assert_eq!(page[&of_schedule("lightkeep_schedule_expected_interval_seconds", "graph=\"g\",")], 6.0 * 3600.0);
    assert_eq!(page[&of_schedule("lightkeep_schedule_next_run_timestamp_seconds", "")], 1_606_046_400.0 + 6.0 * 3600.0);
    assert_eq!(page[&of_schedule("lightkeep_backup_runs_total", "graph=\"g\",result=\"failed\",")], 0.0);
    let purged = send(&app, "DELETE", "/api/backup/backup/graphs/g?repository=purge&confirm_graph_id=g", &[], "").await;
    assert_eq!(purged.status, 200, "{}", purged.text);
    let page = scrape(&app).await;
    let left: Vec<&String> = page.keys().filter(|series| series.contains("\"g\"") || series.contains(&id)).collect();
    assert_eq!(left, Vec::<&String>::new());
    // What was counted of all stays counted.
    assert_eq!(page["lightrag_backup_snapshots_total"], 1.0);
    app
});

on_each_database!(statistics_are_those_of_the_rows, async |app: TestApp| {
    let source = app.sample("rag");
    let none = json!({
        "total_backups": 0, "total_size_bytes": 0, "recent_backups": 0, "failed_backups": 0, "average_size_bytes": 0.0,
        "oldest_backup": null, "newest_backup": null
    });
    assert_eq!(get(&app, &format!("{M}/stats/backups")).await.ok(), none);
    let first = app.snapshot("g", &source).await;
    app.clock.advance(HOUR * 24 * 8);
    app.snapshot("g", &source).await;
    app.snapshot("h", &source).await;
    let counts = get(&app, &format!("{M}/stats/backups")).await.ok();
    let size = first.size_bytes;
    let expected = json!({
        "total_backups": 3, "total_size_bytes": 3 * size, "recent_backups": 2, "failed_backups": 0, "average_size_bytes": size as f64,
        "oldest_backup": "2020-11-22T12:00:00Z", "newest_backup": "2020-11-30T12:00:00Z"
    });
    assert_eq!(counts, expected);
    app.delete(&first).await.unwrap();
    let counts = get(&app, &format!("{M}/stats/backups")).await.ok();
    assert_eq!((&counts["total_backups"], &counts["oldest_backup"]), (&json!(2), &json!("2020-11-30T12:00:00Z")));
    assert_eq!(app.server.services().sweep_statistics().await.unwrap(), 0);
    // Somebody has meddled with the database: the sweep says so, and puts it right.
    app.query("UPDATE tallies SET value = value + 7 WHERE metric = 'kept' RETURNING metric").await;
    assert_eq!(app.server.services().sweep_statistics().await.unwrap(), 3);
    assert_eq!(get(&app, &format!("{M}/stats/backups")).await.ok()["total_backups"], json!(2));
    let checkpoint = post(&app, "/api/backup/recovery/checkpoints", &json!({ "graph_ids": ["g"], "description": "one" })).await.ok();
    let counts = get(&app, &format!("{M}/stats/recovery")).await.ok();
    let expected = json!({
        "total_checkpoints": 1, "validated_checkpoints": 1, "failed_validations": 0, "oldest_checkpoint": checkpoint["created_at"],
        "newest_checkpoint": checkpoint["created_at"], "validation_success_rate": 100.0
    });
    assert_eq!(counts, expected);
    app
});

on_each_database!(the_history_keeps_extremes_as_it_gets_coarser, async |app: TestApp| {
    let source = app.sample("rag");
    // A minute between collections; a snapshot every tenth.
    for minute in 0..150 {
        if minute % 10 == 0 {
            app.snapshot("g", &source).await;
        }
        collect(&app).await;
        app.clock.advance(Duration::from_secs(60));
    }
    let history = async |query: &str| get(&app, &format!("{M}/history?metric=lightrag_backup_snapshots_total&{query}")).await.ok();
    let fine = history("start_time=2020-11-22T14:20:00Z&step=60s").await;
    let points = fine[0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 10, "{fine}");
    assert_eq!((&points[0]["last"], &points[0]["samples"], &points[0]["rate"]), (&json!(15.0), &json!(1), &json!(null)));
    let coarse = history("start_time=2020-11-22T12:00:00Z&step=3600s").await;
    let points: Vec<(f64, f64, f64, i64)> = coarse[0]["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            let number = |name: &str| point[name].as_f64().unwrap();
            (number("min"), number("max"), number("last"), point["samples"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(points, [(1.0, 6.0, 6.0, 60), (7.0, 12.0, 12.0, 60), (13.0, 15.0, 15.0, 30)]);
    assert_eq!(coarse[0]["points"][1]["rate"], json!(6.0 / 3600.0));
    let refused = get(&app, &format!("{M}/history?metric=lightkeep_backup_duration_seconds")).await;
    assert_eq!(refused.refusal().0, 400);
    app
});

on_each_database!(a_follower_of_events_is_told_of_the_next_after_very_many, async |app: TestApp| {
    let services = app.server.services();
    let (ids, now) = (IdSource::counted(1 << 40), app.clock.now());
    let event = |message: &str| event::Model {
        event_id: EventId::new(&ids, now),
        created_at: now,
        kind: EventTopic::Health,
        severity: Severity::Info,
        graph_id: None,
        subject_id: None,
        message: message.to_owned(),
    };
    // One microsecond after the other, all within the time in which late ones are waited for.
    let many = (0..11_000).map(|number| event::Model { created_at: now.plus(Duration::from_micros(number)), ..event("old") });
    events::insert(services.store().read(), many.collect()).await.unwrap();
    let mut following = services.follow_events(EventFilter::default()).await.unwrap();
    assert_eq!(services.next_events(&mut following).await.unwrap(), []);
    let new = event::Model { created_at: now.plus(Duration::from_micros(11_000)), ..event("new") };
    events::insert(services.store().read(), vec![new.clone()]).await.unwrap();
    assert_eq!(services.next_events(&mut following).await.unwrap(), [new]);
    assert_eq!(services.next_events(&mut following).await.unwrap(), []);
    app
});

on_each_database!(events_tell_what_has_happened, async |app: TestApp| {
    let source = app.sample("rag");
    let snapshot = app.snapshot("g", &source).await;
    app.restore(&snapshot, &app.data("restored")).await.unwrap();
    collect(&app).await;
    let events = get(&app, &format!("{M}/events")).await.ok();
    let told: Vec<(&str, &str)> =
        events.as_array().unwrap().iter().map(|event| (event["kind"].as_str().unwrap(), event["severity"].as_str().unwrap())).collect();
    assert_eq!(told, [("recovery", "info"), ("snapshot", "info")]);
    assert_eq!(events[1]["message"], json!(format!("snapshot `{}` was taken", snapshot.backup_id)));
    let only = get(&app, &format!("{M}/events?kind=snapshot&graph_id=g&severity=info&page_size=1")).await.ok();
    assert_eq!(only, json!([events[1]]));
    assert_eq!(get(&app, &format!("{M}/events?kind=nothing")).await.refusal().0, 400);
    app.clock.advance(HOUR * 24 * 91);
    app.server.services().forget_events().await.unwrap();
    assert_eq!(get(&app, &format!("{M}/events")).await.ok(), json!([]));
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_tell_the_same() {
    let app = TestApp::start(Kind::Postgres).await;
    let second = app.second_instance().await;
    app.snapshot("g", &app.sample("rag")).await;
    let of_process = ["request", "lightkeep_database", "lightkeep_lease", "lightkeep_storage"];
    let of_fleet = |page: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        let all = page.iter().filter(|(series, _)| series.starts_with("light") && of_process.iter().all(|name| !series.contains(name)));
        all.map(|(series, value)| (series.clone(), *value)).collect()
    };
    let both = async || {
        let one = scrape(&app).await;
        second.services().collect_metrics().await.unwrap();
        (of_fleet(&one), of_fleet(&scraped(second.metrics_addr().unwrap()).await))
    };
    // Something may happen between the two looks, such as an event: then both look again.
    let mut told = both().await;
    for _ in 0..5 {
        if told.0 != told.1 {
            told = both().await;
        }
    }
    assert_eq!(told.0, told.1);
    second.stop().await.unwrap();
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_graphs_than_have_names_are_one() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_METRICS_GRAPH_LIMIT", "1")]).await;
    let source = app.sample("rag");
    for graph in ["first", "second", "third"] {
        app.snapshot(graph, &source).await;
        app.clock.advance(HOUR);
    }
    let page = scrape(&app).await;
    let protected = |graph: &str| page[&format!("lightkeep_graph_protected_timestamp_seconds{{graph=\"{graph}\"}}")];
    // Of the others the one that is protected worst.
    assert_eq!((protected("first"), protected("other")), (1_606_046_400.0, 1_606_046_400.0 + 3600.0));
    assert_eq!(page["lightkeep_snapshots{graph=\"other\"}"], 2.0);
    assert!(page.keys().all(|series| !series.contains("\"second\"")));
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_metrics_are_not_there() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_METRICS_ENABLED", "false")]).await;
    assert_eq!(app.server.metrics_addr(), None);
    for path in ["metrics", "metrics/prometheus", "metrics/summary"] {
        let refused = get(&app, &format!("{M}/{path}")).await;
        assert_eq!((refused.refusal().0, &refused.json["reason"]), (503, &json!("METRICS_DISABLED")), "{path}");
    }
    assert_eq!(post(&app, &format!("{M}/metrics/collect"), &json!({})).await.status, 503);
    // What does not need them is told all the same.
    assert_eq!(get(&app, &format!("{M}/health")).await.status, 200);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_that_the_database_is_gone() {
    let app = TestApp::start(Kind::Sqlite).await;
    let healthy = get(&app, &format!("{M}/health")).await.ok();
    assert_eq!(
        (&healthy["backup_status"], &healthy["details"]["components"][0]["status"]),
        (&json!("healthy"), &json!("healthy")),
        "{healthy}"
    );
    app.server.services().store().clone().close().await.unwrap();
    let gone = get(&app, &format!("{M}/health")).await.ok();
    assert_eq!((&gone["overall_status"], &gone["backup_status"]), (&json!("critical"), &json!("unknown")), "{gone}");
    assert_eq!(gone["details"]["components"][0]["component_id"], json!("database"));
    let refused = get(&app, &format!("{M}/stats/backups")).await;
    assert_eq!((refused.refusal().0, &refused.json["reason"]), (503, &json!("DATABASE_UNAVAILABLE")));
    let _ = app.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openmetrics_is_given_to_whoever_prefers_it() {
    let app = TestApp::start(Kind::Sqlite).await;
    let address = app.server.metrics_addr().unwrap();
    let request =
        client().get(format!("http://{address}/metrics")).header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let page = response.text().await.unwrap();
    assert!(page.contains("# TYPE lightrag_backup_snapshots counter\n") && page.ends_with("# EOF\n"), "{page}");
    // Nothing else is there.
    assert_eq!(client().get(format!("http://{address}/health")).send().await.unwrap().status(), 404);
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_as_they_happen() {
    let app = TestApp::start(Kind::Sqlite).await;
    let mut response = client().get(app.url(&format!("{M}/events/watch"))).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    app.snapshot("g", &app.sample("rag")).await;
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    let event: Json = serde_json::from_str(text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap()).unwrap();
    assert_eq!((&event["kind"], &event["graph_id"]), (&json!("snapshot"), &json!("g")));
    drop(response);
    finish(app).await;
}
