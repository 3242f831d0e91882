//! Reading the sealed pieces of a plan, a span at a time.

use std::ops::Range;

use super::blobs::BlobReader;
use super::plan::{Plan, PlannedPiece};
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::format::FormatError;
use crate::repository::format::id::FileId;

/// One thread's reading. Its buffers grow to one span and one plain piece.
pub(crate) struct PieceReader<'a> {
    repository: &'a Repository,
    plan: &'a Plan,
    reader: BlobReader,
    buffer: Vec<u8>,
}

/// A blob of a span: all pieces that it is, and its verified bytes or why they cannot be had from anywhere.
pub(crate) struct ReadPiece<'r> {
    pub(crate) pieces: &'r [PlannedPiece],
    pub(crate) plain: Result<&'r [u8], Unreadable>,
}

/// Why a blob cannot be had.
pub(crate) struct Unreadable {
    /// The pack that it was looked for in first.
    pub(crate) pack: FileId,
    pub(crate) reason: Reason,
}

/// What is wrong with it there.
pub(crate) enum Reason {
    /// It is not what it must be.
    Damaged(FormatError),
    /// It cannot be read.
    Unread(Error),
}

impl<'a> PieceReader<'a> {
    /// Reads pieces of a plan, which are sorted by their places.
    pub(crate) fn new(repository: &'a Repository, plan: &'a Plan) -> Self {
        Self { repository, plan, reader: BlobReader::new(), buffer: Vec::new() }
    }

    /// Reads a span and calls `take` for each blob in it. A blob that cannot be had from there is looked for in other packs. Gives
    /// the bytes of the span; its errors are those of `take`.
    pub(crate) fn read(&mut self, span: Range<usize>, mut take: impl FnMut(ReadPiece<'_>) -> Result<(), Error>) -> Result<u64, Error> {
        let pieces = &self.plan.pieces[span];
        let (Some(first), Some(end)) = (pieces.first(), pieces.iter().map(|piece| piece.location.end()).max()) else {
            return Ok(0);
        };
        let pack = self.plan.packs[first.location.pack as usize];
        let start = first.location.offset as usize;
        let length = usize::try_from(end).unwrap_or(usize::MAX) - start;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let backend = &self.repository.backend;
        let is_read = backend.read_range(FileKind::Pack, &pack, start as u64, &mut self.buffer[..length]).is_ok();
        for same in pieces.chunk_by(|a, b| (a.location, a.id) == (b.location, b.id)) {
            let Some(PlannedPiece { id, location, .. }) = same.first() else { continue };
            let from = location.offset as usize - start;
            let sealed = &mut self.buffer[from..from + location.stored_bytes as usize];
            // one by one otherwise: a bad place of the disk must not hide what is around it
            let read = if is_read { Ok(()) } else { backend.read_range(FileKind::Pack, &pack, location.offset.into(), sealed) };
            let opened = read.map_err(Reason::Unread).and_then(|()| {
                let opened = self.reader.open(&self.repository.key, sealed, location.compressed_from, id);
                opened.map_err(Reason::Damaged)
            });
            let reason = match opened {
                Ok(plain) => {
                    take(ReadPiece { pieces: same, plain: Ok(plain) })?;
                    continue;
                }
                Err(reason) => reason,
            };
            let other = self.repository.read_copy(&mut self.reader, id);
            take(ReadPiece { pieces: same, plain: other.as_deref().ok_or(Unreadable { pack, reason }) })?;
        }
        Ok(length as u64)
    }
}
