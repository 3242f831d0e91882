//! Storing a source: one thread walks it and reads large files, workers hash, compress and seal, one thread builds the trees.
//!
//! The walk goes depth-first in restic's order. What it finds travels to the assembler in that order, while the content of files
//! is worked on in any order; the assembler waits for each file in turn and writes it into the tree at hand. So a tree is built
//! bottom-up while files are still read, and nothing is held but the trees of the directories that the walk is in.

mod assemble;
mod attributes;
mod blocks;
mod content;
mod data_hash;
mod names;
pub(crate) mod pack;
mod parent;
mod pipeline;
mod reader;
pub(crate) mod seal;
mod source;
mod walk;
mod work;

use std::path::Path;

use super::Repository;
use super::error::Error;
use super::format::id::{BlobId, RecordId};
use super::format::snapshot::Summary;
use super::lock::{Lock, LockKind};
use crate::base::control::Control;
use crate::base::tap::Tap;
use crate::domain::entry::Entry;

pub(crate) use data_hash::DataHash;

/// What to store.
pub struct BackupRequest<'a> {
    /// Where it is.
    pub source: Source<'a>,
    /// The absolute path that it is recorded under, as `restic backup` would be given it.
    pub recorded_path: &'a Path,
    /// A second source that the snapshot holds beside it.
    pub beside: Option<Beside<'a>>,
    /// A snapshot that unchanged files are taken over from; one that cannot be read is as none.
    pub parent: Option<RecordId>,
    /// Asked for each file of the source that is read whether somebody wants to see its bytes.
    pub tap: &'a (dyn Fn(&Entry) -> Option<Tap> + Sync),
    /// Makes the snapshot's manifest, if it is to have one.
    pub manifest: Option<MakeManifest<'a>>,
    /// Shows progress and stops the work.
    pub control: &'a Control,
}

/// A second source, with a path and figures of its own: neither path may contain the other.
pub struct Beside<'a> {
    /// Where it is.
    pub source: Source<'a>,
    /// The absolute path that it is recorded under.
    pub recorded_path: &'a Path,
}

/// Says which paths, relative to the source, are left out.
pub type Skip<'a> = &'a (dyn Fn(&Path) -> bool + Sync);

/// Makes a snapshot's manifest of at most 16 MiB, or none: a file that is no part of the source, and is read by
/// [`Repository::read_manifest`]. It is told the figures of the source and of what is beside it. Asked once, when all files are stored
/// and all taps are dropped; it costs hardly more than its bytes, as it goes into packs that are written anyway. An error, such as
/// [`Error::ManifestNotMade`], ends the backup and comes out of it as it is.
pub type MakeManifest<'a> = &'a (dyn Fn(&Figures, Option<&Figures>) -> Result<Option<Vec<u8>>, Error> + Sync);

/// Where a source's entries come from.
pub enum Source<'a> {
    /// A directory, walked while it is stored.
    Directory {
        /// The directory.
        root: &'a Path,
        /// What is left out of it; a directory with all that is in it.
        skip: Skip<'a>,
    },
    /// Exactly these entries, with the metadata that they have here.
    Listed(&'a [Entry]),
}

/// What is counted of the files of one source: as in [`Stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Number of regular files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub size_bytes: u64,
    /// Hash of the files' content and paths.
    pub data_hash: [u8; 32],
}

/// What was stored; it becomes a snapshot by [`Repository::write_record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The root tree.
    pub tree: BlobId,
    /// Number of regular files of the source.
    pub files: u64,
    /// Sum of their sizes.
    pub size_bytes: u64,
    /// Hash of the files' content and paths: SHA-256 over all regular files below the source, depth-first, the entries of each
    /// directory ordered by the bytes of their names, of path relative to the source, length and ids of the pieces of content.
    /// Each field has its length in bytes before it; lengths are 8 bytes, lowest first.
    pub data_hash: [u8; 32],
    /// The same of what is beside the source, if anything was to be stored there.
    pub beside: Option<Figures>,
    /// Bytes written to packs.
    pub added_bytes: u64,
    /// Files of both that were taken over from the parent without reading.
    pub files_unchanged: u64,
    /// restic's counts.
    pub summary: Summary,
}

/// Which of a backup's sources something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Source,
    Beside,
}

impl Repository {
    /// Stores a source: packs and index, but no record yet. After an error nothing refers to what was written.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] and [`Error::SourceUnreadable`] for the first file that cannot be had as it was captured;
    /// [`Error::UnusablePath`]; whatever the manifest's maker gives; [`Error::Cancelled`]; [`Error::LockLost`], [`Error::WrongLock`];
    /// [`Error::Io`] and others for the repository itself.
    pub fn back_up(&self, request: &BackupRequest<'_>, lock: &Lock) -> Result<Stored, Error> {
        lock.protect(self, "adding a snapshot", LockKind::Shared)?;
        let stored = pipeline::run(self, request)?;
        lock.protect(self, "adding a snapshot", LockKind::Shared)?;
        Ok(stored)
    }
}
