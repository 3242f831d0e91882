//! Rules of alerts: the default ones, those of the operator's file, those that callers make.

use std::time::Duration;

use lightkeep::domain::metric::{Samples, names};
use serde_json::{Value as Json, json};

use crate::alerts::{RULES, failed, look};
use crate::support::app::{START, TestApp, finish};
use crate::support::database::{Kind, on_each_database};
use crate::support::process::run;
use crate::support::rest::{delete, get, send};

async fn put(app: &TestApp, name: &str, body: Json) -> Json {
    send(app, "PUT", &format!("{RULES}/{name}"), &[], body.to_string()).await.ok()
}

async fn rule(app: &TestApp, name: &str) -> Json {
    let rules = get(app, RULES).await.ok();
    rules.as_array().unwrap().iter().find(|rule| rule["name"] == name).cloned().unwrap_or_default()
}

on_each_database!(callers_make_and_change_rules, async |app: TestApp| {
    let default = rule(&app, "BackupFailed").await;
    assert_eq!((&default["origin"], &default["enabled"]), (&json!("default"), &json!(true)));
    let off = put(&app, "BackupFailed", json!({ "enabled": false })).await;
    let still = [("threshold", json!(0.25)), ("condition", json!("below")), ("origin", json!("api")), ("enabled", json!(false))];
    for (field, value) in still {
        assert_eq!(off[field], value, "{field}");
    }
    assert_eq!(look(&app, failed(&["a"])).await, Vec::<Json>::new());
    let body = json!({
        "metric": "lightrag_graph_entities_total", "labels": { "graph": "a" }, "condition": "below", "threshold": 10,
        "severity": "info", "summary": "graph {graph} is small",
    });
    let made = put(&app, "Small", body).await;
    assert_eq!((&made["for_seconds"], &made["relative_to"], &made["is_age"]), (&json!(0), &Json::Null, &json!(false)));
    let app = app.restart().await;
    let small = |samples: &mut Samples| {
        samples.add(&names::GRAPH_ENTITIES, ["a"], 3.0);
        samples.add(&names::GRAPH_ENTITIES, ["b"], 3.0);
        failed(&["a"])(samples);
    };
    let alerts = look(&app, small).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let is = (&alerts[0]["rule"], &alerts[0]["severity"], &alerts[0]["summary"]);
    assert_eq!(is, (&json!("Small"), &json!("info"), &json!("graph a is small")));
    put(&app, "Small", json!({ "severity": "critical", "summary": "tiny" })).await;
    let alerts = look(&app, small).await;
    assert_eq!(
        (&alerts[0]["severity"], &alerts[0]["summary"], &alerts[0]["state"]),
        (&json!("critical"), &json!("tiny"), &json!("firing"))
    );

    // What was made here goes, and what was there before comes back.
    for name in ["Small", "BackupFailed"] {
        delete(&app, &format!("{RULES}/{name}")).await.ok();
    }
    assert_eq!(rule(&app, "BackupFailed").await, default);
    let alerts = look(&app, small).await;
    let now: Vec<_> = alerts.iter().map(|alert| (alert["rule"].as_str().unwrap(), alert["state"].as_str().unwrap())).collect();
    assert_eq!(now, [("BackupFailed", "firing"), ("Small", "resolved")]);
    delete(&app, &format!("{RULES}/BackupFailed")).await.ok();
    let gone = delete(&app, &format!("{RULES}/Small")).await;
    assert_eq!(gone.refusal(), (404, "Rule Small not found"));
    app
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rules_are_refused_with_all_that_is_wrong() {
    let app = TestApp::start(Kind::Sqlite).await;
    let path = format!("{RULES}/Odd-name");
    let body = json!({ "metric": "none", "relative_to": "lightkeep_backup_duration_seconds", "for_seconds": -1, "threshold": 1 });
    let refused = send(&app, "PUT", &path, &[], body.to_string()).await;
    let (status, text) = refused.refusal();
    let fields = ["`name`", "`metric`", "`relative_to`", "`for_seconds`"];
    assert!(status == 400 && fields.iter().all(|field| text.contains(field)), "{text}");
    let refused = send(&app, "PUT", &format!("{RULES}/New"), &[], json!({ "threshold": 1 }).to_string()).await;
    assert!(refused.refusal().1.contains("`metric` is needed"), "{}", refused.text);
    let refused = send(&app, "PUT", &format!("{RULES}/New"), &[], json!({ "severity": "loud" }).to_string()).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let names: Vec<Json> = get(&app, RULES).await.ok().as_array().unwrap().iter().map(|rule| rule["name"].clone()).collect();
    assert_eq!(names.len(), 26);
    let paged = get(&app, &format!("{RULES}?page_size=20")).await;
    let next = get(&app, &format!("{RULES}?page_size=20&page_token={}", paged.header("x-next-page-token"))).await.ok();
    assert_eq!((paged.ok().as_array().unwrap().len(), next.as_array().unwrap().len()), (20, 6));
    finish(app).await;
}

/// A server with such a file of settings.
async fn with_file(text: &str) -> TestApp {
    let (directory, environment) = TestApp::place(Kind::Sqlite).await;
    std::fs::write(directory.path().join("lightkeep.toml"), text).unwrap();
    TestApp::start_in(directory, environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_file_has_rules_too() {
    let file = r#"
        [[alert_rules]]
        name = "BackupFailed"
        severity = "critical"
        for_seconds = 60

        [[alert_rules]]
        name = "DrillTooOld"
        enabled = false

        [[alert_rules]]
        name = "Vanished"
        metric = "lightrag_graph_entities_total"
        labels = { graph = "g" }
        condition = "missing"
    "#;
    let app = with_file(file).await;
    let changed = rule(&app, "BackupFailed").await;
    let is = (&changed["severity"], &changed["for_seconds"], &changed["threshold"], &changed["origin"]);
    assert_eq!(is, (&json!("critical"), &json!(60), &json!(0.25), &json!("configuration")));
    assert_eq!(rule(&app, "DrillTooOld").await["enabled"], json!(false));
    let month = START.micros() as f64 / 1e6 - 40.0 * 86_400.0;
    let add = |samples: &mut Samples| {
        samples.add(&names::DRILL_LAST_SUCCESS, ["g"], month);
        samples.add(&names::VERIFICATION_LAST_SUCCESS, ["g"], month);
        failed(&["g"])(samples);
    };
    look(&app, add).await;
    app.clock.advance(Duration::from_secs(3600));
    let mut found: Vec<String> = look(&app, add).await.iter().map(|alert| format!("{} {}", alert["rule"], alert["state"])).collect();
    found.sort();
    assert_eq!(found, [r#""BackupFailed" "firing""#, r#""Vanished" "firing""#, r#""VerificationTooOld" "firing""#]);
    // A caller's word counts more; without it the file's is there again.
    put(&app, "DrillTooOld", json!({ "enabled": true })).await;
    assert_eq!(rule(&app, "DrillTooOld").await["origin"], json!("api"));
    delete(&app, &format!("{RULES}/DrillTooOld")).await.ok();
    let back = rule(&app, "DrillTooOld").await;
    assert_eq!((&back["origin"], &back["enabled"]), (&json!("configuration"), &json!(false)));
    finish(app).await;
}

#[test]
fn a_wrong_file_is_refused_at_the_start_with_all_that_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = r#"
        [alerts]
        smtp_url = "smtp://mail.example"
        mail_from = "nobody"
        webhook_url = "ftp://hunter2"

        [[alert_rules]]
        name = "A"
        metric = "none"
        severity = "awful"

        [[alert_rules]]
        name = "BackupFailed"
        enabled = false

        [[alert_rules]]
        name = "BackupFailed"

        [[alert_rules]]
        nmae = "B"
    "#;
    std::fs::write(directory.path().join("lightkeep.toml"), file).unwrap();
    let output = run(directory.path(), &["--config", "lightkeep.toml", "serve"], &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for problem in [
        "`alerts.webhook_url` in `lightkeep.toml` must begin with `http://` or `https://`",
        "`LIGHTKEEP_ALERT_SMTP_URL`, `LIGHTKEEP_ALERT_MAIL_FROM` and `LIGHTKEEP_ALERT_MAIL_TO` belong together",
        "`alerts.mail_from` in `lightkeep.toml` must be an e-mail address",
        "`alert_rules` 1 in `lightkeep.toml`: `metric` must be",
        "`alert_rules` 1 in `lightkeep.toml`: `severity` must be `info`, `warning` or `critical`: awful",
        "`alert_rules` 3 in `lightkeep.toml`: `name` is that of another rule",
        "`alert_rules` 4 in `lightkeep.toml`: ",
    ] {
        assert!(text.contains(problem), "{problem}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}
