//! Deleting snapshots: the record, then the row. The data goes when the repository is pruned.

use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::operations::subject;
use super::repository_lock::HeldLock;
use super::snapshot_work::snapshot_tag;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::repository::{LockKind, RecordId, Repository};
use crate::store::entity::{operation, snapshot};
use crate::store::operations::Ending;
use crate::store::{self, operations, snapshots};

impl Services {
    /// Deletes the snapshot of an operation.
    ///
    /// # Errors
    /// It was pinned meanwhile; the repository cannot be written or is locked. Then the snapshot is still there.
    pub async fn run_delete(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        failpoint::reach("delete.begun");
        let id = subject(operation)?;
        if let Some(row) = snapshots::find(self.store().read(), &operation.graph_id, id).await? {
            self.check_unpinned(&row)?;
            if row.data_hash.is_some() {
                let (repository, lock) = self.lock_for_deleting(operation, control).await?;
                self.remove_records(&repository, &lock, row).await?;
                lock.release(self).await;
            }
        }
        failpoint::reach("delete.record_removed");
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, Ending::succeeded(), control.progress(), self.now()).await?;
        snapshots::delete(&*transaction, id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// The repository of an operation's graph, with nobody else in it.
    pub(super) async fn lock_for_deleting(
        &self,
        operation: &operation::Model,
        control: &Control,
    ) -> Result<(Arc<Repository>, HeldLock), Error> {
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
        Ok((repository, lock))
    }

    /// Removes the records of a snapshot, by its tag: one that failed late may have a record that its row does not name. A record that
    /// is another snapshot's bears the same tag where `restic rewrite` made it: it stays.
    pub(super) async fn remove_records(&self, repository: &Arc<Repository>, lock: &HeldLock, row: snapshot::Model) -> Result<(), Error> {
        let (reader, tag) = (Arc::clone(repository), snapshot_tag(&row));
        let records = self.blocking(move || reader.records()).await?;
        // One that restic made, and that we adopted, bears no tag of ours.
        let mut doomed: Vec<RecordId> = row.record_id.as_deref().and_then(RecordId::parse).into_iter().collect();
        for record in records.iter().filter(|record| record.tags.contains(&tag)) {
            if !snapshots::is_record_of_other(self.store().read(), &row, &record.id.to_string()).await? {
                doomed.push(record.id);
            }
        }
        let (repository, held) = (Arc::clone(repository), lock.clone());
        self.blocking(move || doomed.iter().try_for_each(|record| repository.remove_record(record, held.lock()))).await
    }
}
