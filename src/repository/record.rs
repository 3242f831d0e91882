//! Snapshot records: what makes a stored tree a snapshot.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::Repository;
use super::backend::FileKind;
use super::backend::local::Local;
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
    /// The record that restic made this one of: `restic tag` keeps the first, `restic rewrite` names the last.
    pub original: Option<RecordId>,
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

/// The records of a repository, as far as they can be read.
#[derive(Debug)]
pub struct FoundRecords {
    /// Oldest first.
    pub readable: Vec<Record>,
    /// Those that are there and cannot be read, and why.
    pub unreadable: Vec<(RecordId, Error)>,
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
        match self.load_record(id) {
            Err(error) if error.is_missing_file() => Err(Error::RecordNotFound { id: *id, root: self.root().to_path_buf() }),
            other => other,
        }
    }

    fn load_record(&self, id: &RecordId) -> Result<Record, Error> {
        if let Some(record) = self.records.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(record.clone());
        }
        let file = (*id).into();
        let bytes = self.load(FileKind::Snapshot, &file)?;
        let parsed = Snapshot::parse(&bytes).and_then(|snapshot| Ok((snapshot.time()?, snapshot)));
        let (time, snapshot) = parsed.map_err(Error::damaged(subject(FileKind::Snapshot, &file)))?;
        let record = Record {
            id: *id,
            time: time::to_timestamp(time),
            tree: snapshot.tree,
            parent: snapshot.parent,
            original: snapshot.original,
            paths: snapshot.paths.into_iter().map(PathBuf::from).collect(),
            hostname: snapshot.hostname,
            username: snapshot.username,
            tags: snapshot.tags.unwrap_or_default(),
            summary: snapshot.summary,
        };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, record.clone());
        Ok(record)
    }

    /// Reads a record from its file, whatever was known of it. One that is not there is [`Error::Io`].
    pub(crate) fn read_record_anew(&self, id: &RecordId) -> Result<Record, Error> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.load_record(id)
    }

    /// Reads all records, oldest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`]: a record that cannot be read is never left out.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let FoundRecords { readable, unreadable } = self.find_records()?;
        match unreadable.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(readable),
        }
    }

    /// Reads all records that can be read, and names those that cannot.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be listed.
    pub fn find_records(&self) -> Result<FoundRecords, Error> {
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for (id, _) in self.backend.list(FileKind::Snapshot)? {
            match self.read_record(&id.into()) {
                Ok(record) => readable.push(record),
                Err(Error::RecordNotFound { .. }) => {} // removed since
                Err(error @ (Error::Damaged { .. } | Error::Io { .. })) => unreadable.push((id.into(), error)),
                Err(error) => return Err(error),
            }
        }
        readable.sort_by_key(|record| (record.time, record.id));
        Ok(FoundRecords { readable, unreadable })
    }

    /// The names of all records of the repository in the directory `root`, which needs no password.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be listed, as where there is no repository.
    pub fn record_names(root: &Path) -> Result<BTreeSet<RecordId>, Error> {
        let listed = Local::new(root, false).list(FileKind::Snapshot)?;
        Ok(listed.into_iter().map(|(id, _)| id.into()).collect())
    }

    /// Whether a repair has set a record aside, because it was damaged.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be seen.
    pub fn is_record_set_aside(&self, id: &RecordId) -> Result<bool, Error> {
        self.backend.is_set_aside(FileKind::Snapshot, &(*id).into())
    }

    /// Reads all records, oldest first, under an exclusive lock: nobody removes one meanwhile, so that one which is listed and not
    /// there is a reading error as any other.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub(crate) fn records_alone(&self) -> Result<Vec<Record>, Error> {
        let listed = self.backend.list(FileKind::Snapshot)?;
        let mut records = listed.into_iter().map(|(id, _)| self.load_record(&id.into())).collect::<Result<Vec<_>, _>>()?;
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

    /// Removes a record; its content stays until a prune. Says whether it was there: one that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::LockLost`], [`Error::Io`].
    pub fn remove_record(&self, id: &RecordId, lock: &Lock) -> Result<bool, Error> {
        lock.protect(self, "removing a snapshot", LockKind::Exclusive)?;
        let was_there = self.backend.delete(FileKind::Snapshot, &(*id).into())?;
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(was_there)
    }
}
