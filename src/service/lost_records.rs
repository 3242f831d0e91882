//! Snapshots whose record is gone from their repository: named by a check, and found again by a repair as long as their trees are there.

use std::path::Path;

use super::error::Error;
use super::manifest::Manifest;
use super::snapshot_work::new_record;
use crate::base::control::Control;
use crate::repository::{BlobId, Lock, RecordId, Repository, Summary};
use crate::store::entity::snapshot::Model;

/// The snapshots that must have a record and have none.
///
/// # Errors
/// That cannot be seen.
pub(super) fn without_record<'a>(repository: &Repository, rows: &'a [Model]) -> Result<Vec<&'a Model>, Error> {
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| row.status.is_restorable()) {
        let record = row.record_id.as_deref().and_then(RecordId::parse);
        let there = record.map(|record| exists(&repository.record_path(&record))).transpose()?;
        if there != Some(true) {
            found.push(row);
        }
    }
    Ok(found)
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| Error::internal("look for a snapshot's record", error))
}

/// What a check says of such a snapshot.
pub(super) fn problem(row: &Model) -> String {
    let record = row.record_id.as_deref().unwrap_or("unknown");
    format!("snapshot `{}`: its record `{record}` is gone: repair the repository, or reconcile it if that was meant", row.snapshot_id)
}

/// A tree from which a snapshot can be restored.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) tree: BlobId,
    /// Of what is below the source, hex.
    pub(super) data_hash: String,
    /// The recorded path of the source.
    pub(super) source_dir: String,
    /// What the caller had given with it.
    pub(super) metadata: Option<String>,
}

/// The root trees in a repository whose manifests say what they hold.
///
/// # Errors
/// The work was cancelled, or the lock is lost.
pub(super) fn roots(repository: &Repository, control: &Control, lock: &Lock) -> Result<Vec<Root>, Error> {
    let found = repository.find_roots(control, lock)?.into_iter();
    let known = found.filter_map(|found| {
        let Manifest { data_hash, source_dir, metadata, .. } = Manifest::parse(&found.manifest)?;
        Some(Root { tree: found.tree, data_hash, source_dir, metadata })
    });
    Ok(known.collect())
}

/// Writes a record of a snapshot anew, of a root that holds the same. Two with the same content and metadata are as good as each other.
/// Gives nothing where there is no such root.
///
/// # Errors
/// The record cannot be written.
pub(super) fn record_again(
    repository: &Repository,
    row: &Model,
    roots: &[Root],
    instance_name: &str,
    lock: &Lock,
) -> Result<Option<RecordId>, Error> {
    let holds = |root: &&Root| row.data_hash.as_ref() == Some(&root.data_hash) && row.source_dir == root.source_dir;
    let Some(root) = roots.iter().filter(holds).min_by_key(|root| root.metadata != row.metadata) else { return Ok(None) };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let (files, bytes) = (count(row.files), count(row.size_bytes));
    let summary = Summary { total_files_processed: files, total_bytes_processed: bytes, ..Summary::default() };
    Ok(Some(repository.write_record_of(root.tree, summary, &new_record(row, instance_name, None), lock)?))
}
