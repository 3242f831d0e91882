//! What a prune is to do: which packs go and which are written anew.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::prune::PruneRequest;
use super::survey::{Packed, Survey};
use crate::repository::format::id::{BlobKind, FileId};

/// A pack below this size is small: a quarter of a full one.
const SMALL_BYTES: u64 = 4 << 20;

/// So many small packs of a kind may stay; more are put together.
const MOST_SMALL: usize = 8;

/// Which packs go and which are written anew.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Packs of which nothing is used.
    pub(super) remove: HashSet<FileId>,
    /// Packs of which something is used.
    pub(super) repack: HashSet<FileId>,
    /// Bytes of these.
    pub(super) repack_bytes: u64,
    /// Unused bytes in packs that stay.
    pub(super) unused_left: u64,
    /// Whether nothing was left out because of the run's limit of bytes.
    pub(super) finished: bool,
}

impl Plan {
    /// Chooses the packs.
    pub(super) fn make(survey: &Survey, request: &PruneRequest<'_>) -> Self {
        let mut plan = Self { finished: true, ..Self::default() };
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
            if plan.unused_left <= allowed || !plan.take(id, &pack, limit) {
                break;
            }
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
            }
        }
        plan
    }

    /// All packs that go, with those that are written anew.
    pub(super) fn gone(&self) -> impl Iterator<Item = &FileId> {
        self.remove.iter().chain(&self.repack)
    }

    /// Has a pack written anew, if the limit of the run allows it.
    fn take(&mut self, id: FileId, pack: &Packed, limit: u64) -> bool {
        if self.repack_bytes.saturating_add(pack.bytes) > limit {
            self.finished = false;
            return false;
        }
        self.repack_bytes += pack.bytes;
        self.unused_left -= pack.unused_bytes();
        self.repack.insert(id)
    }
}
