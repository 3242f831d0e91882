//! What all threads of one backup share, and what the workers do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::blocks::Block;
use super::content::Content;
use super::pack::{OpenPacks, PackWriter};
use super::reader;
use super::seal::Sealer;
use super::{BackupRequest, Part, Source};
use crate::base::tap::Tap;
use crate::domain::entry::Entry;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, IdSet};

/// A small file that a worker reads.
pub(crate) struct SmallFile {
    pub(crate) part: Part,
    pub(crate) entry: Entry,
    pub(crate) content: Arc<Content>,
}

/// What a worker is given.
pub(crate) enum Job {
    /// One piece of a large file.
    Piece { block: Arc<Block>, from: usize, to: usize, content: Arc<Content>, number: usize },
    /// Several small files.
    Small(Vec<SmallFile>),
}

/// Counts of what was written.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) data_blobs: AtomicU64,
    pub(crate) tree_blobs: AtomicU64,
    pub(crate) plain_bytes: AtomicU64,
    pub(crate) sealed_bytes: AtomicU64,
}

/// What all threads of one backup share.
pub(crate) struct Shared<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) request: &'a BackupRequest<'a>,
    pub(crate) counts: Counts,
    pub(crate) open_packs: OpenPacks,
    /// Blobs that this backup has stored already, in parts so that workers seldom wait for each other.
    fresh: [Mutex<IdSet<BlobId>>; 16],
    /// Blobs that the index has and that could not be read: they are stored again.
    doubted: Mutex<IdSet<BlobId>>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl<'a> Shared<'a> {
    /// For one backup.
    pub(crate) fn new(repository: &'a Repository, request: &'a BackupRequest<'a>) -> Self {
        let (counts, open_packs, fresh) = (Counts::default(), OpenPacks::default(), Default::default());
        let (doubted, failed, failure) = (Mutex::default(), AtomicBool::new(false), Mutex::new(None));
        Self { repository, request, counts, open_packs, fresh, doubted, failed, failure }
    }

    /// Whether a file is the same only if its ctime is. Not in a list: the links of a capture change it.
    pub(crate) fn compares_ctime(&self, part: Part) -> bool {
        let source = match part {
            Part::Source => Some(&self.request.source),
            Part::Beside => self.request.beside.as_ref().map(|beside| &beside.source),
        };
        matches!(source, Some(Source::Directory { .. }))
    }

    /// Who wants to see a file's bytes.
    pub(crate) fn tap(&self, part: Part, entry: &Entry) -> Option<Tap> {
        if part == Part::Source { (self.request.tap)(entry) } else { None }
    }

    /// A blob cannot be read, whatever the index says.
    pub(crate) fn doubt(&self, kind: BlobKind, id: &BlobId) {
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner).insert(mark(kind, id));
    }

    /// Whether the repository has a blob that is not doubted.
    pub(crate) fn has_blob(&self, kind: BlobKind, id: &BlobId) -> bool {
        let doubted = || self.doubted.lock().unwrap_or_else(PoisonError::into_inner).contains(&mark(kind, id));
        self.repository.has_blob(kind, id) && !doubted()
    }

    /// Fails when the work was cancelled or another thread has failed: long loops ask at least every 100 ms.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        self.request.control.go_on()?;
        if self.failed.load(Ordering::Relaxed) { Err(Error::WorkerStopped) } else { Ok(()) }
    }

    /// Keeps the first error and ends all threads.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The first error.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stores a blob unless the repository has it, and gives its id.
    pub(crate) fn store(&self, sealer: &mut Sealer, finished: &Sender<PackWriter>, kind: BlobKind, plain: &[u8]) -> Result<BlobId, Error> {
        let id = BlobId::of(plain);
        if self.has_blob(kind, &id) {
            return Ok(id);
        }
        let part = &self.fresh[usize::from(id.0[31] % 16)];
        if !part.lock().unwrap_or_else(PoisonError::into_inner).insert(mark(kind, &id)) {
            return Ok(id);
        }
        let (sealed, compressed_from) =
            sealer.seal(&self.repository.key, plain).map_err(Error::encode(format!("{} blob `{id}`", kind.name())))?;
        let mut pack = self.open_packs.take(self.repository, kind)?;
        pack.add(id, sealed, compressed_from)?;
        let count = if kind == BlobKind::Tree { &self.counts.tree_blobs } else { &self.counts.data_blobs };
        count.fetch_add(1, Ordering::Relaxed);
        self.counts.plain_bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
        self.counts.sealed_bytes.fetch_add(sealed.len() as u64, Ordering::Relaxed);
        if pack.is_full() {
            finished.send(pack).map_err(|_| Error::WorkerStopped)?;
        } else {
            self.open_packs.put(pack);
        }
        Ok(id)
    }
}

/// A tree and a file of the same bytes have the same id and are two blobs.
fn mark(kind: BlobKind, id: &BlobId) -> BlobId {
    if kind == BlobKind::Tree { BlobId(id.0.map(|byte| !byte)) } else { *id }
}

/// Works until there are no more jobs.
pub(crate) fn run(shared: &Shared<'_>, jobs: &Receiver<Job>, finished: &Sender<PackWriter>) -> Result<(), Error> {
    let mut sealer = Sealer::new();
    let mut buffer = Vec::new();
    for job in jobs {
        shared.go_on()?;
        match job {
            Job::Piece { block, from, to, content, number } => {
                let id = shared.store(&mut sealer, finished, BlobKind::Data, &block.bytes[from..to])?;
                content.set(number, id);
            }
            Job::Small(files) => {
                for file in files {
                    shared.go_on()?;
                    let bytes = reader::read_small(shared, file.part, &file.entry, &mut buffer)?;
                    let id = shared.store(&mut sealer, finished, BlobKind::Data, bytes)?;
                    file.content.set(0, id);
                    file.content.close(1);
                }
            }
        }
    }
    Ok(())
}
