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

/// A blob of a span: all pieces that it is, its pack, and its verified bytes or what is wrong with them.
pub(crate) struct ReadPiece<'r> {
    pub(crate) pieces: &'r [PlannedPiece],
    pub(crate) pack: FileId,
    pub(crate) plain: Result<&'r [u8], FormatError>,
}

impl<'a> PieceReader<'a> {
    /// Reads pieces of a plan, which are sorted by their places.
    pub(crate) fn new(repository: &'a Repository, plan: &'a Plan) -> Self {
        Self { repository, plan, reader: BlobReader::new(), buffer: Vec::new() }
    }

    /// Reads a span and calls `take` for each blob in it. Gives the bytes read from the pack.
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
        self.repository.backend.read_range(FileKind::Pack, &pack, start as u64, &mut self.buffer[..length])?;
        for same in pieces.chunk_by(|a, b| (a.location, a.id) == (b.location, b.id)) {
            let Some(piece) = same.first() else { continue };
            let from = piece.location.offset as usize - start;
            let sealed = &mut self.buffer[from..from + piece.location.stored_bytes as usize];
            let plain = self.reader.open(&self.repository.key, sealed, piece.location.compressed_from, &piece.id);
            take(ReadPiece { pieces: same, pack, plain })?;
        }
        Ok(length as u64)
    }
}
