//! Prune: gives back the space of what no snapshot uses.
//!
//! The order is that of restic (`doc/design.rst`, removal of data): new packs, an index of all that stays, then the old index files,
//! then the packs that nobody needs. A process that ends anywhere on the way leaves every snapshot whole, and the next prune goes on.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::repack::Repacked;
use super::survey::{Packed, Survey};
use super::used::Used;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::IndexWriter;
use crate::repository::format::id::{BlobKind, FileId};
use crate::repository::lock::{Lock, LockKind};

/// A pack below this size is small: a quarter of a full one.
const SMALL_BYTES: u64 = 4 << 20;

/// So many small packs of a kind may stay; more are put together.
const MOST_SMALL: usize = 8;

/// After so many deletions it is looked again whether the lock is still ours.
const PROTECT_EVERY: usize = 100;

/// How a repository is pruned.
#[derive(Debug, Clone, Copy)]
pub struct PruneRequest<'a> {
    /// The share of unused bytes among all that may stay, percent; 0 writes every pack anew that has any.
    pub max_unused_percent: u8,
    /// Most bytes of packs that one run reads to write them anew; `None` for no limit.
    pub max_repack_bytes: Option<u64>,
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
    /// Whether everything was done that was to be; false where the limit ended the run.
    pub finished: bool,
}

/// Which packs go and which are written anew.
#[derive(Debug, Default)]
struct Plan {
    remove: HashSet<FileId>,
    repack: HashSet<FileId>,
    repack_bytes: u64,
    unused_left: u64,
    finished: bool,
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
        let used = Used::find(self, request.control)?;
        let survey = Survey::make(self, &used, request.control)?;
        let plan = plan(&survey, request);
        let mut pruned = Pruned {
            snapshots: used.snapshots,
            used_blobs: used.len(),
            used_bytes: survey.packs.values().map(|pack| pack.used_bytes).sum(),
            removed_packs: (plan.remove.len() + plan.repack.len()) as u64,
            repacked_packs: plan.repack.len() as u64,
            repacked_bytes: plan.repack_bytes,
            unused_bytes_left: plan.unused_left,
            finished: plan.finished,
            ..Pruned::default()
        };
        drop(used);
        if request.dry_run {
            let bytes =
                |ids: &HashSet<FileId>, of: fn(&Packed) -> u64| ids.iter().filter_map(|id| survey.packs.get(id)).map(of).sum::<u64>();
            pruned.written_bytes = bytes(&plan.repack, |pack| pack.used_bytes);
            pruned.reclaimed_bytes = bytes(&plan.remove, |pack| pack.bytes) + bytes(&plan.repack, Packed::unused_bytes);
            return Ok(pruned);
        }
        failpoint::reach("prune.planned");
        let before = self.bytes_on_disk()?;
        let done = self.carry_out(&survey, &plan, request.control, lock);
        // However it ended, what is known of the index may be another now.
        self.forget_index();
        self.refresh_index()?;
        pruned.written_bytes = done?;
        pruned.reclaimed_bytes = before.saturating_sub(self.bytes_on_disk()?);
        Ok(pruned)
    }

    fn bytes_on_disk(&self) -> Result<u64, Error> {
        let sum = |files: Vec<(FileId, u64)>| files.into_iter().map(|(_, bytes)| bytes).sum::<u64>();
        Ok(sum(self.backend.list(FileKind::Pack)?) + sum(self.backend.list(FileKind::Index)?))
    }

    /// Gives the bytes of the new packs.
    fn carry_out(&self, survey: &Survey, plan: &Plan, control: &Control, lock: &Lock) -> Result<u64, Error> {
        let gone: HashSet<FileId> = plan.remove.union(&plan.repack).copied().collect();
        // Packs that no index names go without a new one.
        let is_named = |id: &FileId| survey.packs.get(id).is_some_and(|pack| pack.indexed);
        let reindex = survey.is_index_untidy || gone.iter().any(is_named);
        control.begin_stage("prune", plan.repack_bytes);
        let repacked = Repacked::write(self, survey, &plan.repack, control)?;
        let written_bytes = repacked.bytes();
        failpoint::reach("prune.packs_written");
        if reindex {
            control.go_on()?;
            lock.protect(self, "pruning", LockKind::Exclusive)?;
            let new = self.write_index(survey, &gone, &repacked)?;
            failpoint::reach("prune.index_written");
            repacked.keep();
            for file in survey.index_files.iter().filter(|file| !new.contains(file)) {
                self.backend.delete(FileKind::Index, file)?;
                failpoint::reach("prune.old_index_removed");
            }
        }
        for (number, pack) in gone.iter().enumerate() {
            if number % PROTECT_EVERY == 0 {
                control.go_on()?;
                lock.protect(self, "pruning", LockKind::Exclusive)?;
            }
            self.backend.delete(FileKind::Pack, pack)?;
            failpoint::reach("prune.pack_removed");
        }
        Ok(written_bytes)
    }

    /// Writes an index of all that stays: the old files without the packs that go, and the new packs.
    fn write_index(&self, survey: &Survey, gone: &HashSet<FileId>, repacked: &Repacked<'_>) -> Result<HashSet<FileId>, Error> {
        let mut writer = IndexWriter::new(self);
        let mut seen = HashSet::new();
        for file in &survey.index_files {
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

fn plan(survey: &Survey, request: &PruneRequest<'_>) -> Plan {
    let mut plan = Plan { finished: true, ..Plan::default() };
    let (mut wasteful, mut used_bytes) = (Vec::new(), 0);
    let mut small: [Vec<FileId>; 2] = Default::default();
    for (id, pack) in &survey.packs {
        if pack.used_blobs == 0 {
            plan.remove.insert(*id);
            continue;
        }
        used_bytes += pack.used_bytes;
        plan.unused_left += pack.unused_bytes();
        if pack.bytes < SMALL_BYTES {
            small[usize::from(pack.kind == BlobKind::Tree)].push(*id);
        }
        if pack.unused_bytes() > 0 {
            wasteful.push((*id, *pack));
        }
    }
    // The share may be that of what is used and unused together.
    let percent = u64::from(request.max_unused_percent.min(100));
    let allowed = if percent == 100 { u64::MAX } else { (used_bytes / (100 - percent)).saturating_mul(percent) };
    let share = |pack: &Packed| pack.unused_bytes() as f64 / pack.bytes.max(1) as f64;
    wasteful.sort_by(|(a_id, a), (b_id, b)| share(b).total_cmp(&share(a)).then(Reverse(a_id).cmp(&Reverse(b_id))));
    let limit = request.max_repack_bytes.unwrap_or(u64::MAX);
    for (id, pack) in wasteful {
        if plan.unused_left <= allowed {
            break;
        }
        if !plan.take(id, &pack, limit) {
            break;
        }
        plan.unused_left -= pack.unused_bytes();
    }
    for ids in &mut small {
        ids.retain(|id| !plan.repack.contains(id));
        ids.sort_unstable();
        if ids.len() <= MOST_SMALL {
            continue;
        }
        for id in ids.iter() {
            let Some(pack) = survey.packs.get(id) else { continue };
            if !plan.take(*id, pack, limit) {
                break;
            }
            plan.unused_left -= pack.unused_bytes();
        }
    }
    plan
}

impl Plan {
    /// Has a pack written anew, if the limit of the run allows it.
    fn take(&mut self, id: FileId, pack: &Packed, limit: u64) -> bool {
        if self.repack_bytes.saturating_add(pack.bytes) > limit {
            self.finished = false;
            return false;
        }
        self.repack_bytes += pack.bytes;
        self.repack.insert(id)
    }
}
