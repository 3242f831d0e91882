//! What targets hold is read again there, a part each hour, and compared with its names. What is damaged is sent again.

use std::sync::Arc;
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use super::destination::Destination;
use super::events::Event;
use super::queue::{is_of_target, still_there};
use super::sending::{Line, Underway};
use crate::domain::graph_id::GraphId;
use crate::domain::target::EventKind;
use crate::repository::{FileId, FileKind, Reread};
use crate::store::entity::{replica, target};
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
    /// Begins to have a part of each copy read again whose turn has come. Each target has a task of its own, which the next call lets go on:
    /// one that hangs holds up nobody else.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_rereading(&self) -> Result<(), Error> {
        for target in targets::list_all(self.store().read()).await? {
            if !target.enabled || target.reread_percent_per_day <= 0.0 || self.sending().line(&target).is_paused() {
                continue;
            }
            let Some(alone) = self.sending().alone(format!("reread at {}", target.target_id)) else { continue };
            let services = self.clone();
            let rereading = async move {
                let _alone = alone;
                if let Err(error) = services.reread_due(&target).await {
                    // The others of this target are asked later too.
                    tracing::warn!(target_name = target.name, error = error.chain(), "cannot have a copy read again");
                }
            };
            self.tasks().spawn(self.stopping().clone().run_until_cancelled_owned(rereading));
        }
        Ok(())
    }

    async fn reread_due(&self, target: &target::Model) -> Result<(), Error> {
        let line = self.sending().line(target);
        for replica in replicas::list_of_target(self.store().read(), target.target_id).await? {
            let elapsed = replica.reread_at.map_or(PERIOD, |last| self.now().since(last));
            if replica.last_success_at.is_none() || elapsed < PERIOD {
                continue;
            }
            let Some(_occupied) = line.occupy(&replica.graph_id) else { continue };
            if self.is_gone(target, &replica.graph_id).await {
                replications::forget(self.store().read(), target.target_id, &replica.graph_id).await?;
                continue;
            }
            let share = self.share(target, &replica.graph_id, elapsed.min(LONGEST_GAP)).await?;
            let graph_id = replica.graph_id.clone();
            match self.reread_share(target, &line, replica, share).await {
                Err(error) if !is_of_target(&error) => {
                    let (target_name, graph_id) = (target.name.as_str(), graph_id.as_str());
                    tracing::warn!(target_name, graph_id, error = error.chain(), "cannot have a copy read again");
                }
                read => drop(read?),
            }
        }
        Ok(())
    }

    /// Has so many bytes of a copy read again, or what is left of it.
    async fn reread_share(&self, target: &target::Model, line: &Arc<Line>, replica: replica::Model, bytes: u64) -> Result<(), Error> {
        let (mut replica, mut left) = (replica, bytes);
        while left > 0 {
            let (after, part) = self.reread_part(target, line, replica, left.min(BYTES_AT_ONCE)).await?;
            if after.reread_after.is_none() {
                break;
            }
            left = left.saturating_sub(part.bytes);
            replica = after;
        }
        Ok(())
    }

    /// Whether the target says that it has no copy any more. Then all is sent again.
    async fn is_gone(&self, target: &target::Model, graph_id: &GraphId) -> bool {
        match self.destination(target, graph_id).await {
            Ok(destination) => matches!(destination.config().await, Ok(None)),
            Err(_) => false,
        }
    }

    /// How much of a copy is to be read again for so much time, bytes.
    async fn share(&self, target: &target::Model, graph_id: &GraphId, elapsed: Duration) -> Result<u64, Error> {
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let stored: i64 = rows.iter().map(|row| row.stored_bytes).sum();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share needs no more")]
        let share = (stored.max(0) as f64 * target.reread_percent_per_day / 100.0 * elapsed.as_secs_f64() / 86_400.0) as u64;
        Ok(share.max(1))
    }

    /// Has all that a target holds of a graph read again now.
    ///
    /// # Errors
    /// There is no such target or graph; the target cannot be reached.
    pub async fn verify_replica(&self, target_id: &str, graph_id: &GraphId) -> Result<RereadReport, Error> {
        let target = self.get_target(target_id).await?;
        self.find_graph(self.store().read(), graph_id).await?;
        let (line, mut whole) = (self.sending().line(&target), RereadReport::default());
        let _occupied = self.wait_to_occupy(&line, graph_id).await;
        let mut replica = replicas::find(self.store().read(), target.target_id, graph_id).await?;
        replica.reread_after = None;
        loop {
            let (after, part) = self.reread_part(&target, &line, replica, BYTES_AT_ONCE).await?;
            whole.files += part.files;
            whole.bytes += part.bytes;
            whole.damaged.extend(part.damaged);
            whole.repaired.extend(part.repaired);
            if after.reread_after.is_none() {
                break;
            }
            replica = after;
        }
        Ok(whole)
    }

    /// Waits until nothing is on its way to the copy of a graph.
    async fn wait_to_occupy(&self, line: &Arc<Line>, graph_id: &GraphId) -> Underway {
        let mut changes = self.wakeup().changes();
        loop {
            match line.occupy(graph_id) {
                Some(occupied) => return occupied,
                None => changes.next().await,
            }
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
        let (names, repaired) = self.mend(target, line, &destination, &graph_id, &damaged).await?;
        let add = |count: i64, more: u64| count.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
        let replica = replica::Model {
            reread_at: Some(self.now()),
            reread_after: next.map(|id| id.to_string()),
            reread_files: add(replica.reread_files, files),
            damaged_files: add(replica.damaged_files, names.len() as u64),
            repaired_files: add(replica.repaired_files, repaired.len() as u64),
            ..replica
        };
        still_there(replicas::write_reread(self.store().read(), replica.clone()).await)?;
        Ok((replica, RereadReport { files, bytes, damaged: names, repaired }))
    }

    /// Notes what is wrong with files at a target, and sends them again; gives their names, and those of what was.
    async fn mend(
        &self,
        target: &target::Model,
        line: &Arc<Line>,
        destination: &Destination,
        graph_id: &GraphId,
        files: &[(FileKind, FileId)],
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let named = |(kind, id): &(FileKind, FileId)| format!("{} {id}", kind.noun());
        let names: Vec<String> = files.iter().map(named).collect();
        for name in &names {
            tracing::error!(target_name = target.name, graph_id = graph_id.as_str(), file = name, "a target holds a damaged file");
            self.note_file(target, graph_id, EventKind::Damaged, format!("{name} is damaged or gone")).await?;
        }
        let repaired = if files.is_empty() { Vec::new() } else { self.repair_copy(target, line, destination, graph_id, files).await? };
        let repaired: Vec<String> = repaired.iter().map(named).collect();
        for name in &repaired {
            self.note_file(target, graph_id, EventKind::Repaired, format!("{name}: what it holds was sent again")).await?;
        }
        Ok((names, repaired))
    }

    async fn note_file(&self, target: &target::Model, graph_id: &GraphId, kind: EventKind, message: String) -> Result<(), Error> {
        let (target_id, graph_id) = (target.target_id, Some(graph_id));
        self.note_event(
            self.store().read(),
            Event { target_id, graph_id, snapshot_id: None, kind, message, sent_bytes: 0, duration: Duration::ZERO },
        )
        .await
    }
}
