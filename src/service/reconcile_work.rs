//! Rows follow what is really in a repository: records that restic removed, renamed or added, and all of them where the database was lost.

use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::operations::to_json;
use super::reconcile_plan::{Plan, compare, tagged_id};
use super::recorded::{Looked, look};
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::report::ReconcileReport;
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::tag::GRAPH_TAG;
use crate::repository::{FoundRecords, LockKind, Record, RecordId, Repository};
use crate::store::entity::operation;
use crate::store::entity::snapshot::Model;
use crate::store::{self, graphs, operations, snapshots};

/// Why a snapshot has failed whose record is gone.
const RECORD_GONE: &str = "its record is gone from the repository: it was removed outside Lightkeep";

/// Why a snapshot has failed whose record was damaged.
const RECORD_DAMAGED: &str = "its record is damaged and was set aside";

impl Services {
    /// Compares the rows of an operation's graph with the records in its repository, and follows the records.
    ///
    /// # Errors
    /// The repository cannot be opened or listed. A record that cannot be read is in the report.
    pub async fn run_reconcile(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        control.begin_stage("reconcile", 0);
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let report = self.follow_records(operation, &repository, &lock, control).await?;
        lock.release(self).await;
        self.finish_with(operation, &report, control).await
    }

    /// Makes the rows of an operation's graph follow its records. What an earlier attempt has done is in the report too.
    ///
    /// # Errors
    /// The records cannot be listed; the lease was lost.
    pub(super) async fn follow_records(
        &self,
        operation: &operation::Model,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        control: &Arc<Control>,
    ) -> Result<ReconcileReport, Error> {
        let listed = Arc::clone(repository);
        let FoundRecords { readable: records, unreadable } = self.blocking(move || listed.find_records()).await?;
        for (id, error) in &unreadable {
            tracing::error!(graph_id = operation.graph_id.as_str(), record_id = %id, %error, "a snapshot record cannot be read, repair the repository");
        }
        let unreadable: Vec<RecordId> = unreadable.into_iter().map(|(id, _)| id).collect();
        let rows = snapshots::list_all(self.store().read(), &operation.graph_id).await?;
        let mut report = done_before(operation, &rows);
        report.records = i64::try_from(records.len() + unreadable.len()).unwrap_or(i64::MAX);
        report.unreadable_record_ids = unreadable.iter().map(ToString::to_string).collect();
        let Plan { moved, lost, new } = compare(&rows, records, &unreadable);
        self.follow_known(operation, repository, lock, (moved, lost), &mut report, control).await?;
        for record in new {
            control.go_on()?;
            let mut row = self.row_of_record(operation, repository, lock, record, control).await?;
            match self.insert_adopted(operation, row.clone()).await {
                // The same record was adopted for another graph meanwhile.
                Err(error) if error.is_race() => {
                    row.snapshot_id = SnapshotId::new(self.ids(), row.created_at);
                    self.insert_adopted(operation, row.clone()).await?;
                }
                result => result?,
            }
            report.adopted_snapshot_ids.push(row.snapshot_id.to_string());
            failpoint::reach("reconcile.adopted");
        }
        Ok(report)
    }

    async fn insert_adopted(&self, operation: &operation::Model, row: Model) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        let graph = self.find_graph_to_update(&transaction, &operation.graph_id).await?;
        operations::confirm(&*transaction, operation).await?;
        snapshots::insert(&*transaction, Model { kept_by_policy: graph.retention_policy.is_some(), ..row }).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Follows the records of known snapshots, all at once: what was done is noted with it.
    async fn follow_known(
        &self,
        operation: &operation::Model,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        (moved, lost): (Vec<(Model, Record)>, Vec<Model>),
        report: &mut ReconcileReport,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        if moved.is_empty() && lost.is_empty() {
            return Ok(());
        }
        let (mut followed, mut gone) = (Vec::new(), Vec::new());
        for (mut row, record) in moved {
            control.go_on()?;
            let was_there = row.status.is_restorable();
            let (record, looked) = self.look_at(repository, lock, record, control).await?;
            looked.fill_in(&mut row)?;
            if was_there {
                report.renamed_snapshot_ids.push(row.snapshot_id.to_string());
            } else {
                report.adopted_snapshot_ids.push(row.snapshot_id.to_string());
                self.complete(&mut row, record.time);
            }
            followed.push(row);
        }
        for row in lost {
            let record = row.record_id.as_deref().and_then(RecordId::parse);
            let (listed, name) = (Arc::clone(repository), row.snapshot_id.to_string());
            let is_set_aside = self.blocking(move || record.map_or(Ok(false), |record| listed.is_record_set_aside(&record))).await?;
            let why = if is_set_aside { RECORD_DAMAGED } else { RECORD_GONE };
            tracing::warn!(graph_id = operation.graph_id.as_str(), snapshot_id = name, why, "a snapshot is lost");
            report.lost_snapshot_ids.push(name);
            gone.push((row.snapshot_id, why));
        }
        let transaction = self.store().begin().await?;
        if !gone.is_empty() {
            graphs::update_unpruned(&*transaction, &operation.graph_id, self.now()).await?;
        }
        operations::note(&*transaction, operation, to_json(report)?).await?;
        for row in followed {
            snapshots::update(&*transaction, row).await?;
        }
        for (id, why) in gone {
            snapshots::update_record_lost(&*transaction, id, why, self.now().plus(self.settings().retention())).await?;
        }
        store::commit(transaction).await?;
        failpoint::reach("reconcile.followed");
        Ok(())
    }

    /// Looks at a record where that may block; gives it back.
    ///
    /// # Errors
    /// As [`look`].
    pub(super) async fn look_at(
        &self,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        record: Record,
        control: &Arc<Control>,
    ) -> Result<(Record, Looked), Error> {
        let (repository, held, progress) = (Arc::clone(repository), lock.clone(), Arc::clone(control));
        let looked = self.blocking(move || {
            let looked = look(&repository, &held, &record, &progress)?;
            Ok::<_, Error>((record, looked))
        });
        looked.await
    }

    /// The row of a snapshot of which only the record is known.
    async fn row_of_record(
        &self,
        operation: &operation::Model,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        record: Record,
        control: &Arc<Control>,
    ) -> Result<Model, Error> {
        let (record, looked) = self.look_at(repository, lock, record, control).await?;
        let snapshot_id = self.id_of_record(&operation.graph_id, &record).await?;
        let mut row = Model {
            metadata: looked.metadata(),
            ..Model::pending(snapshot_id, operation.graph_id.clone(), operation.operation_id, String::new(), record.time)
        };
        looked.fill_in(&mut row)?;
        self.complete(&mut row, record.time);
        Ok(row)
    }

    /// Completes the row of a record that was found. Its retention counts from now: a repository that was found again must not lose
    /// what it holds the next minute.
    fn complete(&self, row: &mut Model, recorded_at: Timestamp) {
        row.status = SnapshotStatus::Completed;
        row.completed_at = Some(recorded_at);
        row.retention_until = Some(self.now().plus(self.settings().retention()));
        row.error_message = None;
    }

    /// The id that a record's snapshot gets: the one of its tag, unless another record has it already, as after `restic rewrite`, or
    /// the repository is a copy of another graph's, which is there too.
    async fn id_of_record(&self, graph_id: &GraphId, record: &Record) -> Result<SnapshotId, Error> {
        let fresh = SnapshotId::new(self.ids(), record.time);
        let Some(id) = tagged_id(record) else { return Ok(fresh) };
        let is_taken = snapshots::find_any(self.store().read(), id).await?.is_some();
        Ok(if is_taken || self.is_copy(graph_id, record).await? { fresh } else { id })
    }

    async fn is_copy(&self, graph_id: &GraphId, record: &Record) -> Result<bool, Error> {
        let origin = record.tags.iter().find_map(|tag| GraphId::parse(tag.strip_prefix(GRAPH_TAG)?).ok());
        match origin.filter(|origin| origin != graph_id) {
            Some(origin) => self.has_repository(&origin).await,
            None => Ok(false),
        }
    }
}

/// What earlier attempts at an operation have done: what they noted, and the rows that bear its name.
fn done_before(operation: &operation::Model, rows: &[Model]) -> ReconcileReport {
    let noted = operation.result.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let mut report: ReconcileReport = noted.unwrap_or_default();
    report
        .adopted_snapshot_ids
        .extend(rows.iter().filter(|row| row.operation_id == operation.operation_id).map(|row| row.snapshot_id.to_string()));
    report
}
