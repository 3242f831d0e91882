//! Snapshots whose record is gone from their repository: a repair writes it anew as long as the trees are there.

use super::error::Error;
use super::manifest::Manifest;
use super::reconcile_plan::{Plan, compare};
use super::snapshot_record::{new_record, snapshot_tag};
use crate::base::control::Control;
use crate::domain::snapshot::SnapshotStatus;
use crate::repository::{BlobId, FoundRoot, Lock, Loss, Record, RecordId, Repository, Summary};
use crate::store::entity::snapshot::Model;

/// A root tree and what it holds.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) tree: BlobId,
    pub(super) source: Held,
    pub(super) inputs: Option<Held>,
    /// What the caller had given with it.
    pub(super) metadata: Option<String>,
}

/// A directory as a snapshot holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its recorded path.
    pub(super) directory: String,
    /// Of all that is below it, hex.
    pub(super) data_hash: String,
}

impl Root {
    fn of_manifest(found: FoundRoot) -> Option<Self> {
        let Manifest { data_hash, source_dir, inputs_dir, inputs_data_hash, metadata, .. } = Manifest::parse(&found.manifest)?;
        let inputs = inputs_dir.zip(inputs_data_hash).map(|(directory, data_hash)| Held { directory, data_hash });
        Some(Self { tree: found.tree, source: Held { directory: source_dir, data_hash }, inputs, metadata })
    }

    /// Whether it holds what a snapshot holds.
    fn is_of(&self, row: &Model) -> bool {
        let held =
            |directory: &str, hash: &Option<String>| hash.clone().map(|data_hash| Held { directory: directory.to_owned(), data_hash });
        let inputs = row.inputs_dir.as_ref().map(|directory| held(directory, &row.inputs_data_hash));
        held(&row.source_dir, &row.data_hash).as_ref() == Some(&self.source) && inputs.unwrap_or_default() == self.inputs
    }
}

/// The root trees in a repository whose manifests say what they hold.
///
/// # Errors
/// The work was cancelled, or the lock is lost.
pub(super) fn roots(repository: &Repository, control: &Control, lock: &Lock) -> Result<Vec<Root>, Error> {
    Ok(repository.find_roots(control, lock)?.into_iter().filter_map(Root::of_manifest).collect())
}

/// Whether a snapshot has lost its record after it was completed: only then its retention is known.
fn is_removed(row: &Model) -> bool {
    row.status == SnapshotStatus::Failed && row.record_id.is_none() && row.retention_until.is_some()
}

/// Writes records anew. Rows are not touched: they follow by the tag that such a record bears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorder<'a> {
    pub(super) repository: &'a Repository,
    pub(super) rows: &'a [Model],
    /// Whether those are meant too that have failed since their record was removed.
    pub(super) with_removed: bool,
    pub(super) instance_name: &'a str,
    pub(super) lock: &'a Lock,
}

/// A record that lacks directories, and another one for the same snapshot, of which it is not said yet that it lacks nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replacement {
    pub(super) old: RecordId,
    pub(super) new: RecordId,
}

impl Recorder<'_> {
    /// Writes a record for each snapshot that has none any more and of which a root is found that holds the same. Says whether each
    /// has one now.
    ///
    /// # Errors
    /// Records cannot be read or written.
    pub(super) fn record_lost(self, roots: &[Root]) -> Result<bool, Error> {
        let records = self.repository.records()?;
        let Plan { moved, lost, .. } = compare(self.rows, records.clone(), &[]);
        let is_found = |row: &Model| moved.iter().any(|(found, _)| found.snapshot_id == row.snapshot_id);
        let removed = self.rows.iter().filter(|row| self.with_removed && is_removed(row) && !is_found(row));
        let mut is_complete = true;
        for row in lost.iter().chain(removed) {
            is_complete &= self.record_again(row, roots)?.is_some();
        }
        Ok(is_complete)
    }

    /// Writes another record for each snapshot of which directories are lost, if a root is found that holds the same: that of its
    /// unchanged source, or of another snapshot.
    ///
    /// # Errors
    /// Records cannot be read or written.
    pub(super) fn replace_trees(self, losses: &[Loss], roots: &[Root]) -> Result<Vec<Replacement>, Error> {
        let records = self.repository.records()?;
        let damaged: Vec<&Record> = records.iter().filter(|record| losses.iter().any(|loss| loss.record == record.id)).collect();
        let others: Vec<Root> = roots.iter().filter(|root| damaged.iter().all(|record| record.tree != root.tree)).cloned().collect();
        let Plan { moved, .. } = compare(self.rows, records.clone(), &[]);
        let mut replacements = Vec::new();
        for old in losses.iter().filter(|loss| loss.whole_trees > 0 && !loss.is_manifest_only()).map(|loss| loss.record) {
            let named = self.rows.iter().find(|row| row.record_id.as_deref() == Some(&old.to_string()));
            let Some(row) = named.or_else(|| moved.iter().find(|(_, record)| record.id == old).map(|(row, _)| row)) else { continue };
            let tag = snapshot_tag(row);
            // An interrupted repair wrote it. What restic has made of a record says so, and may hold something else.
            let is_again = |other: &&Record| other.id != old && other.original.is_none() && other.tags.contains(&tag);
            let new = match records.iter().find(is_again) {
                Some(record) => Some(record.id),
                None => self.record_again(row, &others)?,
            };
            replacements.extend(new.map(|new| Replacement { old, new }));
        }
        Ok(replacements)
    }

    /// Of two roots with the same content and metadata, one is as good as the other.
    fn record_again(self, row: &Model, roots: &[Root]) -> Result<Option<RecordId>, Error> {
        let fitting = roots.iter().filter(|root| root.is_of(row)).min_by_key(|root| root.metadata != row.metadata);
        let Some(root) = fitting else { return Ok(None) };
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let summary = Summary {
            total_files_processed: count(row.files + row.inputs_files.unwrap_or(0)),
            total_bytes_processed: count(row.size_bytes + row.inputs_size_bytes.unwrap_or(0)),
            ..Summary::default()
        };
        let record = new_record(row, self.instance_name, None);
        Ok(Some(self.repository.write_record_of(root.tree, summary, &record, self.lock)?))
    }
}
