//! Two Lightkeeps: one has graphs, the other takes copies of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::app::{TestApp, finish};
use super::database::Kind;
use super::rest::{get, post};
use super::tools::restic_ok_at;

/// What the source is called by the target, and its key there.
pub(crate) const PEER: &str = "berlin";
pub(crate) const PEER_KEY: &str = "peer-key-of-berlin-0123456789";

/// Where targets are.
pub(crate) const TARGETS: &str = "/api/backup/replication/targets";

pub(crate) struct Pair {
    pub(crate) source: TestApp,
    pub(crate) target: TestApp,
    /// The password that both have.
    password: TempDir,
}

impl Pair {
    /// Starts both on databases of this kind, with one repository password.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[], &[]).await
    }

    /// Starts both with more environment variables.
    pub(crate) async fn start_with(kind: Kind, source: &[(&str, &str)], target: &[(&str, &str)]) -> Self {
        let password = tempfile::tempdir().unwrap();
        let file = password.path().join("password");
        fs::write(&file, "one password for both").unwrap();
        let common = [("LIGHTKEEP_REPOSITORY_PASSWORD_FILE", file.to_str().unwrap())];
        let keys = format!("{PEER}:{PEER_KEY},paris:peer-key-of-paris-0123456789");
        let receiving = [("LIGHTKEEP_PEER_KEYS", keys.as_str())];
        Self {
            source: TestApp::start_with(kind, &[&common, source].concat()).await,
            target: TestApp::start_with(kind, &[&common, &receiving[..], target].concat()).await,
            password,
        }
    }

    /// Registers the target at the source, and gives it.
    pub(crate) async fn register(&self) -> Json {
        self.register_with(json!({})).await
    }

    /// As [`Pair::register`], with more fields.
    pub(crate) async fn register_with(&self, more: Json) -> Json {
        let mut body = json!({ "name": "second", "base_url": self.target.url(""), "api_key": PEER_KEY });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(&self.source, TARGETS, &body).await.ok()
    }

    /// How a graph's only target stands.
    pub(crate) async fn replica(&self, graph_id: &str) -> Json {
        replica(&self.source, graph_id).await
    }

    /// Waits until the only target of a graph has all its snapshots, and the other side lists them.
    pub(crate) async fn in_step(&self, graph_id: &str) -> Vec<Json> {
        in_step(&self.source, graph_id).await;
        let wanted = self.replica(graph_id).await["replicated_snapshots"].as_u64().unwrap();
        loop {
            let listed = get(&self.target, &format!("/api/backup/backup/graphs/{graph_id}@{PEER}/snapshots")).await.ok();
            let listed = listed.as_array().unwrap().clone();
            if listed.len() as u64 >= wanted {
                return listed;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Runs the stock restic on a repository of either side, and expects it to be content.
    pub(crate) fn restic(&self, repository: &Path, arguments: &[&str]) -> String {
        restic_ok_at(repository, &self.password.path().join("password"), arguments)
    }

    /// Stops both.
    pub(crate) async fn finish(self) {
        finish(self.source).await;
        finish(self.target).await;
    }

    /// Where the copy of a graph lies with the target.
    pub(crate) fn copy(&self, graph_id: &str) -> PathBuf {
        self.target.storage().join("replicas").join(PEER).join(graph_id)
    }
}

/// How a graph's only target stands.
pub(crate) async fn replica(app: &TestApp, graph_id: &str) -> Json {
    let status = get(app, &format!("/api/backup/replication/graphs/{graph_id}/status")).await.ok();
    status["replicas"][0].clone()
}

/// Waits until the only target of a graph has all its snapshots.
pub(crate) async fn in_step(app: &TestApp, graph_id: &str) {
    while replica(app, graph_id).await["lag_snapshots"] != json!(0) {
        tokio::task::yield_now().await;
    }
}

/// All files of a kind in a repository.
pub(crate) fn stored(repository: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(repository.join(kind)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Has a copy read again, and gives what was damaged and what was repaired.
pub(crate) async fn verify(app: &TestApp, target: &Json, graph_id: &str) -> (Vec<String>, Vec<String>) {
    let path = format!("{TARGETS}/{}/graphs/{graph_id}/verify", target["target_id"].as_str().unwrap());
    let report = post(app, &path, &json!({})).await.ok();
    let names = |key: &str| report[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    (names("damaged_files"), names("repaired_files"))
}
