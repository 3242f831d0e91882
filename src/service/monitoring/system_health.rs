//! How the whole is: the worst of what was really found, of each part and of all. What nobody has looked at is unknown, not healthy.

use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use super::super::health::RecoveryHealth;
use crate::base::timestamp::Timestamp;
use crate::domain::health::{ComponentType, HealthStatus};
use crate::lightrag::apply::{is_writable, room};
use crate::store::entity::health_check::Model as HealthCheck;
use crate::store::events::{self, EventFilter};

/// So much of the storage must be free, or it is about to be full.
const FREE_SHARE: f64 = 0.1;

/// The events of this time are counted.
const LATELY: Duration = Duration::from_secs(24 * 3600);

/// So many collections may be missed until nobody collects any more.
const COLLECTIONS_MISSED: u32 = 3;

/// A part of the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// How it is.
    pub status: HealthStatus,
    /// Why, and what to do.
    pub message: String,
}

/// How the whole is.
#[derive(Debug, Clone)]
pub struct SystemHealth {
    /// The worst of all.
    pub overall: HealthStatus,
    /// When this was found out.
    pub checked_at: Timestamp,
    /// The graphs' snapshots and their repositories.
    pub backup: HealthStatus,
    /// The graphs' sources, as recovery needs them.
    pub recovery: HealthStatus,
    /// The targets.
    pub replication: HealthStatus,
    /// The parts of the server itself: the database, the storage, the collector.
    pub parts: Vec<Part>,
    /// What was found of each graph and target.
    pub components: Vec<HealthCheck>,
    /// Events of the last day; none where that cannot be told.
    pub events_lately: Option<i64>,
}

impl Services {
    /// How the whole is now. That the database is gone is what is found, and no error.
    pub async fn system_health(&self) -> SystemHealth {
        let storage = self.look_at_storage().await;
        match self.known_health().await {
            Ok((recovery, events)) => self.judge_system(&recovery, events, storage),
            Err(error) => {
                tracing::warn!(error = error.chain(), "the database does not tell how things are");
                let message = "the database does not answer: nothing can be told of the rest";
                let database = Part { name: "database", status: HealthStatus::Critical, message: message.to_owned() };
                self.without_database(vec![database, storage])
            }
        }
    }

    async fn known_health(&self) -> Result<(RecoveryHealth, u64), Error> {
        self.store().ping().await?;
        let lately = EventFilter { created_from: Some(self.now().minus(LATELY)), ..EventFilter::default() };
        let events = events::count(self.store().read(), &lately).await?;
        Ok((self.recovery_health().await?, events))
    }

    fn judge_system(&self, known: &RecoveryHealth, events: u64, storage: Part) -> SystemHealth {
        let of = |wanted: ComponentType| {
            let those = known.components.iter().chain(&known.targets).filter(move |check| check.component_type == wanted);
            those.map(|check| check.status).collect::<Vec<_>>()
        };
        let (backups, graphs, targets) = (of(ComponentType::Backup), of(ComponentType::Graph), of(ComponentType::Target));
        // Where there is nothing to protect, nothing is wrong; where graphs are that nobody has looked at, that is not known.
        let nothing = if known.overall == HealthStatus::Unknown && known.unseen { HealthStatus::Unknown } else { HealthStatus::Healthy };
        let worst = |all: &[HealthStatus]| if all.is_empty() { nothing } else { HealthStatus::worst(all.iter().copied()) };
        let (backup, recovery) = (worst(&backups), worst(&graphs));
        let replication = if targets.is_empty() { HealthStatus::Healthy } else { HealthStatus::worst(targets.iter().copied()) };
        let database = Part { name: "database", status: HealthStatus::Healthy, message: "it answers".to_owned() };
        let parts = [Some(database), Some(storage), self.look_at_collector()].into_iter().flatten().collect::<Vec<Part>>();
        let all = [backup, recovery, replication].into_iter().chain(parts.iter().map(|part| part.status));
        let unseen = known.unseen.then_some(HealthStatus::Unknown);
        SystemHealth {
            overall: HealthStatus::worst(all.chain(unseen)),
            checked_at: self.now(),
            backup,
            recovery,
            replication,
            parts,
            components: known.components.iter().chain(&known.targets).cloned().collect(),
            events_lately: Some(events.cast_signed()),
        }
    }

    fn without_database(&self, parts: Vec<Part>) -> SystemHealth {
        SystemHealth {
            overall: HealthStatus::Critical,
            checked_at: self.now(),
            backup: HealthStatus::Unknown,
            recovery: HealthStatus::Unknown,
            replication: HealthStatus::Unknown,
            parts,
            components: Vec::new(),
            events_lately: None,
        }
    }

    async fn look_at_storage(&self) -> Part {
        let storage = self.settings().places.storage.clone();
        let looked = self.blocking(move || Ok::<_, Error>((room(&storage)?, is_writable(&storage))));
        let (status, message) = match looked.await {
            Ok((_, false)) => (HealthStatus::Critical, "it cannot be written: no snapshot can be taken".to_owned()),
            Ok(((free, total), true)) if (free as f64) < total as f64 * FREE_SHARE => {
                (HealthStatus::Degraded, format!("only {free} of {total} bytes are free: give it room, or keep less"))
            }
            Ok(((free, total), true)) => (HealthStatus::Healthy, format!("{free} of {total} bytes are free")),
            Err(error) => (HealthStatus::Critical, error.record().message),
        };
        Part { name: "storage", status, message }
    }

    fn look_at_collector(&self) -> Option<Part> {
        let settings = &self.settings().monitoring;
        if !settings.is_enabled {
            return None;
        }
        let Some(at) = self.collected().at else {
            let message = "nothing was collected yet".to_owned();
            return Some(Part { name: "collector", status: HealthStatus::Unknown, message });
        };
        let is_late = self.now().since(at) > settings.interval * COLLECTIONS_MISSED;
        let status = if is_late { HealthStatus::Degraded } else { HealthStatus::Healthy };
        Some(Part { name: "collector", status, message: format!("the last collection was at {at}") })
    }
}
