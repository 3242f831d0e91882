//! Deleting snapshots: the mark that keeps pins away, the record, then the row. The data goes when the repository is pruned.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Services;
use super::error::Error;
use super::operations::subject;
use super::protection::protected;
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::graph_id::GraphId;
use crate::domain::tag::SNAPSHOT_TAG;
use crate::repository::{LockKind, RecordId, Repository};
use crate::store::entity::operation;
use crate::store::operations::Ending;
use crate::store::{self, graphs, operations, pins, snapshots};

/// The records of a repository in which nobody else works.
pub(super) struct OwnRecords {
    services: Services,
    graph_id: GraphId,
    repository: Arc<Repository>,
    lock: HeldLock,
    /// By the tags of their snapshots. Read once, and only where a row does not name a record that is there: one damaged record
    /// must not keep the others from being deleted.
    tagged: OnceCell<HashMap<SnapshotId, Vec<RecordId>>>,
}

impl Services {
    /// Deletes the snapshot of an operation.
    ///
    /// # Errors
    /// It was pinned or held meanwhile; the repository cannot be written or is locked. Then the snapshot is still there.
    pub async fn run_delete(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        failpoint::reach("delete.begun");
        control.begin_stage("delete", 0);
        let id = subject(operation)?;
        let mut has_record = false;
        if let Some(row) = snapshots::find(self.store().read(), &operation.graph_id, id).await? {
            has_record = row.data_hash.is_some() || row.record_id.is_some();
            let records = if has_record { Some(self.own_records(operation, control).await?) } else { None };
            if !self.mark_deleting(operation, id).await? {
                let row = self.snapshot_of_operation(operation).await?;
                let gone = || Error::NotFound { kind: "Snapshot", id: id.to_string() };
                return Err(protected(&row, self.now()).unwrap_or_else(gone));
            }
            if let Some(records) = records {
                records.remove(id, row.record_id.as_deref()).await?;
                records.release().await;
            }
        }
        failpoint::reach("delete.record_removed");
        let transaction = self.store().begin().await?;
        if has_record {
            graphs::update_unpruned(&*transaction, &operation.graph_id, self.now()).await?;
        }
        operations::finish(&*transaction, operation, Ending::succeeded(), control.progress(), self.now()).await?;
        snapshots::delete(&*transaction, id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Marks a snapshot as being deleted by an operation: from then on it cannot be pinned or held. False when it is pinned, held or gone.
    /// The mark stays until the row goes; an operation that ends otherwise takes it back.
    ///
    /// # Errors
    /// The lease was lost: who has lost it deletes nothing.
    pub(super) async fn mark_deleting(&self, operation: &operation::Model, id: SnapshotId) -> Result<bool, Error> {
        let transaction = self.store().begin().await?;
        operations::confirm(&*transaction, operation).await?;
        let marked = pins::mark_deleting(&*transaction, id, operation.operation_id, self.now()).await?;
        store::commit(transaction).await?;
        failpoint::reach("delete.marked");
        Ok(marked)
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

    /// The records of an operation's graph, to remove some of them.
    pub(super) async fn own_records(&self, operation: &operation::Model, control: &Control) -> Result<OwnRecords, Error> {
        let (repository, lock) = self.lock_for_deleting(operation, control).await?;
        Ok(OwnRecords { services: self.clone(), graph_id: operation.graph_id.clone(), repository, lock, tagged: OnceCell::new() })
    }
}

impl OwnRecords {
    /// Removes the record of a snapshot: the one that its row names. Where that is not there, those with its tag: one that failed
    /// late has a record that its row does not name, and restic may have given it another name. One that is another snapshot's stays:
    /// `restic rewrite` leaves the tag in what it makes.
    ///
    /// # Errors
    /// The repository cannot be written. Without a named record: another one cannot be read; then nothing was removed.
    pub(super) async fn remove(&self, id: SnapshotId, named: Option<&str>) -> Result<(), Error> {
        if let Some(record) = named.and_then(RecordId::parse)
            && self.remove_record(record).await?
        {
            return Ok(());
        }
        let tagged = self.tagged.get_or_try_init(|| self.read_tags()).await?;
        let store = self.services.store();
        for record in tagged.get(&id).into_iter().flatten() {
            if !snapshots::is_record_of_other(store.read(), &self.graph_id, id, &record.to_string()).await? {
                self.remove_record(*record).await?;
            }
        }
        Ok(())
    }

    async fn remove_record(&self, record: RecordId) -> Result<bool, Error> {
        let (repository, held) = (Arc::clone(&self.repository), self.lock.clone());
        self.services.blocking(move || repository.remove_record(&record, held.lock())).await
    }

    async fn read_tags(&self) -> Result<HashMap<SnapshotId, Vec<RecordId>>, Error> {
        let repository = Arc::clone(&self.repository);
        let records = self.services.blocking(move || repository.records()).await?;
        let mut tagged: HashMap<SnapshotId, Vec<RecordId>> = HashMap::new();
        for record in records {
            for id in record.tags.iter().filter_map(|tag| SnapshotId::parse(tag.strip_prefix(SNAPSHOT_TAG)?)) {
                tagged.entry(id).or_default().push(record.id);
            }
        }
        Ok(tagged)
    }

    /// Lets others work in the repository again.
    pub(super) async fn release(self) {
        self.lock.release(&self.services).await;
    }
}
