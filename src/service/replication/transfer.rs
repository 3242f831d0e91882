//! One snapshot on its way to one target: what do you hold, then the packs that are missing, then what makes them a snapshot.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::repository_lock::HeldLock;
use super::destination::Destination;
use super::mirror::Mirroring;
use super::sending::Line;
use super::throttle::Throttle;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::graph_id::GraphId;
use crate::repository::{Commit, CopyPlan, FileId, FileKind, LockKind, RecordId, Repository};
use crate::store::entity::{snapshot, target};
use crate::store::{replications, snapshots};

/// How often a snapshot is planned anew whose packs a prune has rewritten meanwhile, or whose copy has changed.
const PLANS_MAX: u32 = 5;

/// Index files of this size together are sent as files, bytes.
const LARGE_INDEXES: usize = 16 << 20;

/// So many records are asked for when a base is looked for.
const BASES_MAX: usize = 64;

/// What was sent for a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Sent {
    /// Adds a file of so many bytes.
    pub(super) fn count(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Everything that the transfer of one snapshot needs.
struct Transfer<'a> {
    services: &'a Services,
    target: &'a target::Model,
    graph_id: &'a GraphId,
    repository: Arc<Repository>,
    destination: Destination,
    line: &'a Arc<Line>,
    control: &'a Arc<Control>,
    sent: Sent,
}

impl Services {
    /// Brings a snapshot to a target. What is there already is not sent again, so it goes on where an earlier attempt broke off.
    ///
    /// # Errors
    /// The target cannot be reached, or refuses; the snapshot cannot be read here.
    pub(super) async fn transfer(
        &self,
        target: &target::Model,
        row: &snapshot::Model,
        line: &Arc<Line>,
        control: &Arc<Control>,
    ) -> Result<Sent, Error> {
        let gone = || Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_NOT_RESTORABLE", "the snapshot is not there any more");
        let record = row.record_id.as_deref().and_then(RecordId::parse).ok_or_else(gone)?;
        let (services, root) = (self.clone(), self.repository_root(&row.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let destination = self.destination(target, &row.graph_id).await?;
        let graph_id = &row.graph_id;
        if let Some(password) = self.password_at(target).await? {
            let (from, mends, distrusted) = (repository, false, Vec::new());
            let mirroring =
                Mirroring { services: self, target, graph_id, from, destination: &destination, line, control, mends, distrusted };
            let mut attempts = 1;
            loop {
                // In step with the copy anew each time: what was planned by may have changed there.
                let mirror = mirroring.mirror(password.clone()).await?;
                match mirroring.send(&mirror, row, record).await {
                    Err(error) if is_outdated(&error) && attempts < PLANS_MAX => attempts += 1,
                    result => return result.map(Option::unwrap_or_default),
                }
            }
        }
        let mut transfer = Transfer { services: self, target, graph_id, repository, destination, line, control, sent: Sent::default() };
        transfer.found().await?;
        let mut plans = 1;
        loop {
            match transfer.send(record).await {
                Err(error) if is_outdated(&error) && plans < PLANS_MAX => plans += 1,
                result => return result.map(|()| transfer.sent),
            }
        }
    }
}

/// Whether what was planned is not as it was: a pack is gone here, or something is gone there.
fn is_outdated(error: &Error) -> bool {
    ["REPLICA_INCOMPLETE", SOURCE_PRUNED].contains(&error.reason().as_str())
}

/// A pack that was to be sent is gone, as a prune has rewritten it.
const SOURCE_PRUNED: &str = "SOURCE_PRUNED";

impl Transfer<'_> {
    /// Begins the copy where there is none.
    async fn found(&self) -> Result<(), Error> {
        let from = Arc::clone(&self.repository);
        let founding = self.services.blocking(move || from.founding()).await?;
        match self.destination.config().await? {
            Some(there) if there == founding.config => Ok(()),
            Some(_) => {
                let message = format!(
                    "target `{}` holds another repository under the name of graph `{}`: recover that first, or have it removed there",
                    self.target.name, self.graph_id
                );
                Err(Error::refused(ErrorKind::FailedPrecondition, "REPLICA_OF_ANOTHER_REPOSITORY", message))
            }
            None => {
                // What was there once is not there any more.
                replications::forget(self.services.store().read(), self.target.target_id, self.graph_id).await?;
                self.destination.found(founding).await
            }
        }
    }

    async fn send(&mut self, record: RecordId) -> Result<(), Error> {
        if self.destination.missing(FileKind::Snapshot, vec![record.into()]).await?.is_empty() {
            return Ok(());
        }
        let base = self.base(record).await?;
        let planned = match self.plan(record, base).await {
            // The base may be what is damaged: without it the snapshot stands for itself.
            Err(error) if base.is_some() && error.reason() == "REPOSITORY_DAMAGED" => self.plan(record, None).await,
            planned => planned,
        };
        let CopyPlan { packs, commit } = planned?;
        failpoint::reach("replication.planned");
        let names = packs.iter().map(|(id, _)| *id).collect();
        let missing: HashSet<FileId> = self.destination.missing(FileKind::Pack, names).await?.into_iter().collect();
        let total: u64 = packs.iter().filter(|(id, _)| missing.contains(id)).map(|(_, bytes)| bytes).sum();
        self.control.begin_stage("send", total);
        self.send_packs(missing).await?;
        let (commit, large) = send_large_indexes(&self.destination, commit, &self.line.throttle).await?;
        large.into_iter().for_each(|bytes| self.sent.count(bytes));
        let small = commit.indexes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + commit.record.1.len();
        let files = commit.indexes.len() as u64 + 1;
        self.destination.commit(commit).await?;
        self.sent.bytes += small as u64;
        self.sent.files += files;
        failpoint::reach("replication.committed");
        Ok(())
    }

    /// The snapshot that was taken last before this one, or first after it, of those that both sides hold.
    async fn base(&self, record: RecordId) -> Result<Option<RecordId>, Error> {
        let read = self.services.store().read();
        let done = replications::list_done(read, self.target.target_id, self.graph_id).await?;
        let all = snapshots::list_all(read, self.graph_id).await?;
        let id_of = |row: &snapshot::Model| row.record_id.as_deref().and_then(RecordId::parse);
        let at = all.iter().position(|row| id_of(row) == Some(record)).unwrap_or(0);
        let (newer, older) = all.split_at(at);
        let nearest = older.iter().chain(newer.iter().rev()).filter(|row| done.contains(&row.snapshot_id) && row.status.is_restorable());
        let candidates: Vec<RecordId> = nearest.filter_map(id_of).take(BASES_MAX).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        // Its own retention may have deleted some there.
        let missing = self.destination.missing(FileKind::Snapshot, candidates.iter().map(|id| FileId::from(*id)).collect()).await?;
        Ok(candidates.into_iter().find(|id| !missing.contains(&FileId::from(*id))))
    }

    async fn plan(&self, record: RecordId, base: Option<RecordId>) -> Result<CopyPlan, Error> {
        let lock = HeldLock::try_take(self.services, &self.repository, LockKind::Shared).await?;
        let (repository, held, control) = (Arc::clone(&self.repository), lock.clone(), Arc::clone(self.control));
        let planned = self.services.blocking(move || repository.plan_copy(record, base, &control, held.lock())).await;
        // Files are sent without it: whoever deletes and prunes here does not wait for a slow network.
        lock.release(self.services).await;
        planned
    }

    /// Sends packs, some at once. The first that fails ends it; those that have arrived stay.
    async fn send_packs(&mut self, packs: HashSet<FileId>) -> Result<(), Error> {
        let (slots, mut sending) = (self.line.slots(), JoinSet::new());
        let lost = |error| Error::internal("send a pack", error);
        for pack in packs {
            self.control.go_on()?;
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot.map_err(|error| Error::internal("wait for a turn", error))?,
                cancelled = self.control.cancelled() => return Err(cancelled.into()),
            };
            while let Some(done) = sending.try_join_next() {
                self.count(done.map_err(lost)??);
            }
            let (services, repository, destination) = (self.services.clone(), Arc::clone(&self.repository), self.destination.clone());
            let line = Arc::clone(self.line);
            sending.spawn(async move {
                let bytes = send_pack(&services, repository, &destination, pack, &line).await;
                drop(slot);
                bytes
            });
        }
        loop {
            tokio::select! {
                done = sending.join_next() => match done {
                    Some(done) => self.count(done.map_err(lost)??),
                    None => return Ok(()),
                },
                cancelled = self.control.cancelled() => return Err(cancelled.into()),
            }
        }
    }

    fn count(&mut self, bytes: u64) {
        self.sent.count(bytes);
        self.control.add_done(bytes);
    }
}

/// Index files that are too large for one message go before it: the packs that they name are there. Gives their sizes in bytes.
pub(super) async fn send_large_indexes(
    destination: &Destination,
    commit: Commit,
    throttle: &Throttle,
) -> Result<(Commit, Vec<u64>), Error> {
    if commit.indexes.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < LARGE_INDEXES {
        return Ok((commit, Vec::new()));
    }
    let mut sizes = Vec::new();
    let mut commit = commit;
    for (id, bytes) in std::mem::take(&mut commit.indexes) {
        sizes.push(bytes.len() as u64);
        destination.put_bytes(FileKind::Index, id, bytes, throttle).await?;
    }
    Ok((commit, sizes))
}

async fn send_pack(
    services: &Services,
    repository: Arc<Repository>,
    destination: &Destination,
    pack: FileId,
    line: &Arc<Line>,
) -> Result<u64, Error> {
    let opened = services.blocking(move || repository.open_stored(FileKind::Pack, &pack)).await;
    let (file, bytes) = opened.map_err(|error| match error.reason().as_str() {
        "FILE_SYSTEM" => Error::refused(ErrorKind::FailedPrecondition, SOURCE_PRUNED, error.to_string()),
        _ => error,
    })?;
    destination.put(FileKind::Pack, pack, (file, bytes), &line.throttle).await?;
    failpoint::reach("replication.pack_sent");
    Ok(bytes)
}
