//! Legal holds, against every path on which a snapshot is deleted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lightkeep::proto::v1;
use lightkeep::repository::LockKind;
use serde_json::{Value as Json, json};

use crate::support::app::{START, TestApp, settled};
use crate::support::database::on_each_database;
use crate::support::files::small;
use crate::support::repositories::{open, verify, work};
use crate::support::rest::{Answer, GRAPHS, delete, get, post, send};
use crate::trouble::until;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn path(snapshot: &v1::Snapshot) -> String {
    format!("{GRAPHS}/g/snapshots/{}", snapshot.backup_id)
}

async fn hold(app: &TestApp, snapshot: &v1::Snapshot, body: &Json) -> Answer {
    post(app, &format!("{}/hold", path(snapshot)), body).await
}

/// A graph with two snapshots, the older of which is under a hold.
async fn held(app: &TestApp) -> (PathBuf, v1::Snapshot) {
    let source = small(&app.data("plain"));
    let taken = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    let answer = hold(app, &taken, &json!({ "reason": "case 4711" })).await.ok();
    assert_eq!(
        (&answer["hold_reason"], &answer["held_until"], &answer["retention_until"]),
        (&json!("case 4711"), &json!(null), &json!(null))
    );
    (source, taken)
}

fn refused(answer: &Answer) {
    assert_eq!((answer.status, &answer.json["reason"]), (409, &json!("SNAPSHOT_HELD")), "{}", answer.text);
}

on_each_database!(no_call_deletes_what_is_held, async |app: TestApp| {
    let (_, taken) = held(&app).await;
    let answer = delete(&app, &path(&taken)).await;
    refused(&answer);
    assert!(answer.refusal().1.contains("must be released first: case 4711"), "{}", answer.text);
    app.clock.advance(DAY * 60);
    assert_eq!(post(&app, "/api/backup/backup/cleanup", &json!({})).await.ok()["deleted_snapshots"], json!(0));
    refused(&delete(&app, &format!("{GRAPHS}/g?repository=keep")).await);
    refused(&delete(&app, &format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g")).await);
    // Nor by taking back the pin that it has beside its hold.
    post(&app, &format!("{}/pin", path(&taken)), &json!({ "reason": "mine" })).await.ok();
    let unpinned = post(&app, &format!("{}/unpin", path(&taken)), &json!({})).await.ok();
    assert_eq!((&unpinned["pin_reason"], &unpinned["hold_reason"]), (&json!(null), &json!("case 4711")));
    refused(&delete(&app, &path(&taken)).await);
    app.restore(&taken, &app.data("again")).await.unwrap();
    app
});

on_each_database!(nothing_that_goes_by_itself_deletes_what_is_held, async |app: TestApp| {
    let (source, taken) = held(&app).await;
    let set = send(&app, "PUT", &format!("{GRAPHS}/g/retention"), &[], json!({ "keep_last": 1 }).to_string()).await;
    set.ok();
    app.clock.advance(DAY * 60);
    app.snapshot("g", &source).await;
    settled(&app).await;
    app.server.services().expire_all().await.unwrap();
    settled(&app).await;
    let left: Vec<String> = app.list("g").await.into_iter().map(|one| one.backup_id).collect();
    assert_eq!((left.len(), &left[1]), (2, &taken.backup_id));
    let preview = post(&app, &format!("{GRAPHS}/g/retention/preview"), &json!({})).await.ok();
    let verdict = &preview["verdicts"][1];
    assert_eq!((&verdict["verdict"], &verdict["explanation"]), (&json!("held"), &json!("held until released: case 4711")));
    work(&app, "g", "prune", json!({ "max_unused_percent": 0 })).await;
    work(&app, "g", "repair", json!({})).await;
    work(&app, "g", "reconcile", json!({})).await;
    assert_eq!(verify(&app, &taken, "content").await["passed"], json!(true));
    app
});

on_each_database!(a_hold_that_comes_while_a_deletion_waits_keeps_the_snapshot, async |app: TestApp| {
    let source = small(&app.data("plain"));
    let taken = app.snapshot("g", &source).await;
    app.snapshot("g", &source).await;
    for (kind, call) in [
        (v1::OperationKind::Delete, path(&taken)),
        (v1::OperationKind::Unregister, format!("{GRAPHS}/g?repository=purge&confirm_graph_id=g")),
    ] {
        let lock = open(&app, "g").lock(LockKind::Shared, START, "another-host").unwrap();
        let holding = async {
            until(&app, kind, v1::OperationState::Running).await;
            hold(&app, &taken, &json!({ "reason": "case 4711" })).await.ok();
            drop(lock);
        };
        let (answer, ()) = tokio::join!(delete(&app, &call), holding);
        refused(&answer);
        post(&app, &format!("{}/release", path(&taken)), &json!({ "reason": "for the next" })).await.ok();
    }
    app.clock.advance(DAY * 60);
    // One of then would be taken for left over.
    let lock = open(&app, "g").lock(LockKind::Shared, START.plus(DAY * 60), "another-host").unwrap();
    let holding = async {
        until(&app, v1::OperationKind::Cleanup, v1::OperationState::Running).await;
        hold(&app, &taken, &json!({ "reason": "case 4711" })).await.ok();
        drop(lock);
    };
    let nothing = json!({});
    let (cleaned, ()) = tokio::join!(post(&app, "/api/backup/backup/cleanup", &nothing), holding);
    assert_eq!(cleaned.ok()["deleted_snapshots"], json!(0));
    assert!(fs::exists(taken.checkpoint_path()).unwrap());
    app
});

on_each_database!(a_hold_ends_when_it_is_released_or_at_its_date, async |app: TestApp| {
    let (_, taken) = held(&app).await;
    let listed = async |query: &str| get(&app, &format!("{GRAPHS}/g/snapshots?{query}")).await.ok().as_array().unwrap().len();
    assert_eq!((listed("held=true").await, listed("held=false").await, listed("pinned=true").await), (1, 1, 0));
    for (body, status) in [(json!({}), 422), (json!({ "reason": " " }), 400), (json!({ "reason": "two\nlines" }), 400)] {
        assert_eq!(hold(&app, &taken, &body).await.status, status, "{body}");
        assert_eq!(post(&app, &format!("{}/release", path(&taken)), &body).await.status, status, "{body}");
    }
    assert_eq!(hold(&app, &taken, &json!({ "reason": "late", "until": "2001-01-01T00:00:00Z" })).await.status, 400);
    // Held again, the new reason and date hold.
    let until = hold(&app, &taken, &json!({ "reason": "case 4712", "until": "2020-12-24T00:00:00Z" })).await.ok();
    assert_eq!((&until["hold_reason"], &until["held_until"]), (&json!("case 4712"), &json!("2020-12-24T00:00:00Z")));
    refused(&delete(&app, &path(&taken)).await);
    app.clock.advance(DAY * 32);
    assert_eq!(get(&app, &path(&taken)).await.ok()["hold_reason"], json!(null));
    hold(&app, &taken, &json!({ "reason": "case 4713" })).await.ok();
    let released = post(&app, &format!("{}/release", path(&taken)), &json!({ "reason": "closed" })).await.ok();
    assert_eq!(released["hold_reason"], json!(null));
    delete(&app, &path(&taken)).await.ok();
    let subjects =
        app.query("SELECT subject_id FROM audit_events WHERE action IN ('HoldSnapshot', 'ReleaseSnapshot') ORDER BY audit_event_id").await;
    let said: Vec<&str> = subjects.iter().map(|subject| subject.split(": ").nth(1).unwrap()).collect();
    assert_eq!(said, ["case 4711", "case 4712", "case 4713", "closed"]);
    app
});
