//! A client of the server, as any other program would be.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::base::secret::Secret;
use crate::proto::v1;
use crate::proto::v1::backup_service_client::BackupServiceClient;

pub(super) struct Client {
    backup: BackupServiceClient<Channel>,
    api_key: Option<Secret>,
}

impl Client {
    /// Connects to a server on this machine.
    pub(super) async fn connect(address: SocketAddr, api_key: Option<Secret>) -> anyhow::Result<Self> {
        let backup = BackupServiceClient::connect(format!("http://{address}")).await.context("cannot connect to the server")?;
        Ok(Self { backup, api_key })
    }

    fn request<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        if let Some(key) = &self.api_key {
            let value = AsciiMetadataValue::try_from(key.expose()).context("the API key has characters that a header cannot carry")?;
            request.metadata_mut().insert("x-api-key", value);
        }
        Ok(request)
    }

    /// Registers a graph, unless it is already.
    pub(super) async fn register(&self, graph_id: &str, source_dir: &Path) -> anyhow::Result<()> {
        let source_dir = source_dir.display().to_string();
        let message = v1::RegisterGraphRequest { graph_id: graph_id.to_owned(), source_dir, ..Default::default() };
        match self.backup.clone().register_graph(self.request(message)?).await {
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            result => result.map(drop).context("cannot register the graph"),
        }
    }

    /// Takes a snapshot and waits for it.
    pub(super) async fn snapshot(&self, graph_id: &str) -> anyhow::Result<v1::Snapshot> {
        let message = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), ..Default::default() };
        let answer = self.backup.clone().create_snapshot(self.request(message)?).await.context("cannot take a snapshot")?;
        Ok(answer.into_inner())
    }

    /// Restores a snapshot and waits for it; gives the server's message.
    pub(super) async fn restore(&self, graph_id: &str, snapshot_id: &str, target_dir: &Path) -> anyhow::Result<String> {
        let (graph_id, snapshot_id) = (graph_id.to_owned(), snapshot_id.to_owned());
        let target_dir = target_dir.display().to_string();
        let message = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
        let answer = self.backup.clone().restore_snapshot(self.request(message)?).await.context("cannot restore the snapshot")?;
        Ok(answer.into_inner().message)
    }
}
