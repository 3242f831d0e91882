//! Snapshot records: what makes a stored tree a snapshot.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::PoisonError;

use super::Repository;
use super::backend::FileKind;
use super::error::Error;
use super::files::subject;
use super::format::id::{BlobId, RecordId};
use super::format::snapshot::{Snapshot, SnapshotText, Summary};
use super::format::{json, time};
use super::lock::{Lock, LockKind};
use super::write::Stored;
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;

/// A snapshot record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// When the snapshot was made.
    pub time: Timestamp,
    /// The root tree.
    pub tree: BlobId,
    /// The record that unchanged files were taken over from.
    pub parent: Option<RecordId>,
    /// The directories that it holds, absolute.
    pub paths: Vec<PathBuf>,
    /// The computer that made it.
    pub hostname: String,
    /// The user who made it.
    pub username: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// restic's counts, if its writer recorded them.
    pub summary: Option<Summary>,
}

/// What a snapshot record is to say beside the stored tree.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// When the snapshot was made.
    pub time: Timestamp,
    /// The computer that made it.
    pub hostname: String,
    /// The user who made it.
    pub username: String,
    /// The directories that it holds, absolute: the recorded path of the backup.
    pub paths: Vec<PathBuf>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The record that unchanged files were taken over from.
    pub parent: Option<RecordId>,
}

impl Repository {
    /// Writes the record that makes a stored tree a snapshot. It is written last: before it, nothing is visible.
    ///
    /// # Errors
    /// [`Error::LockLost`], [`Error::WrongLock`], [`Error::Io`].
    pub fn write_record(&self, stored: &Stored, record: &NewRecord, lock: &Lock) -> Result<RecordId, Error> {
        self.write_record_of(stored.tree, stored.summary, record, lock)
    }

    /// As [`Repository::write_record`], of a root tree that is in the repository already.
    ///
    /// # Errors
    /// As [`Repository::write_record`].
    pub fn write_record_of(&self, tree: BlobId, summary: Summary, record: &NewRecord, lock: &Lock) -> Result<RecordId, Error> {
        lock.protect(self, "adding a snapshot", LockKind::Shared)?;
        let paths: Vec<String> = record.paths.iter().map(|path| json::lossy(path.as_os_str().as_bytes())).collect();
        let text = SnapshotText {
            time: time::from_timestamp(record.time),
            parent: record.parent,
            tree,
            paths: &paths,
            hostname: &record.hostname,
            username: &record.username,
            tags: &record.tags,
            summary,
        };
        failpoint::reach("repository.before_record");
        let id = self.save(FileKind::Snapshot, &text.encode())?;
        failpoint::reach("repository.record_written");
        Ok(id.into())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`], [`Error::Damaged`], [`Error::Io`].
    pub fn record(&self, id: &RecordId) -> Result<Record, Error> {
        // records of others may be removed at any time: the cache says what one holds, not that it is there
        if !self.backend.exists(FileKind::Snapshot, &(*id).into())? {
            return Err(Error::RecordNotFound { id: *id, root: self.root().to_path_buf() });
        }
        self.read_record(id)
    }

    fn read_record(&self, id: &RecordId) -> Result<Record, Error> {
        if let Some(record) = self.records.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(record.clone());
        }
        let file = (*id).into();
        let bytes = match self.load(FileKind::Snapshot, &file) {
            Err(error) if error.is_missing_file() => {
                return Err(Error::RecordNotFound { id: *id, root: self.root().to_path_buf() });
            }
            other => other?,
        };
        let parsed = Snapshot::parse(&bytes).and_then(|snapshot| Ok((snapshot.time()?, snapshot)));
        let (time, snapshot) = parsed.map_err(Error::damaged(subject(FileKind::Snapshot, &file)))?;
        let record = Record {
            id: *id,
            time: time::to_timestamp(time),
            tree: snapshot.tree,
            parent: snapshot.parent,
            paths: snapshot.paths.into_iter().map(PathBuf::from).collect(),
            hostname: snapshot.hostname,
            username: snapshot.username,
            tags: snapshot.tags.unwrap_or_default(),
            summary: snapshot.summary,
        };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, record.clone());
        Ok(record)
    }

    /// Reads a record from its file, whatever was known of it.
    pub(crate) fn read_record_anew(&self, id: &RecordId) -> Result<Record, Error> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.read_record(id)
    }

    /// Reads all records, oldest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`]: a record that cannot be read is never left out.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for (id, _) in self.backend.list(FileKind::Snapshot)? {
            match self.read_record(&id.into()) {
                Err(Error::RecordNotFound { .. }) => {} // removed since
                other => records.push(other?),
            }
        }
        records.sort_by_key(|record| (record.time, record.id));
        Ok(records)
    }

    /// The newest record that has this tag.
    ///
    /// # Errors
    /// As [`Repository::records`].
    pub fn find_record_by_tag(&self, tag: &str) -> Result<Option<Record>, Error> {
        Ok(self.records()?.into_iter().rev().find(|record| record.tags.iter().any(|t| t == tag)))
    }

    /// Where a record's file lies.
    pub fn record_path(&self, id: &RecordId) -> PathBuf {
        self.backend.path(FileKind::Snapshot, &(*id).into())
    }

    /// Removes a record; its content stays until a prune. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::LockLost`], [`Error::Io`].
    pub fn remove_record(&self, id: &RecordId, lock: &Lock) -> Result<(), Error> {
        lock.protect(self, "removing a snapshot", LockKind::Exclusive)?;
        self.backend.delete(FileKind::Snapshot, &(*id).into())?;
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}
