//! Recovery health: each component is really looked at. Nothing is healthy because nobody complained, or because nobody looks any more.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Services;
use super::error::Error;
use super::hanging::Hanging;
use super::monitoring::events::NewEvent;
use super::operations::to_json;
use crate::base::ids::HealthCheckId;
use crate::base::timestamp::Timestamp;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::health::{ComponentType, Health, HealthStatus};
use crate::domain::metric::fact::{Fact, FactKind};
use crate::store::entity::graph;
use crate::store::entity::health_check::Model;
use crate::store::{self, facts, graphs, health_checks, sampling};

/// How long what was found is kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How long a component has to answer: a mount that hangs must not keep the others from being looked at.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How many graphs are looked at at once.
const LOOKS_AT_ONCE: usize = 4;

/// A finding counts for so many intervals, and for an hour where nobody looks by himself.
const COUNTS_INTERVALS: u32 = 3;
const COUNTS_OTHERWISE: Duration = Duration::from_secs(3600);

/// Who looks now, when the last one was done, and the looks that have not come back.
#[derive(Debug, Default)]
pub(super) struct Looking {
    last: Mutex<Option<Instant>>,
    hanging: Hanging<(GraphId, ComponentType)>,
}

/// How everything is that recovery needs.
#[derive(Debug, Clone)]
pub struct RecoveryHealth {
    /// The worst of all.
    pub overall: HealthStatus,
    /// When the last of them was looked at; none before the first.
    pub checked_at: Option<Timestamp>,
    /// The newest finding of each component that was looked at, by graph.
    pub components: Vec<Model>,
    /// How each enabled target was when it was looked at last.
    pub targets: Vec<Model>,
    /// Whether there are components that nobody has looked at yet.
    pub unseen: bool,
}

impl Services {
    /// What was found last. A finding that is too old, or is another graph's that had the same id, says nothing any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn recovery_health(&self) -> Result<RecoveryHealth, Error> {
        let (read, now) = (self.store().read(), self.now());
        let mut found = HashMap::new();
        for component_type in [ComponentType::Graph, ComponentType::Backup] {
            for check in sampling::newest_health_checks(read, component_type, now).await? {
                found.insert((component_type, check.component_id.clone()), check);
            }
        }
        let (mut components, mut unseen) = (Vec::new(), false);
        for graph in graphs::list_all(read).await? {
            for component_type in components_of(&graph) {
                match found.remove(&(*component_type, graph.graph_id.to_string())) {
                    Some(check) => components.push(self.aged(check)),
                    None => unseen = true,
                }
            }
        }
        let targets: Vec<Model> = self.target_health().await?;
        let statuses = components.iter().chain(&targets).map(|check| check.status).chain(unseen.then_some(HealthStatus::Unknown));
        let checked_at = components.iter().map(|check| check.checked_at).max();
        Ok(RecoveryHealth { overall: HealthStatus::worst(statuses), checked_at, components, targets, unseen })
    }

    /// How long a finding counts.
    pub(super) fn findings_count_for(&self) -> Duration {
        let interval = self.settings().recovery.health_check_interval;
        if interval.is_zero() { COUNTS_OTHERWISE } else { interval.max(Duration::from_secs(60)) * COUNTS_INTERVALS }
    }

    fn aged(&self, check: Model) -> Model {
        if self.now().since(check.checked_at) <= self.findings_count_for() {
            return check;
        }
        let message = format!("nobody has looked since {}, when it was {}: {}", check.checked_at, check.status, check.message);
        Model { status: HealthStatus::Unknown, message, ..check }
    }

    /// Looks at every graph's source, server, snapshots and repository, and records what was found. Whoever comes while somebody looks
    /// waits for it, and looks no second time.
    ///
    /// # Errors
    /// The database's. What is wrong with a component is what is found.
    pub async fn check_recovery_health(&self) -> Result<RecoveryHealth, Error> {
        let asked = Instant::now();
        let mut last = self.health().last.lock().await;
        if last.is_none_or(|last| last < asked) {
            self.look_at_all().await?;
            health_checks::delete_before(self.store().read(), self.now().minus(KEPT)).await?;
            *last = Some(Instant::now());
        }
        drop(last);
        self.recovery_health().await
    }

    /// Looks at all graphs, at some at once: those that hang must not make the findings of the others too old.
    async fn look_at_all(&self) -> Result<(), Error> {
        let mut looking = JoinSet::new();
        let lost = |error| Error::internal("look at a graph", error);
        for graph in graphs::list_all(self.store().read()).await? {
            if self.stopping().is_cancelled() {
                break;
            }
            if looking.len() >= LOOKS_AT_ONCE
                && let Some(looked) = looking.join_next().await
            {
                looked.map_err(lost)??;
            }
            let services = self.clone();
            looking.spawn(async move { services.check_graph(&graph).await });
        }
        while let Some(looked) = looking.join_next().await {
            looked.map_err(lost)??;
        }
        Ok(())
    }

    async fn check_graph(&self, graph: &graph::Model) -> Result<(), Error> {
        let began = Instant::now();
        let known = Arc::new(self.known_of(graph).await?);
        let (services, looked_at, knows) = (self.clone(), graph.clone(), Arc::clone(&known));
        let look = async move { services.look_at_backup(&looked_at, &knows).await };
        let (backup, stores) = match self.answer_of_component(graph, ComponentType::Backup, look).await {
            Some(looked) => looked.map(|(facts, stores)| (facts.judge(), stores))?,
            None => (did_not_answer(), Vec::new()),
        };
        let mut rows = vec![self.health_row(graph, ComponentType::Backup, &backup)?];
        if components_of(graph).contains(&ComponentType::Graph) {
            let (services, looked_at) = (self.clone(), graph.clone());
            let look = async move { services.look_at_source(&looked_at, &known, stores).await };
            let source = match self.answer_of_component(graph, ComponentType::Graph, look).await {
                Some(facts) => facts?.judge(),
                None => did_not_answer(),
            };
            rows.push(self.health_row(graph, ComponentType::Graph, &source)?);
        }
        self.note_health(graph, rows, began.elapsed()).await
    }

    /// Notes what was found, how long that took, and tells of each component that is another way than before.
    async fn note_health(&self, graph: &graph::Model, rows: Vec<Model>, duration: Duration) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        let mut told = Vec::new();
        for row in &rows {
            let before = health_checks::find_newest(&*transaction, row.component_type, &row.component_id, row.checked_at).await?;
            let before = before.filter(|check| check.checked_at >= graph.created_at).map(|check| check.status);
            if before.is_some_and(|before| before != row.status) || before.is_none() && row.status > HealthStatus::Unknown {
                told.push(changed(row, before));
            }
        }
        health_checks::insert(&*transaction, rows).await?;
        facts::insert(&*transaction, Fact { amount: duration.as_secs_f64(), ..Fact::new(FactKind::HealthCheck, self.now()) }).await?;
        self.tell_events(&*transaction, told).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_change();
        Ok(())
    }

    async fn answer_of_component<T: Send + 'static>(
        &self,
        graph: &graph::Model,
        component_type: ComponentType,
        look: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.health().hanging.answer_of((graph.graph_id.clone(), component_type), ANSWER_LIMIT, self.tasks(), look).await
    }

    fn health_row(&self, graph: &graph::Model, component_type: ComponentType, health: &Health) -> Result<Model, Error> {
        let now = self.now();
        if health.status >= HealthStatus::Offline {
            let (graph_id, component) = (graph.graph_id.as_str(), component_type.as_str());
            tracing::warn!(graph_id, component, status = health.status.as_str(), why = health.message, "a component is not healthy");
        }
        Ok(Model {
            health_check_id: HealthCheckId::new(self.ids(), now),
            component_type,
            component_id: graph.graph_id.to_string(),
            status: health.status,
            message: health.message.clone(),
            details: to_json(&health.details)?,
            checked_at: now,
        })
    }
}

fn changed(row: &Model, before: Option<HealthStatus>) -> NewEvent {
    let severity = match row.status {
        HealthStatus::Healthy => Severity::Info,
        HealthStatus::Unknown | HealthStatus::Degraded => Severity::Warning,
        HealthStatus::Offline | HealthStatus::Critical => Severity::Critical,
    };
    let was = before.map(|before| format!(", {before} before")).unwrap_or_default();
    NewEvent {
        topic: EventTopic::Health,
        severity,
        graph_id: Some(row.component_id.clone()),
        subject_id: Some(row.component_id.clone()),
        message: format!("{} is {} now{was}: {}", row.component_type, row.status, row.message),
    }
}

/// What is looked at of a graph: a copy has no source here.
pub(super) fn components_of(graph: &graph::Model) -> &'static [ComponentType] {
    if graph.graph_id.is_copy() { &[ComponentType::Backup] } else { &[ComponentType::Graph, ComponentType::Backup] }
}

fn did_not_answer() -> Health {
    let message = format!("it did not answer within {} s: does a mount hang?", ANSWER_LIMIT.as_secs());
    Health { status: HealthStatus::Offline, message, details: std::collections::BTreeMap::new() }
}
