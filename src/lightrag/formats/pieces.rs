//! A file's bytes as they come: from the disk, or from an engine that reads the file anyway.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::Path;

use bytes::Bytes;
use crossbeam_channel::Receiver;

use crate::base::control::{Cancelled, Control};
use crate::lightrag::files::Files;

/// How much is read from the disk at a time. Fits a core's cache beside what works on it.
const READ_BYTES: usize = 256 * 1024;

/// Why a file was not parsed to its end.
#[derive(Debug)]
pub(in crate::lightrag) enum Stop {
    /// It is damaged.
    Malformed {
        /// How many bytes from its beginning on were good, or nearly so many.
        at_byte: u64,
        /// What is wrong there.
        problem: String,
    },
    /// It cannot be read.
    Read(io::Error),
    /// The engine broke its reading off.
    Cut,
    /// The work was stopped.
    Cancelled(Cancelled),
}

enum Origin<'a> {
    Disk { file: Box<dyn Read + 'a>, control: &'a Control },
    Engine(Receiver<Option<Bytes>>),
    Collected(VecDeque<Bytes>),
}

enum Piece {
    Own(Vec<u8>),
    Shared(Bytes),
}

/// The pieces of one file, one after the other.
pub(in crate::lightrag) struct Pieces<'a> {
    origin: Origin<'a>,
    piece: Piece,
    at: usize,
    length: usize,
    before_bytes: u64,
    ended: bool,
    stop: Option<Stop>,
}

impl<'a> Pieces<'a> {
    /// A file of a workspace from its beginning; `None` where there is none.
    pub(in crate::lightrag) fn open(files: &'a dyn Files, path: &Path, control: &'a Control) -> io::Result<Option<Self>> {
        Ok(files.open(path)?.map(|file| Self::of_disk(file, control)))
    }

    pub(in crate::lightrag) fn of_disk(file: impl Read + 'a, control: &'a Control) -> Self {
        Self::of(Origin::Disk { file: Box::new(file), control }, Piece::Own(vec![0; READ_BYTES]))
    }

    /// What an engine sends: pieces, then `None`.
    pub(in crate::lightrag) fn of_engine(pieces: Receiver<Option<Bytes>>) -> Self {
        Self::of(Origin::Engine(pieces), Piece::Shared(Bytes::new()))
    }

    pub(in crate::lightrag) fn of_collected(pieces: VecDeque<Bytes>) -> Self {
        Self::of(Origin::Collected(pieces), Piece::Shared(Bytes::new()))
    }

    fn of(origin: Origin<'a>, piece: Piece) -> Self {
        Self { origin, piece, at: 0, length: 0, before_bytes: 0, ended: false, stop: None }
    }

    /// The rest of the present piece. Empty at its end: then ask for more.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        match &self.piece {
            Piece::Own(bytes) => &bytes[self.at..self.length],
            Piece::Shared(bytes) => &bytes[self.at..self.length],
        }
    }

    #[inline]
    pub(super) fn advance(&mut self, by: usize) {
        self.at += by;
    }

    /// How many bytes have been advanced over.
    pub(super) fn at_byte(&self) -> u64 {
        self.before_bytes + self.at as u64
    }

    /// Goes on to the next piece, once the present one is used up. False at the file's end.
    pub(super) fn more(&mut self) -> Result<bool, Stop> {
        while !self.ended && self.at == self.length {
            self.before_bytes += self.length as u64;
            (self.at, self.length) = (0, 0);
            match &mut self.origin {
                Origin::Disk { file, control } => {
                    control.go_on().map_err(Stop::Cancelled)?;
                    let Piece::Own(buffer) = &mut self.piece else { continue };
                    match file.read(buffer) {
                        Ok(0) => self.ended = true,
                        Ok(length) => {
                            control.add_done(length as u64);
                            self.length = length;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(Stop::Read(error)),
                    }
                }
                Origin::Engine(pieces) => match pieces.recv() {
                    Ok(Some(piece)) => {
                        self.length = piece.len();
                        self.piece = Piece::Shared(piece);
                    }
                    Ok(None) => self.ended = true,
                    Err(_) => return Err(Stop::Cut),
                },
                Origin::Collected(pieces) => match pieces.pop_front() {
                    Some(piece) => {
                        self.length = piece.len();
                        self.piece = Piece::Shared(piece);
                    }
                    None => self.ended = true,
                },
            }
        }
        Ok(self.at < self.length)
    }

    /// What stopped the reading of a parser that goes by [`BufRead`].
    pub(super) fn take_stop(&mut self) -> Option<Stop> {
        self.stop.take()
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.fill_buf()?;
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.length {
            self.more().map_err(|stop| {
                self.stop = Some(stop);
                io::Error::other("the pieces stopped")
            })?;
        }
        Ok(self.rest())
    }

    fn consume(&mut self, amount: usize) {
        self.advance(amount);
    }
}
