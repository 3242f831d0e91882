//! Who is told of alerts: by signed webhooks and by e-mail, until it has arrived, once, and also after a crash.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::alerts::{SILENCES, failed, look};
use crate::support::app::{START, TestApp, finish};
use crate::support::database::{Kind, texts};
use crate::support::process::Process;
use crate::support::rest::post;
use crate::support::webhooks::{Posted, read, receive};

const TEST: &str = "/api/monitoring/notifications/test";

/// A place for webhooks, and its address.
async fn place() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-token", listener.local_addr().unwrap());
    (listener, url)
}

/// Looks again and again until the database has so many rows of this kind.
async fn until(app: &TestApp, condition: &str, count: usize) {
    while app.query(&format!("SELECT notification_id FROM notifications WHERE {condition}")).await.len() != count {
        tokio::task::yield_now().await;
    }
}

fn kind_and_rule(posted: &Posted) -> (&str, &str) {
    (posted.event["type"].as_str().unwrap(), posted.event["subject"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_signed_and_tried_again() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (listener, url) = place().await;
        let settings = [
            ("LIGHTKEEP_ALERT_WEBHOOK_URL", url.as_str()),
            ("LIGHTKEEP_ALERT_WEBHOOK_SECRET", "Jefe"),
            ("LIGHTKEEP_INSTANCE_NAME", "one-a/two"),
        ];
        let app = TestApp::start_with(kind, &settings).await;
        look(&app, failed(&["a"])).await;
        let first = receive(&listener, "500 Internal Server Error").await;
        until(&app, "last_error LIKE '%500%'", 1).await;
        // A redirect is not followed, so it has not arrived either.
        app.clock.advance(Duration::from_secs(2));
        let second = receive(&listener, "307 Temporary Redirect").await;
        until(&app, "last_error LIKE '%307%'", 1).await;
        // Its end waits until it has arrived that it fires.
        look(&app, |_| {}).await;
        app.clock.advance(Duration::from_secs(4));
        let third = receive(&listener, "204 No Content").await;
        let over = receive(&listener, "200 OK").await;
        until(&app, "delivered_at IS NOT NULL", 2).await;

        assert!(first.head.starts_with("POST /secret-token HTTP/1.1\r\n"), "{}", first.head);
        assert!(first.head.contains("\r\ncontent-type: application/cloudevents+json\r\n"), "{}", first.head);
        for posted in [&first, &second, &third, &over] {
            posted.assert_signed("Jefe");
        }
        assert!(first.body == second.body && second.body == third.body, "each attempt says the same, with the same id");
        assert_ne!(first.event["id"], over.event["id"]);
        assert_eq!(kind_and_rule(&over), ("lightkeep.alert.resolved", "BackupFailed"));
        let event = &first.event;
        let is = (&event["specversion"], &event["type"], &event["source"], &event["time"]);
        let wanted = json!(["1.0", "lightkeep.alert.firing", "/lightkeep/one-a%2Ftwo", START.to_string()]);
        assert_eq!(is, (&wanted[0], &wanted[1], &wanted[2], &wanted[3]));
        let data = &event["data"];
        let is = (&data["rule"], &data["severity"], &data["state"], &data["graph_id"], &data["value"]);
        let wanted = json!(["BackupFailed", "warning", "firing", "a", 0.0]);
        assert_eq!(is, (&wanted[0], &wanted[1], &wanted[2], &wanted[3], &wanted[4]));
        assert_eq!(app.query("SELECT last_error FROM notifications WHERE last_error LIKE '%secret-token%'").await, Vec::<String>::new());
        finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_its_way_at_a_stop_goes_out_after_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (listener, url) = place().await;
        let app = TestApp::start_with(kind, &[("LIGHTKEEP_ALERT_WEBHOOK_URL", &url)]).await;
        look(&app, failed(&["a", "b"])).await;
        let (mut connection, _) = listener.accept().await.unwrap();
        let cut_off = read(&mut connection).await;
        // It never gets an answer.
        let app = app.restart().await;
        drop(connection);
        // On PostgreSQL it might be another instance that stopped: its lease runs out first.
        app.clock.advance(Duration::from_secs(16));
        let other = receive(&listener, "204 No Content").await;
        assert_ne!(other.event["id"], cut_off.event["id"]);
        until(&app, "delivered_at IS NOT NULL", 1).await;
        // Nobody knows whether it has arrived. Its claim runs out.
        app.clock.advance(Duration::from_secs(61));
        let again = receive(&listener, "204 No Content").await;
        assert_eq!(again.body, cut_off.body);
        until(&app, "delivered_at IS NOT NULL", 2).await;
        // Nothing is told twice.
        look(&app, failed(&["a", "b"])).await;
        until(&app, "delivered_at IS NULL", 0).await;
        finish(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_loses_nothing() {
    let (directory, environment) = TestApp::place(Kind::Sqlite).await;
    let url = environment["LIGHTRAG_RECOVERY_DB_URL"].clone();
    let in_vain = [("LIGHTKEEP_ALERT_WEBHOOK_URL".to_owned(), "http://127.0.0.1:1/".to_owned())];
    let app = TestApp::start_in(directory, environment.clone().into_iter().chain(in_vain).collect()).await;
    look(&app, failed(&["a", "b"])).await;
    until(&app, "last_error IS NOT NULL", 2).await;
    let TestApp { directory, server, .. } = app;
    server.stop().await.unwrap();

    let (listener, address) = place().await;
    let mut settings: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    settings.push(("LIGHTKEEP_ALERT_WEBHOOK_URL", &address));
    let mut process = Process::start(directory.path(), &settings);
    let (mut connection, _) = listener.accept().await.unwrap();
    let cut_off = read(&mut connection).await;
    process.signal("KILL");
    process.wait();
    let _process = Process::start(directory.path(), &settings);
    let other = receive(&listener, "204 No Content").await;
    assert_ne!(other.event["id"], cut_off.event["id"]);
    // The one that was on its way waits until its claim has run out.
    let waiting = "SELECT notification_id FROM notifications WHERE event = 'firing' AND delivered_at IS NULL AND given_up_at IS NULL";
    while texts(&url, waiting).await.len() != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(texts(&url, waiting).await, [cut_off.event["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_tell_each_thing_once() {
    let (listener, url) = place().await;
    let app = TestApp::start_with(Kind::Postgres, &[("LIGHTKEEP_ALERT_WEBHOOK_URL", &url)]).await;
    let second = app.second_instance().await;
    look(&app, failed(&["a", "b", "c", "d", "e", "f"])).await;
    let deliver = async |server: &lightkeep::app::server::Server| server.services().deliver_notifications().await.unwrap();
    let receive_all = async {
        let mut ids = vec![];
        while ids.len() < 6 {
            ids.push(receive(&listener, "204 No Content").await.event["id"].as_str().unwrap().to_owned());
        }
        ids.sort();
        ids.dedup();
        ids.len()
    };
    let (ids, ..) = tokio::join!(receive_all, deliver(&app.server), deliver(&second), deliver(&app.server), deliver(&second));
    assert_eq!(ids, 6);
    until(&app, "delivered_at IS NOT NULL AND attempts = 1", 6).await;
    second.stop().await.unwrap();
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_arrive_in_a_day_is_given_up() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTKEEP_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/secret-token")]).await;
    look(&app, failed(&["a"])).await;
    until(&app, "last_error IS NOT NULL AND given_up_at IS NULL", 1).await;
    app.clock.advance(Duration::from_secs(24 * 3600));
    until(&app, "last_error IS NOT NULL AND given_up_at IS NOT NULL", 1).await;
    assert_eq!(app.query("SELECT last_error FROM notifications WHERE last_error LIKE '%secret-token%'").await, Vec::<String>::new());
    let until = START.plus(Duration::from_secs(48 * 3600)).to_string();
    post(&app, SILENCES, &json!({ "until": until, "reason": "r" })).await.ok();
    let tested = post(&app, TEST, &json!({})).await.ok();
    assert_eq!((&tested["channels"][0]["channel"], &tested["channels"][0]["delivered"]), (&json!("webhook"), &json!(false)));
    let why = tested["channels"][0]["error_message"].as_str().unwrap();
    assert!(why.contains("cannot be reached") && !why.contains("secret-token"), "{why}");
    finish(app).await;
}

/// Takes one mail as a mail server does, asking for user and password where it should; gives what was said to it.
async fn take_mail(listener: &TcpListener, refuses: bool) -> Vec<String> {
    let (connection, _) = listener.accept().await.unwrap();
    let mut connection = BufReader::new(connection);
    connection.write_all(b"220 fake ESMTP\r\n").await.unwrap();
    let (mut said, mut is_data) = (vec![], false);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.unwrap() == 0 {
            return said;
        }
        let line = line.trim_end().to_owned();
        let answer = match line.split(' ').next().unwrap() {
            _ if is_data && line != "." => "",
            "." => "250 taken\r\n",
            "EHLO" => "250-fake\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 welcome\r\n",
            "RCPT" if refuses => "451 not now\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        is_data = (is_data || line == "DATA") && line != ".";
        connection.write_all(answer.as_bytes()).await.unwrap();
        said.push(line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_to_all_and_is_tried_again() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://keeper:pass%40word@{}", listener.local_addr().unwrap());
        let settings = [
            ("LIGHTKEEP_ALERT_SMTP_URL", url.as_str()),
            ("LIGHTKEEP_ALERT_MAIL_FROM", "Lightkeep <keep@example.org>"),
            ("LIGHTKEEP_ALERT_MAIL_TO", "ops@example.org, Boss <boss@example.org>"),
            ("LIGHTKEEP_INSTANCE_NAME", "cellar"),
        ];
        let app = TestApp::start_with(kind, &settings).await;
        look(&app, failed(&["a"])).await;
        take_mail(&listener, true).await;
        until(&app, "last_error LIKE '%451%'", 1).await;
        app.clock.advance(Duration::from_secs(2));
        let said = take_mail(&listener, false).await;
        until(&app, "delivered_at IS NOT NULL AND channel = 'email'", 1).await;
        let has = |line: &str| assert!(said.iter().any(|said| said == line), "{line}: {said:?}");
        has(&format!("AUTH PLAIN {}", BASE64_STANDARD.encode("\0keeper\0pass@word")));
        assert!(said.iter().any(|line| line.starts_with("MAIL FROM:<keep@example.org>")), "{said:?}");
        has("RCPT TO:<ops@example.org>");
        has("RCPT TO:<boss@example.org>");
        has("From: Lightkeep <keep@example.org>");
        assert!(said.iter().any(|line| line.starts_with("Subject: [warning] BackupFailed: the last snapshot of graph a")), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("Content-Type: text/plain")), "{said:?}");
        has("Rule: BackupFailed (warning)");
        has("Graph: a");
        has("Instance: cellar");
        has("Date: Sun, 22 Nov 2020 12:00:02 +0000");
        let nothing = json!({});
        let (said, tested) = tokio::join!(take_mail(&listener, false), post(&app, TEST, &nothing));
        let wanted = json!({ "channels": [{ "channel": "email", "delivered": true, "error_message": null }] });
        assert_eq!(tested.ok(), wanted);
        assert!(said.iter().any(|line| line.starts_with("Subject: [test] Test: ")), "{said:?}");
        finish(app).await;
    }
}
