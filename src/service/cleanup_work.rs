//! Deleting what retention no longer keeps: the work on one graph.

use std::collections::HashSet;
use std::sync::Arc;

use super::Services;
use super::cleanup::{CleanupPayload, Judged};
use super::delete_work::OwnRecords;
use super::error::Error;
use super::operations::payload;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::report::CleanupReport;
use crate::store::entity::operation;
use crate::store::retention::Outline;
use crate::store::{self, graphs, operations, pins, snapshots};

/// What is to go, and by which policy.
struct Expired {
    /// As the graph's row has it.
    policy: Option<String>,
    /// The next is the last.
    rows: Vec<Outline>,
}

impl Services {
    /// Deletes what an operation of one graph is to delete, and is still not kept. Nothing else works on the graph meanwhile, so the
    /// verdicts hold to the end; only a pin, a hold or another policy may come until a snapshot is marked, and all of them count.
    ///
    /// # Errors
    /// The repository cannot be written or is locked; what was not deleted is still there.
    pub async fn run_cleanup(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        control.begin_stage("cleanup", 0);
        let CleanupPayload { snapshot_ids } = payload(operation)?;
        let wanted: HashSet<SnapshotId> = snapshot_ids.iter().filter_map(|id| SnapshotId::parse(id)).collect();
        let mut expired = self.expired_of(operation, &wanted).await?;
        // A graph without any record may never have got a repository.
        let has_records = expired.rows.iter().any(Outline::may_have_record);
        let records = if has_records { Some(self.own_records(operation, control).await?) } else { None };
        while let Some(row) = expired.rows.pop() {
            control.go_on()?;
            match self.mark_expired(operation, &row, expired.policy.as_deref()).await? {
                Some(true) => self.delete_expired(operation, &row, records.as_ref()).await?,
                Some(false) => {}
                None => expired = self.expired_of(operation, &wanted).await?,
            }
        }
        if let Some(records) = records {
            records.release().await;
        }
        // Counted by what is gone, so that a second attempt says the same.
        let present = snapshots::list_ids(self.store().read(), &operation.graph_id).await?.into_iter().collect();
        let deleted_snapshots = i64::try_from(wanted.difference(&present).count()).unwrap_or(i64::MAX);
        self.finish_with(operation, &CleanupReport { deleted_snapshots }, control).await
    }

    async fn expired_of(&self, operation: &operation::Model, wanted: &HashSet<SnapshotId>) -> Result<Expired, Error> {
        let (transaction, graph_id) = (self.store().begin().await?, &operation.graph_id);
        let policy = self.find_graph_to_update(&transaction, graph_id).await?.retention_policy;
        let judged = self.judge_graph(&*transaction, graph_id, None).await?.into_iter().filter(Judged::is_expired);
        let mut rows: Vec<Outline> = judged.map(|one| one.snapshot).filter(|row| wanted.contains(&row.snapshot_id)).collect();
        // The newest last, and before it comes whoever does not name its record: for those, all records must be readable.
        rows.reverse();
        rows.sort_by_key(|row| row.record_id.is_some());
        Ok(Expired { policy, rows })
    }

    /// Marks a snapshot as being deleted; none where the policy is another by now. False when it is pinned or held by now, or gone.
    async fn mark_expired(&self, operation: &operation::Model, row: &Outline, policy: Option<&str>) -> Result<Option<bool>, Error> {
        let transaction = self.store().begin().await?;
        let graph = self.find_graph_to_update(&transaction, &operation.graph_id).await?;
        if graph.retention_policy.as_deref() != policy {
            return Ok(None);
        }
        operations::confirm(&*transaction, operation).await?;
        let marked = pins::mark_deleting(&*transaction, row.snapshot_id, operation.operation_id, self.now()).await?;
        store::commit(transaction).await?;
        failpoint::reach("delete.marked");
        Ok(Some(marked))
    }

    async fn delete_expired(&self, operation: &operation::Model, row: &Outline, records: Option<&OwnRecords>) -> Result<(), Error> {
        if let Some(records) = records.filter(|_| row.may_have_record()) {
            records.remove(row.snapshot_id, row.record_id.as_deref()).await?;
        }
        failpoint::reach("cleanup.record_removed");
        let caller = Caller { name: "operation", request_id: Some(operation.operation_id.to_string()) };
        let transaction = self.store().begin().await?;
        if row.may_have_record() {
            graphs::update_unpruned(&*transaction, &operation.graph_id, self.now()).await?;
        }
        operations::confirm(&*transaction, operation).await?;
        snapshots::delete(&*transaction, row.snapshot_id).await?;
        let id = Some(row.snapshot_id.to_string());
        self.record_audit(&*transaction, &caller, "CleanupSnapshots", &operation.graph_id, id).await?;
        store::commit(transaction).await?;
        failpoint::reach("cleanup.row_deleted");
        Ok(())
    }
}
