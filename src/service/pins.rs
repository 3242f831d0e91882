//! Pins: snapshots that no deletion touches.

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::store::entity::snapshot::Model;
use crate::store::{self, pins};

/// A pin that is to be set.
#[derive(Debug, Clone)]
pub struct NewPin {
    /// Of this graph.
    pub graph_id: GraphId,
    /// This snapshot.
    pub snapshot_id: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// Whether a snapshot is pinned at this instant.
pub fn is_pinned(snapshot: &Model, now: Timestamp) -> bool {
    snapshot.pin_reason.is_some() && snapshot.pinned_until_at.is_none_or(|until| until > now)
}

impl Services {
    /// Pins a snapshot; gives it as it is then.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted; the end lies in the past.
    pub async fn pin_snapshot(&self, caller: &Caller, new: NewPin) -> Result<Model, Error> {
        let until = new.until.map(|until| until.micros().to_string()).unwrap_or_default();
        let body = [new.graph_id.as_str(), &new.snapshot_id, &new.reason, &until];
        let request = Request { request_id: new.request_id.as_deref(), action: "PinSnapshot", body: &body };
        let now = self.now();
        let pin = |mut row: Model| {
            row.pin_reason = Some(new.reason.clone());
            row.pinned_at = Some(now);
            row.pinned_until_at = new.until;
            row
        };
        if new.until.is_some_and(|until| until <= now) && request.find_subject(self.store().read()).await?.is_none() {
            return Err(Error::invalid("until", "lies in the past, leave it out for a pin without end"));
        }
        self.update_pin(caller, &new.graph_id, &new.snapshot_id, &request, pin).await
    }

    /// Ends a pin; gives the snapshot as it is then. One that is not pinned is left as it is.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted.
    pub async fn unpin_snapshot(&self, caller: &Caller, graph_id: &GraphId, id: &str, request_id: Option<&str>) -> Result<Model, Error> {
        let body = [graph_id.as_str(), id];
        let request = Request { request_id, action: "UnpinSnapshot", body: &body };
        let unpin = |mut row: Model| {
            (row.pin_reason, row.pinned_at, row.pinned_until_at) = (None, None, None);
            row
        };
        self.update_pin(caller, graph_id, id, &request, unpin).await
    }

    async fn update_pin(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        id: &str,
        request: &Request<'_>,
        change: impl Fn(Model) -> Model,
    ) -> Result<Model, Error> {
        match self.update_pin_once(caller, graph_id, id, request, &change).await {
            Err(error) if error.is_race() => self.update_pin_once(caller, graph_id, id, request, &change).await,
            result => result,
        }
    }

    async fn update_pin_once(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        id: &str,
        request: &Request<'_>,
        change: impl Fn(Model) -> Model,
    ) -> Result<Model, Error> {
        self.find_graph(self.store().read(), graph_id).await?;
        let transaction = self.store().begin().await?;
        // Asked before the row is read: what the first of two requests at once has written is in the row then.
        let is_repeated = request.find_subject(&*transaction).await?.is_some();
        let row = self.snapshot_of(&*transaction, graph_id, id).await?;
        if is_repeated {
            return Ok(row);
        }
        let row = change(row);
        if !pins::update(&*transaction, &row).await? {
            let message = format!("snapshot `{id}` is being deleted, it cannot be pinned any more");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_BEING_DELETED", message));
        }
        request.remember(self, &*transaction, row.snapshot_id.to_string()).await?;
        let subject = match &row.pin_reason {
            Some(reason) => format!("{}: {reason}", row.snapshot_id),
            None => row.snapshot_id.to_string(),
        };
        self.record_audit(&*transaction, caller, request.action, graph_id, Some(subject)).await?;
        store::commit(transaction).await?;
        Ok(row)
    }

    /// Refuses to delete a snapshot that is pinned.
    ///
    /// # Errors
    /// It is.
    pub(super) fn check_unpinned(&self, snapshot: &Model) -> Result<(), Error> {
        if is_pinned(snapshot, self.now()) { Err(pinned(snapshot)) } else { Ok(()) }
    }
}

/// That a snapshot is pinned, and so not deleted.
pub(super) fn pinned(snapshot: &Model) -> Error {
    let reason = snapshot.pin_reason.as_deref().unwrap_or_default();
    let message = format!("snapshot `{}` is pinned, unpin it first: {reason}", snapshot.snapshot_id);
    Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_PINNED", message)
}
