//! Our engine for the restic repository format, version 2: reading and writing in bounded memory, strictly.
//!
//! A [`Repository`] is opened once and shared; it keeps the master key and the index in memory. Work on it is done under a
//! [`Lock`], which is restic's own, so that an operator's restic beside us is safe. All calls block: the service runs them on its
//! blocking pool. `format` is bytes only, `backend` is where they lie, `write` stores snapshots, `read` restores and checks them.

mod backend;
mod cache;
mod copy;
mod error;
mod files;
mod format;
mod incoming;
mod index;
mod keyring;
mod lock;
mod manifest;
mod read;
mod record;
mod replica;
mod reseal;
mod sweep;
mod threads;
mod unlock;
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

pub use backend::FileKind;
pub use backend::staged::sweep_temporary_files;
pub use cache::Repositories;
pub use copy::CopyPlan;
pub use error::Error;
pub use format::FormatError;
pub use format::id::{BlobId, FileId, RecordId};
pub use format::snapshot::Summary;
pub use incoming::Incoming;
pub use lock::{Lock, LockKind};
pub use read::browse::{Listed, ListedKind};
pub use read::check::{CheckDepth, CheckReport, Problem};
pub use read::differences::{Change, Difference, DifferenceCounts, FileCount};
pub use read::file::SnapshotFile;
pub use read::locate::SnapshotRoot;
pub use read::restore::{RestorePlan, RestoreRequest, Restored};
pub use read::root::FoundDirectory;
pub use read::verify::{SnapshotDepth, Verified, VerifyRequest};
pub use record::{FoundRecords, NewRecord, Record};
pub use replica::{Commit, Founding, Replica, Reread, largest_bytes};
pub use reseal::{ResealedPack, Resealer};
pub use sweep::losses::Loss;
pub use sweep::prune::{PruneRequest, Pruned};
pub use sweep::repair::Repaired;
pub use sweep::roots::FoundRoot;
pub use write::{BackupRequest, Beside, Figures, MakeManifest, Skip, Source, Stored};

use self::backend::local::Local;
use self::backend::staged::Staged;
use self::format::crypto::Key;
use self::format::id::IdMap;
use self::index::Index;
use self::keyring::Keyring;
use self::unlock::{Known, Opener, Rescue, Unlocked, fresh_config};
use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;

/// How a repository is worked with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether what is written must outlive a power cut: files and their directories are synced. On, but for measurements.
    pub sync: bool,
    /// Threads that compress, verify and restore, beside one that reads; by default the number of cores.
    pub threads: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: true, threads: threads::default_count() }
    }
}

/// An open repository: master key and index are kept in memory. Shared as `Arc` by all work on it.
pub struct Repository {
    backend: Local,
    options: Options,
    key: Arc<Key>,
    /// The key file that the key was opened by.
    key_file: FileId,
    /// Of the stored config: another one in the same place is another repository.
    config_id: FileId,
    index: RwLock<Index>,
    /// The index files that `index` was made of; `None` before the first.
    index_files: Mutex<Option<BTreeSet<FileId>>>,
    /// Records that were read; they never change.
    records: Mutex<IdMap<RecordId, Record>>,
    /// Opened to be checked or repaired: index files that cannot be read are as none.
    is_tolerant: bool,
    /// What a repair has to write.
    rescue: Rescue,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("root", &self.backend.root()).finish_non_exhaustive()
    }
}

impl Repository {
    /// Creates a repository in the directory `root`, which is created if need be.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when one is there; [`Error::Io`] when it cannot be written.
    pub fn init(root: &Path, password: &Secret, now: Timestamp, host: &str) -> Result<Self, Error> {
        Self::init_with(root, password, now, host, Options::default(), &Keyring::default())
    }

    pub(crate) fn init_with(
        root: &Path,
        password: &Secret,
        now: Timestamp,
        host: &str,
        options: Options,
        keyring: &Keyring,
    ) -> Result<Self, Error> {
        let already_exists = || Error::AlreadyExists { root: root.to_path_buf() };
        if Self::exists(root)? {
            return Err(already_exists());
        }
        let backend = Local::new(root, options.sync);
        backend.create_layout()?;
        let creating = backend.lock_creation()?;
        if Self::exists(root)? {
            return Err(already_exists());
        }
        let opener = Opener { backend: &backend, password, keyring };
        opener.check_nothing_stored()?;
        remove_left_over_keys(&backend, creating.is_some())?;
        let master = Arc::new(Key::random().map_err(Error::encode("the new repository's key"))?);
        let key_file = opener.key_file(&master, now, host)?;
        let key_id = write_file(&backend, FileKind::Key, &key_file)?;
        crate::base::failpoint::reach("repository.key_written");
        // written last: a directory without it is no repository yet
        let sealed = fresh_config(&master)?;
        if !backend.write_config(&sealed)? {
            backend.delete(FileKind::Key, &key_id)?;
            return Err(already_exists());
        }
        let unlocked = Unlocked { key: master, config_id: FileId::of(&sealed), key_file: key_id };
        Ok(Self::assemble(backend, options, unlocked, Some(BTreeSet::new())))
    }

    /// Opens the repository in the directory `root` and loads its index.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongPassword`], [`Error::UnsupportedVersion`]; [`Error::Damaged`] and [`Error::Io`] when
    /// its files cannot be read.
    pub fn open(root: &Path, password: &Secret) -> Result<Self, Error> {
        Self::open_with(root, password, Options::default())
    }

    /// As [`Repository::open`], with other options.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn open_with(root: &Path, password: &Secret, options: Options) -> Result<Self, Error> {
        Self::open_from(root, password, options, &Keyring::default())
    }

    /// Opens a repository that may be damaged, to check it: index files that cannot be read do not count. Not for other work.
    ///
    /// # Errors
    /// As [`Repository::open`]: without config and key nothing can be read.
    pub fn open_damaged(root: &Path, password: &Secret) -> Result<Self, Error> {
        Self::open_damaged_from(root, password, Options::default(), &Keyring::default())
    }

    pub(crate) fn open_damaged_from(root: &Path, password: &Secret, options: Options, keyring: &Keyring) -> Result<Self, Error> {
        let backend = Local::new(root, options.sync);
        let unlocked = Opener { backend: &backend, password, keyring }.unlock()?;
        Self::assemble_damaged(backend, options, unlocked, Rescue::default())
    }

    /// As [`Repository::open_damaged`], to repair it: a config or a key file that is lost or damaged is written anew by the repair, if
    /// any key fits. `now` and `host` go into such a key file.
    ///
    /// # Errors
    /// As [`Repository::open`], where no key fits.
    pub fn open_for_repair(root: &Path, password: &Secret, now: Timestamp, host: &str) -> Result<Self, Error> {
        Self::rescue_from(root, password, Options::default(), &Keyring::default(), None, now, host)
    }

    pub(crate) fn rescue_from(
        root: &Path,
        password: &Secret,
        options: Options,
        keyring: &Keyring,
        known: Option<&Self>,
        now: Timestamp,
        host: &str,
    ) -> Result<Self, Error> {
        let backend = Local::new(root, options.sync);
        let known = known.map(|repository| Known { key: Arc::clone(&repository.key), key_file: repository.key_file });
        let (unlocked, rescue) = Opener { backend: &backend, password, keyring }.rescue(known, now, host)?;
        Self::assemble_damaged(backend, options, unlocked, rescue)
    }

    fn assemble_damaged(backend: Local, options: Options, unlocked: Unlocked, rescue: Rescue) -> Result<Self, Error> {
        let repository = Self { is_tolerant: true, rescue, ..Self::assemble(backend, options, unlocked, None) };
        repository.refresh_index()?;
        Ok(repository)
    }

    pub(crate) fn open_from(root: &Path, password: &Secret, options: Options, keyring: &Keyring) -> Result<Self, Error> {
        let backend = Local::new(root, options.sync);
        let unlocked = Opener { backend: &backend, password, keyring }.unlock()?;
        let repository = Self::assemble(backend, options, unlocked, None);
        repository.refresh_index()?;
        Ok(repository)
    }

    fn assemble(backend: Local, options: Options, unlocked: Unlocked, index_files: Option<BTreeSet<FileId>>) -> Self {
        Self {
            backend,
            options,
            key: unlocked.key,
            key_file: unlocked.key_file,
            config_id: unlocked.config_id,
            index: RwLock::default(),
            index_files: Mutex::new(index_files),
            records: Mutex::default(),
            is_tolerant: false,
            rescue: Rescue::default(),
        }
    }

    /// Whether there is a repository in the directory `root`, with whichever password.
    ///
    /// # Errors
    /// [`Error::Io`] when that cannot be seen.
    pub fn exists(root: &Path) -> Result<bool, Error> {
        let config = root.join("config");
        config.try_exists().map_err(Error::io("look for", config))
    }

    /// Whether its directory still holds this repository. It may have been taken away, and another one with another key made there.
    fn is_still_there(&self) -> Result<bool, Error> {
        let config_path = self.backend.config_path();
        match fs::read(&config_path) {
            Ok(sealed) => Ok(FileId::of(&sealed) == self.config_id),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", config_path)(error)),
        }
    }

    /// The directory of the repository.
    pub fn root(&self) -> &Path {
        self.backend.root()
    }

    /// Bytes of all packs that the index knows: the repository's size but for records, indexes and keys.
    pub fn stored_bytes(&self) -> u64 {
        self.with_index(Index::stored_bytes)
    }
}

fn write_file(backend: &Local, kind: FileKind, bytes: &[u8]) -> Result<FileId, Error> {
    let id = FileId::of(bytes);
    write_named(backend, kind, &id, bytes)?;
    Ok(id)
}

/// Writes a file whose name, the hash of its bytes, is known.
fn write_named(backend: &Local, kind: FileKind, id: &FileId, bytes: &[u8]) -> Result<(), Error> {
    let mut staged: Staged = backend.stage()?;
    staged.write(bytes)?;
    backend.write_once(kind, id, staged)
}

/// Removes the keys of a creation that broke off before its config was written: an operator's restic might open one of them and
/// then not the config. Without `alone`, they may be of a creation that goes on beside this one, and stay.
fn remove_left_over_keys(backend: &Local, alone: bool) -> Result<(), Error> {
    if alone {
        for (id, _) in backend.list(FileKind::Key)? {
            backend.delete(FileKind::Key, &id)?;
        }
    }
    Ok(())
}
