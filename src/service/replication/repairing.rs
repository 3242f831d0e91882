//! What is damaged or missing at a target is sent again.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;

use super::super::Services;
use super::super::error::Error;
use super::super::repository_lock::HeldLock;
use super::destination::Destination;
use super::mirror::Mirroring;
use super::sending::Line;
use super::transfer::send_large_indexes;
use crate::base::control::Control;
use crate::base::secret::Secret;
use crate::domain::graph_id::GraphId;
use crate::repository::{self, Commit, CopyPlan, FileId, FileKind, LockKind, RecordId, Replica, Repository};
use crate::store::entity::{snapshot, target};
use crate::store::{replications, snapshots};

impl Services {
    /// Sends again what is damaged, if it is whole here; gives what was. Index files are not the same on both sides: one is made of all
    /// packs that the snapshots there need.
    pub(super) async fn repair_copy(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        graph_id: &GraphId,
        damaged: &[(FileKind, FileId)],
    ) -> Result<Vec<(FileKind, FileId)>, Error> {
        if let Some(password) = self.password_at(target).await? {
            return self.repair_sealed_copy(target, line, destination, graph_id, damaged, password).await;
        }
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let (mut repaired, mut lacking) = (Vec::new(), Vec::new());
        for (kind, id) in damaged {
            let (from, kind, id) = (Arc::clone(&repository), *kind, *id);
            match self.put_again(line, destination, kind, id, move || from.open_stored(kind, &id)).await {
                Ok(()) => repaired.push((kind, id)),
                // A pack that was rewritten here since: what it held lies in another one.
                Err(error) if kind == FileKind::Index || kind == FileKind::Pack && error.reason() == "FILE_SYSTEM" => {
                    lacking.push((kind, id));
                }
                Err(error) => {
                    tracing::error!(file = %id, error = error.chain(), "a damaged file of a target cannot be sent again");
                }
            }
        }
        if !lacking.is_empty() {
            let (indexes, packs): (Vec<_>, Vec<_>) = lacking.into_iter().partition(|(kind, _)| *kind == FileKind::Index);
            let replaced = indexes.iter().map(|(_, id)| *id).collect();
            let is_sent = self.send_all_again(target, line, destination, graph_id, &repository, replaced).await?;
            repaired.extend(indexes.into_iter().filter(|_| is_sent));
            for (_, id) in packs {
                // What our snapshots need of it is there in other packs. Whether it held something else, only that side knows.
                tracing::warn!(target_name = target.name, file = %id, "a damaged pack of a target is not here any more, repair the copy there");
            }
        }
        Ok(repaired)
    }

    async fn put_again(
        &self,
        line: &Arc<Line>,
        destination: &Destination,
        kind: FileKind,
        id: FileId,
        open: impl FnOnce() -> Result<(File, u64), repository::Error> + Send + 'static,
    ) -> Result<(), Error> {
        let file = self.blocking(open).await?;
        destination.put(kind, id, file, &line.throttle).await
    }

    /// As [`Services::repair_copy`], of a copy with a password of its own: small files are in its mirror, and what lies in a damaged pack
    /// is sealed again into another one. The damaged pack goes with the next prune there.
    async fn repair_sealed_copy(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        graph_id: &GraphId,
        damaged: &[(FileKind, FileId)],
        password: Secret,
    ) -> Result<Vec<(FileKind, FileId)>, Error> {
        let (packs, small): (Vec<_>, Vec<_>) = damaged.iter().copied().partition(|(kind, _)| *kind == FileKind::Pack);
        let (mut repaired, mut replaced) = (Vec::new(), Vec::new());
        for (kind, id) in small {
            let root = self.mirror_root(target, graph_id);
            match self.put_again(line, destination, kind, id, move || Replica::at(&root).open(kind, &id)).await {
                Ok(()) => repaired.push((kind, id)),
                // One that was made there since: it is not in the mirror, or was not whole when it came.
                Err(error) if kind == FileKind::Index && ["FILE_SYSTEM", "FILE_MISMATCH"].contains(&error.reason().as_str()) => {
                    replaced.push(id)
                }
                Err(error) => tracing::error!(file = %id, error = error.chain(), "a damaged file of a target cannot be sent again"),
            }
        }
        if packs.is_empty() && replaced.is_empty() {
            return Ok(repaired);
        }
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let from = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let (control, distrusted) = (Arc::new(Control::default()), packs.iter().map(|(_, id)| *id).collect());
        let mirroring = Mirroring { services: self, target, graph_id, from, destination, line, control: &control, mends: true, distrusted };
        let (mirror, mut is_held) = (mirroring.mirror(password).await?, false);
        let done = replications::list_done(self.store().read(), target.target_id, graph_id).await?;
        for row in snapshots::list_all(self.store().read(), graph_id).await?.iter().filter(|row| done.contains(&row.snapshot_id)) {
            let Some(record) = row.record_id.as_deref().and_then(RecordId::parse) else { continue };
            match mirroring.send(&mirror, row, record).await {
                Ok(sent) => is_held |= sent.is_some(),
                Err(error) => {
                    let snapshot_id = row.snapshot_id;
                    tracing::warn!(%snapshot_id, error = error.chain(), "a snapshot cannot be made whole again at a target");
                    return Ok(repaired);
                }
            }
        }
        // Where none of ours is there any more, nothing was made whole.
        repaired.extend(packs.into_iter().filter(|_| is_held));
        // What they named, and nothing else names, has been sent again.
        if !replaced.is_empty() && self.set_aside(target, destination, graph_id, &replaced).await? {
            repaired.extend(replaced.into_iter().map(|id| (FileKind::Index, id)));
        }
        Ok(repaired)
    }

    /// Takes damaged index files of a copy with a password of its own out of the way. False where the target has no record of ours any
    /// more, with which to ask for it.
    async fn set_aside(
        &self,
        target: &target::Model,
        destination: &Destination,
        graph_id: &GraphId,
        replaced: &[FileId],
    ) -> Result<bool, Error> {
        let mirror = Replica::at(&self.mirror_root(target, graph_id));
        let listed = mirror.clone();
        let ours: Vec<FileId> = self.blocking(move || listed.list(FileKind::Snapshot)).await?.into_iter().map(|(id, _)| id).collect();
        let missing = destination.missing(FileKind::Snapshot, ours.clone()).await?;
        let Some(held) = ours.into_iter().find(|id| !missing.contains(id)) else { return Ok(false) };
        let record = self.blocking(move || mirror.read(FileKind::Snapshot, &held)).await?;
        let record = (RecordId::from(held), record);
        destination.commit(Commit { base: None, packs: Vec::new(), indexes: Vec::new(), record, replaced: replaced.to_vec() }).await?;
        Ok(true)
    }

    /// Makes all snapshots that a target holds whole again, by the packs that they have here; false where it holds none of ours.
    async fn send_all_again(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        graph_id: &GraphId,
        repository: &Arc<Repository>,
        replaced: Vec<FileId>,
    ) -> Result<bool, Error> {
        let Some(plan) = self.plan_all(target, destination, graph_id, repository).await? else { return Ok(false) };
        for pack in destination.missing(FileKind::Pack, plan.packs.iter().map(|(id, _)| *id).collect()).await? {
            let from = Arc::clone(repository);
            let file = self.blocking(move || from.open_stored(FileKind::Pack, &pack)).await?;
            destination.put(FileKind::Pack, pack, file, &line.throttle).await?;
        }
        let (commit, _) = send_large_indexes(destination, plan.commit, &line.throttle).await?;
        destination.commit(Commit { replaced, ..commit }).await?;
        Ok(true)
    }

    /// The plan of all snapshots that a target holds; none where it holds none of ours.
    async fn plan_all(
        &self,
        target: &target::Model,
        destination: &Destination,
        graph_id: &GraphId,
        repository: &Arc<Repository>,
    ) -> Result<Option<CopyPlan>, Error> {
        let done = replications::list_done(self.store().read(), target.target_id, graph_id).await?;
        let mut rows = snapshots::list_all(self.store().read(), graph_id).await?;
        rows.retain(|row| done.contains(&row.snapshot_id) && row.status.is_restorable());
        let id_of = |row: &snapshot::Model| row.record_id.as_deref().and_then(RecordId::parse);
        let all: Vec<RecordId> = rows.iter().filter_map(id_of).collect();
        let names = all.iter().map(|id| FileId::from(*id)).collect();
        // Its own retention may have deleted some there.
        let missing: HashSet<FileId> = destination.missing(FileKind::Snapshot, names).await?.into_iter().collect();
        let held: Vec<RecordId> = all.into_iter().filter(|id| !missing.contains(&FileId::from(*id))).collect();
        let Some(newest) = held.first().copied() else { return Ok(None) };
        let lock = HeldLock::try_take(self, repository, LockKind::Shared).await?;
        let (from, held_lock) = (Arc::clone(repository), lock.clone());
        let planned = self.blocking(move || from.plan_copies(newest, &held, &Control::default(), held_lock.lock())).await;
        lock.release(self).await;
        planned.map(Some)
    }
}
