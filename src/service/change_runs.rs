//! Schedules that follow changes of a graph's files.

use std::time::Duration;

use super::Services;
use super::error::Error;
use super::schedule_rows::schedule_of;
use super::schedule_runs::graphs_of;
use crate::base::timestamp::Timestamp;
use crate::domain::schedule::Cadence;
use crate::domain::schedule::change::OnChange;
use crate::domain::schedule::overlap::OverlapPolicy;
use crate::store::entity::{graph, schedule, snapshot};
use crate::store::{self, schedules, snapshots};

/// How long nothing is tried again at least after a snapshot that has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What is to be done about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet: ask again.
    NotYet,
    /// A snapshot was queued.
    Queued,
    /// Nothing more: a snapshot has it.
    Captured,
}

/// A graph whose changes a schedule follows.
#[derive(Debug, Clone)]
pub struct Followed {
    /// The schedule.
    pub schedule: schedule::Model,
    /// The graph.
    pub graph: graph::Model,
}

impl Services {
    /// The graphs whose changes are followed.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_followed(&self) -> Result<Vec<Followed>, Error> {
        let rows = schedules::list_on_change(self.store().read()).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.graphs_that_may_be_meant(&rows).await?;
        let followed = |schedule: &schedule::Model| {
            let graphs = graphs_of(schedule, &all).into_iter();
            graphs.map(|graph| Followed { schedule: schedule.clone(), graph: graph.clone() }).collect::<Vec<_>>()
        };
        Ok(rows.iter().flat_map(followed).collect())
    }

    /// Queues a snapshot of a graph that has changed, if it is time.
    ///
    /// # Errors
    /// The database's.
    pub async fn follow_change(&self, followed: &Followed, changed_at: Timestamp) -> Result<Answer, Error> {
        let (row, graph, now) = (&followed.schedule, &followed.graph, self.now());
        let Cadence::OnChange(rule) = *schedule_of(row)?.cadence() else { return Ok(Answer::NotYet) };
        // While it is not at rest the database is not asked.
        if rule.fires_at(Some(changed_at), None, now).is_none_or(|fires_at| fires_at > now) {
            return Ok(Answer::NotYet);
        }
        let read = self.store().read();
        let newest = snapshots::find_newest(read, &graph.graph_id).await?;
        if newest.as_ref().is_some_and(|snapshot| !snapshot.status.is_settled()) {
            // It may see the change or not: asked again when it has ended.
            return Ok(Answer::NotYet);
        }
        let captured = snapshots::find_latest(read, &graph.graph_id, &graph.source_dir).await?;
        let Some(fires_at) =
            rule.fires_at(Some(changed_at), captured.map(|snapshot| snapshot.started_at.unwrap_or(snapshot.created_at)), now)
        else {
            return Ok(Answer::Captured);
        };
        let failed = newest.filter(|snapshot| !snapshot.status.is_restorable());
        if fires_at > now || failed.and_then(|failed| retry_at(&failed, rule)).is_some_and(|retry_at| retry_at > now) {
            return Ok(Answer::NotYet);
        }
        let transaction = self.store().begin().await?;
        if !schedules::advance(&*transaction, row, None, Some(now)).await? {
            return Ok(Answer::NotYet);
        }
        self.start_run(&transaction, row, graph, now, OverlapPolicy::Skip).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(Answer::Queued)
    }
}

/// When a snapshot that has failed is tried again.
fn retry_at(failed: &snapshot::Model, rule: OnChange) -> Option<Timestamp> {
    Some(failed.completed_at.or(failed.started_at)?.plus(rule.minimum_interval.max(AFTER_FAILURE)))
}
