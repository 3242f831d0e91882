//! Verifying one snapshot: everything that it needs is looked at, and the first problem does not end it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::blobs::BlobReader;
use super::check::{Problem, with_causes};
use super::locate::SnapshotRoot;
use super::pieces::{PieceReader, Reason, Unreadable};
use super::plan::{self, Plan, PlannedPiece};
use super::selection::Selection;
use super::spans;
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::subject;
use crate::repository::format::crypto::OVERHEAD_BYTES;
use crate::repository::format::id::{BlobKind, RecordId};
use crate::repository::format::pack;
use crate::repository::lock::{Lock, LockKind};
use crate::repository::write::Figures;

/// So many problems are listed; the rest is counted.
const MOST_PROBLEMS: usize = 100;

/// How much of a snapshot is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotDepth {
    /// Its record, all its trees and its manifest are readable, all its content is in the index, and the packs that hold it are
    /// there and long enough.
    Record,
    /// Also every piece of its content is read, authenticated and hashed.
    Data,
}

/// What to verify: the source, the manifest, and what the record names beside the source.
pub struct VerifyRequest<'a> {
    /// The snapshot and the source path in it.
    pub root: &'a SnapshotRoot,
    /// How thoroughly.
    pub depth: SnapshotDepth,
    /// Shows progress, in stored bytes, and stops the work.
    pub control: &'a Control,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Regular files below the source path, as far as its trees can be read.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub size_bytes: u64,
    /// As in [`Stored`](crate::repository::Stored) of the backup, computed over the recorded trees; `None` when one of them cannot
    /// be read. That the content has these ids is only proven by [`SnapshotDepth::Data`].
    pub data_hash: Option<[u8; 32]>,
    /// The same of the directory that the record names beside the source path, if it names one and all its trees can be read.
    pub beside: Option<Figures>,
    /// Stored bytes of content that were read from packs.
    pub read_bytes: u64,
    /// Everything that is wrong: the record, the manifest, directories, packs, and each file that lacks content or has damaged
    /// content, relative to the source, and beside it by its absolute path; of a hard-linked one the first name. At most 100, and one
    /// more that counts the rest. Empty for a sound snapshot.
    pub problems: Vec<Problem>,
}

/// Collects problems from several threads: the first ones, and how many more there are.
#[derive(Default)]
struct Found(Mutex<(Vec<Problem>, u64)>);

impl Found {
    fn add(&self, subject: impl Into<String>, reason: impl Into<String>) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.0.len() < MOST_PROBLEMS {
            found.0.push(Problem { subject: subject.into(), reason: reason.into() });
        } else {
            found.1 += 1;
        }
    }

    /// Notes what is wrong with a pack, which both the source and what is beside it may need.
    fn add_pack(&self, name: &str, reason: String) {
        let is_named = self.0.lock().unwrap_or_else(PoisonError::into_inner).0.iter().any(|problem| problem.subject == name);
        if !is_named {
            self.add(name, reason);
        }
    }

    /// Notes what is wrong with the repository; other errors end the work.
    fn take(&self, subject: impl Into<String>, error: Error) -> Result<(), Error> {
        if !matches!(error, Error::Damaged { .. } | Error::MissingBlob { .. } | Error::Io { .. }) {
            return Err(error);
        }
        self.add(subject, with_causes(&error));
        Ok(())
    }

    fn into_problems(self) -> Vec<Problem> {
        let (mut problems, more) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        problems.sort_by(|a, b| (&a.subject, &a.reason).cmp(&(&b.subject, &b.reason)));
        if more > 0 {
            problems.push(Problem { subject: "the snapshot".into(), reason: format!("it has {more} more problems") });
        }
        problems
    }
}

impl Repository {
    /// Verifies one snapshot. Memory is that of a restore: names of all files, and 64 bytes for each piece of content.
    ///
    /// # Errors
    /// Problems of the snapshot are in the result. [`Error::RecordNotFound`], [`Error::PathNotRecorded`]; [`Error::Cancelled`];
    /// [`Error::WrongLock`] and [`Error::LockLost`]: a verification beside a prune would report what is no damage.
    pub fn verify_snapshot(&self, request: &VerifyRequest<'_>, lock: &Lock) -> Result<Verified, Error> {
        lock.protect(self, "verifying a snapshot", LockKind::Shared)?;
        request.control.go_on()?;
        request.control.begin_stage("verify", 0);
        let (mut verified, found) = (Verified::default(), Found::default());
        if self.look_for_record(&request.root.record, &found)? {
            let mut plans = Vec::new();
            if let Some(plan) = self.plan_directory(&request.root.recorded_path, request, &found)? {
                verified.files = plan.file_count;
                verified.size_bytes = plan.size_bytes;
                verified.data_hash = plan.is_whole.then_some(plan.data_hash);
                plans.push(plan);
            }
            for path in self.paths_beside(request.root)? {
                let Some(plan) = self.plan_directory(&path, request, &found)? else { continue };
                let figures = Figures { files: plan.file_count, size_bytes: plan.size_bytes, data_hash: plan.data_hash };
                verified.beside = plan.is_whole.then_some(figures);
                plans.push(plan);
            }
            for plan in &mut plans {
                self.look_for_packs(plan, &found, request.control)?;
            }
            if request.depth == SnapshotDepth::Data {
                verified.read_bytes = self.verify_content(&plans, &found, request.control)?;
            }
            // small enough to be read at each depth
            if let Err(error) = self.load_manifest(&request.root.record) {
                found.take("the manifest", error)?;
            }
        }
        lock.protect(self, "verifying a snapshot", LockKind::Shared)?;
        verified.problems = found.into_problems();
        Ok(verified)
    }

    /// Reads the record itself, which may be kept in memory while its file is damaged.
    fn look_for_record(&self, record: &RecordId, found: &Found) -> Result<bool, Error> {
        let read = match self.record(record) {
            Ok(_) => self.load(FileKind::Snapshot, &(*record).into()).map(drop),
            Err(error) => Err(error),
        };
        match read {
            Ok(()) => Ok(true),
            Err(error) => found.take(subject(FileKind::Snapshot, &(*record).into()), error).map(|()| false),
        }
    }

    /// What the record names that is neither in the source path nor around it.
    fn paths_beside(&self, root: &SnapshotRoot) -> Result<Vec<PathBuf>, Error> {
        let source = &root.recorded_path;
        let is_beside = |path: &PathBuf| path.is_absolute() && !path.starts_with(source) && !source.starts_with(path);
        Ok(self.record(&root.record)?.paths.into_iter().filter(is_beside).collect())
    }

    /// Reads the trees down to a directory and all below it.
    fn plan_directory(&self, path: &Path, request: &VerifyRequest<'_>, found: &Found) -> Result<Option<Plan>, Error> {
        let name = |path: &Path| format!("`{}`", path.display());
        let is_source = path == request.root.recorded_path;
        let top = match self.find_directory(&mut BlobReader::new(), &request.root.record, path) {
            // the record names it, so that it is missing
            Err(error @ Error::PathNotRecorded { .. }) if !is_source => {
                found.add(name(path), error.to_string());
                return Ok(None);
            }
            Err(error) => return found.take(name(path), error).map(|()| None),
            Ok(top) => top,
        };
        let named_from = if is_source { PathBuf::new() } else { path.to_path_buf() };
        let problem = |below: &Path, error| {
            let is_top = below.as_os_str().is_empty();
            found.take(name(&if is_top { path.to_path_buf() } else { named_from.join(below) }), error)
        };
        let plan = plan::make(self, top, Selection::of(&request.root.record, None)?, request.control, &problem)?;
        Ok(Some(Plan { named_from, ..plan }))
    }

    /// Looks whether the packs are there and long enough, and leaves out of the plan what cannot be read.
    fn look_for_packs(&self, plan: &mut Plan, found: &Found, control: &Control) -> Result<(), Error> {
        let mut lost = vec![false; plan.pieces.len()];
        let mut begin = 0;
        for pieces in plan.pieces.chunk_by(|a, b| a.location.pack == b.location.pack) {
            control.go_on()?;
            let (from, Some(first)) = (begin, pieces.first()) else { continue };
            begin += pieces.len();
            let id = plan.packs[first.location.pack as usize];
            let (name, length) = match self.backend.length(FileKind::Pack, &id) {
                Ok(length) => (subject(FileKind::Pack, &id), length),
                Err(error) => {
                    found.take(subject(FileKind::Pack, &id), error)?;
                    continue;
                }
            };
            let end = pieces.iter().map(|piece| piece.location.end()).max().unwrap_or(0);
            let blobs = pieces.chunk_by(|a, b| a.location == b.location).filter_map(<[_]>::first);
            let entries: usize = blobs.map(|piece| pack::entry_bytes(piece.location.compressed_from > 0)).sum();
            if length.is_some_and(|length| length >= end + (entries + OVERHEAD_BYTES + pack::LENGTH_BYTES) as u64) {
                continue;
            }
            let is_missed = |piece: &PlannedPiece| length.is_none_or(|length| piece.location.end() > length);
            let mut files = Vec::new();
            for (position, piece) in pieces.iter().enumerate().filter(|(_, piece)| is_missed(piece)) {
                if !self.lies_elsewhere(piece) {
                    lost[from + position] = true;
                    files.push(piece.file);
                }
            }
            if files.is_empty() && pieces.iter().any(is_missed) {
                // all that is missed is read from other packs
                continue;
            }
            match length {
                Some(length) => found.add_pack(&name, format!("it is cut off: it has {length} bytes")),
                None => found.add_pack(&name, "it is missing".to_owned()),
            }
            files.sort_unstable();
            files.dedup();
            for file in files {
                found.add(file_subject(plan, file), format!("it has content in {name}, which is {}", missing_or_short(length)));
            }
        }
        let mut lost = lost.into_iter();
        plan.pieces.retain(|_| lost.next() != Some(true));
        Ok(())
    }

    /// Whether a piece has another place, in a pack that is there and long enough.
    fn lies_elsewhere(&self, piece: &PlannedPiece) -> bool {
        let places = self.with_index(|index| index.places(BlobKind::Data, &piece.id));
        places.iter().filter(|(_, location)| *location != piece.location).any(|(pack, location)| {
            let length = self.backend.length(FileKind::Pack, pack);
            matches!(length, Ok(Some(length)) if length >= location.end())
        })
    }

    fn verify_content(&self, plans: &[Plan], found: &Found, control: &Control) -> Result<u64, Error> {
        let stored_bytes = |plan: &Plan| -> u64 { plan.spans().iter().map(|span| plan.stored_bytes(span)).sum() };
        control.begin_stage("verify", plans.iter().map(stored_bytes).sum());
        let read_bytes = AtomicU64::new(0);
        for plan in plans {
            self.verify_plan(plan, found, control, &read_bytes)?;
        }
        Ok(read_bytes.into_inner())
    }

    fn verify_plan(&self, plan: &Plan, found: &Found, control: &Control, read_bytes: &AtomicU64) -> Result<(), Error> {
        let begin = || PieceReader::new(self, plan);
        spans::for_each(self.options.threads.get(), &plan.spans(), begin, |reader, span| {
            let bytes = reader.read(span.clone(), |read| {
                control.go_on()?;
                let Err(Unreadable { pack, reason }) = read.plain else { return Ok(()) };
                let mut last = None;
                for piece in read.pieces.iter().filter(|piece| last.replace(piece.file) != Some(piece.file)) {
                    let of_it = format!("blob `{}` of it in pack `{pack}`", piece.id);
                    let reason = match &reason {
                        Reason::Damaged(reason) => format!("{of_it} is damaged: {reason}"),
                        Reason::Unread(error) => format!("{of_it} cannot be read: {}", with_causes(error)),
                    };
                    found.add(file_subject(plan, piece.file), reason);
                }
                Ok(())
            })?;
            control.add_done(bytes);
            read_bytes.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        })
    }
}

fn missing_or_short(length: Option<u64>) -> &'static str {
    if length.is_none() { "missing" } else { "cut off" }
}

fn file_subject(plan: &Plan, file: u32) -> String {
    format!("`{}`", plan.named_from.join(plan.path(&plan.files[file as usize])).display())
}
