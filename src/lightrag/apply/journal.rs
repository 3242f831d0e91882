//! The journal of a restore: written and flushed before the first step, so that whoever finds it knows what is old and what is new.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lightrag::Error;
use crate::lightrag::workspace::OWN_PREFIX;

/// What a journal's name ends with.
const SUFFIX: &str = ".apply.json";

/// Names one directory, wherever it is renamed to: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity of what is at `path`, if anything.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self { device: metadata.dev(), inode: metadata.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How the restored tree takes the old one's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    /// The directory is renamed to where nothing is, or exchanged with what is there.
    Whole {
        /// The restored directory.
        new: Identity,
        /// The directory that it replaces.
        old: Option<Identity>,
    },
    /// The entries of the target directory are replaced.
    Entries {
        /// Where the new ones come from: on the target's file system.
        from: PathBuf,
        /// Names that leave the target.
        old: Vec<Name>,
        /// Names that come into it.
        new: Vec<Name>,
    },
}

/// A name of a file, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Name(Vec<u8>);

impl Name {
    pub(super) fn of(name: &OsStr) -> Self {
        Self(name.as_bytes().to_vec())
    }

    pub(super) fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

/// What a restore is about to do. Its paths are UTF-8, since JSON takes no others: targets below directories of other names are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The restored directory, beside the target.
    pub(super) restored: PathBuf,
    /// The target directory, links resolved.
    pub(super) target: PathBuf,
    /// Where the old one goes.
    pub(super) keep_as: PathBuf,
    /// How.
    pub(super) method: Method,
}

/// The name of the journal for the restored directory of this name.
pub(in crate::lightrag) fn journal_name(restored_name: &OsStr) -> OsString {
    let mut name = restored_name.to_os_string();
    name.push(SUFFIX);
    name
}

impl Journal {
    /// Where it lies: beside the target.
    pub(super) fn path(&self) -> PathBuf {
        self.target.with_file_name(journal_name(self.restored.file_name().unwrap_or_default()))
    }

    /// Writes it to the disk, whole or not at all.
    pub(super) fn write(&self) -> Result<(), Error> {
        let path = self.path();
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let body = serde_json::to_vec(self).map_err(|source| Error::Journal { path: path.clone(), source })?;
        let written = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(&body)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            sync_directory(path.parent())
        };
        written().map_err(|source| Error::Apply { step: "writing journal", path: path.clone(), source })
    }

    /// Ends it: what it tells of is done or undone.
    pub(super) fn remove(&self) -> Result<(), Error> {
        let path = self.path();
        let removed = || {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            sync_directory(path.parent())
        };
        removed().map_err(|source| Error::Apply { step: "removing journal", path: path.clone(), source })
    }

    /// The journals of restores into `target` that were interrupted.
    pub(super) fn find(target: &Path) -> Result<Vec<Self>, Error> {
        let Some(parent) = target.parent() else { return Ok(Vec::new()) };
        let listing = match fs::read_dir(parent) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::Apply { step: "listing", path: parent.to_path_buf(), source }),
        };
        let mut journals = Vec::new();
        for item in listing.flatten() {
            let name = item.file_name();
            let name = name.as_bytes();
            if !(name.starts_with(OWN_PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())) {
                continue;
            }
            let path = item.path();
            let body = match fs::read(&path) {
                // That of another target, which is done with it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|source| Error::Apply { step: "reading journal", path: path.clone(), source })?,
            };
            let journal: Self = serde_json::from_slice(&body).map_err(|source| Error::Journal { path, source })?;
            if journal.target == target {
                journals.push(journal);
            }
        }
        Ok(journals)
    }
}

/// Flushes a directory's entries to the disk.
pub(super) fn sync_directory(directory: Option<&Path>) -> io::Result<()> {
    directory.map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
