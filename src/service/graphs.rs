//! Graphs under our care.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use crate::base::secret::Secret;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::objective::Objectives;
use crate::domain::page::{Page, PageRequest};
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::lightrag::server::Server as LightragServer;
use crate::store::entity::graph::Model;
use crate::store::graphs::{GraphFilter, GraphStats};
use crate::store::{self, Transaction, graphs};

/// How long a snapshot waits for a LightRAG server to come to rest when nobody says, seconds.
pub const DEFAULT_QUIET_WAIT_SECONDS: i32 = 30;

/// A LightRAG server that works on a graph's source.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub url: String,
    /// Its key.
    pub api_key: Option<Secret>,
    /// How long a snapshot waits for it to come to rest, seconds.
    pub quiet_wait_seconds: i32,
    /// What to do when it does not.
    pub busy_policy: BusyPolicy,
}

/// A graph that is to be registered.
#[derive(Debug, Clone)]
pub struct NewGraph {
    /// Its name.
    pub graph_id: GraphId,
    /// Where its stores live, as the caller wrote it.
    pub source_dir: String,
    /// The inputs directory that its snapshots hold too, as the caller wrote it.
    pub inputs_dir: Option<String>,
    /// The LightRAG server that works on it.
    pub server: Option<Server>,
    /// What to do with stores that contradict each other.
    pub inconsistent_policy: InconsistentPolicy,
    /// Words by which schedules can select it.
    pub labels: Labels,
    /// What its recovery must keep to.
    pub objectives: Objectives,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// A graph with counts of its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The row.
    pub row: Model,
    /// Counts over its restorable snapshots.
    pub stats: GraphStats,
}

impl Services {
    /// Registers a graph.
    ///
    /// # Errors
    /// The id is taken; the source is not fit.
    pub async fn register_graph(&self, caller: &Caller, new: NewGraph) -> Result<Graph, Error> {
        match self.register_graph_once(caller, &new).await {
            Err(error) if error.is_race() => self.register_graph_once(caller, &new).await,
            result => result,
        }
    }

    async fn register_graph_once(&self, caller: &Caller, new: &NewGraph) -> Result<Graph, Error> {
        // Not the server's key: a hash of it has no place in the database.
        let server = new.server.as_ref();
        let server_url = server.map(|server| server.url.as_str()).unwrap_or_default();
        let quiet_wait = server.map(|server| server.quiet_wait_seconds.to_string()).unwrap_or_default();
        let busy_policy = server.map(|server| server.busy_policy.as_str()).unwrap_or_default();
        let inputs = new.inputs_dir.as_deref().unwrap_or_default();
        let (policy, labels) = (new.inconsistent_policy.as_str(), new.labels.to_json().unwrap_or_default());
        let objectives = format!("{:?}", new.objectives);
        let body = [new.graph_id.as_str(), &new.source_dir, server_url, &quiet_wait, busy_policy, policy, inputs, &labels, &objectives];
        let request = Request { request_id: new.request_id.as_deref(), action: "RegisterGraph", body: &body };
        // Asked again, the directory may have gone: the first answer holds all the same.
        if request.find_subject(self.store().read()).await?.is_some() {
            return self.get_graph(&new.graph_id).await;
        }
        check_own(&new.graph_id)?;
        if let Some(server) = &new.server {
            LightragServer::new(&server.url, None)?;
        }
        let source = self.resolve_source(new.source_dir.clone()).await?;
        let inputs = match new.inputs_dir.clone() {
            Some(inputs) => Some(self.resolve_inputs(inputs, &source).await?),
            None => None,
        };
        let row = self.graph_row(new, source, inputs)?;
        let is_found_again = self.has_repository(&new.graph_id).await?;
        let transaction = self.store().begin().await?;
        if request.find_subject(&*transaction).await?.is_some() {
            drop(transaction);
            return self.get_graph(&row.graph_id).await;
        }
        if graphs::find(&*transaction, &row.graph_id).await?.is_some() {
            let message = format!("graph `{}` is registered already", row.graph_id);
            return Err(Error::refused(ErrorKind::AlreadyExists, "GRAPH_EXISTS", message));
        }
        self.insert_graph(&*transaction, row.clone()).await?;
        request.remember(self, &*transaction, row.graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "RegisterGraph", &row.graph_id, None).await?;
        if is_found_again {
            self.enqueue_reconcile(&transaction, caller, &row.graph_id).await?;
        }
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        self.get_graph(&row.graph_id).await
    }

    fn graph_row(&self, new: &NewGraph, source_dir: String, inputs_dir: Option<String>) -> Result<Model, Error> {
        let sealed_key = self.seal_key(new.server.as_ref())?;
        let server = new.server.as_ref();
        Ok(Model {
            server_url: server.map(|server| server.url.clone()),
            server_api_key: sealed_key,
            quiet_wait_seconds: server.map_or(DEFAULT_QUIET_WAIT_SECONDS, |server| server.quiet_wait_seconds),
            busy_policy: server.map_or(BusyPolicy::Proceed, |server| server.busy_policy),
            inconsistent_policy: new.inconsistent_policy,
            labels: new.labels.to_json(),
            rpo_objective_seconds: new.objectives.rpo_seconds,
            rto_objective_seconds: new.objectives.rto_seconds,
            inputs_dir,
            ..self.plain_graph_row(&new.graph_id, source_dir)
        })
    }

    pub(super) fn seal_key(&self, server: Option<&Server>) -> Result<Option<String>, Error> {
        let Some(key) = server.and_then(|server| server.api_key.clone()) else { return Ok(None) };
        self.seal(&key).map(Some)
    }

    /// The row of a graph that a first snapshot registers by itself.
    pub(super) fn plain_graph_row(&self, graph_id: &GraphId, source_dir: String) -> Model {
        Model {
            graph_id: graph_id.clone(),
            source_dir,
            server_url: None,
            server_api_key: None,
            quiet_wait_seconds: DEFAULT_QUIET_WAIT_SECONDS,
            busy_policy: BusyPolicy::Proceed,
            inconsistent_policy: InconsistentPolicy::Keep,
            created_at: self.now(),
            labels: None,
            revision: 1,
            inputs_dir: None,
            retention_policy: None,
            unpruned_since_at: None,
            rpo_objective_seconds: None,
            rto_objective_seconds: None,
            fence_epoch: 0,
            copies: 0,
            off_site_copies: 0,
        }
    }

    /// The key of a graph's LightRAG server, in clear.
    ///
    /// # Errors
    /// It was sealed with another key.
    pub async fn server_api_key(&self, graph: &Model) -> Result<Option<Secret>, Error> {
        let Some(sealed_key) = graph.server_api_key.clone() else { return Ok(None) };
        self.open_sealed(sealed_key).await.map(Some)
    }

    /// The row of a graph.
    ///
    /// # Errors
    /// There is none with this id.
    pub(super) async fn find_graph(&self, connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Model, Error> {
        let row = graphs::find(connection, graph_id).await?;
        row.ok_or_else(|| Error::NotFound { kind: "Graph", id: graph_id.to_string() })
    }

    /// The row of a graph, which nobody else changes before the transaction ends. Taken before any other row, so that no two
    /// transactions wait for each other.
    ///
    /// # Errors
    /// There is none with this id.
    pub(super) async fn find_graph_to_update(&self, transaction: &Transaction, graph_id: &GraphId) -> Result<Model, Error> {
        let row = graphs::find_to_update(&**transaction, graph_id).await?;
        row.ok_or_else(|| Error::NotFound { kind: "Graph", id: graph_id.to_string() })
    }

    /// One graph.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_graph(&self, graph_id: &GraphId) -> Result<Graph, Error> {
        let row = self.find_graph(self.store().read(), graph_id).await?;
        let found = self.with_stats(vec![row]).await?.into_iter().next();
        found.ok_or_else(|| Error::NotFound { kind: "Graph", id: graph_id.to_string() })
    }

    /// Counted by one query for all of them; those that have gone meanwhile are left out.
    async fn with_stats(&self, rows: Vec<Model>) -> Result<Vec<Graph>, Error> {
        let ids = rows.iter().map(|row| row.graph_id.clone()).collect();
        let stats = graphs::aggregate(self.store().read(), Some(ids)).await?;
        let mut stats: HashMap<GraphId, GraphStats> = stats.into_iter().map(|stats| (stats.graph_id.clone(), stats)).collect();
        Ok(rows.into_iter().filter_map(|row| Some(Graph { stats: stats.remove(&row.graph_id)?, row })).collect())
    }

    /// Graphs in the order of their ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_graphs(&self, wanted: &GraphFilter, page: &PageRequest<String>) -> Result<Page<Graph>, Error> {
        let Page { items, next_page_token } = graphs::list(self.store().read(), wanted, page).await?;
        Ok(Page { items: self.with_stats(items).await?, next_page_token })
    }
}

/// Refuses what a copy cannot do.
///
/// # Errors
/// The graph is one.
pub(super) fn check_own(graph_id: &GraphId) -> Result<(), Error> {
    if !graph_id.is_copy() {
        return Ok(());
    }
    let message = format!("graph `{graph_id}` is a copy of one that is elsewhere, and has no source: restore a snapshot of it");
    Err(Error::refused(ErrorKind::FailedPrecondition, "GRAPH_IS_COPY", message))
}
