//! Rows follow what is really in a repository: records that restic removed, renamed or added, and all of them where the database was lost.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Services;
use super::error::Error;
use super::manifest::Manifest;
use super::operations::to_json;
use super::repository_lock::HeldLock;
use super::snapshot_work::SNAPSHOT_TAG;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::graph_id::GraphId;
use crate::domain::report::ReconcileReport;
use crate::domain::snapshot::SnapshotStatus;
use crate::repository::{self, LockKind, Record, RecordId, Repository, SnapshotDepth, SnapshotRoot, Verified, VerifyRequest};
use crate::store::entity::operation;
use crate::store::entity::snapshot::Model;
use crate::store::{operations, snapshots};

/// Why a snapshot has failed whose record is gone.
const RECORD_GONE: &str = "its record is gone from the repository: it was removed outside Lightkeep";

impl Services {
    /// Compares the rows of an operation's graph with the records in its repository, and follows the records.
    ///
    /// # Errors
    /// The repository or one of its records cannot be read: then nothing is changed.
    pub async fn run_reconcile(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        control.begin_stage("reconcile", 0);
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let listed = Arc::clone(&repository);
        let records = self.blocking(move || listed.records()).await?;
        let rows = snapshots::list_all(self.store().read(), &operation.graph_id).await?;
        let mut report = ReconcileReport { records: i64::try_from(records.len()).unwrap_or(i64::MAX), ..ReconcileReport::default() };
        let plan = compare(&rows, records);
        for (row, record) in plan.renamed {
            operations::confirm(self.store().read(), operation).await?;
            report.renamed_snapshot_ids.push(row.snapshot_id.to_string());
            snapshots::update(self.store().read(), Model { record_id: Some(record.to_string()), ..row }).await?;
        }
        for row in plan.lost {
            operations::confirm(self.store().read(), operation).await?;
            report.lost_snapshot_ids.push(row.snapshot_id.to_string());
            snapshots::update_record_lost(self.store().read(), row.snapshot_id, RECORD_GONE).await?;
        }
        for (record, failed) in plan.unknown {
            control.go_on()?;
            let row = self.row_of_record(operation, &repository, &lock, record, control).await?;
            operations::confirm(self.store().read(), operation).await?;
            report.adopted_snapshot_ids.push(row.snapshot_id.to_string());
            match failed {
                Some(_) => snapshots::update(self.store().read(), row).await?,
                None => drop(snapshots::insert(self.store().read(), row).await?),
            }
            failpoint::reach("reconcile.adopted");
        }
        lock.release(self).await;
        self.finish_with(operation, &report, control).await
    }

    /// The row of a snapshot of which only the record is known. What it holds is counted by its trees, and its manifest says the rest.
    async fn row_of_record(
        &self,
        operation: &operation::Model,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        record: Record,
        control: &Arc<Control>,
    ) -> Result<Model, Error> {
        let (repository, held, progress) = (Arc::clone(repository), lock.clone(), Arc::clone(control));
        let (record, looked) = self
            .blocking(move || {
                let looked = look(&repository, &held, &record, &progress)?;
                Ok::<_, Error>((record, looked))
            })
            .await?;
        let snapshot_id = match tagged_id(&record) {
            // A copy of another graph's repository has its tags.
            Some(id) if !self.is_of_another_graph(&operation.graph_id, id).await? => id,
            _ => SnapshotId::new(self.ids(), record.time),
        };
        let kept = Duration::from_secs(u64::from(self.settings().retention_days) * 24 * 3600);
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let manifest = looked.manifest.unwrap_or_default();
        let verdict = manifest.verdict;
        let census = verdict.as_ref().map(|verdict| verdict.census).unwrap_or_default();
        Ok(Model {
            snapshot_id,
            graph_id: operation.graph_id.clone(),
            operation_id: operation.operation_id,
            status: SnapshotStatus::Completed,
            source_dir: looked.root.recorded_path.to_string_lossy().into_owned(),
            inputs_dir: looked.inputs.map(|inputs| inputs.to_string_lossy().into_owned()),
            inputs_files: looked.verified.beside.map(|inputs| count(inputs.files)),
            inputs_size_bytes: looked.verified.beside.map(|inputs| count(inputs.size_bytes)),
            inputs_data_hash: looked.verified.beside.map(|inputs| hex::encode(inputs.data_hash)),
            metadata: manifest.metadata,
            created_at: record.time,
            started_at: None,
            completed_at: Some(record.time),
            // Counted from now: a repository that was found again must not lose what it holds the next minute.
            retention_until: Some(self.now().plus(kept)),
            record_id: Some(record.id.to_string()),
            data_hash: looked.verified.data_hash.map(hex::encode),
            consistency: verdict.as_ref().map(|verdict| verdict.consistency.to_string()),
            findings: verdict.as_ref().map(|verdict| to_json(&verdict.findings)).transpose()?,
            files: count(looked.verified.files),
            size_bytes: count(looked.verified.size_bytes),
            stored_bytes: 0,
            documents: count(census.documents),
            chunks: count(census.chunks),
            entities: count(census.entities),
            relations: count(census.relations),
            vectors: count(census.vectors),
            documents_in_flight: count(verdict.as_ref().map_or(0, |verdict| verdict.documents_in_flight)),
            error_message: None,
            pin_reason: None,
            pinned_at: None,
            pinned_until_at: None,
            verified_at: None,
            verified_level: None,
            verified_passed: None,
            losses: None,
            lightrag_layout: manifest.lightrag_layout,
            deleting_operation_id: None,
        })
    }

    async fn is_of_another_graph(&self, graph_id: &GraphId, id: SnapshotId) -> Result<bool, Error> {
        let found = snapshots::find_any(self.store().read(), id).await?;
        Ok(found.is_some_and(|row| row.graph_id != *graph_id))
    }
}

/// What a record alone tells of its snapshot.
struct Looked {
    root: SnapshotRoot,
    inputs: Option<PathBuf>,
    verified: Verified,
    manifest: Option<Manifest>,
}

fn look(repository: &Arc<Repository>, lock: &HeldLock, record: &Record, control: &Control) -> Result<Looked, Error> {
    let manifest = repository.read_manifest(&record.id, lock.lock())?.and_then(|bytes| Manifest::parse(&bytes));
    let own = recorded_directories(record, manifest.as_ref());
    let (source, inputs) = own.unwrap_or_else(|| (common_directory(&record.paths), None));
    let mut root = SnapshotRoot { record: record.id, recorded_path: source };
    loop {
        let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control };
        match repository.verify_snapshot(&request, lock.lock()) {
            // restic was given a file, or names as `.` that it recorded otherwise: what is around it is a directory.
            Err(repository::Error::PathNotRecorded { .. }) if root.recorded_path.parent().is_some() => {
                root.recorded_path.pop();
            }
            other => {
                let verified = other?;
                return Ok(Looked { root, inputs, verified, manifest });
            }
        }
    }
}

/// What one of our own records was taken from: the source, and the inputs if it holds them. Its manifest says which is which; without
/// one, the order of its paths.
pub(super) fn recorded_directories(record: &Record, manifest: Option<&Manifest>) -> Option<(PathBuf, Option<PathBuf>)> {
    let recorded = |directory: &str| record.paths.iter().find(|path| path.as_path() == Path::new(directory)).cloned();
    if let Some((manifest, source)) = manifest.and_then(|manifest| Some((manifest, recorded(&manifest.source_dir)?))) {
        return Some((source, manifest.inputs_dir.as_deref().and_then(recorded)));
    }
    tagged_id(record)?;
    Some((record.paths.first()?.clone(), record.paths.get(1).cloned()))
}

/// The directory that holds all paths of a record.
fn common_directory(paths: &[PathBuf]) -> PathBuf {
    let mut common = paths.first().cloned().unwrap_or_else(|| PathBuf::from("/"));
    for path in paths {
        while !path.starts_with(&common) && common.pop() {}
    }
    if common.is_absolute() { common } else { Path::new("/").join(common) }
}

fn tagged_id(record: &Record) -> Option<SnapshotId> {
    record.tags.iter().find_map(|tag| SnapshotId::parse(tag.strip_prefix(SNAPSHOT_TAG)?))
}

/// What is to be done.
struct Plan {
    /// Rows whose record has another name now.
    renamed: Vec<(Model, RecordId)>,
    /// Rows whose record is gone.
    lost: Vec<Model>,
    /// Records without a row, and the failed row that each belongs to, if there is one.
    unknown: Vec<(Record, Option<SnapshotId>)>,
}

fn compare(rows: &[Model], records: Vec<Record>) -> Plan {
    let by_record: HashMap<&str, &Model> = rows.iter().filter_map(|row| Some((row.record_id.as_deref()?, row))).collect();
    let by_id: HashMap<SnapshotId, &Model> = rows.iter().map(|row| (row.snapshot_id, row)).collect();
    let present: HashSet<String> = records.iter().map(|record| record.id.to_string()).collect();
    let is_present = |row: &Model| row.record_id.as_ref().is_some_and(|record| present.contains(record));
    let mut plan = Plan { renamed: Vec::new(), lost: Vec::new(), unknown: Vec::new() };
    let mut found: HashSet<SnapshotId> = HashSet::new();
    for record in records {
        let id = record.id.to_string();
        let row = by_record.get(id.as_str()).or_else(|| by_id.get(&tagged_id(&record)?));
        match row {
            None => plan.unknown.push((record, None)),
            Some(row) if !found.insert(row.snapshot_id) => {}
            Some(row) if !row.status.is_restorable() && row.status.is_settled() => plan.unknown.push((record, Some(row.snapshot_id))),
            Some(row) if row.record_id.as_deref() == Some(&id) || is_present(row) || !row.status.is_settled() => {}
            Some(row) => plan.renamed.push(((*row).clone(), record.id)),
        }
    }
    plan.lost = rows.iter().filter(|row| row.status.is_restorable() && !found.contains(&row.snapshot_id)).cloned().collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_around_all_paths() {
        let of = |paths: &[&str]| common_directory(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/a/b/c"]), Path::new("/a/b/c"));
        assert_eq!(of(&["/a/b/c", "/a/b/d"]), Path::new("/a/b"));
        assert_eq!(of(&["/a/b", "/c"]), Path::new("/"));
        assert_eq!(of(&[]), Path::new("/"));
        assert_eq!(of(&["relative"]), Path::new("/relative"));
    }
}
