//! A repository that is filled from outside, file by file: each is what its name says, or it is not taken. No password is needed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::backend::FileKind;
use super::backend::local::Local;
use super::error::Error;
use super::files::{OTHER_CONTENT, subject};
use super::format::FormatError;
use super::format::id::{FileId, RecordId};
use super::format::key::KeyFile;
use super::incoming::Incoming;
use super::write_named;
use crate::base::control::Control;
use crate::base::failpoint;

/// The largest file of a kind, bytes: restic's packs have 128 MiB at most, and one blob more.
pub const fn largest_bytes(kind: FileKind) -> u64 {
    match kind {
        FileKind::Key | FileKind::Lock => 1 << 16,
        FileKind::Pack | FileKind::Index | FileKind::Snapshot => 1 << 30,
    }
}

/// The kinds of files that make up a copy, in the order in which they are written: what a file needs comes before it.
const COPIED: [FileKind; 3] = [FileKind::Pack, FileKind::Index, FileKind::Snapshot];

const BUFFER_BYTES: usize = 1 << 20;

const TOO_COSTLY: &str = "to open it would take too much: choose less costly scrypt parameters";

/// The repository at one place, as whoever fills it sees it.
#[derive(Debug, Clone)]
pub struct Replica {
    backend: Local,
}

/// What a copy of a repository begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// The sealed config.
    pub config: Vec<u8>,
    /// A key file that opens it, with its name.
    pub key: (FileId, Vec<u8>),
}

/// What makes packs that were sent a snapshot.
#[derive(Debug, Clone)]
pub struct Commit {
    /// A record that must be there: the packs of its snapshot are not named below.
    pub base: Option<RecordId>,
    /// The packs that must be there.
    pub packs: Vec<FileId>,
    /// The index files of these packs, each with its name.
    pub indexes: Vec<(FileId, Vec<u8>)>,
    /// The record with its name.
    pub record: (RecordId, Vec<u8>),
    /// Index files that are damaged there, in whose place these come: nobody has others of their names.
    pub replaced: Vec<FileId>,
}

/// What a look at the bytes of some files has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reread {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not what their names say.
    pub damaged: Vec<(FileKind, FileId)>,
    /// The last that was read, where there are more.
    pub next: Option<FileId>,
}

impl Replica {
    /// The repository in the directory `root`, which need not exist.
    pub fn at(root: &Path) -> Self {
        Self { backend: Local::new(root, true) }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        self.backend.root()
    }

    /// The sealed config; none where there is no repository.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn config(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.backend.config_path();
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(Error::io("read", path)),
        }
    }

    /// Begins the copy of a repository: its key file, then its config. One that is begun already stays.
    ///
    /// # Errors
    /// [`Error::OtherRepository`] where another one is; [`Error::Mismatch`] when the key file is not what its name says, or would keep
    /// whoever opens it too busy; [`Error::TooLarge`]; [`Error::Io`].
    pub fn found(&self, founding: &Founding) -> Result<(), Error> {
        let Founding { config, key } = founding;
        let limit_bytes = largest_bytes(FileKind::Key);
        if key.1.len() as u64 > limit_bytes {
            return Err(Error::TooLarge { subject: subject(FileKind::Key, &key.0), limit_bytes });
        }
        check_name(FileKind::Key, &key.0, &key.1)?;
        let parsed = KeyFile::parse(&key.1).map_err(|source| Error::Mismatch { subject: subject(FileKind::Key, &key.0), source })?;
        if !parsed.parameters.are_modest() {
            return Err(mismatch(FileKind::Key, &key.0, TOO_COSTLY));
        }
        match self.config()? {
            Some(found) if found == *config => return Ok(()),
            Some(_) => return Err(Error::OtherRepository { root: self.root().to_path_buf() }),
            None => self.prepare()?,
        }
        let _alone = self.backend.lock_creation()?;
        if self.config()?.is_some_and(|found| found != *config) {
            return Err(Error::OtherRepository { root: self.root().to_path_buf() });
        }
        if !self.backend.exists(FileKind::Key, &key.0)? {
            write_named(&self.backend, FileKind::Key, &key.0, &key.1)?;
        }
        failpoint::reach("replica.key_written");
        self.write_config(config)?;
        failpoint::reach("replica.founded");
        Ok(())
    }

    /// That none of these key files, which have come from elsewhere, would keep whoever opens it too busy. One that would is removed.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when one would; [`Error::Io`].
    pub fn check_keys(&self, keys: &[FileId]) -> Result<(), Error> {
        for id in keys {
            // One that cannot be read opens nothing.
            let parsed = KeyFile::parse(&self.read(FileKind::Key, id)?);
            if parsed.is_ok_and(|key| !key.parameters.are_modest()) {
                self.backend.delete(FileKind::Key, id)?;
                return Err(mismatch(FileKind::Key, id, TOO_COSTLY));
            }
        }
        Ok(())
    }

    /// Makes the directories of a repository that comes back. It is none before its config is written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prepare(&self) -> Result<(), Error> {
        self.backend.create_layout()
    }

    /// Writes the config, by which it is a repository.
    ///
    /// # Errors
    /// [`Error::OtherRepository`] where another one is; [`Error::Io`].
    pub fn write_config(&self, config: &[u8]) -> Result<(), Error> {
        if !self.backend.write_config(config)? && self.config()?.as_deref() != Some(config) {
            return Err(Error::OtherRepository { root: self.root().to_path_buf() });
        }
        Ok(())
    }

    /// Which of these files are not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn missing(&self, kind: FileKind, names: &[FileId]) -> Result<Vec<FileId>, Error> {
        let mut missing = Vec::new();
        for id in names {
            if !self.backend.exists(kind, id)? {
                missing.push(*id);
            }
        }
        Ok(missing)
    }

    /// The names and sizes in bytes of all files of a kind; none where there is no repository.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self, kind: FileKind) -> Result<Vec<(FileId, u64)>, Error> {
        match self.backend.list(kind) {
            Err(error) if error.is_missing_file() => Ok(Vec::new()),
            other => other,
        }
    }

    /// Removes the files that are not among these, and tells which of these are not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn follow(&self, kind: FileKind, names: &[FileId]) -> Result<Vec<FileId>, Error> {
        let wanted: BTreeSet<FileId> = names.iter().copied().collect();
        for (id, _) in self.list(kind)?.into_iter().filter(|(id, _)| !wanted.contains(id)) {
            self.backend.delete(kind, &id)?;
        }
        self.missing(kind, names)
    }

    /// Opens a file to send it; gives its length in bytes too.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(&self, kind: FileKind, id: &FileId) -> Result<(File, u64), Error> {
        open(&self.backend, kind, id)
    }

    /// Reads a small file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, kind: FileKind, id: &FileId) -> Result<Vec<u8>, Error> {
        let path = self.backend.path(kind, id);
        fs::read(&path).map_err(Error::io("read", path))
    }

    /// Begins to receive a file of so many bytes. One of that name that is there is replaced when all has come: it may be damaged.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn receive(&self, kind: FileKind, id: FileId, size_bytes: u64) -> Result<Incoming, Error> {
        let limit_bytes = largest_bytes(kind);
        if size_bytes > limit_bytes {
            return Err(Error::TooLarge { subject: subject(kind, &id), limit_bytes });
        }
        Incoming::begin(&self.backend, kind, id, size_bytes)
    }

    /// Writes the index files and, last, the record. Whoever can lock the repository holds a lock: a prune must not take packs away
    /// between the look at them and the record.
    ///
    /// # Errors
    /// [`Error::Lacking`] when the base or a pack is not there; [`Error::Mismatch`]; [`Error::Cancelled`]; [`Error::Io`].
    pub fn commit(&self, commit: &Commit, control: &Control) -> Result<(), Error> {
        let (record, bytes) = (FileId::from(commit.record.0), &commit.record.1);
        check_name(FileKind::Snapshot, &record, bytes)?;
        commit.indexes.iter().try_for_each(|(id, bytes)| check_name(FileKind::Index, id, bytes))?;
        let base = commit.base.map(FileId::from);
        let needed = base.iter().map(|id| (FileKind::Snapshot, id)).chain(commit.packs.iter().map(|id| (FileKind::Pack, id)));
        for (kind, id) in needed {
            if !self.backend.exists(kind, id)? {
                return Err(Error::Lacking { subject: subject(kind, id) });
            }
        }
        for (id, bytes) in &commit.indexes {
            write_named(&self.backend, FileKind::Index, id, bytes)?;
        }
        failpoint::reach("replica.index_written");
        for id in self.damaged_indexes(&commit.replaced, control)? {
            self.backend.set_aside(FileKind::Index, &id)?;
        }
        write_named(&self.backend, FileKind::Snapshot, &record, bytes)?;
        failpoint::reach("replica.record_written");
        Ok(())
    }

    /// Those of these index files that are not what their names say.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Io`] when one cannot be read for another reason than damage.
    pub fn damaged_indexes(&self, indexes: &[FileId], control: &Control) -> Result<Vec<FileId>, Error> {
        let (mut buffer, mut damaged) = (vec![0; BUFFER_BYTES], Vec::new());
        for id in indexes.iter().collect::<BTreeSet<_>>() {
            match self.is_whole(FileKind::Index, id, &mut buffer, control) {
                Ok(true) => {}
                Err(error) if error.is_missing_file() => {}
                Err(error) if !error.is_damage() => return Err(error),
                Ok(false) | Err(_) => damaged.push(*id),
            }
        }
        Ok(damaged)
    }

    /// Reads files whose names come after `after`, in the order of their names, until so many bytes are read, and compares each with its
    /// name. Names are hashes: a part of them is a sample of all.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Io`] when files cannot be listed, or not be read for another reason than damage.
    pub fn reread(&self, after: Option<FileId>, most_bytes: u64, control: &Control) -> Result<Reread, Error> {
        let mut files = Vec::new();
        for kind in COPIED {
            files.extend(self.list(kind)?.into_iter().map(|(id, bytes)| (id, kind, bytes)));
        }
        files.sort_unstable_by_key(|(id, ..)| *id);
        files.retain(|(id, ..)| after.is_none_or(|after| *id > after));
        let mut found = Reread::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        let count = files.len();
        for (number, (id, kind, bytes)) in files.into_iter().enumerate() {
            let is_whole = match self.is_whole(kind, &id, &mut buffer, control) {
                // Removed since.
                Err(error) if error.is_missing_file() => continue,
                Err(error) if error.is_damage() => false,
                other => other?,
            };
            if !is_whole {
                found.damaged.push((kind, id));
            }
            found.files += 1;
            found.bytes += bytes;
            if found.bytes >= most_bytes && number + 1 < count {
                found.next = Some(id);
                break;
            }
        }
        Ok(found)
    }

    /// Whether a file's bytes are what its name says.
    fn is_whole(&self, kind: FileKind, id: &FileId, buffer: &mut [u8], control: &Control) -> Result<bool, Error> {
        let (mut file, _) = self.open(kind, id)?;
        let mut hash = Sha256::new();
        loop {
            control.go_on()?;
            let count = file.read(buffer).map_err(Error::io("read", self.backend.path(kind, id)))?;
            if count == 0 {
                return Ok(<[u8; 32]>::from(hash.finalize()) == *id.as_bytes());
            }
            hash.update(&buffer[..count]);
        }
    }
}

/// Opens a file of a repository; gives its length in bytes too.
pub(super) fn open(backend: &Local, kind: FileKind, id: &FileId) -> Result<(File, u64), Error> {
    let path = backend.path(kind, id);
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let length = file.metadata().map_err(Error::io("look at", &path))?.len();
    Ok((file, length))
}

fn check_name(kind: FileKind, id: &FileId, bytes: &[u8]) -> Result<(), Error> {
    if FileId::of(bytes) == *id { Ok(()) } else { Err(mismatch(kind, id, OTHER_CONTENT)) }
}

pub(super) fn mismatch(kind: FileKind, id: &FileId, what: &str) -> Error {
    Error::Mismatch { subject: subject(kind, id), source: FormatError::new(what) }
}
