//! Replication that somebody asks for: an operation that waits until snapshots are at targets, or could not be brought there.

use std::collections::{BTreeMap, HashSet};

use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use super::super::Services;
use super::super::error::{Error, ErrorKind, RecordedError};
use super::super::graphs::check_own;
use super::super::idempotency::Request;
use super::super::operations::{payload, to_json};
use super::super::snapshots::check_restorable;
use super::queue::selected;
use crate::base::ids::{SnapshotId, TargetId};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::report::ReplicateReport;
use crate::domain::target::ReplicationState;
use crate::store::entity::operation::Model;
use crate::store::entity::{graph, replication, snapshot, target};
use crate::store::operations::Ending;
use crate::store::{self, Transaction, graphs, operations, replications, snapshots, targets, waiting_operations};

/// What is to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateWish {
    /// Only this snapshot.
    pub snapshot_id: Option<String>,
    /// Only to these targets.
    pub target_ids: Vec<String>,
}

/// What an operation waits for: snapshots by their targets. Several may wait for the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Asked(BTreeMap<String, Vec<String>>);

impl Asked {
    fn iter(&self) -> impl Iterator<Item = (TargetId, Vec<SnapshotId>)> {
        let parsed = |ids: &Vec<String>| ids.iter().filter_map(|id| SnapshotId::parse(id)).collect();
        self.0.iter().filter_map(move |(target_id, ids)| Some((TargetId::parse(target_id)?, parsed(ids))))
    }
}

impl Services {
    /// Asks for snapshots of a graph at targets; gives the operation that waits for them.
    ///
    /// # Errors
    /// There is no such graph, snapshot or target; no target takes the graph.
    pub async fn replicate_graph(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        wish: &ReplicateWish,
        request_id: Option<&str>,
    ) -> Result<Model, Error> {
        let payload = to_json(wish)?;
        let body = [graph_id.as_str(), &payload];
        let request = Request { request_id, action: "ReplicateGraph", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operation_of(self.store().read(), &first).await;
        }
        let graph = self.find_graph(self.store().read(), graph_id).await?;
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.operation_of(&*transaction, &first).await;
        }
        let (operation, chosen) = self.insert_replication(&transaction, &graph, wish).await?;
        request.remember(self, &*transaction, operation.operation_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "ReplicateGraph", graph_id, wish.snapshot_id.clone()).await?;
        store::commit(transaction).await?;
        chosen.iter().for_each(|target| self.sending().line(target).resume());
        self.wakeup().announce_work();
        Ok(operation)
    }

    /// Asks for snapshots at targets, in the transaction of all that goes with it; gives the targets too.
    ///
    /// # Errors
    /// There is no such snapshot or target; no target takes the graph; too many operations wait for it.
    pub(in crate::service) async fn insert_replication(
        &self,
        transaction: &Transaction,
        graph: &graph::Model,
        wish: &ReplicateWish,
    ) -> Result<(Model, Vec<target::Model>), Error> {
        let (connection, graph_id) = (&**transaction, &graph.graph_id);
        if !self.settings().replication.is_enabled {
            let message = "replication is switched off: set `LIGHTRAG_REPLICATION_ENABLED`";
            return Err(Error::refused(ErrorKind::FailedPrecondition, "REPLICATION_DISABLED", message));
        }
        check_own(graph_id)?;
        let chosen = self.chosen_targets(connection, graph, wish).await?;
        let wanted = self.chosen_snapshots(connection, graph_id, wish).await?;
        // One that is named is looked for even where it was brought once; of all others, what a target has deleted stays deleted.
        let (again, mut asked) = (wish.snapshot_id.is_some(), Asked::default());
        for target in &chosen {
            let done = replications::list_done(connection, target.target_id, graph_id).await?;
            let lacking = wanted.iter().filter(|snapshot| again || !done.contains(&snapshot.snapshot_id));
            let rows: Vec<replication::Model> =
                lacking.map(|snapshot| replication::Model::begun(target, snapshot, ReplicationState::Wanted)).collect();
            replications::want(connection, &rows, again).await?;
            asked.0.insert(target.target_id.to_string(), rows.iter().map(|row| row.snapshot_id.to_string()).collect());
        }
        let operation = self.new_operation(OperationKind::Replicate, graph_id, None, to_json(&asked)?);
        Ok((self.enqueue(connection, operation).await?, chosen))
    }

    async fn chosen_targets(
        &self,
        connection: &impl ConnectionTrait,
        graph: &graph::Model,
        wish: &ReplicateWish,
    ) -> Result<Vec<target::Model>, Error> {
        let takes = |target: &target::Model| !selected(target, std::slice::from_ref(graph)).is_empty();
        if wish.target_ids.is_empty() {
            let mut all = targets::list_all(connection).await?;
            all.retain(|target| target.enabled && takes(target));
            if all.is_empty() {
                let message = format!("no enabled target takes graph `{}`: register one, or change its `graph_selector`", graph.graph_id);
                return Err(Error::refused(ErrorKind::FailedPrecondition, "NO_TARGET", message));
            }
            return Ok(all);
        }
        let mut chosen = Vec::new();
        for id in &wish.target_ids {
            let target = self.find_target(connection, id).await?;
            if !target.enabled || !takes(&target) {
                let message =
                    format!("target `{}` does not take graph `{}`: enable it, or change its `graph_selector`", target.name, graph.graph_id);
                return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_NOT_FOR_GRAPH", message));
            }
            chosen.push(target);
        }
        Ok(chosen)
    }

    async fn chosen_snapshots(
        &self,
        connection: &impl ConnectionTrait,
        graph_id: &GraphId,
        wish: &ReplicateWish,
    ) -> Result<Vec<snapshot::Model>, Error> {
        if let Some(id) = &wish.snapshot_id {
            let snapshot = self.snapshot_of(connection, graph_id, id).await?;
            check_restorable(&snapshot)?;
            return Ok(vec![snapshot]);
        }
        let mut all = snapshots::list_all(connection, graph_id).await?;
        all.retain(|snapshot| snapshot.status.is_restorable() && snapshot.deleting_operation_id.is_none());
        Ok(all)
    }

    /// Why nothing more is sent to a target of this graph; none where it is.
    async fn why_not_sent(&self, target_id: TargetId, graph_id: &GraphId) -> Result<Option<String>, Error> {
        let Some(target) = targets::find(self.store().read(), target_id).await? else {
            return Ok(Some("the target was removed".to_owned()));
        };
        let Some(graph) = graphs::find(self.store().read(), graph_id).await? else {
            return Ok(Some("the graph was removed".to_owned()));
        };
        let takes = target.enabled && !selected(&target, std::slice::from_ref(&graph)).is_empty();
        Ok((!takes).then(|| format!("target `{}` takes the graph no more", target.name)))
    }

    /// Asks no longer for what a cancelled operation has asked for, but for what another one waits for too.
    ///
    /// # Errors
    /// The database's.
    pub(in crate::service) async fn unwant(&self, transaction: &Transaction, operation: &Model) -> Result<(), Error> {
        let mut others: HashSet<(TargetId, SnapshotId)> = HashSet::new();
        for other in operations::list_open_of(&**transaction, OperationKind::Replicate).await? {
            if other.operation_id != operation.operation_id {
                let asked = payload::<Asked>(&other)?;
                others.extend(asked.iter().flat_map(|(target_id, ids)| ids.into_iter().map(move |id| (target_id, id))));
            }
        }
        for (target_id, mut ids) in payload::<Asked>(operation)?.iter() {
            ids.retain(|id| !others.contains(&(target_id, *id)));
            replications::unwant(&**transaction, target_id, &ids).await?;
        }
        Ok(())
    }

    /// Ends the operations whose snapshots are all where they should be, or could not be brought there.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_replications(&self) -> Result<(), Error> {
        for operation in operations::list_open_of(self.store().read(), OperationKind::Replicate).await? {
            if let Err(error) = self.settle(&operation).await {
                let operation_id = operation.operation_id;
                tracing::error!(%operation_id, error = error.chain(), "an operation that waits for targets cannot be looked at");
            }
        }
        Ok(())
    }

    async fn settle(&self, operation: &Model) -> Result<(), Error> {
        let asked = payload::<Asked>(operation)?;
        let (mut waiting, mut failed, mut sent_bytes, mut replicated) = (0_usize, Vec::new(), 0, 0_u64);
        for (target_id, ids) in asked.iter() {
            let cannot = self.why_not_sent(target_id, &operation.graph_id).await?;
            let known = replications::list_of(self.store().read(), target_id, &ids).await?;
            let there = snapshots::list_by_ids(self.store().read(), &ids).await?;
            let is_lost = |id: SnapshotId| !there.iter().any(|snapshot| snapshot.snapshot_id == id && snapshot.status.is_restorable());
            let removed = ids.len() - known.len();
            failed.extend((0..removed).map(|_| "the snapshot or the target was removed".to_owned()));
            for row in known {
                sent_bytes += row.sent_bytes;
                let lost = is_lost(row.snapshot_id).then(|| "it is not there any more".to_owned());
                match (row.state, row.error_message.or(lost).or_else(|| cannot.clone())) {
                    (ReplicationState::Done, _) => replicated += 1,
                    (_, Some(why)) => failed.push(format!("snapshot `{}`: {why}", row.snapshot_id)),
                    (_, None) => waiting += 1,
                }
            }
        }
        if waiting > 0 {
            if operation.done_bytes != sent_bytes || operation.stage.is_empty() {
                waiting_operations::update_progress(self.store().read(), operation.operation_id, "replicate", sent_bytes).await?;
                self.wakeup().announce_change();
            }
            return Ok(());
        }
        let report = ReplicateReport { replicated, failed: failed.len() as u64, sent_bytes };
        let error = match failed.first() {
            Some(why) => Some(to_json(&not_replicated(why, &report))?),
            None => None,
        };
        let state = if error.is_some() { OperationState::Failed } else { OperationState::Succeeded };
        let ending = Ending { state, error, result: Some(to_json(&report)?) };
        waiting_operations::end(self.store().read(), operation.operation_id, ending, self.now()).await?;
        self.wakeup().announce_change();
        Ok(())
    }
}

fn not_replicated(why: &str, report: &ReplicateReport) -> RecordedError {
    let message = format!(
        "{} of {} could not be brought to their targets yet; what still can be is tried again: {why}",
        report.failed,
        report.failed + report.replicated
    );
    RecordedError { kind: ErrorKind::Unavailable.to_string(), reason: "NOT_REPLICATED".to_owned(), message }
}
