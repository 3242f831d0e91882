//! Changing what is known of a graph, and ending its care.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::{Error, ErrorKind};
use super::graphs::check_own;
use super::graphs::{DEFAULT_QUIET_WAIT_SECONDS, Graph, Server};
use super::idempotency::Request;
use super::inputs::check_inputs_apart;
use super::operations::{Work, payload, to_json};
use super::protection::check_none_protected;
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::objective::Objectives;
use crate::domain::operation::OperationKind;
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::lightrag::server::Server as LightragServer;
use crate::repository::{self, LockKind};
use crate::store::entity::graph::Model;
use crate::store::entity::operation;
use crate::store::operations::Ending;
use crate::store::{self, graphs, health_checks, operations, pins, snapshots};

/// What is to change of a graph; what is not set stays.
#[derive(Debug, Clone)]
pub struct GraphUpdate {
    /// Of this graph.
    pub graph_id: GraphId,
    /// Where its stores live, as the caller wrote it.
    pub source_dir: Option<String>,
    /// The inputs directory that its snapshots hold too, as the caller wrote it; the inner `None` takes it away.
    pub inputs_dir: Option<Option<String>>,
    /// The LightRAG server that works on it; the inner `None` takes it away.
    pub server: Option<Option<Server>>,
    /// What to do with stores that contradict each other.
    pub inconsistent_policy: Option<InconsistentPolicy>,
    /// Words by which schedules can select it.
    pub labels: Option<Labels>,
    /// What its recovery must keep to.
    pub objectives: Option<Objectives>,
    /// The etag of the graph as the caller knows it.
    pub etag: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// What an update needs, made before its transaction.
struct Ready {
    /// The directory, resolved.
    source_dir: Option<String>,
    /// The inputs directory, resolved; the inner `None` takes it away.
    inputs_dir: Option<Option<String>>,
    /// The server's key, sealed.
    server_api_key: Option<String>,
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
        let inputs = update.inputs_dir.as_ref().map_or_else(|| "keep".to_owned(), |inputs| format!("{inputs:?}"));
        let labels = update.labels.as_ref().map_or_else(|| "keep".to_owned(), |labels| labels.to_json().unwrap_or_default());
        let (objectives, etag) = (format!("{:?}", update.objectives), update.etag.as_deref().unwrap_or_default());
        let body = [update.graph_id.as_str(), &source, &server, policy, etag, &inputs, &labels, &objectives];
        let request = Request { request_id: update.request_id.as_deref(), action: "UpdateGraph", body: &body };
        match self.update_graph_once(caller, &update, &request).await {
            Err(error) if error.is_race() => self.update_graph_once(caller, &update, &request).await,
            result => result,
        }
    }

    async fn update_graph_once(&self, caller: &Caller, update: &GraphUpdate, request: &Request<'_>) -> Result<Graph, Error> {
        self.find_graph(self.store().read(), &update.graph_id).await?;
        // Asked again, the directory may have gone: the first answer holds all the same.
        if request.find_subject(self.store().read()).await?.is_some() {
            return self.get_graph(&update.graph_id).await;
        }
        if update.source_dir.is_some() || update.inputs_dir.is_some() || update.server.is_some() {
            check_own(&update.graph_id)?;
        }
        let ready = self.make_ready(update).await?;
        let transaction = self.store().begin().await?;
        let old = self.find_graph_to_update(&transaction, &update.graph_id).await?;
        // Looked for when nobody else changes the graph: of two that come at once, the second finds what the first has done.
        if request.find_subject(&*transaction).await?.is_some() {
            drop(transaction);
            return self.get_graph(&update.graph_id).await;
        }
        if update.etag.as_ref().is_some_and(|wanted| *wanted != etag(&old)) {
            return Err(changed_meanwhile(&old));
        }
        if ready.source_dir.is_some() || ready.inputs_dir.is_some() {
            self.check_not_held(&*transaction, std::slice::from_ref(&update.graph_id)).await?;
        }
        let row = updated_row(old, update, ready);
        row.inputs_dir.iter().try_for_each(|inputs| check_inputs_apart(&row.source_dir, inputs))?;
        graphs::update(&*transaction, row).await?;
        request.remember(self, &*transaction, update.graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "UpdateGraph", &update.graph_id, None).await?;
        store::commit(transaction).await?;
        self.get_graph(&update.graph_id).await
    }

    async fn make_ready(&self, update: &GraphUpdate) -> Result<Ready, Error> {
        let source_dir = match &update.source_dir {
            Some(source_dir) => Some(self.resolve_source(source_dir.clone()).await?),
            None => None,
        };
        let inputs_dir = match &update.inputs_dir {
            Some(Some(inputs)) => Some(Some(self.resolve_inputs_place(inputs.clone()).await?)),
            Some(None) => Some(None),
            None => None,
        };
        let server = update.server.as_ref().and_then(Option::as_ref);
        if let Some(server) = server {
            LightragServer::new(&server.url, None)?;
        }
        Ok(Ready { source_dir, inputs_dir, server_api_key: self.seal_key(server)? })
    }

    /// Queues the end of a graph's care. With `purge` its repository is deleted too.
    ///
    /// # Errors
    /// There is no such graph; a pinned or held snapshot forbids it: a purge would delete it, and a kept repository does not know of
    /// pins and holds.
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
        self.check_not_held(self.store().read(), std::slice::from_ref(graph_id)).await?;
        check_none_protected(self.store().read(), graph_id, self.now()).await?;
        let work = Work { kind: OperationKind::Unregister, graph_id, snapshot_id: None, payload: payload.clone() };
        self.queue(caller, &work, &request).await
    }

    /// Ends the care of an operation's graph.
    ///
    /// # Errors
    /// A snapshot was pinned or held meanwhile; the repository cannot be deleted. Then the graph is still there.
    pub async fn run_unregister(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let UnregisterPayload { purge } = payload(operation)?;
        if purge {
            self.purge_repository(operation, control).await?;
        } else {
            self.mark_all_deleting(operation).await?;
        }
        failpoint::reach("unregister.purged");
        let transaction = self.store().begin().await?;
        self.find_graph_to_update(&transaction, &operation.graph_id).await?;
        operations::finish(&*transaction, operation, Ending::succeeded(), control.progress(), self.now()).await?;
        snapshots::delete_all(&*transaction, &operation.graph_id).await?;
        health_checks::delete_of(&*transaction, operation.graph_id.as_str()).await?;
        graphs::delete(&*transaction, &operation.graph_id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Marks all snapshots of an operation's graph as being deleted: from then on none can be pinned or held.
    async fn mark_all_deleting(&self, operation: &operation::Model) -> Result<(), Error> {
        let (transaction, now) = (self.store().begin().await?, self.now());
        operations::confirm(&*transaction, operation).await?;
        pins::mark_all_deleting(&*transaction, &operation.graph_id, operation.operation_id, now).await?;
        // Looked for when the others are marked: none slips through between.
        check_none_protected(&*transaction, &operation.graph_id, now).await?;
        store::commit(transaction).await?;
        failpoint::reach("unregister.marked");
        Ok(())
    }

    /// Takes the repository out of the way in one step, under its exclusive lock, and then deletes it.
    async fn purge_repository(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let root = self.repository_root(&operation.graph_id);
        // On the same file system, wherever a copy lies.
        let doomed = root.with_file_name(format!(".lightkeep-purge-{}", operation.operation_id));
        let (services, path) = (self.clone(), root.clone());
        let opened = self.blocking(move || Ok::<_, Error>(services.repositories().get_or_open(&path))).await?;
        match opened {
            Ok(repository) => {
                let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
                self.mark_all_deleting(operation).await?;
                let (from, to) = (root.clone(), doomed.clone());
                self.blocking(move || std::fs::rename(&from, &to).map_err(|error| cannot_purge(&from, &error))).await?;
                self.repositories().forget(&root);
                failpoint::reach("unregister.renamed");
                lock.release(self).await;
            }
            // A copy with another password: nobody here works on it.
            Err(repository::Error::WrongPassword { .. }) if operation.graph_id.is_copy() => {
                self.mark_all_deleting(operation).await?;
                let (from, to) = (root.clone(), doomed.clone());
                self.blocking(move || std::fs::rename(&from, &to).map_err(|error| cannot_purge(&from, &error))).await?;
            }
            // Never made, or taken away by the last attempt.
            Err(repository::Error::NotFound { .. }) => self.mark_all_deleting(operation).await?,
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

fn updated_row(old: Model, update: &GraphUpdate, ready: Ready) -> Model {
    let mut row = Model { revision: old.revision + 1, ..old };
    if let Some(source_dir) = ready.source_dir {
        row.source_dir = source_dir;
    }
    if let Some(inputs_dir) = ready.inputs_dir {
        row.inputs_dir = inputs_dir;
    }
    if let Some(policy) = update.inconsistent_policy {
        row.inconsistent_policy = policy;
    }
    if let Some(labels) = &update.labels {
        row.labels = labels.to_json();
    }
    if let Some(Objectives { rpo_seconds, rto_seconds }) = update.objectives {
        (row.rpo_objective_seconds, row.rto_objective_seconds) = (rpo_seconds, rto_seconds);
    }
    let Some(server) = &update.server else { return row };
    let server = server.as_ref();
    let same_server = server.is_some_and(|server| Some(&server.url) == row.server_url.as_ref());
    // Nobody gets the key back, so whoever sends the rest again must not lose it.
    row.server_api_key = ready.server_api_key.or_else(|| row.server_api_key.filter(|_| same_server));
    row.server_url = server.map(|server| server.url.clone());
    row.quiet_wait_seconds = server.map_or(DEFAULT_QUIET_WAIT_SECONDS, |server| server.quiet_wait_seconds);
    row.busy_policy = server.map_or(BusyPolicy::Proceed, |server| server.busy_policy);
    row
}

fn changed_meanwhile(graph: &Model) -> Error {
    let message = format!("graph `{}` has changed meanwhile, read it again: its etag is `{}`", graph.graph_id, etag(graph));
    Error::refused(ErrorKind::Aborted, "ETAG_MISMATCH", message)
}
