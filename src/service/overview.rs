//! The first glance: is everything protected, and what is not. The same few queries for one graph or for all, whatever their number.

use std::collections::HashMap;
use std::time::Duration;

use super::Services;
use super::error::Error;
use super::health::components_of;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::health::{ComponentType, HealthStatus};
use crate::domain::operation::OperationState;
use crate::store::entity::{drill, graph, health_check, lease, operation, schedule};
use crate::store::graphs::GraphStats;
use crate::store::sampling::{self, Which};
use crate::store::{drills, graphs, health_checks, leases, overview, snapshots};

/// How a graph is protected.
#[derive(Debug, Clone)]
pub struct GraphOverview {
    /// The row.
    pub row: graph::Model,
    /// Counts over its restorable snapshots.
    pub stats: GraphStats,
    /// When the capture of its newest good snapshot began; none where there is no good one.
    pub newest_good_at: Option<Timestamp>,
    /// How old that may be; none where nobody says.
    pub objective: Option<Duration>,
    /// How its source and its LightRAG server were found; none where nobody has looked lately, and for a copy.
    pub source: Option<health_check::Model>,
    /// How its snapshots and their repository were found; none where nobody has looked lately.
    pub backup: Option<health_check::Model>,
    /// All of that together.
    pub status: HealthStatus,
    /// What is to be done about it, where it is not healthy.
    pub reasons: Vec<String>,
}

/// How many graphs are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All graphs.
    pub graphs: usize,
    /// Those that are protected.
    pub healthy: usize,
    /// Those at which something should be mended.
    pub degraded: usize,
    /// Those that are not protected, or cannot be reached.
    pub critical: usize,
    /// Those that nobody has looked at.
    pub unknown: usize,
}

impl Counts {
    /// Counts these.
    pub fn of(overviews: &[GraphOverview]) -> Self {
        let of = |wanted: &[HealthStatus]| overviews.iter().filter(|one| wanted.contains(&one.status)).count();
        Self {
            graphs: overviews.len(),
            healthy: of(&[HealthStatus::Healthy]),
            degraded: of(&[HealthStatus::Degraded]),
            critical: of(&[HealthStatus::Critical, HealthStatus::Offline]),
            unknown: of(&[HealthStatus::Unknown]),
        }
    }
}

impl Services {
    /// How all graphs are protected, in the order of their ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn graph_overviews(&self) -> Result<Vec<GraphOverview>, Error> {
        let rows = graphs::list_all(self.store().read()).await?;
        self.overviews_of(rows, None).await
    }

    /// How a graph is protected.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn graph_overview(&self, graph_id: &GraphId) -> Result<GraphOverview, Error> {
        let row = self.find_graph(self.store().read(), graph_id).await?;
        let found = self.overviews_of(vec![row], Some(graph_id)).await?.into_iter().next();
        found.ok_or_else(|| Error::NotFound { kind: "Graph", id: graph_id.to_string() })
    }

    async fn overviews_of(&self, rows: Vec<graph::Model>, only: Option<&GraphId>) -> Result<Vec<GraphOverview>, Error> {
        let (read, now) = (self.store().read(), self.now());
        let stats = graphs::aggregate(read, only.map(|graph_id| vec![graph_id.clone()])).await?;
        let mut stats: HashMap<GraphId, GraphStats> = stats.into_iter().map(|stats| (stats.graph_id.clone(), stats)).collect();
        let good = self.newest_good(only).await?;
        let mut findings = self.findings(&rows, only).await?;
        let mut overviews = Vec::with_capacity(rows.len());
        for row in rows {
            // One that has gone meanwhile is left out.
            let Some(stats) = stats.remove(&row.graph_id) else { continue };
            let mut finding = |component_type| findings.remove(&(row.graph_id.to_string(), component_type));
            let (source, backup) = (finding(ComponentType::Graph), finding(ComponentType::Backup));
            let seconds = row.rpo_objective_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
            let objective = seconds.or(Some(self.settings().recovery.rpo_objective)).filter(|length| !length.is_zero());
            let newest_good_at = good.get(&row.graph_id).copied();
            let mut one =
                GraphOverview { row, stats, newest_good_at, objective, source, backup, status: HealthStatus::Unknown, reasons: vec![] };
            one.judge(now);
            overviews.push(one);
        }
        Ok(overviews)
    }

    /// When the capture of each graph's newest good snapshot began, or of one's; graphs without one are left out.
    async fn newest_good(&self, only: Option<&GraphId>) -> Result<HashMap<GraphId, Timestamp>, Error> {
        let (read, now) = (self.store().read(), self.now());
        Ok(match only {
            Some(graph_id) => {
                let found = snapshots::find_newest_good(read, graph_id, now).await?;
                found.map(|row| (row.graph_id, row.captured_at.unwrap_or(row.created_at))).into_iter().collect()
            }
            None => {
                let found = sampling::newest_snapshots(read, Which::Good, 0, now).await?;
                found.into_iter().map(|row| (row.graph_id, row.captured_at)).collect()
            }
        })
    }

    /// What was found last of each component of these graphs, or of one; none that is too old, or another graph's that had the same id.
    async fn findings(
        &self,
        rows: &[graph::Model],
        only: Option<&GraphId>,
    ) -> Result<HashMap<(String, ComponentType), health_check::Model>, Error> {
        let (read, now) = (self.store().read(), self.now());
        let mut findings = HashMap::new();
        for component_type in [ComponentType::Graph, ComponentType::Backup] {
            let found = match only {
                Some(graph_id) => {
                    let registered = rows.iter().map(|row| row.created_at).max();
                    let newest = health_checks::find_newest(read, component_type, graph_id.as_str(), now).await?;
                    newest.filter(|check| Some(check.checked_at) >= registered).into_iter().collect()
                }
                None => sampling::newest_health_checks(read, component_type, now).await?,
            };
            let counting = found.into_iter().filter(|check| now.since(check.checked_at) <= self.findings_count_for());
            findings.extend(counting.map(|check| ((check.component_id.clone(), component_type), check)));
        }
        Ok(findings)
    }

    /// How many operations work, and how many wait.
    ///
    /// # Errors
    /// The database's.
    pub async fn count_open_operations(&self) -> Result<(u64, u64), Error> {
        let running = overview::count_in(self.store().read(), OperationState::Running).await?;
        Ok((running, overview::count_in(self.store().read(), OperationState::Queued).await?))
    }

    /// Operations that wait or work, those that work first.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_operations(&self, limit: u64) -> Result<Vec<operation::Model>, Error> {
        Ok(overview::list_open(self.store().read(), limit).await?)
    }

    /// The schedules that fire next.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_schedules(&self, limit: u64) -> Result<Vec<schedule::Model>, Error> {
        Ok(overview::list_next(self.store().read(), limit).await?)
    }

    /// Who has the right to do what alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn leases(&self) -> Result<Vec<lease::Model>, Error> {
        Ok(leases::list(self.store().read()).await?)
    }

    /// The last drill of a graph.
    ///
    /// # Errors
    /// The database's.
    pub async fn last_drill(&self, graph_id: &GraphId) -> Result<Option<drill::Model>, Error> {
        Ok(drills::find_newest(self.store().read(), graph_id, self.now()).await?)
    }
}

impl GraphOverview {
    /// How old the newest good snapshot is.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.newest_good_at.map(|at| now.since(at))
    }

    /// Whether the newest good snapshot is older than it may be.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.age(now).zip(self.objective).is_some_and(|(age, objective)| age > objective)
    }

    /// By what was found at the last look, and by what the rows say since.
    fn judge(&mut self, now: Timestamp) {
        let mut statuses = Vec::new();
        for component_type in components_of(&self.row) {
            let found = if *component_type == ComponentType::Backup { &self.backup } else { &self.source };
            statuses.push(found.as_ref().map_or(HealthStatus::Unknown, |check| check.status));
            if let Some(check) = found.as_ref().filter(|check| check.status != HealthStatus::Healthy) {
                self.reasons.push(check.message.clone());
            }
        }
        // A copy with another password has none that we know of, and its finding says so.
        let is_known = self.backup.as_ref().is_some_and(|check| check.status == HealthStatus::Critical) || self.row.graph_id.is_copy();
        if !is_known && self.newest_good_at.is_none() {
            statuses.push(HealthStatus::Critical);
            self.reasons.push("there is no good snapshot, take one".to_owned());
        } else if !is_known && self.is_late(now) {
            statuses.push(HealthStatus::Critical);
            self.reasons.push("the newest good snapshot is older than its objective allows".to_owned());
        }
        if self.reasons.is_empty() && statuses.contains(&HealthStatus::Unknown) {
            self.reasons.push("nobody has looked lately".to_owned());
        }
        self.reasons.dedup();
        self.status = HealthStatus::worst(statuses);
    }
}
