//! Prune: gives back the space of what no snapshot uses.
//!
//! The order is that of restic (`doc/design.rst`, removal of data): new packs, an index of all that stays, then the old index files,
//! then the packs that nobody needs. A process that ends anywhere on the way leaves every snapshot whole, and the next prune goes on.

use std::collections::HashSet;

use super::plan::Plan;
use super::repack::Repacked;
use super::survey::{Packed, Survey};
use super::used::Used;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::IndexWriter;
use crate::repository::format::id::FileId;
use crate::repository::lock::{Lock, LockKind};

/// How a repository is pruned.
#[derive(Clone, Copy)]
pub struct PruneRequest<'a> {
    /// The share of unused bytes among all that may stay, percent; 0 writes every pack anew that has any.
    pub max_unused_percent: u8,
    /// Most bytes of packs that one run reads to write them anew; `None` for no limit.
    pub max_repack_bytes: Option<u64>,
    /// Asked again and again whether the time of the run is over: it ends then, keeps what it has done, and the next run goes on.
    /// Before it knows what is used it can do nothing: a run that is shorter than that has no effect. `None` for no limit.
    pub time_is_over: Option<&'a dyn Fn() -> bool>,
    /// Look only.
    pub dry_run: bool,
    /// Shows progress and stops the work.
    pub control: &'a Control,
}

/// What a prune did, or would do. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Snapshot records whose content was kept.
    pub snapshots: u64,
    /// Blobs that they use.
    pub used_blobs: u64,
    /// Sealed bytes of these.
    pub used_bytes: u64,
    /// Packs that were removed, with those that were written anew.
    pub removed_packs: u64,
    /// Packs that were written anew.
    pub repacked_packs: u64,
    /// Bytes of these.
    pub repacked_bytes: u64,
    /// Bytes that were written for them.
    pub written_bytes: u64,
    /// Packs and index files on the disk before minus after; without their index files in a dry run.
    pub reclaimed_bytes: u64,
    /// Bytes in packs that nobody uses and that stay.
    pub unused_bytes_left: u64,
    /// Whether everything was done that was to be; false where a limit ended the run. All figures are 0 where its time was over
    /// before it knew what is used.
    pub finished: bool,
}

impl PruneRequest<'_> {
    /// Whether the time of the run is over.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.time_is_over.is_some_and(|time_is_over| time_is_over())
    }
}

impl Repository {
    /// Gives back the space of what no snapshot uses.
    ///
    /// # Errors
    /// Whatever cannot be listed or read, [`Error::MissingBlob`] and [`Error::Damaged`]: then nothing was deleted.
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::LockLost`], [`Error::Cancelled`] and [`Error::Io`] may come later
    /// too; every snapshot is whole then, and the next prune goes on.
    pub fn prune(&self, request: &PruneRequest<'_>, lock: &Lock) -> Result<Pruned, Error> {
        lock.protect(self, "pruning", LockKind::Exclusive)?;
        request.control.begin_stage("prune", 0);
        self.complete_index()?;
        let Some(used) = Used::find(self, request)? else { return Ok(Pruned::default()) };
        let Some(survey) = Survey::make(self, &used, request)? else { return Ok(Pruned::default()) };
        let plan = Plan::make(&survey, request);
        let mut pruned = Pruned {
            snapshots: used.snapshots,
            used_blobs: used.len(),
            used_bytes: survey.packs.values().map(|pack| pack.used_bytes).sum(),
            unused_bytes_left: plan.unused_left,
            finished: plan.finished,
            ..Pruned::default()
        };
        drop(used);
        if request.dry_run {
            let bytes =
                |ids: &HashSet<FileId>, of: fn(&Packed) -> u64| ids.iter().filter_map(|id| survey.packs.get(id)).map(of).sum::<u64>();
            pruned.removed_packs = plan.gone().count() as u64;
            pruned.repacked_packs = plan.repack.len() as u64;
            pruned.repacked_bytes = plan.repack_bytes;
            pruned.written_bytes = bytes(&plan.repack, |pack| pack.used_bytes);
            pruned.reclaimed_bytes = bytes(&plan.remove, |pack| pack.bytes) + bytes(&plan.repack, Packed::unused_bytes);
            return Ok(pruned);
        }
        failpoint::reach("prune.planned");
        let before = self.bytes_on_disk()?;
        let done = self.carry_out(&survey, &plan, request, lock, &mut pruned);
        // However it ended, what is known of the index may be another now.
        self.forget_index();
        let reloaded = self.refresh_index();
        done?;
        reloaded?;
        pruned.reclaimed_bytes = before.saturating_sub(self.bytes_on_disk()?);
        Ok(pruned)
    }

    fn bytes_on_disk(&self) -> Result<u64, Error> {
        let sum = |files: Vec<(FileId, u64)>| files.into_iter().map(|(_, bytes)| bytes).sum::<u64>();
        Ok(sum(self.backend.list(FileKind::Pack)?) + sum(self.backend.list(FileKind::Index)?))
    }

    fn carry_out(&self, survey: &Survey, plan: &Plan, request: &PruneRequest<'_>, lock: &Lock, pruned: &mut Pruned) -> Result<(), Error> {
        request.control.begin_stage("prune", plan.repack_bytes);
        // Asked each time: nothing may be deleted when the lock is lost, and a synced deletion takes far longer than that.
        let may_delete = || {
            request.control.go_on()?;
            lock.protect(self, "pruning", LockKind::Exclusive)
        };
        let mut repacked = Repacked::write(self, survey, plan, request)?;
        let gone = repacked.take_emptied();
        pruned.written_bytes = repacked.bytes();
        failpoint::reach("prune.packs_written");
        // Packs that no index names go without a new one.
        let is_named = |id: &FileId| survey.packs.get(id).is_some_and(|pack| pack.indexed);
        if survey.is_index_untidy || gone.iter().any(is_named) {
            may_delete()?;
            let new = self.write_index(survey, &gone, &repacked, request.control)?;
            failpoint::reach("prune.index_written");
            repacked.keep();
            for file in survey.index_files.iter().filter(|file| !new.contains(file)) {
                may_delete()?;
                self.backend.delete(FileKind::Index, file)?;
                failpoint::reach("prune.old_index_removed");
            }
        }
        for (id, pack) in plan.gone().filter_map(|id| survey.packs.get_key_value(id)) {
            if gone.contains(id) && plan.repack.contains(id) {
                pruned.repacked_packs += 1;
                pruned.repacked_bytes += pack.bytes;
            }
            if !gone.contains(id) || request.is_out_of_time() {
                pruned.finished = false;
                pruned.unused_bytes_left += if gone.contains(id) { pack.bytes } else { pack.unused_bytes() };
                continue;
            }
            may_delete()?;
            self.backend.delete(FileKind::Pack, id)?;
            pruned.removed_packs += 1;
            failpoint::reach("prune.pack_removed");
        }
        Ok(())
    }

    /// Writes an index of all that stays: the old files without the packs that go, and the new packs.
    fn write_index(
        &self,
        survey: &Survey,
        gone: &HashSet<FileId>,
        repacked: &Repacked<'_>,
        control: &Control,
    ) -> Result<HashSet<FileId>, Error> {
        let mut writer = IndexWriter::new(self);
        let mut seen = HashSet::new();
        for file in &survey.index_files {
            control.go_on()?;
            for indexed in self.load_index_file(file)? {
                let stays = survey.packs.contains_key(&indexed.id) && !gone.contains(&indexed.id);
                if stays && seen.insert(indexed.id) {
                    writer.add(indexed)?;
                }
            }
        }
        for indexed in repacked.indexed() {
            writer.add(indexed)?;
        }
        writer.finish()
    }
}
