//! Events: what an operator may want to know, listed and followed.

use std::collections::HashMap;
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use crate::base::ids::EventId;
use crate::base::timestamp::Timestamp;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::entity::event::Model;
use crate::store::events::{self, EventFilter};

/// So many events are looked at at once for whoever follows them.
const AT_ONCE: u64 = 10_000;

/// So much later than it is dated an event may be seen: its transaction takes its time, and clocks of instances differ.
const LATE: Duration = Duration::from_secs(30);

/// How far somebody has followed events.
#[derive(Debug)]
pub struct Following {
    wanted: EventFilter,
    told: HashMap<EventId, Timestamp>,
    since: Timestamp,
}

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

    /// Begins to follow events: those that come from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_events(&self, wanted: EventFilter) -> Result<Following, Error> {
        let mut following = Following { wanted, told: HashMap::new(), since: self.now().minus(LATE) };
        // What is there already is no news.
        while !self.next_events(&mut following).await?.is_empty() {}
        Ok(following)
    }

    /// The events that have come since the last time, oldest first; some of them where there are many.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_events(&self, following: &mut Following) -> Result<Vec<Model>, Error> {
        let wanted = EventFilter { created_from: Some(following.since), ..following.wanted.clone() };
        let mut found = events::list_oldest_first(self.store().read(), &wanted, AT_ONCE).await?;
        if let Some(newest) = found.last().map(|event| event.created_at) {
            // Late ones are not waited for where so many come that those would be all that is looked at.
            let is_full = found.len() as u64 == AT_ONCE;
            following.since = following.since.max(if is_full { newest } else { newest.minus(LATE) });
        }
        found.retain(|event| following.told.insert(event.event_id, event.created_at).is_none());
        following.told.retain(|_, created_at| *created_at >= following.since);
        Ok(found)
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
