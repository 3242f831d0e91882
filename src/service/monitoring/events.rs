//! Events: what an operator may want to know, listed and followed.

use super::super::Services;
use super::super::error::Error;
use crate::base::ids::EventId;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::entity::event::Model;
use crate::store::events::{self, EventFilter};

/// So many events are given at once to whoever follows them.
const AT_ONCE: u64 = 500;

/// An event that no fact stands for.
#[derive(Debug, Clone)]
pub(in crate::service) struct NewEvent {
    pub(in crate::service) topic: EventTopic,
    pub(in crate::service) severity: Severity,
    pub(in crate::service) graph_id: Option<String>,
    pub(in crate::service) subject_id: Option<String>,
    pub(in crate::service) message: String,
}

impl Services {
    /// Events, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_events(&self, wanted: &EventFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        Ok(events::list(self.store().read(), wanted, page).await?)
    }

    /// The place of the newest event: whoever follows events begins after it.
    ///
    /// # Errors
    /// The database's.
    pub async fn newest_event(&self) -> Result<TimeKey, Error> {
        let newest = events::list(self.store().read(), &EventFilter::default(), &PageRequest { size: 1, after: None }).await?;
        // Others may come in the same moment: their ids are greater.
        let begin = || (self.now(), String::new());
        Ok(newest.items.first().map_or_else(begin, |event| (event.created_at, event.event_id.to_string())))
    }

    /// Events that came after this place, oldest first; some of them where there are many.
    ///
    /// # Errors
    /// The database's.
    pub async fn events_after(&self, wanted: &EventFilter, after: &TimeKey) -> Result<Vec<Model>, Error> {
        Ok(events::list_after(self.store().read(), wanted, after, AT_ONCE).await?)
    }

    /// Writes events that no fact stands for, where events are written.
    ///
    /// # Errors
    /// The database's.
    pub(in crate::service) async fn tell_events(
        &self,
        connection: &impl sea_orm::ConnectionTrait,
        told: Vec<NewEvent>,
    ) -> Result<(), Error> {
        if !self.settings().monitoring.events_enabled || told.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let rows = told.into_iter().map(|event| Model {
            event_id: EventId::new(self.ids(), now),
            created_at: now,
            kind: event.topic,
            severity: event.severity,
            graph_id: event.graph_id,
            subject_id: event.subject_id,
            message: event.message,
        });
        Ok(events::insert(connection, rows.collect()).await?)
    }

    /// Forgets events that are too old.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_events(&self) -> Result<(), Error> {
        let before = self.now().minus(self.settings().monitoring.event_retention);
        Ok(events::delete_before(self.store().read(), before).await?)
    }
}
