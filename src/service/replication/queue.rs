//! What is still to be sent follows from the rows: the snapshots that a target should have and has not. One round looks for them and begins
//! what can be begun; each is sent beside the others, and a target that is down delays only itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Services;
use super::super::error::Error;
use super::events::Event;
use super::sending::{Line, Underway};
use super::transfer::Sent;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::graph_id::GraphId;
use crate::domain::label::{Labels, Selector};
use crate::domain::target::{EventKind, ReplicationState};
use crate::store::entity::{graph, replica, replication, snapshot, target};
use crate::store::replications::DueFilter;
use crate::store::{self, graphs, replicas, replications, targets};

/// So many snapshots of a target are looked at in one round.
const LOOKED_AT: u64 = 256;

/// Errors that say something of a target as a whole, and not of one graph.
const OF_TARGET: [&str; 7] = [
    "TARGET_UNREACHABLE",
    "TARGET_CONNECTION_BROKEN",
    "TARGET_KEY_INVALID",
    "TARGET_NO_LIGHTKEEP",
    "TARGET_PROTOCOL",
    "TARGET_FULL",
    "TARGET_NOT_MOUNTED",
];

/// Somebody else has the repository for a while: nothing that anybody needs to be told.
const LOCKED: &str = "REPOSITORY_LOCKED";

impl Services {
    /// Begins to send what can be sent now.
    ///
    /// # Errors
    /// The database's.
    pub async fn replicate_due(&self) -> Result<(), Error> {
        if !self.settings().replication.is_enabled {
            return Ok(());
        }
        let (targets, mut graphs) = (targets::list_all(self.store().read()).await?, None);
        for target in targets.into_iter().filter(|target| target.enabled) {
            let line = self.sending().line(&target);
            if line.is_paused() || !line.has_room() {
                continue;
            }
            let graphs = match &graphs {
                Some(graphs) => graphs,
                None => graphs.insert(graphs::list_all(self.store().read()).await?),
            };
            let mut graph_ids = selected(&target, graphs);
            // Those that wait must not stand in the way of the others.
            graph_ids.retain(|graph_id| line.is_free_for(graph_id));
            let due = self.list_due(&target, &graph_ids).await?;
            for snapshot in due {
                if let Some(underway) = line.begin(&snapshot.graph_id) {
                    self.begin_sending(target.clone(), snapshot, Arc::clone(&line), underway);
                }
            }
        }
        Ok(())
    }

    /// The snapshots that a target lacks, in its order; those that have failed come after those that have not.
    async fn list_due(&self, target: &target::Model, graph_ids: &[GraphId]) -> Result<Vec<snapshot::Model>, Error> {
        let filter = DueFilter {
            target_id: target.target_id,
            graph_ids,
            only_wanted: target.on_request,
            order: target.send_order,
            limit: LOOKED_AT,
        };
        Ok(replications::list_due(self.store().read(), &filter).await?)
    }

    fn begin_sending(&self, target: target::Model, snapshot: snapshot::Model, line: Arc<Line>, underway: Underway) {
        let services = self.clone();
        self.tasks().spawn(async move {
            let stopping = services.stopping().clone();
            // What was received stays there; what was half sent is not there.
            let sent = stopping.run_until_cancelled_owned(services.send_one(&target, &snapshot, &line)).await;
            if let Some(Err(error)) = sent {
                tracing::error!(error = error.chain(), "cannot note how a replication has ended");
            }
            drop(underway);
            services.wakeup().announce_change();
        });
    }

    /// Sends one snapshot, and notes how that has ended.
    async fn send_one(&self, target: &target::Model, snapshot: &snapshot::Model, line: &Arc<Line>) -> Result<(), Error> {
        let (began, began_at) = (Instant::now(), self.now());
        let control = Arc::new(Control::new(self.stopping().clone()));
        let row = self.replication_of(target, snapshot).await?;
        let result = self.transfer(target, snapshot, line, &control).await;
        let replica = replicas::find(self.store().read(), target.target_id, &snapshot.graph_id).await?;
        let replica = replica::Model { last_attempt_at: Some(began_at), ..replica };
        match result {
            Ok(sent) => {
                failpoint::reach("replication.sent");
                line.succeeded(&snapshot.graph_id);
                self.note_success(target, snapshot, row, replica, sent, began.elapsed()).await
            }
            Err(error) if error.reason() == LOCKED => {
                line.failed(&snapshot.graph_id, false);
                Ok(())
            }
            Err(error) => {
                line.failed(&snapshot.graph_id, is_of_target(&error));
                self.note_failure(target, snapshot, row, replica, &error, began.elapsed()).await
            }
        }
    }

    async fn replication_of(&self, target: &target::Model, snapshot: &snapshot::Model) -> Result<replication::Model, Error> {
        let found = replications::list_of(self.store().read(), target.target_id, &[snapshot.snapshot_id]).await?;
        Ok(found.into_iter().next().unwrap_or_else(|| replication::Model::begun(target, snapshot, ReplicationState::Failed)))
    }

    async fn note_success(
        &self,
        target: &target::Model,
        snapshot: &snapshot::Model,
        row: replication::Model,
        replica: replica::Model,
        sent: Sent,
        duration: Duration,
    ) -> Result<(), Error> {
        let (now, bytes) = (self.now(), i64::try_from(sent.bytes).unwrap_or(i64::MAX));
        let done = replication::Model {
            state: ReplicationState::Done,
            error_message: None,
            sent_bytes: row.sent_bytes.saturating_add(bytes),
            replicated_at: Some(now),
            ..row
        };
        let replica = replica::Model { last_success_at: Some(now), last_error: None, failures: 0, ..replica };
        let event = event_of(target, snapshot, EventKind::Replicated, format!("{} files were sent", sent.files), duration);
        let transaction = self.store().begin().await?;
        if !still_there(replications::write_done(&*transaction, done).await)?
            || !still_there(replicas::write_attempt(&*transaction, replica).await)?
        {
            return Ok(());
        }
        self.note_event(&*transaction, Event { sent_bytes: sent.bytes, ..event }).await?;
        store::commit(transaction).await?;
        failpoint::reach("replication.noted");
        Ok(())
    }

    async fn note_failure(
        &self,
        target: &target::Model,
        snapshot: &snapshot::Model,
        row: replication::Model,
        replica: replica::Model,
        error: &Error,
        duration: Duration,
    ) -> Result<(), Error> {
        let message = error.record().message;
        let (target_name, graph_id) = (target.name.as_str(), snapshot.graph_id.as_str());
        if error.is_hidden() {
            tracing::error!(target_name, graph_id, error = error.chain(), "a snapshot could not be replicated");
        } else {
            tracing::warn!(target_name, graph_id, reason = error.reason(), error = error.chain(), "a snapshot could not be replicated");
        }
        // What is wrong with the target says nothing of the snapshot: it keeps its place.
        let failures = if is_of_target(error) { row.failures } else { row.failures.saturating_add(1) };
        let failed = replication::Model { failures, error_message: Some(message.clone()), ..row };
        let replica = replica::Model { last_error: Some(message.clone()), failures: replica.failures.saturating_add(1), ..replica };
        let transaction = self.store().begin().await?;
        if !still_there(replications::write_failed(&*transaction, failed).await)?
            || !still_there(replicas::write_attempt(&*transaction, replica).await)?
        {
            return Ok(());
        }
        self.note_event(&*transaction, event_of(target, snapshot, EventKind::Failed, message, duration)).await?;
        Ok(store::commit(transaction).await?)
    }
}

fn event_of<'a>(target: &target::Model, snapshot: &'a snapshot::Model, kind: EventKind, message: String, duration: Duration) -> Event<'a> {
    let (target_id, graph_id, snapshot_id) = (target.target_id, Some(&snapshot.graph_id), Some(snapshot.snapshot_id));
    Event { target_id, graph_id, snapshot_id, kind, message, sent_bytes: 0, duration }
}

/// Whether target, graph and snapshot were still there when something was noted of them.
pub(super) fn still_there(written: Result<(), store::Error>) -> Result<bool, Error> {
    match written {
        Err(error) if error.is_foreign_key_violation() => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Whether an error says something of a target as a whole.
pub(super) fn is_of_target(error: &Error) -> bool {
    OF_TARGET.contains(&error.reason().as_str())
}

/// The graphs that a target takes: those with its labels, and a source of their own.
pub(in crate::service) fn selected(target: &target::Model, graphs: &[graph::Model]) -> Vec<GraphId> {
    // It was read when it was written: only somebody who writes to the database himself can have another one there.
    let Ok(selector) = Selector::parse(&target.graph_selector) else { return Vec::new() };
    let own = graphs.iter().filter(|graph| !graph.graph_id.is_copy());
    let taken = own.filter(|graph| selector.matches(&Labels::from_json(graph.labels.as_deref())));
    taken.map(|graph| graph.graph_id.clone()).collect()
}
