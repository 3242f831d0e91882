//! Alerts: they are found, fire, are acknowledged and silenced, and are over.

use std::time::Duration;

use lightkeep::base::timestamp::Timestamp;
use lightkeep::domain::metric::{Samples, names};
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::rest::{delete, get, post, send};

pub(crate) const ALERTS: &str = "/api/monitoring/alerts";
pub(crate) const RULES: &str = "/api/monitoring/alert-rules";
pub(crate) const SILENCES: &str = "/api/monitoring/silences";

/// Nothing listens there: what is to be told stays in the database.
const NOBODY: (&str, &str) = ("LIGHTKEEP_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/");

/// Has the server look at these samples, and gives all alerts, newest first.
pub(crate) async fn look(app: &TestApp, add: impl FnOnce(&mut Samples)) -> Vec<Json> {
    let mut samples = Samples::default();
    add(&mut samples);
    app.server.services().evaluate_alerts(&samples).await.unwrap();
    get(app, ALERTS).await.ok().as_array().unwrap().clone()
}

/// The last snapshots of these graphs have failed.
pub(crate) fn failed(graphs: &'static [&'static str]) -> impl FnOnce(&mut Samples) {
    move |samples| graphs.iter().for_each(|graph| samples.add(&names::BACKUP_LAST_RESULT, [*graph], 0.0))
}

/// An audit found this many contradictions in the graph `g`.
fn violations(count: f64) -> impl FnOnce(&mut Samples) {
    move |samples| samples.add(&names::CONSISTENCY_VIOLATIONS, ["g"], count)
}

fn states(alerts: &[Json]) -> Vec<&str> {
    alerts.iter().map(|alert| alert["state"].as_str().unwrap()).collect()
}

/// What is to be told, in its order: event and rule.
async fn told(app: &TestApp) -> Vec<String> {
    let statement = "SELECT n.event || ' ' || a.rule FROM notifications n JOIN alerts a ON a.alert_id = n.alert_id \
                     ORDER BY n.notification_id";
    app.query(statement).await
}

fn instant(alert: &Json, field: &str) -> String {
    alert[field].as_str().unwrap().to_owned()
}

on_each_database!(an_alert_waits_fires_and_is_over, async |app: TestApp| {
    let pending = look(&app, violations(3.0)).await;
    assert_eq!(states(&pending), ["pending"]);
    let alert = &pending[0];
    let is = (&alert["rule"], &alert["severity"], &alert["graph_id"], &alert["labels"]);
    assert_eq!(is, (&json!("ConsistencyViolation"), &json!("critical"), &json!("g"), &json!({ "graph": "g" })));
    let is = (&alert["value"], &alert["threshold"], &alert["fired_at"], &alert["silenced_until"], &alert["told_at"]);
    assert_eq!(is, (&json!(3.0), &json!(0.0), &Json::Null, &Json::Null, &Json::Null));
    assert_eq!(instant(alert, "started_at"), START.to_string());
    assert!(alert["summary"].as_str().unwrap().contains("graph g "), "{alert}");

    // One that is over before it fires never was.
    app.clock.advance(Duration::from_secs(14 * 60));
    assert_eq!(look(&app, violations(0.0)).await, Vec::<Json>::new());

    look(&app, violations(3.0)).await;
    let app = app.restart().await;
    app.clock.advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(states(&look(&app, violations(3.0)).await), ["pending"]);
    app.clock.advance(Duration::from_secs(1));
    let firing = look(&app, violations(4.0)).await;
    assert_eq!((states(&firing), &firing[0]["value"]), (vec!["firing"], &json!(4.0)));
    app.clock.advance(Duration::from_secs(60));
    let over = look(&app, |_| {}).await;
    assert_eq!(states(&over), ["resolved"]);
    assert!(instant(&over[0], "fired_at") < instant(&over[0], "resolved_at"));
    // It comes back as another one.
    let again = look(&app, violations(1.0)).await;
    assert_eq!(states(&again), ["pending", "resolved"]);
    assert_ne!(again[0]["alert_id"], again[1]["alert_id"]);
    // Nobody is told where no channel is set.
    assert_eq!(told(&app).await, Vec::<String>::new());
    app
});

on_each_database!(alerts_are_listed_and_forgotten, async |app: TestApp| {
    look(&app, failed(&["a", "b"])).await;
    app.clock.advance(Duration::from_secs(1));
    let all = look(&app, |samples| {
        failed(&["a", "b"])(samples);
        violations(1.0)(samples);
        samples.add(&names::TARGET_UP, ["paris"], 0.0);
    })
    .await;
    assert_eq!(all.len(), 4);
    let count = async |query: &str| get(&app, &format!("{ALERTS}?{query}")).await.ok().as_array().unwrap().len();
    assert_eq!((count("state=firing").await, count("state=pending").await, count("state=resolved").await), (2, 2, 0));
    assert_eq!((count("severity=warning").await, count("rule=TargetDown").await, count("graph_id=a").await), (2, 1, 1));
    assert_eq!((count("graph_id=-").await, count("graph_id=a&severity=critical").await), (4, 0));
    let mut paged = vec![];
    let mut path = format!("{ALERTS}?page_size=3");
    loop {
        let answer = get(&app, &path).await;
        path = format!("{ALERTS}?page_size=3&page_token={}", answer.header("x-next-page-token"));
        let is_last = answer.header("x-next-page-token").is_empty();
        paged.extend(answer.ok().as_array().unwrap().clone());
        if is_last {
            break;
        }
    }
    assert_eq!(paged, all);
    let one = get(&app, &format!("{ALERTS}/{}", all[0]["alert_id"].as_str().unwrap())).await.ok();
    assert_eq!(one, all[0]);
    // Those that are over are forgotten in time, others never.
    look(&app, failed(&["a"])).await;
    app.clock.advance(Duration::from_secs(90 * 24 * 3600));
    app.server.services().forget_alerts().await.unwrap();
    assert_eq!(get(&app, ALERTS).await.ok().as_array().unwrap().len(), 2);
    app.clock.advance(Duration::from_secs(1));
    app.server.services().forget_alerts().await.unwrap();
    assert_eq!(states(&look(&app, failed(&["a"])).await), ["firing"]);
    assert_eq!(app.server.services().count_firing_alerts().await.unwrap(), 1);
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acknowledges_is_told_only_of_the_end() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let app = TestApp::start_with(kind, &[NOBODY]).await;
        let pending = look(&app, violations(1.0)).await;
        let path = format!("{ALERTS}/{}/acknowledge", pending[0]["alert_id"].as_str().unwrap());
        let known = post(&app, &path, &json!({ "comment": "we look into it" })).await.ok();
        let is = (&known["acknowledged_by"], &known["comment"], &known["acknowledged_at"]);
        assert_eq!(is, (&json!("anonymous"), &json!("we look into it"), &json!(START.to_string())));
        look(&app, failed(&["a"])).await;
        app.clock.advance(Duration::from_secs(16 * 60));
        let both = |samples: &mut Samples| {
            violations(1.0)(samples);
            failed(&["a"])(samples);
        };
        look(&app, both).await;
        app.clock.advance(Duration::from_secs(16 * 60));
        let firing = look(&app, both).await;
        // The first one was over in between: what was said of it is not said of the next.
        assert_eq!(states(&firing), ["firing", "firing"]);
        let open = firing.iter().find(|alert| alert["rule"] == "ConsistencyViolation").unwrap();
        assert_eq!(open["acknowledged_at"], Json::Null);
        assert_eq!(told(&app).await, ["firing BackupFailed", "firing ConsistencyViolation"]);
        let failed_one = firing.iter().find(|alert| alert["rule"] == "BackupFailed").unwrap();
        let path = format!("{ALERTS}/{}/acknowledge", failed_one["alert_id"].as_str().unwrap());
        let key = [("idempotency-key", "00000000-0000-7000-8000-000000000001")];
        for _ in 0..2 {
            send(&app, "POST", &path, &key, json!({ "comment": "disk" }).to_string()).await.ok();
        }
        look(&app, |_| {}).await;
        let mut all = told(&app).await.split_off(2);
        all.sort();
        assert_eq!(all, ["resolved BackupFailed", "resolved ConsistencyViolation"]);
        let late = post(&app, &path, &json!({})).await;
        assert_eq!((late.refusal().0, &late.json["reason"]), (409, &json!("ALERT_RESOLVED")));
        let audits = app.query("SELECT action FROM audit_events WHERE action = 'AcknowledgeAlert'").await;
        assert_eq!(audits.len(), 2);
        finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_keeps_quiet_until_it_ends() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let app = TestApp::start_with(kind, &[NOBODY]).await;
        let until = START.plus(Duration::from_secs(3600)).to_string();
        let body = json!({ "rule": "BackupFailed", "labels": { "graph": "a" }, "until": until, "reason": "we move it" });
        let silence = post(&app, SILENCES, &body).await.ok();
        assert_eq!((&silence["rule"], &silence["until"], &silence["labels"]), (&body["rule"], &body["until"], &body["labels"]));
        let alerts = look(&app, failed(&["a", "b"])).await;
        assert_eq!(states(&alerts), ["firing", "firing"]);
        let of = |graph: &str| alerts.iter().find(|alert| alert["graph_id"] == graph).unwrap();
        assert_eq!((&of("a")["silenced_until"], &of("b")["silenced_until"]), (&json!(until), &Json::Null));
        assert_eq!((&of("a")["told_at"], of("b")["told_at"].is_null()), (&Json::Null, false));
        assert_eq!(told(&app).await, ["firing BackupFailed"]);
        // One that is over while it was silent was never there for those outside.
        look(&app, failed(&["b"])).await;
        look(&app, failed(&["a", "b"])).await;
        assert_eq!(told(&app).await.len(), 1);
        let app = app.restart().await;
        app.clock.advance(Duration::from_secs(3600));
        assert_eq!(get(&app, SILENCES).await.ok(), json!([]));
        look(&app, failed(&["a", "b"])).await;
        look(&app, failed(&["a", "b"])).await;
        assert_eq!(told(&app).await, ["firing BackupFailed", "firing BackupFailed"]);
        finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_they_are_switched_off_nothing_is_there() {
    for off in ["LIGHTKEEP_ALERTS_ENABLED", "LIGHTRAG_METRICS_ENABLED"] {
        let app = TestApp::start_with(Kind::Sqlite, &[(off, "false"), NOBODY]).await;
        let mut samples = Samples::default();
        failed(&["a"])(&mut samples);
        app.server.services().evaluate_alerts(&samples).await.unwrap();
        assert_eq!(app.query("SELECT alert_id FROM alerts").await, Vec::<String>::new());
        assert_eq!(get(&app, ALERTS).await.refusal(), (404, "Not Found"));
        finish(app).await;
    }
}

on_each_database!(silences_are_kept_and_ended, async |app: TestApp| {
    let until = START.plus(Duration::from_secs(60)).to_string();
    let everything = post(&app, SILENCES, &json!({ "until": until, "reason": "maintenance" })).await.ok();
    let alerts = look(&app, failed(&["a"])).await;
    assert_eq!(alerts[0]["silenced_until"], json!(until));
    let path = format!("{SILENCES}/{}", everything["silence_id"].as_str().unwrap());
    assert_eq!(get(&app, SILENCES).await.ok(), json!([everything]));
    delete(&app, &path).await.ok();
    assert_eq!(get(&app, SILENCES).await.ok(), json!([]));
    assert_eq!(delete(&app, &path).await.refusal().0, 404);
    assert_eq!(get(&app, ALERTS).await.ok()[0]["silenced_until"], Json::Null);
    let past = Timestamp::from_micros(0).to_string();
    let wrong = post(&app, SILENCES, &json!({ "labels": { "grpah": "a" }, "until": past, "reason": " " })).await;
    let (status, text) = wrong.refusal();
    assert!(status == 400 && ["`labels`", "`until`", "`reason`"].iter().all(|field| text.contains(field)), "{text}");
    let unknown = post(&app, SILENCES, &json!({ "rule": "None", "until": until, "reason": "r" })).await;
    assert_eq!((unknown.refusal(), &unknown.json["reason"]), ((404, "Rule None not found"), &json!("RULE_NOT_FOUND")));
    // A character that PostgreSQL cannot store.
    let odd = json!({ "labels": { "graph": "a\u{0}" }, "until": until, "reason": "r\u{0}" });
    assert_eq!(post(&app, SILENCES, &odd).await.refusal().0, 400);
    let alert = format!("{ALERTS}/{}", alerts[0]["alert_id"].as_str().unwrap());
    assert_eq!(post(&app, &format!("{alert}/acknowledge"), &json!({ "comment": "\u{0}" })).await.refusal().0, 400);
    assert_eq!(get(&app, &format!("{ALERTS}?rule=%00")).await.refusal().0, 400);
    assert_eq!(delete(&app, &format!("{RULES}/a%00")).await.status, 404);
    let body = json!({ "until": until, "reason": "r", "request_id": "00000000-0000-7000-8000-000000000001" });
    let (first, second) = (post(&app, SILENCES, &body).await.ok(), post(&app, SILENCES, &body).await.ok());
    assert_eq!(first, second);
    app
});
