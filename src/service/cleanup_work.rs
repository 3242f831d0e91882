//! Deleting what retention no longer keeps: the work on one graph.

use std::collections::HashSet;
use std::sync::Arc;

use super::Services;
use super::cleanup::{CleanupPayload, Judged};
use super::error::Error;
use super::operations::payload;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::report::CleanupReport;
use crate::store::entity::operation;
use crate::store::retention::Outline;
use crate::store::{self, graphs, operations, snapshots};

impl Services {
    /// Deletes what an operation of one graph is to delete, and is still not kept. Nothing else works on the graph meanwhile, so the
    /// verdicts hold to the end; only a pin or a hold may come until a snapshot is marked.
    ///
    /// # Errors
    /// The repository cannot be written or is locked; what was not deleted is still there.
    pub async fn run_cleanup(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        control.begin_stage("cleanup", 0);
        let CleanupPayload { snapshot_ids } = payload(operation)?;
        let wanted: HashSet<SnapshotId> = snapshot_ids.iter().filter_map(|id| SnapshotId::parse(id)).collect();
        let judged = self.judge_graph(self.store().read(), &operation.graph_id, None).await?.into_iter().filter(Judged::is_expired);
        let mut expired: Vec<Outline> = judged.map(|one| one.snapshot).filter(|row| wanted.contains(&row.snapshot_id)).collect();
        // Those that name their records first: for the others, all records must be readable.
        expired.sort_by_key(|row| row.record_id.is_none());
        // A graph without any record may never have got a repository.
        let records = if expired.iter().any(Outline::may_have_record) { Some(self.own_records(operation, control).await?) } else { None };
        for row in &expired {
            control.go_on()?;
            if !self.mark_deleting(operation, row.snapshot_id).await? {
                continue;
            }
            if let Some(records) = records.as_ref().filter(|_| row.may_have_record()) {
                records.remove(row.snapshot_id, row.record_id.as_deref()).await?;
            }
            failpoint::reach("cleanup.record_removed");
            self.delete_expired(operation, row.snapshot_id).await?;
            failpoint::reach("cleanup.row_deleted");
        }
        if let Some(records) = records {
            records.release().await;
        }
        // Counted by what is gone, so that a second attempt says the same.
        let present = snapshots::list_ids(self.store().read(), &operation.graph_id).await?.into_iter().collect();
        let deleted_snapshots = i64::try_from(wanted.difference(&present).count()).unwrap_or(i64::MAX);
        self.finish_with(operation, &CleanupReport { deleted_snapshots }, control).await
    }

    async fn delete_expired(&self, operation: &operation::Model, id: SnapshotId) -> Result<(), Error> {
        let caller = Caller { name: "operation", request_id: Some(operation.operation_id.to_string()) };
        let transaction = self.store().begin().await?;
        operations::confirm(&*transaction, operation).await?;
        snapshots::delete(&*transaction, id).await?;
        graphs::update_unpruned(&*transaction, &operation.graph_id, self.now()).await?;
        self.record_audit(&*transaction, &caller, "CleanupSnapshots", &operation.graph_id, Some(id.to_string())).await?;
        Ok(store::commit(transaction).await?)
    }
}
