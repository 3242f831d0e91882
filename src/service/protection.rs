//! What keeps a snapshot from each deletion: pins, legal holds, and checkpoints. One is not the other: who unpins does not release.

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::retention::Hold;
use crate::store::entity::snapshot::Model;
use crate::store::{self, pins};

/// How many snapshots a refusal names.
const NAMED: u64 = 10;

/// The pin or the legal hold of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Pin,
    Hold,
}

/// A pin or a hold that is to be set, or to be taken back.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) graph_id: &'a GraphId,
    pub(super) snapshot_id: &'a str,
    pub(super) protection: Protection,
    /// None takes it back.
    pub(super) hold: Option<Hold>,
    /// Stands in the audit trail.
    pub(super) reason: Option<&'a str>,
    pub(super) request: Request<'a>,
}

/// The pin of a snapshot, if it is pinned at this instant.
pub fn pin_of(snapshot: &Model, now: Timestamp) -> Option<Hold> {
    let pin = snapshot.pin_reason.clone().map(|reason| Hold { reason, until: snapshot.pinned_until_at });
    pin.filter(|pin| pin.lasts(now))
}

/// The legal hold of a snapshot, if it is held at this instant.
pub fn hold_of(snapshot: &Model, now: Timestamp) -> Option<Hold> {
    let hold = snapshot.hold_reason.clone().map(|reason| Hold { reason, until: snapshot.held_until_at });
    hold.filter(|hold| hold.lasts(now))
}

impl Services {
    /// Sets or takes back what keeps a snapshot; gives it as it is then.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted; the end lies in the past.
    pub(super) async fn change_protection(&self, caller: &Caller, change: &Change<'_>) -> Result<Model, Error> {
        let until = change.hold.as_ref().and_then(|hold| hold.until);
        let is_over = until.is_some_and(|until| until <= self.now());
        if is_over && change.request.find_subject(self.store().read()).await?.is_none() {
            return Err(Error::invalid("until", "lies in the past, leave it out for one without end"));
        }
        match self.change_protection_once(caller, change).await {
            Err(error) if error.is_race() => self.change_protection_once(caller, change).await,
            result => result,
        }
    }

    async fn change_protection_once(&self, caller: &Caller, change: &Change<'_>) -> Result<Model, Error> {
        self.find_graph(self.store().read(), change.graph_id).await?;
        let transaction = self.store().begin().await?;
        // Asked before the row is read: what the first of two requests at once has written is in the row then.
        let is_repeated = change.request.find_subject(&*transaction).await?.is_some();
        let mut row = self.snapshot_of(&*transaction, change.graph_id, change.snapshot_id).await?;
        if is_repeated {
            return Ok(row);
        }
        let (reason, until) = change.hold.clone().map_or((None, None), |hold| (Some(hold.reason), hold.until));
        let since = reason.as_ref().map(|_| self.now());
        let written = match change.protection {
            Protection::Pin => {
                (row.pin_reason, row.pinned_at, row.pinned_until_at) = (reason, since, until);
                pins::update_pin(&*transaction, &row).await?
            }
            Protection::Hold => {
                (row.hold_reason, row.held_at, row.held_until_at) = (reason, since, until);
                pins::update_hold(&*transaction, &row).await?
            }
        };
        if !written {
            let message = format!("snapshot `{}` is being deleted, it cannot be kept any more", change.snapshot_id);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_BEING_DELETED", message));
        }
        change.request.remember(self, &*transaction, row.snapshot_id.to_string()).await?;
        let subject = match change.reason {
            Some(reason) => format!("{}: {reason}", row.snapshot_id),
            None => row.snapshot_id.to_string(),
        };
        self.record_audit(&*transaction, caller, change.request.action, change.graph_id, Some(subject)).await?;
        store::commit(transaction).await?;
        Ok(row)
    }

    /// Refuses to delete a snapshot that is kept.
    ///
    /// # Errors
    /// It is pinned or held.
    pub(super) fn check_unprotected(&self, snapshot: &Model) -> Result<(), Error> {
        protected(snapshot, self.now()).map_or(Ok(()), Err)
    }
}

/// That a snapshot is held, pinned or in a checkpoint, and so not deleted; nothing for one that is not.
pub(super) fn protected(snapshot: &Model, now: Timestamp) -> Option<Error> {
    let refuse = |reason, message| Error::refused(ErrorKind::FailedPrecondition, reason, message);
    let id = snapshot.snapshot_id;
    if let Some(Hold { reason, .. }) = hold_of(snapshot, now) {
        return Some(refuse("SNAPSHOT_HELD", format!("snapshot `{id}` is under a legal hold, which must be released first: {reason}")));
    }
    if let Some(Hold { reason, .. }) = pin_of(snapshot, now) {
        return Some(refuse("SNAPSHOT_PINNED", format!("snapshot `{id}` is pinned, unpin it first: {reason}")));
    }
    let message = format!("snapshot `{id}` is kept by {} of the checkpoints, delete these first", snapshot.checkpoints);
    (snapshot.checkpoints > 0).then(|| refuse("SNAPSHOT_IN_CHECKPOINT", message))
}

/// Refuses to give up a graph some of whose snapshots are kept.
///
/// # Errors
/// There are any; held ones are named first.
pub(super) async fn check_none_protected(connection: &impl ConnectionTrait, graph_id: &GraphId, now: Timestamp) -> Result<(), Error> {
    let in_checkpoints = pins::list_in_checkpoints(connection, graph_id, NAMED + 1).await?;
    let all = [
        ("SNAPSHOT_HELD", "snapshots under a legal hold, release them first", pins::list_held(connection, graph_id, now, NAMED + 1).await?),
        ("SNAPSHOT_PINNED", "pinned snapshots, unpin them first", pins::list_pinned(connection, graph_id, now, NAMED + 1).await?),
        ("SNAPSHOT_IN_CHECKPOINT", "snapshots in checkpoints, delete these first", in_checkpoints),
    ];
    let Some((reason, what, ids)) = all.into_iter().find(|(_, _, ids)| !ids.is_empty()) else { return Ok(()) };
    let named: Vec<String> = ids.iter().take(NAMED as usize).map(|id| format!("`{id}`")).collect();
    let more = if ids.len() > named.len() { " and more" } else { "" };
    let message = format!("graph `{graph_id}` has {what}, as a repository does not keep what keeps them: {}{more}", named.join(", "));
    Err(Error::refused(ErrorKind::FailedPrecondition, reason, message))
}
