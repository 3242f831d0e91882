//! Changing what is known of a graph, and ending its care.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::{Error, ErrorKind};
use super::graphs::{DEFAULT_QUIET_WAIT_SECONDS, Graph, Server};
use super::idempotency::Request;
use super::operations::{Work, payload, to_json};
use super::pins::is_pinned;
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::operation::OperationKind;
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::lightrag::server::Server as LightragServer;
use crate::repository::{self, LockKind};
use crate::store::entity::graph::Model;
use crate::store::entity::operation;
use crate::store::operations::Ending;
use crate::store::{self, graphs, operations, snapshots};

/// What is to change of a graph; what is not set stays.
#[derive(Debug, Clone)]
pub struct GraphUpdate {
    /// Of this graph.
    pub graph_id: GraphId,
    /// Where its stores live, as the caller wrote it.
    pub source_dir: Option<String>,
    /// The LightRAG server that works on it; the inner `None` takes it away.
    pub server: Option<Option<Server>>,
    /// What to do with stores that contradict each other.
    pub inconsistent_policy: Option<InconsistentPolicy>,
    /// Words by which schedules can select it.
    pub labels: Option<Labels>,
    /// The etag of the graph as the caller knows it.
    pub etag: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// How the care of a graph is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct UnregisterPayload {
    purge: bool,
}

/// The etag of a graph.
pub fn etag(graph: &Model) -> String {
    graph.revision.to_string()
}

impl Services {
    /// Changes a graph; gives it as it is then.
    ///
    /// # Errors
    /// There is no such graph; the etag is another; the source is not fit.
    pub async fn update_graph(&self, caller: &Caller, update: GraphUpdate) -> Result<Graph, Error> {
        // Not the server's key: a hash of it has no place in the database.
        let server = match &update.server {
            None => "keep".to_owned(),
            Some(None) => "none".to_owned(),
            Some(Some(server)) => format!("{} {} {}", server.url, server.quiet_wait_seconds, server.busy_policy),
        };
        let source = update.source_dir.clone().unwrap_or_default();
        let policy = update.inconsistent_policy.map(InconsistentPolicy::as_str).unwrap_or_default();
        let labels = update.labels.as_ref().map(|labels| labels.to_json().unwrap_or_default()).unwrap_or_default();
        let body = [update.graph_id.as_str(), &source, &server, policy, &labels, update.etag.as_deref().unwrap_or_default()];
        let request = Request { request_id: update.request_id.as_deref(), action: "UpdateGraph", body: &body };
        let old = self.find_graph(self.store().read(), &update.graph_id).await?;
        if request.find_subject(self.store().read()).await?.is_some() {
            return self.get_graph(&update.graph_id).await;
        }
        if update.etag.as_ref().is_some_and(|wanted| *wanted != etag(&old)) {
            return Err(changed_meanwhile(&old));
        }
        let new = self.updated_row(&old, &update).await?;
        let transaction = self.store().begin().await?;
        if !graphs::update(&*transaction, &new, old.revision).await? {
            return Err(changed_meanwhile(&old));
        }
        request.remember(self, &*transaction, old.graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "UpdateGraph", &old.graph_id, None).await?;
        store::commit(transaction).await?;
        self.get_graph(&update.graph_id).await
    }

    async fn updated_row(&self, old: &Model, update: &GraphUpdate) -> Result<Model, Error> {
        let mut row = Model { revision: old.revision + 1, ..old.clone() };
        if let Some(source_dir) = &update.source_dir {
            row.source_dir = self.resolve_source(source_dir.clone()).await?;
        }
        if let Some(policy) = update.inconsistent_policy {
            row.inconsistent_policy = policy;
        }
        if let Some(labels) = &update.labels {
            row.labels = labels.to_json();
        }
        let Some(server) = &update.server else { return Ok(row) };
        let server = server.as_ref();
        if let Some(server) = server {
            LightragServer::new(&server.url, None)?;
        }
        let key = self.seal_key(server).await?;
        let same_server = server.is_some_and(|server| Some(&server.url) == old.server_url.as_ref());
        row.server_url = server.map(|server| server.url.clone());
        // Nobody gets the key back, so whoever sends the rest again must not lose it.
        row.server_api_key = if same_server { key.or_else(|| old.server_api_key.clone()) } else { key };
        row.quiet_wait_seconds = server.map_or(DEFAULT_QUIET_WAIT_SECONDS, |server| server.quiet_wait_seconds);
        row.busy_policy = server.map_or(BusyPolicy::Proceed, |server| server.busy_policy);
        Ok(row)
    }

    /// Queues the end of a graph's care. With `purge` its repository is deleted too.
    ///
    /// # Errors
    /// There is no such graph; a pinned snapshot forbids the purge.
    pub async fn unregister_graph(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        purge: bool,
        request_id: Option<&str>,
    ) -> Result<operation::Model, Error> {
        let payload = to_json(&UnregisterPayload { purge })?;
        let body = [graph_id.as_str(), &payload];
        let request = Request { request_id, action: "UnregisterGraph", body: &body };
        // Asked again, the graph is gone already.
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operation_of(self.store().read(), &first).await;
        }
        self.find_graph(self.store().read(), graph_id).await?;
        if purge {
            self.check_nothing_pinned(graph_id).await?;
        }
        let work = Work { kind: OperationKind::Unregister, graph_id, snapshot_id: None, payload: payload.clone() };
        self.queue(caller, &work, &request).await
    }

    async fn check_nothing_pinned(&self, graph_id: &GraphId) -> Result<(), Error> {
        let now = self.now();
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let pinned: Vec<String> = rows.iter().filter(|row| is_pinned(row, now)).map(|row| format!("`{}`", row.snapshot_id)).collect();
        if pinned.is_empty() {
            return Ok(());
        }
        let message = format!("graph `{graph_id}` has pinned snapshots, unpin them first: {}", pinned.join(", "));
        Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_PINNED", message))
    }

    /// Ends the care of an operation's graph.
    ///
    /// # Errors
    /// A snapshot was pinned meanwhile; the repository cannot be deleted. Then the graph is still there.
    pub async fn run_unregister(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let UnregisterPayload { purge } = payload(operation)?;
        if purge {
            self.check_nothing_pinned(&operation.graph_id).await?;
            self.purge_repository(operation, control).await?;
        }
        failpoint::reach("unregister.purged");
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, Ending::succeeded(), control.progress(), self.now()).await?;
        snapshots::delete_all(&*transaction, &operation.graph_id).await?;
        graphs::delete(&*transaction, &operation.graph_id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Takes the repository out of the way in one step, under its exclusive lock, and then deletes it.
    async fn purge_repository(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let root = self.repository_root(&operation.graph_id);
        let doomed = self.settings().places.storage.join(format!(".lightkeep-purge-{}", operation.operation_id));
        let (services, path) = (self.clone(), root.clone());
        let opened = self.blocking(move || Ok::<_, Error>(services.repositories().get_or_open(&path))).await?;
        match opened {
            Ok(repository) => {
                let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
                operations::confirm(self.store().read(), operation).await?;
                self.repositories().forget(&root);
                let (from, to) = (root, doomed.clone());
                self.blocking(move || std::fs::rename(&from, &to).map_err(|error| cannot_purge(&from, &error))).await?;
                failpoint::reach("unregister.renamed");
                lock.release(self).await;
            }
            // Never made, or taken away by the last attempt.
            Err(repository::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let cache = self.settings().places.storage.join(".audit").join(operation.graph_id.as_str());
        self.blocking(move || {
            for path in [doomed, cache] {
                match std::fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot_purge(&path, &error)),
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }
}

fn cannot_purge(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("the repository cannot be deleted, delete the rest by hand: `{}`: {error}", path.display());
    Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
}

fn changed_meanwhile(graph: &Model) -> Error {
    let message = format!("graph `{}` has changed meanwhile, read it again: its etag is `{}`", graph.graph_id, etag(graph));
    Error::refused(ErrorKind::Aborted, "ETAG_MISMATCH", message)
}
