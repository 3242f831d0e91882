//! Writing packs anew without what nobody uses.

use std::collections::HashSet;

use super::survey::Survey;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::backend::local::Local;
use crate::repository::error::Error;
use crate::repository::format::id::FileId;
use crate::repository::format::index::{IndexedBlob, IndexedPack};
use crate::repository::read::blobs::BlobReader;
use crate::repository::write::pack::{OpenPacks, WrittenPack};

/// New packs; removed again when dropped before they are [kept](Repacked::keep), as nothing refers to them then.
pub(super) struct Repacked<'a> {
    repository: &'a Repository,
    packs: Vec<WrittenPack>,
}

impl<'a> Repacked<'a> {
    /// Copies what is used out of these packs. Each blob is proven first: a damaged one ends the prune before anything is deleted.
    pub(super) fn write(repository: &'a Repository, survey: &Survey, packs: &HashSet<FileId>, control: &Control) -> Result<Self, Error> {
        let mut repacked = Self { repository, packs: Vec::new() };
        let (open, mut reader) = (OpenPacks::default(), BlobReader::new());
        let mut seen = HashSet::new();
        for file in &survey.index_files {
            for indexed in repository.load_index_file(file)? {
                if packs.contains(&indexed.id) && seen.insert(indexed.id) {
                    repacked.copy(&indexed, survey, &open, &mut reader, control)?;
                }
            }
        }
        for pack in open.drain() {
            repacked.packs.push(pack.finish(repository)?);
            failpoint::reach("prune.pack_written");
        }
        Ok(repacked)
    }

    fn copy(
        &mut self,
        indexed: &IndexedPack,
        survey: &Survey,
        open: &OpenPacks,
        reader: &mut BlobReader,
        control: &Control,
    ) -> Result<(), Error> {
        let mut used: Vec<&IndexedBlob> = indexed.blobs.iter().collect();
        used.retain(|blob| survey.place(blob.kind, &blob.id) == Some(indexed.id));
        used.sort_unstable_by_key(|blob| blob.offset);
        used.dedup_by_key(|blob| (blob.kind, blob.id));
        for blob in used {
            control.go_on()?;
            let mut sealed = vec![0; blob.length as usize];
            self.repository.backend.read_range(FileKind::Pack, &indexed.id, u64::from(blob.offset), &mut sealed)?;
            let mut proven = sealed.clone();
            reader
                .open(&self.repository.key, &mut proven, blob.uncompressed_length, &blob.id)
                .map_err(Error::damaged(format!("blob `{}` in pack `{}`", blob.id, indexed.id)))?;
            control.add_done(u64::from(blob.length));
            let mut pack = open.take(self.repository, blob.kind)?;
            // A sealed blob stands for itself: the same bytes are valid in any pack.
            pack.add(blob.id, &sealed, blob.uncompressed_length)?;
            if pack.is_full() {
                self.packs.push(pack.finish(self.repository)?);
                failpoint::reach("prune.pack_written");
            } else {
                open.put(pack);
            }
        }
        Ok(())
    }

    /// Bytes of the new packs.
    pub(super) fn bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.bytes).sum()
    }

    /// The new packs as an index file names them.
    pub(super) fn indexed(&self) -> impl Iterator<Item = IndexedPack> {
        self.packs.iter().map(|pack| IndexedPack::of_written(pack.id, &pack.blobs))
    }

    /// From now on an index names them.
    pub(super) fn keep(mut self) {
        self.packs.clear();
    }
}

impl Drop for Repacked<'_> {
    fn drop(&mut self) {
        // No sync for each: a pack that comes back after a power cut is removed by the next prune.
        let unsynced = Local::new(self.repository.root(), false);
        for pack in &self.packs {
            let _ = unsynced.delete(FileKind::Pack, &pack.id);
        }
    }
}
