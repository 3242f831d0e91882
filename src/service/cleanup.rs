//! Deleting what retention no longer keeps: the verdicts, and the operations that follow them.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::operations::{payload, report, to_json};
use super::retention::policy_of;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::finding::Consistency;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::page::{GraphTimeKey, Page, PageRequest};
use crate::domain::report::CleanupReport;
use crate::domain::retention::{Hold, Kept, RetentionPolicy, Verdict, judge};
use crate::domain::tag::Tags;
use crate::store::entity::operation;
use crate::store::retention::Outline;
use crate::store::{self, graphs, operations, retention};

/// What becomes of one snapshot.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The graph that it is of.
    pub graph_id: GraphId,
    /// The snapshot.
    pub snapshot: Outline,
    /// What becomes of it, and why.
    pub verdict: Verdict,
}

impl Judged {
    /// Whether it goes.
    pub(super) fn is_expired(&self) -> bool {
        self.verdict.is_expired()
    }

    fn key(&self) -> GraphTimeKey {
        (self.graph_id.to_string(), self.snapshot.created_at, self.snapshot.snapshot_id.to_string())
    }
}

/// How snapshots would be kept otherwise.
#[derive(Debug, Clone)]
pub enum Tried {
    /// By age, as without a policy.
    Age,
    /// By this policy.
    Policy(RetentionPolicy),
}

/// How long a snapshot that was restored, or was to be, is spared: a restore that fails is tried again.
const SPARED: Duration = Duration::from_secs(24 * 3600);

/// What a cleanup would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// By graph, newest first within a graph.
    pub verdicts: Page<Judged>,
    /// How many snapshots would be deleted, on all pages.
    pub expired: usize,
}

/// What the operation of one graph is to delete, as it was judged when it was asked for. It is judged again when its turn comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CleanupPayload {
    pub(super) snapshot_ids: Vec<String>,
}

impl Services {
    /// What a cleanup would do with each snapshot of a graph, or of all graphs; by what is `tried` instead of each graph's own policy.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn preview_cleanup(
        &self,
        graph_id: Option<&GraphId>,
        tried: Option<&Tried>,
        page: &PageRequest<GraphTimeKey>,
    ) -> Result<Preview, Error> {
        let order = |(graph_id, created_at, id): GraphTimeKey| (graph_id, Reverse((created_at, id)));
        let after = page.after.clone().map(order);
        let (mut items, mut expired) = (Vec::new(), 0);
        for graph_id in self.graphs_to_clean(graph_id).await? {
            let judged = self.judge_graph(self.store().read(), &graph_id, tried).await?;
            expired += judged.iter().filter(|one| one.is_expired()).count();
            let rest = judged.into_iter().filter(|one| after.as_ref().is_none_or(|after| order(one.key()) > *after));
            let room = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1) - items.len();
            items.extend(rest.take(room));
        }
        Ok(Preview { verdicts: page.page(items, Judged::key), expired })
    }

    /// What becomes of the snapshots of a graph, newest first; by what is `tried` instead of the graph's own policy.
    pub(super) async fn judge_graph(
        &self,
        connection: &impl ConnectionTrait,
        graph_id: &GraphId,
        tried: Option<&Tried>,
    ) -> Result<Vec<Judged>, Error> {
        let now = self.now();
        let own = policy_of(&self.find_graph(connection, graph_id).await?)?;
        let rows = retention::list(connection, graph_id).await?;
        let in_use: HashSet<SnapshotId> = operations::list_in_use(connection, graph_id, now.minus(SPARED)).await?.into_iter().collect();
        let kept: Vec<Kept> = rows.iter().map(|row| self.kept(row, in_use.contains(&row.snapshot_id))).collect();
        let policy = match tried {
            None => own.as_ref(),
            Some(Tried::Age) => None,
            Some(Tried::Policy(policy)) => Some(policy),
        };
        let verdicts = judge(&kept, policy, now);
        let judged = |(snapshot, verdict)| Judged { graph_id: graph_id.clone(), snapshot, verdict };
        Ok(rows.into_iter().zip(verdicts).map(judged).collect())
    }

    fn kept(&self, row: &Outline, in_use: bool) -> Kept {
        let days = self.settings().retention();
        Kept {
            status: row.status,
            consistency: row.consistency.as_deref().and_then(Consistency::parse),
            has_losses: row.has_losses,
            failed_verification: row.verified_passed == Some(false),
            taken_at: row.created_at,
            // One that failed has no retention of its own: its row is kept as long.
            expires_at: row.retention_until.unwrap_or_else(|| row.completed_at.unwrap_or(row.created_at).plus(days)),
            tags: Tags::from_json(row.tags.as_deref()).into_iter().collect(),
            in_use,
            in_checkpoint: row.checkpoints > 0,
            pin: row.pin_reason.clone().map(|reason| Hold { reason, until: row.pinned_until_at }),
            legal_hold: row.hold_reason.clone().map(|reason| Hold { reason, until: row.held_until_at }),
        }
    }

    async fn graphs_to_clean(&self, only: Option<&GraphId>) -> Result<Vec<GraphId>, Error> {
        if let Some(graph_id) = only {
            return Ok(vec![self.find_graph(self.store().read(), graph_id).await?.graph_id]);
        }
        // Sorted here: pages must not depend on how the database compares texts.
        let mut graphs = graphs::list_ids(self.store().read()).await?;
        graphs.sort_unstable();
        Ok(graphs)
    }

    /// Queues the deletion of all snapshots that retention no longer keeps, an operation for each graph that has any. All of them or
    /// none; the same request gives the same operations again, also where there were none.
    ///
    /// # Errors
    /// There is no such graph; too many operations wait for one of the graphs.
    pub async fn cleanup_snapshots(
        &self,
        caller: &Caller,
        graph_id: Option<&GraphId>,
        request_id: Option<&str>,
    ) -> Result<Vec<operation::Model>, Error> {
        let body = [graph_id.map_or("-", GraphId::as_str)];
        let request = Request { request_id, action: "CleanupSnapshots", body: &body };
        match self.cleanup_snapshots_once(caller, graph_id, &request).await {
            Err(error) if error.is_race() => self.cleanup_snapshots_once(caller, graph_id, &request).await,
            result => result,
        }
    }

    async fn cleanup_snapshots_once(
        &self,
        caller: &Caller,
        graph_id: Option<&GraphId>,
        request: &Request<'_>,
    ) -> Result<Vec<operation::Model>, Error> {
        // Asked again, the graph may have gone: the first answer holds all the same.
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operations_of(self.store().read(), &first).await;
        }
        let mut wanted = Vec::new();
        for graph_id in self.graphs_to_clean(graph_id).await? {
            let expired = self.judge_graph(self.store().read(), &graph_id, None).await?.into_iter().filter(Judged::is_expired);
            let snapshot_ids: Vec<String> = expired.map(|one| one.snapshot.snapshot_id.to_string()).collect();
            if !snapshot_ids.is_empty() {
                wanted.push((graph_id, to_json(&CleanupPayload { snapshot_ids })?));
            }
        }
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.operations_of(&*transaction, &first).await;
        }
        let mut queued = Vec::with_capacity(wanted.len());
        for (graph_id, payload) in wanted {
            let operation = self.new_operation(OperationKind::Cleanup, &graph_id, None, payload);
            queued.push(self.enqueue(&*transaction, operation).await?);
            self.record_audit(&*transaction, caller, request.action, &graph_id, None).await?;
        }
        let ids: Vec<String> = queued.iter().map(|operation| operation.operation_id.to_string()).collect();
        request.remember(self, &*transaction, ids.join(",")).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(queued)
    }

    async fn operations_of(&self, connection: &impl ConnectionTrait, ids: &str) -> Result<Vec<operation::Model>, Error> {
        let mut found = Vec::new();
        for id in ids.split(',').filter(|id| !id.is_empty()) {
            found.push(self.operation_of(connection, id).await?);
        }
        Ok(found)
    }

    /// How many snapshots the operations of a cleanup have deleted; without waiting, how many they are to delete.
    ///
    /// # Errors
    /// That of the first that failed; the others have done their work all the same.
    pub async fn count_cleaned(&self, queued: &[operation::Model], wait: bool) -> Result<i64, Error> {
        let (mut count, mut failed) = (0, None);
        for operation in queued {
            if !wait {
                let CleanupPayload { snapshot_ids } = payload(operation)?;
                count += i64::try_from(snapshot_ids.len()).unwrap_or(i64::MAX);
                continue;
            }
            match self.wait_for(operation.operation_id).await {
                Ok(ended) => count += report::<CleanupReport>(&ended).map_or(0, |report| report.deleted_snapshots),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(count), Err)
    }
}
