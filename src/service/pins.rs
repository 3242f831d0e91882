//! Pins: snapshots that no deletion touches.

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::protection::{Change, Protection};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::retention::Hold;
use crate::store::entity::snapshot::Model;

/// A pin or a legal hold that is to be set.
#[derive(Debug, Clone)]
pub struct NewHold {
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

impl Services {
    /// Pins a snapshot; gives it as it is then.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted; the end lies in the past.
    pub async fn pin_snapshot(&self, caller: &Caller, new: NewHold) -> Result<Model, Error> {
        self.set_protection(caller, "PinSnapshot", Protection::Pin, &new).await
    }

    pub(super) async fn set_protection(
        &self,
        caller: &Caller,
        action: &'static str,
        protection: Protection,
        new: &NewHold,
    ) -> Result<Model, Error> {
        let until = new.until.map(|until| until.micros().to_string()).unwrap_or_default();
        let body = [new.graph_id.as_str(), &new.snapshot_id, &new.reason, &until];
        let change = Change {
            graph_id: &new.graph_id,
            snapshot_id: &new.snapshot_id,
            protection,
            hold: Some(Hold { reason: new.reason.clone(), until: new.until }),
            reason: Some(&new.reason),
            request: Request { request_id: new.request_id.as_deref(), action, body: &body },
        };
        self.change_protection(caller, &change).await
    }

    /// Ends a pin; gives the snapshot as it is then. One that is not pinned is left as it is.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted.
    pub async fn unpin_snapshot(&self, caller: &Caller, graph_id: &GraphId, id: &str, request_id: Option<&str>) -> Result<Model, Error> {
        let body = [graph_id.as_str(), id];
        let request = Request { request_id, action: "UnpinSnapshot", body: &body };
        let change = Change { graph_id, snapshot_id: id, protection: Protection::Pin, hold: None, reason: None, request };
        self.change_protection(caller, &change).await
    }
}
