//! A file's content, found and verified piece by piece, from whichever pack has a piece whole.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::blobs::BlobReader;
use super::spans::{GAP_BYTES, SPAN_BYTES};
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::format::FormatError;
use crate::repository::format::id::{BlobId, BlobKind, FileId};
use crate::repository::format::node::Node;
use crate::repository::index::Location;

/// Pieces that are read at once at most, while a file is read from its beginning to its end.
const MOST_AHEAD: usize = 256;

/// Sealed bytes of neighbouring pieces, read from their pack at once.
#[derive(Default)]
struct Span {
    bytes: Vec<u8>,
    pack: Option<FileId>,
    /// Where the pieces lie in their pack.
    places: Vec<Location>,
    /// The pieces that were not opened yet; opening one uses up its sealed bytes.
    numbers: Range<usize>,
}

/// A file's content. Memory: 40 bytes for each piece, one plain piece, and one span of [`SPAN_BYTES`] or one sealed piece.
pub(crate) struct Content {
    /// Names the file in messages.
    path: PathBuf,
    ids: Vec<BlobId>,
    /// Where each piece ends in the file.
    ends: Vec<u64>,
    reader: BlobReader,
    span: Span,
    /// The piece that was opened last, and its number.
    plain: Vec<u8>,
    current: Option<usize>,
}

impl Content {
    /// Finds all pieces of a file in the index. `path` names it in messages.
    pub(crate) fn of(repository: &Repository, node: Node, path: &Path) -> Result<Self, Error> {
        let mut ends = Vec::with_capacity(node.content.len());
        let mut end = 0_u64;
        repository.with_index(|index| {
            for id in &node.content {
                end += u64::from(index.require(BlobKind::Data, id, || format!("`{}`", path.display()))?.plain_bytes());
                ends.push(end);
            }
            Ok::<_, Error>(())
        })?;
        if end != node.size_bytes {
            let subject = format!("`{}` in the snapshot", path.display());
            return Err(Error::Damaged { subject, source: FormatError::new("its size is not that of its content") });
        }
        let (reader, span, plain) = (BlobReader::new(), Span::default(), Vec::new());
        Ok(Self { path: path.to_path_buf(), ids: node.content, ends, reader, span, plain, current: None })
    }

    /// The file's length.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Fills `buffer` from `offset` on, and gives how much of it: less only at the end of the file or before a piece that cannot
    /// be read. A call that begins in such a piece is an error.
    pub(crate) fn read_at(&mut self, repository: &Repository, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            let number = self.ends.partition_point(|end| *end <= at);
            if number == self.ends.len() {
                break;
            }
            match self.open(repository, number) {
                Ok(()) => {}
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
            let from = usize::try_from(at - self.start(number)).unwrap_or(usize::MAX);
            let piece = self.plain.get(from..).unwrap_or_default();
            let count = piece.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&piece[..count]);
            filled += count;
        }
        Ok(filled)
    }

    fn start(&self, number: usize) -> u64 {
        number.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Makes a piece the current one.
    fn open(&mut self, repository: &Repository, number: usize) -> Result<(), Error> {
        // a file may have the same piece many times, zeros above all
        if self.current.is_some_and(|current| self.ids[current] == self.ids[number]) {
            self.current = Some(number);
            return Ok(());
        }
        let goes_on = number == self.current.take().map_or(0, |current| current + 1);
        if let Err(error) = self.open_in_span(repository, number, goes_on) {
            self.plain = repository.read_copy(&mut self.reader, &self.ids[number]).ok_or(error)?;
        }
        if self.plain.len() as u64 != self.ends[number] - self.start(number) {
            let source = FormatError::new("its plain length is another than the index said");
            let subject = format!("blob `{}` of `{}`", self.ids[number], self.path.display());
            return Err(Error::Damaged { subject, source });
        }
        self.current = Some(number);
        Ok(())
    }

    /// Opens a piece from its first place, reading it, and those behind it if the file is gone through, unless they are read.
    fn open_in_span(&mut self, repository: &Repository, number: usize, goes_on: bool) -> Result<(), Error> {
        if !self.span.numbers.contains(&number) {
            let most = if goes_on { MOST_AHEAD } else { 1 };
            // what lies behind may be cut off while this piece is whole
            self.read_span(repository, number, most).or_else(|_| self.read_span(repository, number, 1))?;
        }
        let unopened = &self.span.places[self.span.places.len() - self.span.numbers.len()..];
        let (place, first) = (unopened[number - self.span.numbers.start], self.span.places[0]);
        self.span.numbers.start = number + 1;
        let from = (place.offset - first.offset) as usize;
        let sealed = &mut self.span.bytes[from..from + place.stored_bytes as usize];
        let id = &self.ids[number];
        let plain = self.reader.open(&repository.key, sealed, place.compressed_from, id).map_err(|source| {
            let pack = self.span.pack.map(|pack| pack.to_string()).unwrap_or_default();
            Error::Damaged { subject: format!("blob `{id}` of `{}` in pack `{pack}`", self.path.display()), source }
        })?;
        self.plain.clear();
        self.plain.extend_from_slice(plain);
        Ok(())
    }

    /// Reads a piece, and those behind it in the file that lie behind it in its pack.
    fn read_span(&mut self, repository: &Repository, number: usize, most: usize) -> Result<(), Error> {
        self.span.numbers = 0..0;
        self.span.places.clear();
        let (places, path) = (&mut self.span.places, &self.path);
        // where they are now: the index may have been loaded again since the last span
        let pack = repository.with_index(|index| {
            for id in self.ids[number..].iter().take(most) {
                let place = index.require(BlobKind::Data, id, || format!("`{}`", path.display()))?;
                if let (Some(first), Some(last)) = (places.first(), places.last()) {
                    let begins = u64::from(place.offset);
                    let near = place.pack == first.pack && begins >= last.end() && begins <= last.end() + GAP_BYTES;
                    if !near || place.end() - u64::from(first.offset) > SPAN_BYTES {
                        break;
                    }
                }
                places.push(place);
            }
            Ok::<_, Error>(places.first().and_then(|first| index.pack_of(first)))
        })?;
        let (Some(pack), Some(first), Some(last)) = (pack, places.first(), places.last()) else { return Err(Error::WorkerStopped) };
        let (from, count) = (u64::from(first.offset), places.len());
        let length = usize::try_from(last.end() - from).unwrap_or(usize::MAX);
        if self.span.bytes.len() < length {
            self.span.bytes.resize(length, 0);
        }
        repository.backend.read_range(FileKind::Pack, &pack, from, &mut self.span.bytes[..length])?;
        self.span.pack = Some(pack);
        self.span.numbers = number..number + count;
        Ok(())
    }
}
