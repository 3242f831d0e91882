//! Snapshots whose record is gone from their repository: a repair writes it anew as long as the trees are there.

use std::path::Path;

use super::error::Error;
use super::manifest::Manifest;
use super::reconcile_plan::{Plan, compare};
use super::snapshot_record::{new_record, snapshot_tag};
use crate::base::control::Control;
use crate::domain::snapshot::SnapshotStatus;
use crate::repository::{BlobId, FoundDirectory, FoundRoot, Lock, Loss, Record, RecordId, Repository, Summary};
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

    /// Whether it is said to hold what a snapshot holds. `restic rewrite` takes a manifest along to other content: only the trees prove
    /// it.
    fn is_said_of(&self, row: &Model) -> bool {
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
    pub(super) control: &'a Control,
    pub(super) lock: &'a Lock,
}

/// What a root must have of a snapshot's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// All of them by their names, lengths and pieces of content, of which some may be lost: it is looked for in the source.
    SameFiles,
    /// Their content too.
    AllContent,
}

/// A record that lacks directories, and another one for the same snapshot, of which it is not said yet that it lacks nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replacement {
    pub(super) old: RecordId,
    pub(super) new: RecordId,
}

impl Recorder<'_> {
    /// Writes a record for each snapshot that has none any more and of which a root is found that holds the same. One whose record was
    /// removed must have all its content still, as a prune may have been meant to take it. Says whether each has a record now.
    ///
    /// # Errors
    /// Records cannot be read or written; the work was cancelled.
    pub(super) fn record_lost(self, roots: &[Root]) -> Result<bool, Error> {
        let records = self.repository.records()?;
        let Plan { moved, lost, .. } = compare(self.rows, records, &[]);
        let is_found = |row: &Model| moved.iter().any(|(found, _)| found.snapshot_id == row.snapshot_id);
        let removed = self.rows.iter().filter(|row| self.with_removed && is_removed(row) && !is_found(row));
        let wanted = lost.iter().map(|row| (row, Fit::SameFiles)).chain(removed.map(|row| (row, Fit::AllContent)));
        let mut is_complete = true;
        for (row, fit) in wanted {
            is_complete &= self.record_again(row, roots, fit)?.is_some();
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
            let mut new = None;
            for other in records.iter().filter(|other| other.id != old && other.tags.contains(&tag)) {
                if self.is_again(other, row)? {
                    new = Some(other.id);
                    break;
                }
            }
            if new.is_none() {
                new = self.record_again(row, &others, Fit::SameFiles)?;
            }
            replacements.extend(new.map(|new| Replacement { old, new }));
        }
        Ok(replacements)
    }

    /// Whether an interrupted repair wrote this record for a snapshot. What restic has made of a record says so; one that a row names is
    /// that row's own; and the trees must be those of the snapshot.
    fn is_again(self, record: &Record, row: &Model) -> Result<bool, Error> {
        let is_named = self.rows.iter().any(|row| row.record_id.as_deref() == Some(&record.id.to_string()));
        Ok(record.original.is_none() && !is_named && self.fits(record.tree, row, Fit::SameFiles)?)
    }

    /// Whether a root tree holds the files of a snapshot, by its trees and whatever its manifest says.
    fn fits(self, root: BlobId, row: &Model, fit: Fit) -> Result<bool, Error> {
        let inputs = row.inputs_dir.iter().map(|directory| (directory, &row.inputs_data_hash));
        for (directory, hash) in [(&row.source_dir, &row.data_hash)].into_iter().chain(inputs) {
            let found = self.repository.look_into_root(root, Path::new(directory), self.control, self.lock)?;
            let is_same = |found: &FoundDirectory| hash.as_deref() == Some(&hex::encode(found.figures.data_hash));
            match found.filter(is_same) {
                Some(found) if found.is_whole || fit == Fit::SameFiles => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// All roots that fit hold the same files, and the same pieces of content: where one lacks some, so do all. Links, empty
    /// directories, modes and times may differ; a root with the same metadata is most likely the snapshot's own.
    fn record_again(self, row: &Model, roots: &[Root], fit: Fit) -> Result<Option<RecordId>, Error> {
        let mut said: Vec<&Root> = roots.iter().filter(|root| root.is_said_of(row)).collect();
        said.sort_by_key(|root| root.metadata != row.metadata);
        let mut fitting = None;
        for root in said {
            if self.fits(root.tree, row, fit)? {
                fitting = Some(root);
                break;
            }
        }
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
