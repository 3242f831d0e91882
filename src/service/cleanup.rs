//! Deleting what retention no longer keeps: the verdicts, and the operation that follows them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::operations::{Work, payload, report, to_json};
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::finding::Consistency;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::report::CleanupReport;
use crate::domain::retention::{Hold, Kept, Verdict, judge};
use crate::store::entity::operation;
use crate::store::entity::snapshot::Model;
use crate::store::{graphs, operations, snapshots};

/// What becomes of one snapshot.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The snapshot.
    pub snapshot: Model,
    /// What becomes of it, and why.
    pub verdict: Verdict,
}

/// What the operation of one graph is to delete, as it was judged when it was asked for. Each is judged again before it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CleanupPayload {
    snapshot_ids: Vec<String>,
}

impl Services {
    /// What a cleanup would do with each snapshot of a graph, or of all graphs; newest first within a graph.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn judge_snapshots(&self, graph_id: Option<&GraphId>) -> Result<Vec<Judged>, Error> {
        let graphs = match graph_id {
            Some(graph_id) => vec![self.find_graph(self.store().read(), graph_id).await?.graph_id],
            None => graphs::list_ids(self.store().read()).await?,
        };
        let mut judged = Vec::new();
        for graph_id in graphs {
            judged.extend(self.judge_graph(&graph_id).await?);
        }
        Ok(judged)
    }

    async fn judge_graph(&self, graph_id: &GraphId) -> Result<Vec<Judged>, Error> {
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let now = self.now();
        let kept: Vec<Kept> = rows.iter().map(|row| self.kept(row)).collect();
        let verdicts = judge(&kept, None, now);
        Ok(rows.into_iter().zip(verdicts).map(|(snapshot, verdict)| Judged { snapshot, verdict }).collect())
    }

    fn kept(&self, row: &Model) -> Kept {
        let days = Duration::from_secs(u64::from(self.settings().retention_days) * 24 * 3600);
        Kept {
            status: row.status,
            consistency: row.consistency.as_deref().and_then(Consistency::parse),
            has_losses: row.losses.is_some(),
            failed_verification: row.verified_passed == Some(false),
            taken_at: row.created_at,
            // One that failed has no retention of its own: its row is kept as long.
            expires_at: row.retention_until.unwrap_or_else(|| row.completed_at.unwrap_or(row.created_at).plus(days)),
            tags: Vec::new(),
            pin: row.pin_reason.clone().map(|reason| Hold { reason, until: row.pinned_until_at }),
            legal_hold: None,
        }
    }

    /// Queues the deletion of all snapshots that retention no longer keeps, an operation for each graph that has any.
    ///
    /// # Errors
    /// There is no such graph; too many operations wait.
    pub async fn cleanup_snapshots(
        &self,
        caller: &Caller,
        graph_id: Option<&GraphId>,
        request_id: Option<&str>,
    ) -> Result<Vec<operation::Model>, Error> {
        let whole = graph_id.map(GraphId::as_str).unwrap_or("-");
        let mut queued = Vec::new();
        let judged = self.judge_snapshots(graph_id).await?;
        // Asked again, the expired ones are gone already: the first request has named its graphs.
        let graphs = self.graphs_of_cleanup(&judged, graph_id).await?;
        for graph_id in graphs {
            let expired = judged.iter().filter(|one| one.snapshot.graph_id == graph_id && one.verdict.is_expired());
            let snapshot_ids: Vec<String> = expired.map(|one| one.snapshot.snapshot_id.to_string()).collect();
            // One name for each graph's part of the request.
            let part = request_id.map(|id| format!("{id}/{graph_id}"));
            let body = [whole, graph_id.as_str()];
            let request = Request { request_id: part.as_deref(), action: "CleanupSnapshots", body: &body };
            if let Some(first) = request.find_subject(self.store().read()).await? {
                queued.push(self.operation_of(self.store().read(), &first).await?);
                continue;
            }
            if snapshot_ids.is_empty() {
                continue;
            }
            let payload = to_json(&CleanupPayload { snapshot_ids })?;
            let work = Work { kind: OperationKind::Cleanup, graph_id: &graph_id, snapshot_id: None, payload };
            queued.push(self.queue(caller, &work, &request).await?);
        }
        Ok(queued)
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

    async fn graphs_of_cleanup(&self, judged: &[Judged], only: Option<&GraphId>) -> Result<Vec<GraphId>, Error> {
        let mut graphs = match only {
            Some(graph_id) => vec![graph_id.clone()],
            None => graphs::list_ids(self.store().read()).await?,
        };
        graphs.extend(judged.iter().map(|one| one.snapshot.graph_id.clone()));
        graphs.sort_unstable();
        graphs.dedup();
        Ok(graphs)
    }

    /// Deletes what an operation of one graph is to delete, and is still not kept.
    ///
    /// # Errors
    /// The repository cannot be written or is locked; what was not deleted is still there.
    pub async fn run_cleanup(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let CleanupPayload { snapshot_ids } = payload(operation)?;
        control.begin_stage("cleanup", 0);
        let (repository, lock) = self.lock_for_deleting(operation, control).await?;
        for one in self.judge_graph(&operation.graph_id).await? {
            let wanted = snapshot_ids.contains(&one.snapshot.snapshot_id.to_string());
            if !wanted || !one.verdict.is_expired() {
                continue;
            }
            control.go_on()?;
            // Whoever has lost the lease deletes nothing more.
            operations::confirm(self.store().read(), operation).await?;
            let id = one.snapshot.snapshot_id;
            self.remove_records(&repository, &lock, one.snapshot).await?;
            failpoint::reach("cleanup.record_removed");
            snapshots::delete(self.store().read(), id).await?;
            failpoint::reach("cleanup.row_deleted");
        }
        lock.release(self).await;
        let report = CleanupReport { deleted_snapshots: self.count_gone(operation, &snapshot_ids).await? };
        self.finish_with(operation, &report, control).await
    }

    /// Counted by what is gone, so that a second attempt says the same.
    async fn count_gone(&self, operation: &operation::Model, snapshot_ids: &[String]) -> Result<i64, Error> {
        let mut gone = 0;
        for id in snapshot_ids.iter().filter_map(|id| SnapshotId::parse(id)) {
            if snapshots::find(self.store().read(), &operation.graph_id, id).await?.is_none() {
                gone += 1;
            }
        }
        Ok(gone)
    }
}
