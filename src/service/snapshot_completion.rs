//! The end of a snapshot's work, when its record is written.

use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::snapshot_record::snapshot_tag;
use crate::base::control::Control;
use crate::domain::snapshot::SnapshotStatus;
use crate::repository::Repository;
use crate::store::entity::{operation, retrieval, snapshot};
use crate::store::operations::Ending;
use crate::store::{self, operations, retention, snapshots};

impl Services {
    /// Completes a snapshot whose record was written before the process ended.
    pub(super) async fn adopt_record(
        &self,
        operation: &operation::Model,
        row: &mut snapshot::Model,
        repository: &Arc<Repository>,
        control: &Arc<Control>,
    ) -> Result<bool, Error> {
        let (found_in, tag) = (Arc::clone(repository), snapshot_tag(row));
        let found = self.blocking(move || found_in.find_record_by_tag(&tag)).await?;
        let Some(record) = found else { return Ok(false) };
        row.record_id = Some(record.id.to_string());
        let retrieved = self.retrieve_from(row, repository, None, control).await?;
        self.complete_snapshot(operation, row.clone(), retrieved, control).await?;
        Ok(true)
    }

    /// Completes a snapshot whose row names its record.
    pub(super) async fn complete_snapshot(
        &self,
        operation: &operation::Model,
        mut row: snapshot::Model,
        retrieved: Option<retrieval::Model>,
        control: &Control,
    ) -> Result<(), Error> {
        let now = self.now();
        row.status = SnapshotStatus::Completed;
        row.completed_at = Some(now);
        row.retention_until = Some(now.plus(self.settings().retention()));
        let transaction = self.store().begin().await?;
        // Before all else: nobody changes the policy meanwhile, by which expiry is judged.
        let graph = self.find_graph_to_update(&transaction, &operation.graph_id).await?;
        operations::finish(&*transaction, operation, Ending::succeeded(), control.progress(), now).await?;
        snapshots::update(&*transaction, row).await?;
        if let Some(retrieved) = retrieved {
            self.write_retrieval(&transaction, retrieved).await?;
        }
        retention::set_kept_by_policy(&*transaction, &operation.graph_id, graph.retention_policy.is_some()).await?;
        self.enqueue_expiry_after(&transaction, &operation.graph_id).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(())
    }
}
