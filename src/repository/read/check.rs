//! Checking a repository: everything is looked at, nothing is changed, and the first problem does not end it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::blobs::BlobReader;
use super::{check_pack, spans};
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::{OTHER_CONTENT, subject};
use crate::repository::format::FormatError;
use crate::repository::format::crypto::OVERHEAD_BYTES;
use crate::repository::format::id::{BlobId, BlobKind, FileId, IdSet};
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::format::pack;
use crate::repository::index::Location;
use crate::repository::lock::{Lock, LockKind};

/// How much of a repository is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Records, trees, index and the presence and length of packs.
    Structure,
    /// Also whole packs, chosen at random until so many bytes are read.
    Sample {
        /// Bytes of packs.
        bytes: u64,
    },
    /// Also every byte of every pack.
    AllData,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which pack, blob, tree or record.
    pub subject: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Packs that the index names.
    pub packs: u64,
    /// Blobs that the index names.
    pub blobs: u64,
    /// Snapshot records.
    pub snapshots: u64,
    /// Packs that no index names, as a backup that broke off leaves them: harmless, a prune removes them.
    pub unindexed_packs: u64,
    /// Everything that is wrong; empty for a sound repository.
    pub problems: Vec<Problem>,
}

/// Collects problems from several threads.
#[derive(Default)]
pub(crate) struct Problems(Mutex<Vec<Problem>>);

impl Problems {
    /// Notes one.
    pub(crate) fn add(&self, subject: impl Into<String>, reason: impl Into<String>) {
        let problem = Problem { subject: subject.into(), reason: reason.into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// Notes an error with its causes.
    fn add_error(&self, subject: impl Into<String>, error: &Error) {
        self.add(subject, with_causes(error));
    }
}

/// What an error says, with its causes.
pub(crate) fn with_causes(error: &Error) -> String {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    reason
}

/// A pack with the blobs that the index places in it.
pub(crate) struct IndexedPack {
    pub(crate) id: FileId,
    pub(crate) bytes: u64,
    pub(crate) blobs: Vec<(BlobKind, BlobId, Location)>,
}

/// The packs whose data is read.
fn choose(mut packs: Vec<IndexedPack>, depth: CheckDepth) -> Result<Vec<IndexedPack>, Error> {
    let limit = match depth {
        CheckDepth::Structure => 0,
        CheckDepth::AllData => return Ok(packs),
        CheckDepth::Sample { bytes } => bytes,
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::encode("a random choice of packs")(FormatError::new(error.to_string())))?;
    // Names of packs are hashes: with a random number before them they come in a random order.
    packs.sort_by_cached_key(|pack| <[u8; 32]>::from(Sha256::new().chain_update(seed).chain_update(pack.id.as_bytes()).finalize()));
    let mut bytes = 0;
    packs.retain(|pack| {
        let wanted = bytes < limit;
        bytes += if wanted { pack.bytes } else { 0 };
        wanted
    });
    Ok(packs)
}

impl Repository {
    /// Checks the repository.
    ///
    /// # Errors
    /// Problems of the repository are in the report. [`Error::Cancelled`], [`Error::WrongLock`], [`Error::LockLost`], and
    /// [`Error::Io`] when its directories cannot be listed.
    pub fn check(&self, depth: CheckDepth, control: &Control, lock: &Lock) -> Result<CheckReport, Error> {
        lock.protect(self, "checking", LockKind::Shared)?;
        control.go_on()?;
        let problems = Problems::default();
        let mut report = CheckReport::default();
        let packs = self.indexed_packs();
        report.packs = packs.len() as u64;
        report.blobs = packs.iter().map(|pack| pack.blobs.len() as u64).sum();
        let present = choose(self.check_presence(packs, &problems, &mut report)?, depth)?;
        control.begin_stage("check", present.iter().map(|pack| pack.bytes).sum());
        if depth != CheckDepth::Structure {
            let begin = || (BlobReader::new(), Vec::new());
            spans::for_each(self.options.threads.get(), &present, begin, |(reader, buffer), pack| {
                match check_pack::check(self, pack, reader, buffer, &problems, control) {
                    Err(Error::Cancelled(cancelled)) => Err(cancelled.into()),
                    Err(error) => {
                        problems.add_error(format!("pack `{}`", pack.id), &error);
                        Ok(())
                    }
                    Ok(()) => Ok(()),
                }
            })?;
        }
        report.snapshots = self.check_snapshots(&problems, control)?;
        self.check_small_files(&problems, control)?;
        report.problems = problems.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(report)
    }

    /// Index files, keys and locks; that the config is good, the repository's being open says.
    fn check_small_files(&self, problems: &Problems, control: &Control) -> Result<(), Error> {
        for (id, bytes) in self.backend.list(FileKind::Lock)? {
            match self.load(FileKind::Lock, &id) {
                // One that is being written is empty for a moment, and one that is refreshed vanishes.
                Err(error) if bytes > 0 && !error.is_missing_file() => problems.add_error(subject(FileKind::Lock, &id), &error),
                _ => {}
            }
        }
        for (id, _) in self.backend.list(FileKind::Index)? {
            control.go_on()?;
            if let Err(error) = self.load_index_file(&id) {
                problems.add_error(subject(FileKind::Index, &id), &error);
            }
        }
        for (id, _) in self.backend.list(FileKind::Key)? {
            match self.backend.read(FileKind::Key, &id) {
                Ok(bytes) if FileId::of(&bytes) != id => problems.add(subject(FileKind::Key, &id), OTHER_CONTENT),
                Ok(_) => {}
                Err(error) => problems.add_error(subject(FileKind::Key, &id), &error),
            }
        }
        Ok(())
    }

    fn indexed_packs(&self) -> Vec<IndexedPack> {
        self.with_index(|index| {
            let mut packs: Vec<_> = index.packs().iter().map(|id| IndexedPack { id: *id, bytes: 0, blobs: Vec::new() }).collect();
            for kind in [BlobKind::Data, BlobKind::Tree] {
                for (id, location) in index.blobs(kind) {
                    packs[location.pack as usize].blobs.push((kind, *id, *location));
                }
            }
            let mut number = 0;
            packs.retain(|_| {
                number += 1;
                index.is_present(number - 1)
            });
            packs
        })
    }

    /// Compares the packs that the index names with those that are there, and gives those that can be read.
    fn check_presence(
        &self,
        mut packs: Vec<IndexedPack>,
        problems: &Problems,
        report: &mut CheckReport,
    ) -> Result<Vec<IndexedPack>, Error> {
        let mut listed: HashMap<FileId, u64> = self.backend.list(FileKind::Pack)?.into_iter().collect();
        packs.retain_mut(|pack| {
            let Some(bytes) = listed.remove(&pack.id) else {
                problems.add(format!("pack `{}`", pack.id), "it is missing");
                return false;
            };
            pack.bytes = bytes;
            let end = pack.blobs.iter().map(|(_, _, location)| location.end()).max().unwrap_or(0);
            let entries: usize = pack.blobs.iter().map(|(_, _, location)| pack::entry_bytes(location.compressed_from > 0)).sum();
            // another pack may have some of its blobs too: then it is longer than this
            if bytes < end + (entries + OVERHEAD_BYTES + pack::LENGTH_BYTES) as u64 {
                problems.add(format!("pack `{}`", pack.id), format!("it is cut off: it has {bytes} bytes"));
                return false;
            }
            true
        });
        report.unindexed_packs = listed.len() as u64;
        Ok(packs)
    }

    /// Walks the trees of all snapshots, each tree once. An operator's restic may add snapshots meanwhile: the index is looked at
    /// after the records, as it has all that the listed ones need, while one that was loaded before them may not.
    fn check_snapshots(&self, problems: &Problems, control: &Control) -> Result<u64, Error> {
        let mut reader = BlobReader::new();
        let mut seen: IdSet<BlobId> = IdSet::default();
        let mut count = 0;
        let records = self.backend.list(FileKind::Snapshot)?;
        if let Err(error) = self.refresh_index() {
            problems.add_error("the index", &error);
        }
        for (id, _) in records {
            count += 1;
            let mut open = match self.load(FileKind::Snapshot, &id).and_then(|_| self.record(&id.into())) {
                Ok(record) => vec![(record.tree, format!("snapshot `{id}`"))],
                Err(error) => {
                    problems.add_error(format!("snapshot record `{id}`"), &error);
                    continue;
                }
            };
            while let Some((tree, path)) = open.pop() {
                control.go_on()?;
                if !seen.insert(tree) {
                    continue;
                }
                match self.load_tree(&mut reader, &tree, &path) {
                    Ok(nodes) => self.check_nodes(nodes, &path, &mut open, problems),
                    Err(error) => problems.add_error(format!("tree `{tree}`"), &error),
                }
            }
        }
        Ok(count)
    }

    fn check_nodes(&self, nodes: Vec<Node>, path: &str, open: &mut Vec<(BlobId, String)>, problems: &Problems) {
        for node in nodes {
            let name = || format!("{path}/{}", String::from_utf8_lossy(&node.name));
            if let Some(tree) = node.subtree {
                open.push((tree, name()));
            }
            if node.kind != NodeKind::File {
                continue;
            }
            let mut size = Some(0);
            for id in &node.content {
                match self.with_index(|index| index.find(BlobKind::Data, id)) {
                    Some(location) => size = size.map(|size| size + u64::from(location.plain_bytes())),
                    None => {
                        problems.add(format!("blob `{id}`"), format!("it is missing from the index; `{}` needs it", name()));
                        size = None;
                    }
                }
            }
            if size.is_some_and(|size| size != node.size_bytes) {
                problems.add(format!("`{}`", name()), "its size is not that of its content");
            }
        }
    }
}
