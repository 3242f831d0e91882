//! Monitoring: what has happened is counted, what there is is sampled, and both are kept as a history. Nothing is told that was not measured.

mod counting;
pub mod events;
pub mod history;
mod repository_size;
mod sample_graphs;
mod sample_plans;
mod sample_work;
pub mod statistics;
pub mod system_health;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use self::repository_size::Unmeasured;
use super::Services;
use super::error::{Error, ErrorKind};
use super::hanging::Hanging;
use crate::base::timestamp::Timestamp;
use crate::domain::metric::{Collected, OTHER, names};
use crate::lightrag::apply::{is_writable, room};
use crate::store::entity::{graph, schedule, target};
use crate::store::{graphs, leases, schedules, tallies, targets};
use crate::telemetry::{Format, Page};

/// The lease of the instance that keeps the history and follows the alerts.
const LEASE_NAME: &str = "monitoring";

/// How long another instance waits when this one has ended without a word, beyond the interval.
const LEASE: Duration = Duration::from_secs(60);

/// How long the storage has to answer.
const STORAGE_LIMIT: Duration = Duration::from_secs(10);

/// What the operator has set; by default nothing is measured.
#[derive(Debug, Clone, Default)]
pub struct MonitoringSettings {
    /// Whether metrics are collected and served.
    pub is_enabled: bool,
    /// How often they are collected.
    pub interval: Duration,
    /// How many graphs have a name of their own in a page.
    pub graph_limit: usize,
    /// How many series the history has at most.
    pub series_limit: u64,
    /// Whether events are written.
    pub events_enabled: bool,
    /// How long they are kept, and those of targets, and alerts that are over.
    pub event_retention: Duration,
}

/// Who measures now, and when the last time was.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    collecting: Mutex<Option<Instant>>,
    following: Mutex<()>,
    looking: Hanging<()>,
    unmeasured: Unmeasured,
}

/// The rows that several figures are sampled from.
struct Known {
    now: Timestamp,
    graphs: Vec<graph::Model>,
    schedules: Vec<schedule::Model>,
    targets: Vec<target::Model>,
}

impl Services {
    /// What was measured last; empty before the first time.
    pub fn collected(&self) -> Arc<Collected> {
        self.telemetry().collected()
    }

    /// Measures everything now. Whoever comes while somebody measures waits for it, and measures only if that began before he came.
    ///
    /// # Errors
    /// The database's; metrics are switched off.
    pub async fn collect_metrics(&self) -> Result<Arc<Collected>, Error> {
        self.check_metrics_enabled()?;
        let asked = Instant::now();
        let mut last = self.monitoring().collecting.lock().await;
        if last.is_none_or(|last| last < asked) {
            let began = Instant::now();
            let collected = Arc::new(self.measure().await?);
            self.telemetry().update(collected);
            *last = Some(began);
        }
        drop(last);
        Ok(self.collected())
    }

    /// What follows a collection, on one of the instances: the history, and the alerts.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_collection(&self, collected: &Collected) -> Result<(), Error> {
        // Two at once on this instance would be in each other's way.
        let _turn = self.monitoring().following.lock().await;
        let until_the_next = self.settings().monitoring.interval + LEASE;
        if leases::take(self.store().read(), LEASE_NAME, self.instance_id(), self.now(), until_the_next).await? {
            // First what somebody may have to know.
            self.evaluate_alerts(&collected.samples).await?;
            self.record_history(collected).await?;
        }
        Ok(())
    }

    /// That metrics are there to be asked for.
    ///
    /// # Errors
    /// They are switched off.
    pub fn check_metrics_enabled(&self) -> Result<(), Error> {
        if self.settings().monitoring.is_enabled {
            return Ok(());
        }
        let message = "metrics are not collected here: start the server with LIGHTRAG_METRICS_ENABLED=true";
        Err(Error::refused(ErrorKind::Unavailable, "METRICS_DISABLED", message.to_owned()))
    }

    /// All metrics as a page.
    ///
    /// # Errors
    /// They are switched off.
    pub async fn metrics_page(&self, format: Format) -> Result<Page, Error> {
        self.check_metrics_enabled()?;
        let services = self.clone();
        self.blocking(move || Ok::<_, Error>(services.telemetry().page(format))).await
    }

    async fn measure(&self) -> Result<Collected, Error> {
        self.count_facts().await?;
        let read = self.store().read();
        let known = Known {
            now: self.now(),
            graphs: graphs::list_all(read).await?,
            schedules: schedules::list_all(read).await?,
            targets: targets::list_all(read).await?,
        };
        let mut collected = Collected { at: Some(known.now), ..Collected::default() };
        self.add_tallies(&mut collected, &known, tallies::list_metrics(read).await?);
        let samples = &mut collected.samples;
        self.sample_graphs(samples, &known).await?;
        self.sample_recovery(samples, &known).await?;
        self.sample_schedules(samples, &known);
        self.sample_targets(samples, &known).await?;
        self.sample_operations(samples, &known).await?;
        self.sample_components(samples, &known).await?;
        self.sample_storage(samples).await;
        samples.add_one(&names::COLLECTION_LAST, known.now.seconds());
        collected.fill_in_zeros();
        collected.named_graphs = self.named_graphs(&known);
        collected.cap(&self.named(&known, &collected.named_graphs));
        Ok(collected)
    }

    /// How much of the storage is free, how large it is, bytes, and whether it can be written. Nothing where it does not answer.
    async fn look_at_storage_disk(&self) -> Option<Result<((u64, u64), bool), Error>> {
        let (services, storage) = (self.clone(), self.settings().places.storage.clone());
        let look = async move { services.blocking(move || Ok::<_, Error>((room(&storage)?, is_writable(&storage)))).await };
        self.monitoring().looking.answer_of((), STORAGE_LIMIT, self.tasks(), look).await
    }

    /// The oldest graphs, so that names stay when others come. One that is called as the others are together has none.
    fn named_graphs(&self, known: &Known) -> Vec<String> {
        let mut oldest: Vec<&graph::Model> = known.graphs.iter().filter(|graph| graph.graph_id.as_str() != OTHER).collect();
        oldest.sort_by_key(|graph| graph.created_at);
        oldest.into_iter().take(self.settings().monitoring.graph_limit).map(|graph| graph.graph_id.to_string()).collect()
    }

    /// What has a name of its own in a page: some graphs with their schedules, and all else that can be a component.
    fn named(&self, known: &Known, graphs: &[String]) -> HashSet<String> {
        let limit = 2 * self.settings().monitoring.graph_limit;
        let mut named: HashSet<String> = graphs.iter().cloned().collect();
        let is_of_named = |schedule: &&schedule::Model| schedule.graph_id.as_ref().is_none_or(|graph_id| named.contains(graph_id.as_str()));
        let schedules = known.schedules.iter().filter(is_of_named).take(limit).map(|schedule| schedule.schedule_id.to_string());
        let schedules: Vec<String> = schedules.collect();
        named.extend(schedules.into_iter().chain(known.targets.iter().map(|target| target.name.clone())).chain(["metadata".to_owned()]));
        named
    }
}

/// The names of targets by their ids: names are what people know.
fn target_names(targets: &[target::Model]) -> HashMap<String, String> {
    targets.iter().map(|target| (target.target_id.to_string(), target.name.clone())).collect()
}
