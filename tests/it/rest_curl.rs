//! The paths of the old system's backup part by curl, as its documents have them, with each of its three prefixes.

use std::path::Path;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::files;

const PREFIXES: [&str; 3] = ["/api/backup", "/api/v1/backup-replication", "/api/backup/api/v1/backup-replication"];

/// What curl prints for a call that has to succeed.
async fn curl(app: &TestApp, method: &str, path: &str, body: Option<&Json>) -> Json {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "-X", method, &app.url(path)]);
    if let Some(body) = body {
        command.args(["-H", "Content-Type: application/json", "-d", &body.to_string()]);
    }
    let done = command.output().await.expect("curl is installed by tests/run");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{method} {path}: {text} {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_1_to_7_answer_curl_with_each_prefix() {
    let app = TestApp::start(Kind::Sqlite).await;
    let source = app.sample("rag");
    for (count, prefix) in PREFIXES.into_iter().enumerate() {
        let graph_id = format!("graph{count}");
        let snapshots = format!("{prefix}/backup/graphs/{graph_id}/snapshots");
        let made = curl(&app, "POST", &snapshots, Some(&json!({ "source_dir": source, "metadata": { "by": "curl" } }))).await;
        assert_eq!(
            (&made["graph_id"], &made["status"], &made["metadata"]),
            (&json!(graph_id), &json!("completed"), &json!({ "by": "curl" }))
        );
        assert_eq!(made["data_hash"].as_str().unwrap().len(), 64);
        assert!(Path::new(made["checkpoint_path"].as_str().unwrap()).is_file() && made["size_bytes"].is_i64());
        assert!(made["timestamp"].is_string() && made["retention_until"].is_string());
        let id = made["backup_id"].as_str().unwrap();
        assert_eq!(curl(&app, "GET", &snapshots, None).await, json!([made]));
        assert_eq!(curl(&app, "GET", &format!("{snapshots}/{id}"), None).await, made);

        let stats = curl(&app, "GET", &format!("{prefix}/backup/stats"), None).await;
        let size = made["size_bytes"].as_i64().unwrap();
        assert_eq!((&stats["total_graphs"], &stats["total_snapshots"]), (&json!(count + 1), &json!(1)));
        assert_eq!(stats["total_size_bytes"], json!(size));
        let graph = stats["graphs"].as_array().unwrap().iter().find(|graph| graph["graph_id"] == json!(graph_id)).unwrap();
        assert_eq!((&graph["total_snapshots"], &graph["last_snapshot_time"]), (&json!(1), &made["timestamp"]));

        let target = app.data(&format!("copy{count}"));
        let restored = curl(&app, "POST", &format!("{snapshots}/{id}/restore"), Some(&json!({ "target_dir": target }))).await;
        let message = format!("Restored snapshot {id} to {}", target.display());
        assert_eq!(restored, json!({ "status": "success", "message": message }));
        assert!(files::describe(&target).len() > 10);

        for body in [None, Some(&json!({}))] {
            assert_eq!(curl(&app, "POST", &format!("{prefix}/backup/cleanup"), body).await["deleted_snapshots"], json!(0));
        }
        let deleted = curl(&app, "DELETE", &format!("{snapshots}/{id}"), None).await;
        assert_eq!(deleted, json!({ "status": "success", "message": format!("Deleted snapshot {id}") }));
        assert_eq!(curl(&app, "GET", &snapshots, None).await, json!([]));
    }
    finish(app).await;
}
