//! What has happened to targets.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::super::Services;
use super::super::error::Error;
use crate::base::ids::{EventId, SnapshotId, TargetId};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::target::EventKind;
use crate::store::entity::target_event::Model;
use crate::store::target_events::{self, EventFilter};

/// Something that has happened, as it is noted.
#[derive(Debug, Clone)]
pub(super) struct Event<'a> {
    pub(super) target_id: TargetId,
    pub(super) graph_id: Option<&'a GraphId>,
    pub(super) snapshot_id: Option<SnapshotId>,
    pub(super) kind: EventKind,
    pub(super) message: String,
    pub(super) sent_bytes: u64,
    pub(super) duration: Duration,
}

impl Services {
    /// Notes what has happened to a target.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn note_event(&self, connection: &impl ConnectionTrait, event: Event<'_>) -> Result<(), Error> {
        let now = self.now();
        let row = Model {
            event_id: EventId::new(self.ids(), now),
            created_at: now,
            target_id: event.target_id,
            graph_id: event.graph_id.cloned(),
            snapshot_id: event.snapshot_id,
            kind: event.kind,
            message: event.message,
            sent_bytes: i64::try_from(event.sent_bytes).unwrap_or(i64::MAX),
            duration_seconds: event.duration.as_secs_f64(),
        };
        Ok(target_events::insert(connection, row).await?)
    }

    /// Events of targets, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_replication_events(&self, wanted: &EventFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        Ok(target_events::list(self.store().read(), wanted, page).await?)
    }

    /// Forgets events that are too old.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_replication_events(&self) -> Result<(), Error> {
        let before = self.now().minus(self.settings().monitoring.event_retention);
        Ok(target_events::delete_before(self.store().read(), before).await?)
    }
}
