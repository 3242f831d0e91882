//! Deleting a snapshot: its record, then its row. The data goes when the repository is pruned.

use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::repository_lock::HeldLock;
use super::snapshot_work::snapshot_tag;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::operation::OperationState;
use crate::repository::LockKind;
use crate::store::entity::operation;
use crate::store::{self, operations, snapshots};

impl Services {
    /// Deletes the snapshot of an operation.
    ///
    /// # Errors
    /// The repository cannot be written or is locked; then the snapshot is still there.
    pub async fn run_delete(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        failpoint::reach("delete.begun");
        let row = snapshots::find(self.store().read(), &operation.graph_id, operation.snapshot_id).await?;
        let root = self.repository_root(&operation.graph_id);
        if let Some(row) = row.filter(|row| row.data_hash.is_some()) {
            let services = self.clone();
            let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
            let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
            let held = lock.clone();
            self.blocking(move || {
                // By its tag: a snapshot that failed late may have a record that its row does not name.
                while let Some(record) = repository.find_record_by_tag(&snapshot_tag(&row))? {
                    repository.remove_record(&record.id, held.lock())?;
                }
                Ok::<_, Error>(())
            })
            .await?;
            lock.release(self).await;
        }
        failpoint::reach("delete.record_removed");
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, OperationState::Succeeded, None, control.progress(), self.now()).await?;
        snapshots::delete(&*transaction, operation.snapshot_id).await?;
        Ok(store::commit(transaction).await?)
    }
}
