//! What targets hold is read again there, a part each hour, and compared with its names. What is damaged is sent again.

use std::sync::Arc;
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use super::super::repository_lock::HeldLock;
use super::destination::Destination;
use super::events::Event;
use super::sending::Line;
use crate::base::control::Control;
use crate::domain::graph_id::GraphId;
use crate::domain::target::EventKind;
use crate::repository::{FileId, FileKind, LockKind, RecordId, Repository, Reread};
use crate::store::entity::{replica, snapshot, target};
use crate::store::{replicas, replications, snapshots, targets};

/// How often a part is read again.
const PERIOD: Duration = Duration::from_secs(3600);

/// So much is read in one call, bytes: an answer must not take for ever.
const BYTES_AT_ONCE: u64 = 1 << 30;

/// The longest time that a part may make up for, as after a target was away.
const LONGEST_GAP: Duration = Duration::from_secs(24 * 3600);

/// What was read again, and what became of what was damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RereadReport {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The damaged ones.
    pub damaged: Vec<String>,
    /// Those of them that were sent again.
    pub repaired: Vec<String>,
}

impl Services {
    /// Reads a part of each copy again whose turn has come.
    ///
    /// # Errors
    /// The database's.
    pub async fn reread_due(&self) -> Result<(), Error> {
        for target in targets::list_all(self.store().read()).await? {
            let line = self.sending().line(&target);
            if !target.enabled || target.reread_percent_per_day <= 0.0 || line.is_paused() {
                continue;
            }
            for replica in replicas::list_of_target(self.store().read(), target.target_id).await? {
                let elapsed = replica.reread_at.map_or(PERIOD, |last| self.now().since(last));
                if replica.last_success_at.is_none() || elapsed < PERIOD || self.stopping().is_cancelled() {
                    continue;
                }
                let most_bytes = self.share(&target, &replica.graph_id, elapsed.min(LONGEST_GAP)).await?;
                if let Err(error) = self.reread_part(&target, &line, replica, most_bytes).await {
                    tracing::warn!(target_name = target.name, error = error.chain(), "cannot have a copy read again");
                    // The others of this target are asked later too.
                    break;
                }
            }
        }
        Ok(())
    }

    /// How much of a copy is to be read again for so much time, bytes.
    async fn share(&self, target: &target::Model, graph_id: &GraphId, elapsed: Duration) -> Result<u64, Error> {
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let stored: i64 = rows.iter().map(|row| row.stored_bytes).sum();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share needs no more")]
        let share = (stored.max(0) as f64 * target.reread_percent_per_day / 100.0 * elapsed.as_secs_f64() / 86_400.0) as u64;
        Ok(share.clamp(1, BYTES_AT_ONCE))
    }

    /// Has all that a target holds of a graph read again now.
    ///
    /// # Errors
    /// There is no such target or graph; the target cannot be reached.
    pub async fn verify_replica(&self, target_id: &str, graph_id: &GraphId) -> Result<RereadReport, Error> {
        let target = self.get_target(target_id).await?;
        self.find_graph(self.store().read(), graph_id).await?;
        let (line, mut whole) = (self.sending().line(&target), RereadReport::default());
        let mut replica = replicas::find(self.store().read(), target.target_id, graph_id).await?;
        replica.reread_after = None;
        loop {
            let (after, part) = self.reread_part(&target, &line, replica, BYTES_AT_ONCE).await?;
            whole.files += part.files;
            whole.bytes += part.bytes;
            whole.damaged.extend(part.damaged);
            whole.repaired.extend(part.repaired);
            if after.reread_after.is_none() {
                return Ok(whole);
            }
            replica = after;
        }
    }

    async fn reread_part(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        replica: replica::Model,
        most_bytes: u64,
    ) -> Result<(replica::Model, RereadReport), Error> {
        let graph_id = replica.graph_id.clone();
        let destination = self.destination(target, &graph_id).await?;
        let after = replica.reread_after.as_deref().and_then(FileId::parse);
        let Reread { files, bytes, damaged, next } = destination.reread(after, most_bytes).await?;
        let named = |(kind, id): &(FileKind, FileId)| format!("{} {id}", kind.noun());
        let names: Vec<String> = damaged.iter().map(named).collect();
        for name in &names {
            tracing::error!(target_name = target.name, graph_id = graph_id.as_str(), file = name, "a target holds a damaged file");
            self.note_file(target, &graph_id, EventKind::Damaged, format!("{name} is not what its name says")).await?;
        }
        let repaired =
            if damaged.is_empty() { Vec::new() } else { self.repair_copy(target, line, &destination, &graph_id, &damaged).await? };
        let repaired: Vec<String> = repaired.iter().map(named).collect();
        for name in &repaired {
            self.note_file(target, &graph_id, EventKind::Repaired, format!("{name} was sent again")).await?;
        }
        let add = |count: i64, more: u64| count.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
        let replica = replica::Model {
            reread_at: Some(self.now()),
            reread_after: next.map(|id| id.to_string()),
            reread_files: add(replica.reread_files, files),
            damaged_files: add(replica.damaged_files, names.len() as u64),
            repaired_files: add(replica.repaired_files, repaired.len() as u64),
            ..replica
        };
        self.still_there(replicas::write_reread(self.store().read(), replica.clone()).await)?;
        Ok((replica, RereadReport { files, bytes, damaged: names, repaired }))
    }

    async fn note_file(&self, target: &target::Model, graph_id: &GraphId, kind: EventKind, message: String) -> Result<(), Error> {
        let (target_id, graph_id) = (target.target_id, Some(graph_id));
        self.note_event(Event { target_id, graph_id, snapshot_id: None, kind, message, sent_bytes: 0, duration: Duration::ZERO }).await
    }

    /// Sends again what is damaged, if it is whole here; gives what was. Index files are not the same on both sides: one is made of all
    /// packs that the snapshots there need.
    async fn repair_copy(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        graph_id: &GraphId,
        damaged: &[(FileKind, FileId)],
    ) -> Result<Vec<(FileKind, FileId)>, Error> {
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let (mut repaired, mut lacking) = (Vec::new(), Vec::new());
        for (kind, id) in damaged {
            let (from, kind, id) = (Arc::clone(&repository), *kind, *id);
            let opened = self.blocking(move || Ok::<_, Error>(from.open_stored(kind, &id))).await?;
            let sent = match opened {
                Ok(file) => destination.put(kind, id, file, &line.throttle).await,
                Err(error) => Err(error.into()),
            };
            match sent {
                Ok(()) => repaired.push((kind, id)),
                Err(error) if kind == FileKind::Index || error.reason() == "FILE_SYSTEM" => lacking.push((kind, id)),
                Err(error) => {
                    tracing::error!(file = %id, error = error.chain(), "a damaged file of a target cannot be sent again");
                }
            }
        }
        if !lacking.is_empty() && self.send_all_again(target, line, destination, &repository, graph_id).await? {
            repaired.extend(lacking);
        }
        Ok(repaired)
    }

    /// Makes all snapshots that a target holds whole again, by the packs that they have here; false where it holds none of ours.
    async fn send_all_again(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        repository: &Arc<Repository>,
        graph_id: &GraphId,
    ) -> Result<bool, Error> {
        let done = replications::list_done(self.store().read(), target.target_id, graph_id).await?;
        let mut rows = snapshots::list_all(self.store().read(), graph_id).await?;
        rows.retain(|row| done.contains(&row.snapshot_id) && row.status.is_restorable());
        let id_of = |row: &snapshot::Model| row.record_id.as_deref().and_then(RecordId::parse);
        let all: Vec<RecordId> = rows.iter().filter_map(id_of).collect();
        let names = all.iter().map(|id| FileId::from(*id)).collect();
        let missing = destination.missing(FileKind::Snapshot, names).await?;
        let held: Vec<RecordId> = all.into_iter().filter(|id| !missing.contains(&FileId::from(*id))).collect();
        let Some(newest) = held.first().copied() else { return Ok(false) };
        let lock = HeldLock::try_take(self, repository, LockKind::Shared).await?;
        let (from, held_lock) = (Arc::clone(repository), lock.clone());
        let planned = self.blocking(move || from.plan_copies(newest, &held, &Control::default(), held_lock.lock())).await;
        lock.release(self).await;
        let plan = planned?;
        for pack in destination.missing(FileKind::Pack, plan.packs.iter().map(|(id, _)| *id).collect()).await? {
            let from = Arc::clone(repository);
            let file = self.blocking(move || from.open_stored(FileKind::Pack, &pack)).await?;
            destination.put(FileKind::Pack, pack, file, &line.throttle).await?;
        }
        destination.commit(plan.commit).await?;
        Ok(true)
    }
}
