//! Legal holds: snapshots that nobody deletes before a date, or before somebody releases them and says why.

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::pins::NewHold;
use super::protection::{Change, Protection};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::store::entity::snapshot::Model;

/// A legal hold that is to end.
#[derive(Debug, Clone)]
pub struct Release {
    /// Of this graph.
    pub graph_id: GraphId,
    /// This snapshot.
    pub snapshot_id: String,
    /// Why; it stands in the audit trail.
    pub reason: String,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

impl Services {
    /// Puts a snapshot under a legal hold; gives it as it is then. Held again, the new reason and end hold.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted; the end lies in the past.
    pub async fn hold_snapshot(&self, caller: &Caller, new: NewHold) -> Result<Model, Error> {
        self.set_protection(caller, "HoldSnapshot", Protection::Hold, &new).await
    }

    /// Ends a legal hold; gives the snapshot as it is then. One that is not held is left as it is.
    ///
    /// # Errors
    /// There is no such snapshot; it is being deleted.
    pub async fn release_snapshot(&self, caller: &Caller, release: &Release) -> Result<Model, Error> {
        let body = [release.graph_id.as_str(), &release.snapshot_id, &release.reason];
        let change = Change {
            graph_id: &release.graph_id,
            snapshot_id: &release.snapshot_id,
            protection: Protection::Hold,
            hold: None,
            reason: Some(&release.reason),
            request: Request { request_id: release.request_id.as_deref(), action: "ReleaseSnapshot", body: &body },
        };
        self.change_protection(caller, &change).await
    }
}
