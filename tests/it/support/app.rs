//! A real server in the test's process: free ports, its own storage and database, a clock that stands still.
//! A test gives it back at its end, and [`finish`] checks that nothing is left undone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser as _;
use lightkeep::app::args::Args;
use lightkeep::app::config::Config;
use lightkeep::app::server::{Listeners, Server};
use lightkeep::base::clock::ManualClock;
use lightkeep::base::ids::IdSource;
use lightkeep::base::timestamp::Timestamp;
use lightkeep::proto::v1;
use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
use lightkeep::proto::v1::operation_service_client::OperationServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::database::{self, Kind};
use super::files;

/// 2020-11-22T12:00:00Z: long before any real clock.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_606_046_400_000_000);

pub(crate) struct TestApp {
    pub(crate) directory: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) server: Server,
    environment: HashMap<String, String>,
}

impl TestApp {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    /// Starts with more environment variables.
    pub(crate) async fn start_with(kind: Kind, more: &[(&str, &str)]) -> Self {
        let (directory, mut environment) = Self::place(kind).await;
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self::start_in(directory, environment).await
    }

    /// A fresh directory and database, and the environment of a server that uses them.
    pub(crate) async fn place(kind: Kind) -> (TempDir, HashMap<String, String>) {
        let directory = tempfile::tempdir().unwrap();
        let url = database::fresh(kind, directory.path()).await;
        std::fs::create_dir(directory.path().join("data")).unwrap();
        let environment: HashMap<String, String> = [
            ("LIGHTKEEP_HTTP_ADDR", "127.0.0.1:0".to_owned()),
            ("LIGHTKEEP_GRPC_ADDR", "127.0.0.1:0".to_owned()),
            ("LIGHTKEEP_METRICS_ADDR", "127.0.0.1:0".to_owned()),
            ("LIGHTKEEP_ALLOWED_ROOTS", directory.path().join("data").display().to_string()),
            ("LIGHTRAG_BACKUP_STORAGE", directory.path().join("backups").display().to_string()),
            ("LIGHTRAG_RECOVERY_DB_URL", url),
            // Tests that move the clock by days want no snapshots but their own.
            ("LIGHTRAG_AUTO_BACKUP_INTERVAL", "0".to_owned()),
            ("LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "0".to_owned()),
            // Nor collections but those that they ask for, after the first.
            ("LIGHTRAG_METRICS_COLLECTION_INTERVAL_SECONDS", "86400".to_owned()),
            // Nor locks that come and go by themselves.
            ("LIGHTRAG_HEALTH_CHECK_ENABLED", "false".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        (directory, environment)
    }

    /// Starts on what an earlier server may have left.
    pub(crate) async fn start_in(directory: TempDir, environment: HashMap<String, String>) -> Self {
        let clock = ManualClock::new(START);
        let server = serve(&environment, directory.path(), &clock).await;
        Self { directory, clock, server, environment }
    }

    /// Stops the server and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { directory, clock, server, environment } = self;
        server.stop().await.unwrap();
        let server = serve(&environment, directory.path(), &clock).await;
        Self { directory, clock, server, environment }
    }

    /// Another server on the same database and storage.
    pub(crate) async fn second_instance(&self) -> Server {
        serve(&self.environment, self.directory.path(), &self.clock).await
    }

    /// Asks the database itself, for what no door tells: the first column of each row, a text.
    pub(crate) async fn query(&self, statement: &str) -> Vec<String> {
        database::texts(&self.environment["LIGHTRAG_RECOVERY_DB_URL"], statement).await
    }

    /// A path that sources and targets may have.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join("data").join(name)
    }

    /// Where the repositories are.
    pub(crate) fn storage(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join("backups")
    }

    /// A copy of the real sample workspace.
    pub(crate) fn sample(&self, name: &str) -> PathBuf {
        let path = self.data(name);
        files::copy_tree(&files::sample(), &path);
        path
    }

    /// The address of a path of the REST shim.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.http_addr())
    }

    pub(crate) async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.server.grpc_addr());
        tonic::transport::Endpoint::new(address).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn backup(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.channel().await)
    }

    pub(crate) async fn operations(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel().await)
    }

    /// Takes a snapshot of a directory and waits for it.
    pub(crate) async fn snapshot(&self, graph_id: &str, source: &Path) -> v1::Snapshot {
        self.try_snapshot(graph_id, source).await.unwrap()
    }

    pub(crate) async fn try_snapshot(&self, graph_id: &str, source: &Path) -> Result<v1::Snapshot, tonic::Status> {
        let source_dir = source.to_str().unwrap().to_owned();
        let request = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), source_dir, ..Default::default() };
        Ok(self.backup().await.create_snapshot(request).await?.into_inner())
    }

    /// Restores a snapshot and waits for it.
    pub(crate) async fn restore(&self, snapshot: &v1::Snapshot, target: &Path) -> Result<v1::RestoreSnapshotResponse, tonic::Status> {
        let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
        let target_dir = target.to_str().unwrap().to_owned();
        let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
        Ok(self.backup().await.restore_snapshot(request).await?.into_inner())
    }

    pub(crate) async fn delete(&self, snapshot: &v1::Snapshot) -> Result<v1::DeleteSnapshotResponse, tonic::Status> {
        let (graph_id, snapshot_id) = (snapshot.graph_id.clone(), snapshot.backup_id.clone());
        let request = v1::DeleteSnapshotRequest { graph_id, snapshot_id, request_id: String::new() };
        Ok(self.backup().await.delete_snapshot(request).await?.into_inner())
    }

    pub(crate) async fn list(&self, graph_id: &str) -> Vec<v1::Snapshot> {
        let request = v1::ListSnapshotsRequest { graph_id: graph_id.to_owned(), ..Default::default() };
        self.backup().await.list_snapshots(request).await.unwrap().into_inner().snapshots
    }
}

/// Ends a test: no operation is left undone, nothing is left staged, and the server stops in order.
pub(crate) async fn finish(app: TestApp) {
    let request = v1::ListOperationsRequest { page_size: 1000, ..Default::default() };
    // Where a key is needed, nobody looks.
    if app.operations().await.list_operations(request.clone()).await.is_ok() {
        // What retention no longer keeps is deleted, and pruned, behind a snapshot's back; and what comes from elsewhere is listed.
        let behind = [v1::OperationKind::Cleanup, v1::OperationKind::Prune, v1::OperationKind::Reconcile];
        until_none(&app, |operation| behind.contains(&operation.kind())).await;
        let operations = app.operations().await.list_operations(request).await.unwrap().into_inner().operations;
        let undone: Vec<v1::Operation> = operations.into_iter().filter(|operation| operation.ended_at.is_none()).collect();
        assert_eq!(undone, vec![], "operations that have not ended");
    }
    assert_eq!(files::staged(&app.data("")), Vec::<PathBuf>::new(), "staging directories that are left");
    app.server.stop().await.unwrap();
}

/// Looks again and again until none of these operations waits or works.
async fn until_none(app: &TestApp, test: impl Fn(&v1::Operation) -> bool) {
    let mut client = app.operations().await;
    loop {
        // Listed at once: one that begins between two questions would be in neither answer.
        let request = v1::ListOperationsRequest { page_size: 1000, ..Default::default() };
        let operations = client.list_operations(request).await.unwrap().into_inner().operations;
        if !operations.iter().any(|operation| operation.ended_at.is_none() && test(operation)) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Looks again and again until no operation waits or works.
pub(crate) async fn settled(app: &TestApp) {
    until_none(app, |_| true).await;
}

async fn serve(environment: &HashMap<String, String>, directory: &Path, clock: &ManualClock) -> Server {
    // A test may have put a file of settings there.
    let file = directory.join("lightkeep.toml").exists().then_some(["--config", "lightkeep.toml"]);
    let arguments = ["lightkeep"].into_iter().chain(file.into_iter().flatten()).chain(["serve"]);
    let config = Config::load(&Args::parse_from(arguments), environment, directory).unwrap();
    let listeners = Listeners::bind(&config).await.unwrap();
    // Each server counts from elsewhere: two of them may share a database.
    static SERVERS: AtomicU64 = AtomicU64::new(1);
    let first_id = SERVERS.fetch_add(1, Ordering::SeqCst) << 32;
    Server::start(config, listeners, Arc::new(clock.clone()), IdSource::counted(first_id)).await.unwrap()
}
