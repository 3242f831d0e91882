//! What a record alone tells of its snapshot: where in it the source lies, what the trees count, what is wrong with it, and what its
//! manifest says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Error;
use super::manifest::Manifest;
use super::operations::to_json;
use super::reconcile_plan::tagged_id;
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::domain::report::PROBLEMS_MAX;
use crate::domain::tag::Tags;
use crate::repository::{self, Figures, Record, RecordId, Repository, SnapshotDepth, SnapshotRoot, Verified, VerifyRequest};
use crate::store::entity::snapshot::Model;

/// A record, looked at.
#[derive(Debug)]
pub(super) struct Looked {
    root: SnapshotRoot,
    /// Where the inputs are that it holds beside the source.
    inputs: Option<PathBuf>,
    verified: Verified,
    /// None as well where it cannot be read: that is among the problems.
    manifest: Option<Manifest>,
    tags: Tags,
}

/// Looks at a record: its trees, its manifest, and whether the packs that it needs are there.
///
/// # Errors
/// The record is gone; the lock is lost; the work was cancelled. A snapshot that is damaged is none.
pub(super) fn look(repository: &Arc<Repository>, lock: &HeldLock, record: &Record, control: &Control) -> Result<Looked, Error> {
    let manifest = read_manifest(repository, lock, &record.id)?;
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
                return Ok(Looked { root, inputs, verified, manifest, tags: Tags::of_record(&record.tags) });
            }
        }
    }
}

/// The manifest of a record; none where it has none that can be read.
///
/// # Errors
/// The record is gone; the lock is lost.
pub(super) fn read_manifest(repository: &Arc<Repository>, lock: &HeldLock, record: &RecordId) -> Result<Option<Manifest>, Error> {
    use repository::Error as E;
    match repository.read_manifest(record, lock.lock()) {
        Err(E::Damaged { .. } | E::MissingBlob { .. } | E::Io { .. }) => Ok(None),
        other => Ok(other?.and_then(|bytes| Manifest::parse(&bytes))),
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

impl Looked {
    /// JSON as the caller of the snapshot gave it.
    pub(super) fn metadata(&self) -> Option<String> {
        self.manifest.as_ref().and_then(|manifest| manifest.metadata.clone())
    }

    /// Whether what could be read is as the row says.
    pub(super) fn agrees_with(&self, row: &Model) -> bool {
        self.verified.data_hash.map(hex::encode) == row.data_hash
    }

    /// Makes a row say what the record says. A row of the same content keeps its figures; and where the trees cannot be read, it knows
    /// more than they tell.
    ///
    /// # Errors
    /// Something has no form in JSON, which is a bug.
    pub(super) fn fill_in(self, row: &mut Model) -> Result<(), Error> {
        let Self { root, inputs, verified, manifest, tags } = self;
        let hash = verified.data_hash.map(hex::encode);
        row.record_id = Some(root.record.to_string());
        row.tags = tags.to_json();
        row.source_dir = root.recorded_path.to_string_lossy().into_owned();
        fill_in_inputs(row, inputs, verified.beside, manifest.as_ref());
        let problems: Vec<String> = verified.problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
        row.losses = if problems.is_empty() { None } else { Some(to_json(&problems)?) };
        if row.data_hash.is_some() && (hash.is_none() || hash == row.data_hash) {
            return Ok(());
        }
        // restic takes a manifest along into a snapshot whose content it has rewritten: then it is about something else.
        let manifest = manifest.filter(|manifest| hash.as_ref().is_none_or(|hash| *hash == manifest.data_hash));
        let (files, size_bytes) = match (&hash, &manifest) {
            (None, Some(manifest)) => (manifest.files, manifest.size_bytes),
            _ => (verified.files, verified.size_bytes),
        };
        let Manifest { data_hash, verdict, lightrag_layout, .. } = manifest.unwrap_or_default();
        let census = verdict.as_ref().map(|verdict| verdict.census).unwrap_or_default();
        row.data_hash = hash.or(Some(data_hash).filter(|hash| !hash.is_empty()));
        row.consistency = verdict.as_ref().map(|verdict| verdict.consistency.to_string());
        row.findings = verdict.as_ref().map(|verdict| to_json(&verdict.findings)).transpose()?;
        row.lightrag_layout = lightrag_layout;
        row.files = count(files);
        row.size_bytes = count(size_bytes);
        row.documents = count(census.documents);
        row.chunks = count(census.chunks);
        row.entities = count(census.entities);
        row.relations = count(census.relations);
        row.vectors = count(census.vectors);
        row.documents_in_flight = count(verdict.map_or(0, |verdict| verdict.documents_in_flight));
        // What was verified was something else.
        (row.verified_at, row.verified_level, row.verified_passed) = (None, None, None);
        Ok(())
    }
}

/// Says of the inputs what the trees say; where they cannot be read, what the row or else the manifest knows.
fn fill_in_inputs(row: &mut Model, inputs: Option<PathBuf>, read: Option<Figures>, manifest: Option<&Manifest>) {
    row.inputs_dir = inputs.map(|inputs| inputs.to_string_lossy().into_owned());
    if row.inputs_dir.is_none() {
        (row.inputs_files, row.inputs_size_bytes, row.inputs_data_hash) = (None, None, None);
    } else if let Some(read) = read {
        (row.inputs_files, row.inputs_size_bytes) = (Some(count(read.files)), Some(count(read.size_bytes)));
        row.inputs_data_hash = Some(hex::encode(read.data_hash));
    } else if let Some(manifest) = manifest.filter(|_| row.inputs_data_hash.is_none()) {
        (row.inputs_files, row.inputs_size_bytes) = (manifest.inputs_files.map(count), manifest.inputs_size_bytes.map(count));
        row.inputs_data_hash.clone_from(&manifest.inputs_data_hash);
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The directory that holds all paths of a record.
fn common_directory(paths: &[PathBuf]) -> PathBuf {
    let mut common = paths.first().cloned().unwrap_or_else(|| PathBuf::from("/"));
    for path in paths {
        while !path.starts_with(&common) && common.pop() {}
    }
    if common.is_absolute() { common } else { Path::new("/").join(common) }
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
