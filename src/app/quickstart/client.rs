//! A client of the server, as any other program would be.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use lightkeep_client::{Options, v1};
use tonic::Code;

use crate::base::secret::Secret;

pub(super) struct Client(lightkeep_client::Client);

impl Client {
    /// A client of a server on this machine.
    pub(super) async fn new(address: SocketAddr, api_key: Option<Secret>) -> anyhow::Result<Self> {
        let token = api_key.map(|key| key.expose().to_owned());
        let client = lightkeep_client::Client::new(Options { token, ..Options::new(address.to_string()) }).await;
        Ok(Self(client.context("cannot speak to the server")?))
    }

    /// Registers a graph, unless it is already.
    pub(super) async fn register(&self, graph_id: &str, source_dir: &Path) -> anyhow::Result<()> {
        let source_dir = source_dir.display().to_string();
        let request = v1::RegisterGraphRequest { graph_id: graph_id.to_owned(), source_dir, ..Default::default() };
        match self.0.call(request).await {
            Err(error) if error.code() == Code::AlreadyExists => Ok(()),
            result => result.map(drop).context("cannot register the graph"),
        }
    }

    /// Takes a snapshot and waits for it.
    pub(super) async fn snapshot(&self, graph_id: &str) -> anyhow::Result<v1::Snapshot> {
        let request = v1::CreateSnapshotRequest { graph_id: graph_id.to_owned(), ..Default::default() };
        self.0.call(request).await.context("cannot take a snapshot")
    }

    /// Restores a snapshot and waits for it; gives the server's message.
    pub(super) async fn restore(&self, graph_id: &str, snapshot_id: &str, target_dir: &Path) -> anyhow::Result<String> {
        let (graph_id, snapshot_id) = (graph_id.to_owned(), snapshot_id.to_owned());
        let target_dir = target_dir.display().to_string();
        let request = v1::RestoreSnapshotRequest { graph_id, snapshot_id, target_dir, ..Default::default() };
        Ok(self.0.call(request).await.context("cannot restore the snapshot")?.message)
    }
}
