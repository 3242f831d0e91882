//! The index in memory: where each blob lies.

use super::error::Error;
use super::format::FormatError;
use super::format::crypto::OVERHEAD_BYTES;
use super::format::id::{BlobId, BlobKind, FileId, IdMap};
use super::format::index::IndexedPack;
use super::format::pack::{self, PackedBlob};

/// Where a blob lies; `pack` counts the packs of the index that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) stored_bytes: u32,
    /// Plain length of a compressed blob, else 0.
    pub(crate) compressed_from: u32,
}

impl Location {
    /// Length of the plain blob.
    pub(crate) fn plain_bytes(&self) -> u32 {
        if self.compressed_from == 0 { self.stored_bytes.saturating_sub(OVERHEAD_BYTES as u32) } else { self.compressed_from }
    }

    /// Where the sealed blob ends in its pack.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.stored_bytes)
    }
}

/// The places of the blobs of one kind.
#[derive(Debug, Default)]
struct Places {
    /// The place of each blob that is looked at first.
    first: IdMap<BlobId, Location>,
    /// The other places of the few blobs that lie in several packs: one that was damaged was stored again, say, or two processes
    /// stored the same at once.
    others: IdMap<BlobId, Vec<Location>>,
}

impl Places {
    /// Adds a place. It becomes the first: what was stored last is most likely whole.
    fn add(&mut self, id: BlobId, location: Location) {
        let Some(before) = self.first.insert(id, location).filter(|before| *before != location) else { return };
        let others = self.others.entry(id).or_default();
        others.retain(|other| *other != location);
        others.push(before);
    }

    /// All places of a blob, the first one first.
    fn of<'a>(&'a self, id: &BlobId) -> impl Iterator<Item = &'a Location> + use<'a> {
        self.first.get(id).into_iter().chain(self.others.get(id).into_iter().flatten())
    }
}

/// Which pack holds which blob: 48 bytes for each blob.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<FileId>,
    numbers: IdMap<FileId, u32>,
    /// Whether a pack is in the index files of now; others only keep their numbers.
    present: Vec<bool>,
    data: Places,
    trees: Places,
    stored_bytes: u64,
}

impl Index {
    /// An index without blobs to load into. Packs keep their numbers, as work in progress holds locations.
    pub(crate) fn emptied(&self) -> Self {
        Self { packs: self.packs.clone(), numbers: self.numbers.clone(), present: vec![false; self.packs.len()], ..Self::default() }
    }

    fn of_kind(&self, kind: BlobKind) -> &Places {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Where a blob lies: of several places the first.
    pub(crate) fn find(&self, kind: BlobKind, id: &BlobId) -> Option<Location> {
        self.of_kind(kind).first.get(id).copied()
    }

    /// All packs that ever were in the index while it is held; a location's `pack` counts into them.
    pub(crate) fn packs(&self) -> &[FileId] {
        &self.packs
    }

    /// The packs that the index files of now name.
    pub(crate) fn present_packs(&self) -> impl Iterator<Item = &FileId> {
        self.packs.iter().zip(&self.present).filter(|(_, is_present)| **is_present).map(|(id, _)| id)
    }

    /// Whether the index still names the pack of this number.
    pub(crate) fn is_present(&self, pack: usize) -> bool {
        self.present.get(pack).copied().unwrap_or(false)
    }

    /// All blobs of a kind, each with its first place.
    pub(crate) fn blobs(&self, kind: BlobKind) -> impl Iterator<Item = (&BlobId, &Location)> {
        self.of_kind(kind).first.iter()
    }

    /// Bytes of all packs: blobs, headers and their lengths.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// A pack's number, and whether it was not present until now.
    fn number(&mut self, id: FileId) -> (u32, bool) {
        let next = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.packs.push(id);
            self.present.push(false);
        }
        let was_present = std::mem::replace(&mut self.present[number as usize], true);
        if !was_present {
            self.stored_bytes += (OVERHEAD_BYTES + pack::LENGTH_BYTES) as u64;
        }
        (number, !was_present)
    }

    fn insert(&mut self, kind: BlobKind, id: BlobId, location: Location, counted: bool) {
        if counted {
            self.stored_bytes += u64::from(location.stored_bytes) + pack::entry_bytes(location.compressed_from > 0) as u64;
        }
        match kind {
            BlobKind::Data => self.data.add(id, location),
            BlobKind::Tree => self.trees.add(id, location),
        }
    }

    /// Adds a pack that was just written.
    pub(crate) fn add_written(&mut self, id: FileId, blobs: &[PackedBlob]) {
        let (pack, new) = self.number(id);
        let mut offset = 0;
        for blob in blobs {
            let location = Location { pack, offset, stored_bytes: blob.stored_bytes, compressed_from: blob.plain_bytes };
            self.insert(blob.kind, blob.id, location, new);
            offset += blob.stored_bytes;
        }
    }

    /// Adds what an index file says; the same pack may stand in several.
    pub(crate) fn add_indexed(&mut self, packs: Vec<IndexedPack>) -> Result<(), FormatError> {
        for indexed in packs {
            let (pack, new) = self.number(indexed.id);
            for blob in indexed.blobs {
                if (blob.length as usize) < OVERHEAD_BYTES || blob.offset.checked_add(blob.length).is_none() {
                    return Err(FormatError::new(format!("the place of blob `{}` is impossible", blob.id)));
                }
                let (offset, stored_bytes, compressed_from) = (blob.offset, blob.length, blob.uncompressed_length);
                self.insert(blob.kind, blob.id, Location { pack, offset, stored_bytes, compressed_from }, new);
            }
        }
        Ok(())
    }

    /// Where a blob lies, or the error that names who needs it.
    pub(crate) fn require(&self, kind: BlobKind, id: &BlobId, needed_by: impl FnOnce() -> String) -> Result<Location, Error> {
        self.find(kind, id).ok_or_else(|| Error::MissingBlob { id: *id, needed_by: needed_by() })
    }

    /// All places of a blob, the one that [`Index::find`] gives first.
    pub(crate) fn places(&self, kind: BlobKind, id: &BlobId) -> Vec<(FileId, Location)> {
        self.of_kind(kind).of(id).filter_map(|location| Some((self.pack_of(location)?, *location))).collect()
    }

    /// The pack that a location of this index names.
    pub(crate) fn pack_of(&self, location: &Location) -> Option<FileId> {
        self.packs.get(location.pack as usize).copied()
    }
}
