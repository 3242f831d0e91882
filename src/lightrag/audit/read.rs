//! Where extracts come from: taps, with a thread of their own for large files, and the disk.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use crossbeam_channel::bounded;

use super::extract::{Extract, read_rows};
use super::pieces::{Pieces, Stop};
use super::rows::Row;
use crate::base::control::Control;
use crate::base::tap::Tap;
use crate::domain::entry::{Entry, Generation};
use crate::lightrag::Error;
use crate::lightrag::workspace::Store;

/// Files up to this size are collected and parsed at their end by the thread that feeds the tap: that takes less than a thread's start.
const COLLECTED_BYTES_MAX: u64 = 1024 * 1024;

/// How many pieces wait for the parser.
const WAITING_PIECES: usize = 2;

/// From this size on all files together are read by two threads.
const SHARED_FROM_BYTES: u64 = 8 * 1024 * 1024;

/// What became of a tapped file.
#[derive(Debug)]
pub(super) enum Tapped {
    /// It was parsed; `None` when its reading broke off.
    Done(Option<Extract>),
    /// It is being parsed.
    Parsing(JoinHandle<Option<Extract>>),
}

impl Tapped {
    /// Waits for the parser.
    pub(super) fn extract(self) -> Option<Extract> {
        match self {
            Self::Done(extract) => extract,
            Self::Parsing(thread) => thread.join().ok().flatten(),
        }
    }
}

/// The taps' results of one audit.
pub(super) type TappedFiles = Arc<Mutex<BTreeMap<Store, (Generation, Tapped)>>>;

/// A tap whose extract goes into `tapped`.
pub(super) fn tap(store: Store, generation: Generation, tapped: &TappedFiles) -> Tap {
    let keep = move |tapped: &TappedFiles, result| {
        tapped.lock().unwrap_or_else(PoisonError::into_inner).insert(store, (generation, result));
    };
    if generation.size_bytes <= COLLECTED_BYTES_MAX {
        let mut pieces = VecDeque::new();
        let tapped = Arc::clone(tapped);
        return Box::new(move |piece| match piece {
            Some(piece) => pieces.push_back(piece),
            None => {
                let extract = Extract::read(store, Pieces::of_collected(std::mem::take(&mut pieces))).ok();
                keep(&tapped, Tapped::Done(extract));
            }
        });
    }
    let (sender, receiver) = bounded::<Option<Bytes>>(WAITING_PIECES);
    let parser = move || Extract::read(store, Pieces::of_engine(receiver)).ok();
    match thread::Builder::new().name(format!("audit {}", store.file_name())).spawn(parser) {
        Ok(thread) => keep(tapped, Tapped::Parsing(thread)),
        Err(error) => tracing::warn!(%error, store = store.file_name(), "no thread for the audit: it reads the file itself"),
    }
    Box::new(move |piece| {
        // The parser ends early when the file is damaged; the rest is not wanted.
        let _ = sender.send(piece);
    })
}

/// Reads files from the disk: two at a time where that is worth a thread.
pub(super) fn extracts<'e>(mut files: Vec<(Store, &'e Entry)>, control: &Control) -> Result<Vec<(Store, &'e Entry, Extract)>, Error> {
    // The largest first, so that no thread is left with it at the end.
    files.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.meta.size_bytes));
    let total_bytes: u64 = files.iter().map(|(_, entry)| entry.meta.size_bytes).sum();
    if !files.is_empty() {
        control.begin_stage("audit", total_bytes);
    }
    let next = AtomicUsize::new(0);
    let read_some = || {
        let mut extracts = Vec::new();
        while let Some(&(store, entry)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            extracts.push((store, entry, extract(store, &entry.read_from, control)?));
        }
        Ok(extracts)
    };
    if total_bytes < SHARED_FROM_BYTES {
        return read_some();
    }
    thread::scope(|scope| {
        let second = thread::Builder::new().name("audit".to_owned()).spawn_scoped(scope, read_some);
        let mut extracts = read_some()?;
        match second.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(more)) => extracts.extend(more?),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => tracing::debug!(%error, "no second thread for the audit: one has read all"),
        }
        Ok(extracts)
    })
}

fn extract(store: Store, path: &Path, control: &Control) -> Result<Extract, Error> {
    let file = open(path)?;
    Extract::read(store, Pieces::of_disk(file, control)).map_err(|stop| error_of(path, stop))
}

/// Reads a file's rows from the disk, once more.
pub(super) fn rows(store: Store, path: &Path, control: &Control, sink: &mut dyn FnMut(Row<'_>)) -> Result<(), Error> {
    let file = open(path)?;
    control.add_total(file.metadata().map_or(0, |metadata| metadata.len()));
    read_rows(store, Pieces::of_disk(file, control), sink).map_err(|stop| error_of(path, stop))
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::AuditRead { path: path.to_path_buf(), source })
}

fn error_of(path: &Path, stop: Stop) -> Error {
    let source = match stop {
        Stop::Cancelled(cancelled) => return Error::Cancelled(cancelled),
        Stop::Read(source) => source,
        Stop::Malformed { problem, .. } => std::io::Error::other(format!("it changed while it was audited: {problem}")),
        Stop::Cut => std::io::Error::other("it was cut short"),
    };
    Error::AuditRead { path: path.to_path_buf(), source }
}
