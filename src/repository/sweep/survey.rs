//! What lies in which pack: the index files compared with the packs that are there and with what is used.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::prune::PruneRequest;
use super::used::Used;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::subject;
use crate::repository::format::FormatError;
use crate::repository::format::crypto::OVERHEAD_BYTES;
use crate::repository::format::id::{BlobId, BlobKind, FileId, IdMap, IdSet};
use crate::repository::format::index::IndexedPack;
use crate::repository::format::pack;
use crate::repository::index::Location;
use crate::repository::read::blobs::BlobReader;

/// What is known of one pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    /// Its length on the disk.
    pub(super) bytes: u64,
    /// Sealed bytes of blobs that are used and are kept in this pack.
    pub(super) used_bytes: u64,
    /// How many these are.
    pub(super) used_blobs: u64,
    /// Data or trees: of the first blob, where there are both.
    pub(super) kind: BlobKind,
    /// Whether an index file names it.
    pub(super) indexed: bool,
}

impl Packed {
    /// Bytes that a pack without its unused blobs would not have.
    pub(super) fn unused_bytes(&self) -> u64 {
        let header = OVERHEAD_BYTES + pack::LENGTH_BYTES + pack::entry_bytes(true) * usize::try_from(self.used_blobs).unwrap_or(0);
        self.bytes.saturating_sub(self.used_bytes + header as u64)
    }
}

/// All packs, and in which of them each used blob is kept.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) packs: HashMap<FileId, Packed>,
    pub(super) index_files: Vec<FileId>,
    /// The index files name packs that are gone, or one pack twice, as after a prune that broke off.
    pub(super) is_index_untidy: bool,
    data: IdMap<BlobId, FileId>,
    trees: IdMap<BlobId, FileId>,
    /// Content that is used and lies in several places.
    copied: IdSet<BlobId>,
}

impl Survey {
    /// Looks at everything. `None` when the time of the run is over.
    ///
    /// # Errors
    /// Whatever cannot be listed or read; [`Error::MissingBlob`] for a blob that is used and in no pack that is there;
    /// [`Error::Damaged`] for a pack that is shorter than its blobs, and for content of several places that is whole in none.
    pub(super) fn make(repository: &Repository, used: &Used, request: &PruneRequest<'_>) -> Result<Option<Self>, Error> {
        let mut survey = Self::default();
        for (id, bytes) in repository.backend.list(FileKind::Pack)? {
            let packed = Packed { bytes, used_bytes: 0, used_blobs: 0, kind: BlobKind::Data, indexed: false };
            survey.packs.insert(id, packed);
        }
        for (file, _) in repository.backend.list(FileKind::Index)? {
            request.control.go_on()?;
            if request.is_out_of_time() {
                return Ok(None);
            }
            survey.index_files.push(file);
            for indexed in repository.load_index_file(&file)? {
                survey.add(&indexed, used)?;
            }
        }
        for (kind, id) in used.iter() {
            if survey.place(kind, id).is_none() {
                return Err(Error::MissingBlob { id: *id, needed_by: "a snapshot".to_owned() });
            }
        }
        Ok(survey.keep_good_copies(repository, request)?.then_some(survey))
    }

    fn add(&mut self, indexed: &IndexedPack, used: &Used) -> Result<(), Error> {
        // A pack that is gone: what it held must lie elsewhere too.
        let Some(packed) = self.packs.get_mut(&indexed.id).filter(|packed| !packed.indexed) else {
            self.is_index_untidy = true;
            return Ok(());
        };
        packed.indexed = true;
        packed.kind = indexed.blobs.first().map_or(BlobKind::Data, |blob| blob.kind);
        for blob in &indexed.blobs {
            if u64::from(blob.offset) + u64::from(blob.length) > packed.bytes {
                let short = FormatError::new(format!("it is cut off: it has {} bytes", packed.bytes));
                return Err(Error::damaged(subject(FileKind::Pack, &indexed.id))(short));
            }
            if !used.may_keep(blob.kind, &blob.id, &indexed.id) {
                continue;
            }
            let places = match blob.kind {
                BlobKind::Data => &mut self.data,
                BlobKind::Tree => &mut self.trees,
            };
            if let Entry::Vacant(place) = places.entry(blob.id) {
                place.insert(indexed.id);
                packed.used_bytes += u64::from(blob.length);
                packed.used_blobs += 1;
            } else if blob.kind == BlobKind::Data {
                self.copied.insert(blob.id);
            }
        }
        Ok(())
    }

    /// Of several copies of content one is kept, which is proven to be whole: the others may go. Which trees are whole is known
    /// from the walk. False when the time of the run is over.
    fn keep_good_copies(&mut self, repository: &Repository, request: &PruneRequest<'_>) -> Result<bool, Error> {
        let (mut reader, mut sealed) = (BlobReader::new(), Vec::new());
        for id in std::mem::take(&mut self.copied) {
            request.control.go_on()?;
            if request.is_out_of_time() {
                return Ok(false);
            }
            let mut places = repository.with_index(|index| index.places(BlobKind::Data, &id));
            places.retain(|(pack, _)| self.packs.contains_key(pack));
            let (mut good, mut failure) = (None, None);
            for (pack, location) in &places {
                let named = || format!("blob `{id}` in pack `{pack}`");
                match repository.read_blob(&mut reader, &mut sealed, &id, pack, location, named) {
                    Err(error) if error.is_damage() => failure = Some(error),
                    other => {
                        other?;
                        good = Some(*pack);
                        break;
                    }
                }
            }
            match (good, failure) {
                (Some(pack), _) => self.keep_in(pack, id, &places),
                (None, Some(failure)) => return Err(failure),
                (None, None) => {}
            }
        }
        Ok(true)
    }

    /// Keeps content in this one of its places.
    fn keep_in(&mut self, pack: FileId, id: BlobId, places: &[(FileId, Location)]) {
        let before = self.data.insert(id, pack);
        let bytes = |id| places.iter().find(|(pack, _)| *pack == id).map_or(0, |(_, location)| u64::from(location.stored_bytes));
        if let Some(packed) = before.and_then(|before| self.packs.get_mut(&before)) {
            packed.used_bytes = packed.used_bytes.saturating_sub(before.map_or(0, bytes));
            packed.used_blobs -= 1;
        }
        if let Some(packed) = self.packs.get_mut(&pack) {
            packed.used_bytes += bytes(pack);
            packed.used_blobs += 1;
        }
    }

    /// The pack in which a used blob is kept.
    pub(super) fn place(&self, kind: BlobKind, id: &BlobId) -> Option<FileId> {
        match kind {
            BlobKind::Data => self.data.get(id).copied(),
            BlobKind::Tree => self.trees.get(id).copied(),
        }
    }
}
