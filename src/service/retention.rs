//! Retention policies of graphs: set, told, and followed after each snapshot and every hour.

use std::time::Duration;

use super::Services;
use super::cleanup::{CleanupPayload, Judged};
use super::error::Error;
use super::idempotency::Request;
use super::operations::to_json;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::retention::{PolicyFields, RetentionPolicy};
use crate::store::entity::graph;
use crate::store::{self, Transaction, graphs, operations, retention};

/// How long no cleanup is queued by itself after one that has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(3600);

/// How the snapshots of a graph are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphRetention {
    /// The graph.
    pub graph_id: GraphId,
    /// None where they are kept by age.
    pub policy: Option<PolicyFields>,
}

/// The policy of a graph's row; none where its snapshots are kept by age.
///
/// # Errors
/// The row holds something else, which is a bug: then nothing is deleted.
pub(super) fn policy_of(graph: &graph::Model) -> Result<Option<RetentionPolicy>, Error> {
    let parsed = graph.retention_policy.as_deref().map(serde_json::from_str).transpose();
    parsed.map_err(|error| Error::internal("read a graph's retention policy", error))
}

fn told(graph: graph::Model) -> Result<GraphRetention, Error> {
    Ok(GraphRetention { policy: policy_of(&graph)?.map(PolicyFields::from), graph_id: graph.graph_id })
}

impl Services {
    /// How the snapshots of a graph are kept.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn get_retention_policy(&self, graph_id: &GraphId) -> Result<GraphRetention, Error> {
        told(self.find_graph(self.store().read(), graph_id).await?)
    }

    /// Sets the policy of a graph, or takes it away: then its snapshots are kept by age again.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn set_retention_policy(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        policy: Option<&RetentionPolicy>,
        request_id: Option<&str>,
    ) -> Result<GraphRetention, Error> {
        let json = policy.map(to_json).transpose()?;
        let body = [graph_id.as_str(), json.as_deref().unwrap_or_default()];
        let action = if policy.is_some() { "SetRetentionPolicy" } else { "ClearRetentionPolicy" };
        let request = Request { request_id, action, body: &body };
        match self.set_retention_policy_once(caller, graph_id, json.as_deref(), &request).await {
            Err(error) if error.is_race() => self.set_retention_policy_once(caller, graph_id, json.as_deref(), &request).await,
            result => result,
        }
    }

    async fn set_retention_policy_once(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        json: Option<&str>,
        request: &Request<'_>,
    ) -> Result<GraphRetention, Error> {
        let transaction = self.store().begin().await?;
        let mut row = self.find_graph_to_update(&transaction, graph_id).await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return told(row);
        }
        row.retention_policy = json.map(str::to_owned);
        graphs::update(&*transaction, row.clone()).await?;
        retention::set_kept_by_policy(&*transaction, graph_id, json.is_some()).await?;
        request.remember(self, &*transaction, graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, graph_id, json.map(str::to_owned)).await?;
        store::commit(transaction).await?;
        told(row)
    }

    /// Queues the deletion of what retention no longer keeps, in all graphs. One that cannot be judged keeps no other from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_all(&self) -> Result<(), Error> {
        for graph_id in graphs::list_ids(self.store().read()).await? {
            if let Err(error) = self.expire(&graph_id).await {
                not_followed(&graph_id, &error);
            }
        }
        self.wakeup().announce_work();
        Ok(())
    }

    async fn expire(&self, graph_id: &GraphId) -> Result<(), Error> {
        // Mostly there is nothing to do, which needs no writer's turn.
        if !self.judge_graph(self.store().read(), graph_id, None).await?.iter().any(Judged::is_expired) {
            return Ok(());
        }
        let transaction = self.store().begin().await?;
        self.find_graph_to_update(&transaction, graph_id).await?;
        self.enqueue_expiry(&transaction, graph_id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Queues the deletion of what retention no longer keeps of a graph, in the transaction that completes a snapshot and has the graph
    /// for itself. Whatever else is wrong than the database, the snapshot counts: expiry comes again with the next one, and every hour.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn enqueue_expiry_after(&self, transaction: &Transaction, graph_id: &GraphId) -> Result<(), Error> {
        match self.enqueue_expiry(transaction, graph_id).await {
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                not_followed(graph_id, &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn enqueue_expiry(&self, transaction: &Transaction, graph_id: &GraphId) -> Result<(), Error> {
        if operations::exists(&**transaction, graph_id, Some(&[OperationKind::Cleanup]), &OperationState::OPEN).await? {
            return Ok(());
        }
        let last = operations::find_newest(&**transaction, graph_id, OperationKind::Cleanup).await?;
        let since = self.now().minus(AFTER_FAILURE);
        // What keeps it from its work, such as a lock, would keep snapshots waiting behind each further one.
        if last.is_some_and(|last| last.state == OperationState::Failed && last.ended_at.is_some_and(|at| at > since && at <= self.now())) {
            return Ok(());
        }
        let expired = self.judge_graph(&**transaction, graph_id, None).await?.into_iter().filter(Judged::is_expired);
        let snapshot_ids: Vec<String> = expired.map(|one| one.snapshot.snapshot_id.to_string()).collect();
        if snapshot_ids.is_empty() {
            return Ok(());
        }
        let payload = to_json(&CleanupPayload { snapshot_ids })?;
        self.enqueue(&**transaction, self.new_operation(OperationKind::Cleanup, graph_id, None, payload)).await?;
        let caller = Caller { name: "retention", request_id: None };
        self.record_audit(&**transaction, &caller, "CleanupSnapshots", graph_id, None).await
    }
}

fn not_followed(graph_id: &GraphId, error: &Error) {
    tracing::warn!(graph_id = graph_id.as_str(), error = error.chain(), "what retention no longer keeps is not deleted for now");
}
