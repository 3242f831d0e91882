//! Writing packs anew without what nobody uses.

use std::collections::HashSet;

use super::plan::Plan;
use super::proven;
use super::prune::PruneRequest;
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
    emptied: HashSet<FileId>,
}

impl<'a> Repacked<'a> {
    /// Copies what is used out of the packs of a plan, one after the other, until the time of the run is over. Each blob is proven
    /// first: a damaged one ends the prune before anything is deleted.
    pub(super) fn write(repository: &'a Repository, survey: &Survey, plan: &Plan, request: &PruneRequest<'_>) -> Result<Self, Error> {
        let is_named = |id: &FileId| survey.packs.get(id).is_some_and(|pack| pack.indexed);
        // What no index names is not looked for below, and nothing of it is used.
        let emptied = plan.remove.iter().filter(|id| !is_named(id)).copied().collect();
        let mut repacked = Self { repository, packs: Vec::new(), emptied };
        let (open, mut reader) = (OpenPacks::default(), BlobReader::new());
        'all: for file in &survey.index_files {
            for indexed in repository.load_index_file(file)? {
                let is_planned = plan.remove.contains(&indexed.id) || plan.repack.contains(&indexed.id);
                if !is_planned || repacked.emptied.contains(&indexed.id) {
                    continue;
                }
                if request.is_out_of_time() {
                    break 'all;
                }
                repacked.copy(&indexed, survey, &open, &mut reader, request.control)?;
                repacked.emptied.insert(indexed.id);
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
        used.sort_unstable_by_key(|blob| blob.offset);
        let mut seen = HashSet::new();
        used.retain(|blob| survey.place(blob.kind, &blob.id) == Some(indexed.id) && seen.insert((blob.kind, blob.id)));
        for blob in used {
            control.go_on()?;
            let sealed = proven::read(self.repository, &indexed.id, blob, reader)?;
            control.add_done(u64::from(blob.length));
            let mut pack = open.take(self.repository, blob.kind)?;
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

    /// The packs of the plan that nobody needs any more once an index names the new ones.
    pub(super) fn take_emptied(&mut self) -> HashSet<FileId> {
        std::mem::take(&mut self.emptied)
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
