//! Where extracts come from: taps, with a thread of their own for large files, and files that are read here.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use crossbeam_channel::bounded;

use super::extract::{Extract, read_rows};
use super::rows::Row;
use crate::base::control::Control;
use crate::base::tap::Tap;
use crate::domain::entry::{Entry, Generation};
use crate::lightrag::Error;
use crate::lightrag::files::{Files, StoreFile};
use crate::lightrag::formats::pieces::{Pieces, Stop};
use crate::lightrag::formats::vectors::Form;
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
    Done(Option<Box<Extract>>),
    /// It is being parsed.
    Parsing(JoinHandle<Option<Extract>>),
}

impl Tapped {
    /// Waits for the parser.
    pub(super) fn extract(self) -> Option<Extract> {
        match self {
            Self::Done(extract) => extract.map(|extract| *extract),
            Self::Parsing(thread) => thread.join().ok().flatten(),
        }
    }
}

/// The taps' results of one audit, by the paths of the files.
pub(super) type TappedFiles = Arc<Mutex<BTreeMap<PathBuf, (Generation, Tapped)>>>;

/// A tap of a store's file whose extract goes into `tapped`.
pub(super) fn tap(store: Store, entry: &Entry, tapped: &TappedFiles) -> Tap {
    let (path, generation) = (entry.path.clone(), entry.meta.generation());
    let keep = move |tapped: &TappedFiles, path, result| {
        tapped.lock().unwrap_or_else(PoisonError::into_inner).insert(path, (generation, result));
    };
    if generation.size_bytes <= COLLECTED_BYTES_MAX {
        let mut pieces = VecDeque::new();
        let tapped = Arc::clone(tapped);
        return Box::new(move |piece| match piece {
            Some(piece) => pieces.push_back(piece),
            None => {
                let extract = Extract::read(store, &path, Pieces::of_collected(std::mem::take(&mut pieces))).ok();
                keep(&tapped, path.clone(), Tapped::Done(extract.map(Box::new)));
            }
        });
    }
    let (sender, receiver) = bounded::<Option<Bytes>>(WAITING_PIECES);
    let parsed = path.clone();
    let parser = move || Extract::read(store, &parsed, Pieces::of_engine(receiver)).ok();
    match thread::Builder::new().name(format!("audit {}", path.display())).spawn(parser) {
        Ok(thread) => keep(tapped, path, Tapped::Parsing(thread)),
        Err(error) => tracing::warn!(%error, path = %path.display(), "no thread for the audit: it reads the file itself"),
    }
    Box::new(move |piece| {
        // The parser ends early when the file is damaged; the rest is not wanted.
        let _ = sender.send(piece);
    })
}

/// Does work on each file, two at a time where that is worth a thread.
pub(super) fn side_by_side<T: Send>(
    mut files: Vec<StoreFile>,
    control: &Control,
    work: &(dyn Fn(&StoreFile) -> Result<T, Error> + Sync),
) -> Result<Vec<(StoreFile, T)>, Error> {
    // The largest first, so that no thread is left with it at the end.
    files.sort_by_key(|file| std::cmp::Reverse(file.size_bytes));
    let total_bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    if !files.is_empty() {
        control.begin_stage("audit", total_bytes);
    }
    let next = AtomicUsize::new(0);
    let work_on_some = || {
        let mut done = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((file.clone(), work(file)?));
        }
        Ok(done)
    };
    if total_bytes < SHARED_FROM_BYTES {
        return work_on_some();
    }
    thread::scope(|scope| {
        let second = thread::Builder::new().name("audit".to_owned()).spawn_scoped(scope, work_on_some);
        let mut done = work_on_some()?;
        match second.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(more)) => done.extend(more?),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => tracing::debug!(%error, "no second thread for the audit: one has done all"),
        }
        Ok(done)
    })
}

/// Reads a file's extract.
pub(super) fn extract(files: &dyn Files, file: &StoreFile, control: &Control) -> Result<Extract, Error> {
    let pieces = pieces(files, &file.path, control)?;
    let extract = Extract::read(file.store, &file.path, pieces).map_err(|stop| error_of(&file.path, stop))?;
    check_unchanged(files, &file.path)?;
    Ok(extract)
}

/// Reads a file's rows, once more.
pub(super) fn rows(files: &dyn Files, file: &StoreFile, control: &Control, sink: &mut dyn FnMut(Row<'_>)) -> Result<(), Error> {
    control.add_total(file.size_bytes);
    let pieces = pieces(files, &file.path, control)?;
    read_rows(file.store, Form::of(&file.path), pieces, sink).map_err(|stop| error_of(&file.path, stop))?;
    check_unchanged(files, &file.path)
}

/// What is judged must be what is stored.
pub(super) fn check_unchanged(files: &dyn Files, path: &Path) -> Result<(), Error> {
    match files.is_as_fixed(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::AuditChanged { path: path.to_path_buf() }),
        Err(source) => Err(Error::AuditRead { path: path.to_path_buf(), source }),
    }
}

/// The bytes of a file from its beginning.
fn pieces<'a>(files: &'a dyn Files, path: &Path, control: &'a Control) -> Result<Pieces<'a>, Error> {
    let opened = Pieces::open(files, path, control).and_then(|file| file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)));
    opened.map_err(|source| Error::AuditRead { path: path.to_path_buf(), source })
}

/// What a stopped parser means where the file was read before.
pub(super) fn error_of(path: &Path, stop: Stop) -> Error {
    let source = match stop {
        Stop::Cancelled(cancelled) => return Error::Cancelled(cancelled),
        Stop::Read(source) => source,
        Stop::Malformed { .. } => return Error::AuditChanged { path: path.to_path_buf() },
        Stop::Cut => io::Error::other("it was cut short"),
    };
    Error::AuditRead { path: path.to_path_buf(), source }
}
