//! Packs that are being written.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::backend::staged::Staged;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, FileId};
use crate::repository::format::pack::{self, PackedBlob};

/// A pack of this size is complete: restic's default.
const FULL_BYTES: u64 = 16 << 20;
/// As is one of so many blobs, so that headers stay small.
const FULL_BLOBS: usize = 10_000;
const BUFFER_BYTES: usize = 256 << 10;

/// One pack that is being written, to a temporary file.
pub(crate) struct PackWriter {
    staged: Staged,
    hash: Sha256,
    buffer: Vec<u8>,
    bytes: u64,
    kind: BlobKind,
    blobs: Vec<PackedBlob>,
}

/// A pack that was written.
pub(crate) struct WrittenPack {
    pub(crate) id: FileId,
    pub(crate) blobs: Vec<PackedBlob>,
    pub(crate) bytes: u64,
}

impl PackWriter {
    fn create(repository: &Repository, kind: BlobKind) -> Result<Self, Error> {
        let staged = repository.backend.stage()?;
        Ok(Self { staged, hash: Sha256::new(), buffer: Vec::new(), bytes: 0, kind, blobs: Vec::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > BUFFER_BYTES {
            self.hash.update(bytes);
            return self.staged.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.hash.update(&self.buffer);
        self.staged.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Appends a sealed blob.
    pub(crate) fn add(&mut self, id: BlobId, sealed: &[u8], plain_bytes: u32) -> Result<(), Error> {
        self.write(sealed)?;
        // sealed blobs are at most a few bytes longer than plain ones, whose length was checked
        let stored_bytes = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        self.blobs.push(PackedBlob { kind: self.kind, id, stored_bytes, plain_bytes });
        Ok(())
    }

    /// Of which blobs.
    pub(crate) fn kind(&self) -> BlobKind {
        self.kind
    }

    /// Whether it is time for the next pack.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES || self.blobs.len() >= FULL_BLOBS
    }

    /// Appends the header and publishes the pack.
    pub(crate) fn finish(mut self, repository: &Repository) -> Result<WrittenPack, Error> {
        let header = repository.key.seal(&pack::encode_header(&self.blobs)).map_err(Error::encode("a pack's header"))?;
        self.write(&header)?;
        self.write(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        self.flush()?;
        let id = FileId(self.hash.finalize().into());
        repository.backend.write_once(FileKind::Pack, &id, self.staged)?;
        Ok(WrittenPack { id, blobs: self.blobs, bytes: self.bytes })
    }
}

/// Packs that wait for more blobs, shared by the workers: a tiny snapshot ends with one pack of each kind, a large one with one
/// for each worker.
#[derive(Default)]
pub(crate) struct OpenPacks(Mutex<Vec<PackWriter>>);

impl OpenPacks {
    /// Takes a pack that nobody else writes to, a new one if there is none.
    pub(crate) fn take(&self, repository: &Repository, kind: BlobKind) -> Result<PackWriter, Error> {
        let free = {
            let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let position = open.iter().position(|pack| pack.kind == kind);
            position.map(|position| open.swap_remove(position))
        };
        free.map_or_else(|| PackWriter::create(repository, kind), Ok)
    }

    /// Leaves a pack for the next blob.
    pub(crate) fn put(&self, pack: PackWriter) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
    }

    /// Takes all.
    pub(crate) fn drain(&self) -> Vec<PackWriter> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
