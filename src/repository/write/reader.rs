//! Reading files, and proving that they are as they were captured.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::Sender;
use fastcdc::v2020::FastCDC;
use rustix::fs::OFlags;

use super::Part;
use super::blocks::{Block, Blocks, Range};
use super::content::Content;
use super::work::{Job, Shared};
use crate::domain::entry::{Entry, Meta};
use crate::repository::error::Error;

/// Files below this are one piece, as no piece is smaller.
pub(crate) const SMALLEST_PIECE_BYTES: usize = 512 << 10;
const AVERAGE_PIECE_BYTES: usize = 1 << 20;
/// No piece is larger; also the size of a read buffer, so that a full one always has the end of a piece in it.
pub(crate) const LARGEST_PIECE_BYTES: usize = 8 << 20;
/// At most so much is read at once, so that a buffer is seldom filled beyond what is left of the last and this.
const READ_BYTES: usize = 4 << 20;

/// Makes the error of a file that cannot be read.
pub(crate) fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::SourceUnreadable { path: path.clone(), source }
}

/// Whether a path names a file that this process holds open: such a path is a link by its nature, and only following it reads
/// the file. Nobody can put another in its place.
pub(crate) fn is_held_open(path: &Path) -> bool {
    path.starts_with("/proc/self/fd")
}

fn open(path: &Path) -> Result<File, Error> {
    // neither follows a link that took the file's place, nor waits for a pipe that did
    let follow = if is_held_open(path) { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = follow | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable(path))
}

/// Fails unless the open file is of the generation that was captured. The link count may be another, and in a list the ctime: a
/// capture links the file.
fn expect_captured(shared: &Shared<'_>, part: Part, file: &File, entry: &Entry) -> Result<(), Error> {
    let metadata = file.metadata().map_err(unreadable(&entry.read_from))?;
    let meta = Meta::from(&metadata);
    let same_ctime = !shared.compares_ctime(part) || meta.changed == entry.meta.changed;
    if metadata.is_file() && meta.generation() == entry.meta.generation() && same_ctime {
        Ok(())
    } else {
        Err(Error::SourceChanged { path: entry.read_from.clone() })
    }
}

fn expect_size(read_bytes: u64, entry: &Entry) -> Result<(), Error> {
    if read_bytes == entry.meta.size_bytes { Ok(()) } else { Err(Error::SourceChanged { path: entry.read_from.clone() }) }
}

/// Reads a file of less than [`SMALLEST_PIECE_BYTES`].
pub(crate) fn read_small<'b>(shared: &Shared<'_>, part: Part, entry: &Entry, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Error> {
    let path = &entry.read_from;
    let mut file = open(path)?;
    expect_captured(shared, part, &file, entry)?;
    // one byte more than the file has shows that it has not grown
    let wanted = usize::try_from(entry.meta.size_bytes).unwrap_or(SMALLEST_PIECE_BYTES).min(SMALLEST_PIECE_BYTES) + 1;
    if buffer.len() < wanted {
        buffer.resize(wanted, 0);
    }
    let length = fill(&mut file, &mut buffer[..wanted]).map_err(unreadable(path))?;
    expect_size(length as u64, entry)?;
    expect_captured(shared, part, &file, entry)?;
    if let Some(mut tap) = shared.tap(part, entry) {
        if length > 0 {
            tap(Some(Bytes::copy_from_slice(&buffer[..length])));
        }
        tap(None);
    }
    shared.request.control.add_done(length as u64);
    Ok(&buffer[..length])
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a large file and cuts it into pieces for the workers. Cutting is ten times as fast as their work: one thread is enough.
pub(crate) fn read_large(
    shared: &Shared<'_>,
    blocks: &Blocks,
    part: Part,
    entry: &Entry,
    jobs: &Sender<Job>,
    content: &Arc<Content>,
) -> Result<(), Error> {
    let path = &entry.read_from;
    let mut file = open(path)?;
    expect_captured(shared, part, &file, entry)?;
    let mut tap = shared.tap(part, entry);
    let (mut number, mut read_bytes, mut at_end) = (0, 0, false);
    let mut rest: Option<Range> = None;
    while !at_end {
        shared.go_on()?;
        let mut block = blocks.take(|| shared.go_on())?;
        // the piece that did not end in the last block begins this one
        block.filled = rest.take().map_or(0, |rest| {
            let rest = rest.as_ref();
            block.bytes[..rest.len()].copy_from_slice(rest);
            rest.len()
        });
        let from = block.filled;
        let to = LARGEST_PIECE_BYTES.min(from + READ_BYTES);
        let length = fill(&mut file, &mut block.bytes[from..to]).map_err(unreadable(path))?;
        at_end = length < to - from;
        block.filled += length;
        read_bytes += length as u64;
        if read_bytes > entry.meta.size_bytes {
            // it grows, perhaps as fast as it is read
            return Err(Error::SourceChanged { path: path.clone() });
        }
        let block = Arc::new(block);
        if let (Some(tap), true) = (tap.as_mut(), length > 0) {
            tap(Some(Bytes::from_owner(Range { block: Arc::clone(&block), from, to: from + length })));
        }
        let cut_to = cut(&block, at_end, |from, to| {
            let job = Job::Piece { block: Arc::clone(&block), from, to, content: Arc::clone(content), number };
            number += 1;
            jobs.send(job).map_err(|_| Error::WorkerStopped)
        })?;
        let filled = block.filled;
        rest = (cut_to < filled).then_some(Range { block, from: cut_to, to: filled });
        shared.request.control.add_done(length as u64);
    }
    expect_size(read_bytes, entry)?;
    expect_captured(shared, part, &file, entry)?;
    if let Some(mut tap) = tap {
        tap(None);
    }
    content.close(number);
    Ok(())
}

/// Cuts a block into pieces and gives where the last of them ends. What is left may go on in the next block.
fn cut(block: &Block, at_end: bool, mut piece: impl FnMut(usize, usize) -> Result<(), Error>) -> Result<usize, Error> {
    let filled = block.filled;
    let cutter = FastCDC::new(&block.bytes[..filled], SMALLEST_PIECE_BYTES, AVERAGE_PIECE_BYTES, LARGEST_PIECE_BYTES);
    let mut from = 0;
    while from < filled {
        let (_, to) = cutter.cut(from, filled - from);
        if to == filled && !at_end && to - from < LARGEST_PIECE_BYTES {
            break;
        }
        piece(from, to)?;
        from = to;
    }
    Ok(from)
}
