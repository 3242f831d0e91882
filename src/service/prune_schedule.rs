//! Giving back space by itself: a graph is pruned when something was deleted from it some time ago, within limits, and again where
//! the limits ended a run. One at a time, so that snapshots of other graphs find a slot.

use std::time::Duration;

use super::Services;
use super::error::Error;
use super::operations::{payload, report, to_json};
use super::repositories::PruneWish;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::report::PruneReport;
use crate::store::entity::operation::Model;
use crate::store::{self, graphs, operations};

/// When repositories are pruned by themselves, and what one run may do.
#[derive(Debug, Clone, Copy)]
pub struct PruneSettings {
    /// How long after a deletion; zero for never.
    pub interval: Duration,
    /// The longest that a run works, seconds.
    pub max_seconds: u64,
    /// Most bytes of packs that a run reads to write them anew.
    pub max_repack_bytes: u64,
}

/// The longest time that a run gets whose time was too short, seconds.
const LONGEST: u64 = 24 * 3600;

impl Services {
    /// Queues the prune of the next graph whose time has come, unless another one waits or works. One that cannot be pruned keeps no
    /// other from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune_next(&self) -> Result<(), Error> {
        let PruneSettings { interval, .. } = self.settings().prune;
        if interval.is_zero() || self.has_open_work(OperationKind::Prune).await? {
            return Ok(());
        }
        let since = self.now().minus(interval);
        for graph_id in graphs::list_unpruned(self.store().read(), since).await? {
            match self.queue_prune(&graph_id, since).await {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => tracing::warn!(graph_id = graph_id.as_str(), error = error.chain(), "cannot prune a repository"),
            }
        }
        Ok(())
    }

    async fn queue_prune(&self, graph_id: &GraphId, since: Timestamp) -> Result<bool, Error> {
        if !self.has_repository(graph_id).await? {
            // Its disk is not mounted, or nothing was ever stored.
            return Ok(false);
        }
        let transaction = self.store().begin().await?;
        self.find_graph_to_update(&transaction, graph_id).await?;
        if operations::exists(&*transaction, graph_id, Some(&[OperationKind::Prune]), &OperationState::OPEN).await? {
            return Ok(false);
        }
        let last = operations::find_newest(&*transaction, graph_id, OperationKind::Prune).await?;
        // One that failed is tried again after the whole interval: it says what is wrong, and needs somebody.
        let has_failed = |last: &Model| last.state != OperationState::Succeeded && last.created_at > since && last.created_at <= self.now();
        if last.as_ref().is_some_and(has_failed) {
            return Ok(false);
        }
        let PruneSettings { max_seconds, max_repack_bytes, .. } = self.settings().prune;
        let wish = PruneWish {
            max_unused_percent: PruneWish::UNUSED_PERCENT,
            max_repack_bytes: Some(max_repack_bytes),
            max_seconds: Some(last.and_then(|last| longer(&last)).unwrap_or(max_seconds)),
            validate_only: false,
        };
        self.enqueue(&*transaction, self.new_operation(OperationKind::Prune, graph_id, None, to_json(&wish)?)).await?;
        let caller = Caller { name: "housekeeping", request_id: None };
        self.record_audit(&*transaction, &caller, "PruneRepository", graph_id, None).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(true)
    }
}

/// Twice the time of a run that did not even learn what is used.
fn longer(last: &Model) -> Option<u64> {
    let PruneWish { max_seconds, validate_only, .. } = payload(last).ok()?;
    let came_to_nothing = report::<PruneReport>(last)?.came_to_nothing();
    max_seconds.filter(|_| came_to_nothing && !validate_only).map(|seconds| seconds.saturating_mul(2).min(LONGEST.max(seconds)))
}
