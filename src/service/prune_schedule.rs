//! Giving back space by itself: a graph is pruned when something was deleted from it some time ago, within limits, and again where
//! the limits ended a run.

use std::time::Duration;

use super::Services;
use super::error::Error;
use super::operations::{payload, report};
use super::repositories::{PruneWish, RepositoryWish};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::report::PruneReport;
use crate::store::entity::operation::Model;
use crate::store::{graphs, operations};

/// When repositories are pruned by themselves, and what one run may do.
#[derive(Debug, Clone, Copy)]
pub struct PruneSettings {
    /// How long after a deletion at the latest; zero for never.
    pub interval: Duration,
    /// The longest that a run takes, seconds.
    pub max_seconds: u64,
    /// Most bytes of packs that a run reads to write them anew.
    pub max_repack_bytes: u64,
}

impl Services {
    /// Queues a prune of each graph whose time has come. One that cannot be pruned keeps no other from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune_due(&self) -> Result<(), Error> {
        let PruneSettings { interval, .. } = self.settings().prune;
        if interval.is_zero() {
            return Ok(());
        }
        let since = self.now().minus(interval);
        for graph_id in graphs::list_unpruned(self.store().read(), since).await? {
            if let Err(error) = self.queue_prune(&graph_id, since).await {
                tracing::warn!(graph_id = graph_id.as_str(), error = error.chain(), "cannot prune a repository");
            }
        }
        Ok(())
    }

    async fn queue_prune(&self, graph_id: &GraphId, since: Timestamp) -> Result<(), Error> {
        let last = operations::find_newest(self.store().read(), graph_id, OperationKind::Prune).await?;
        // One that failed is tried again after the whole interval: it says what is wrong, and needs somebody.
        let waits = |last: &Model| !last.state.is_ended() || (last.state != OperationState::Succeeded && last.created_at > since);
        if last.as_ref().is_some_and(waits) {
            return Ok(());
        }
        let PruneSettings { max_seconds, max_repack_bytes, .. } = self.settings().prune;
        let wish = PruneWish {
            max_unused_percent: PruneWish::UNUSED_PERCENT,
            max_repack_bytes: Some(max_repack_bytes),
            max_seconds: Some(last.and_then(|last| longer(&last)).unwrap_or(max_seconds).max(max_seconds)),
            validate_only: false,
        };
        let caller = Caller { name: "housekeeping", request_id: None };
        self.work_on_repository(&caller, graph_id, RepositoryWish::Prune(wish), None).await?;
        Ok(())
    }
}

/// Twice the time of a run that came to nothing in it: it had not even learned what is used.
fn longer(last: &Model) -> Option<u64> {
    let report = report::<PruneReport>(last)?;
    let came_to_nothing = !report.finished && report.removed_packs == 0 && report.repacked_packs == 0;
    let PruneWish { max_seconds, validate_only, .. } = payload(last).ok()?;
    max_seconds.filter(|_| came_to_nothing && !validate_only).map(|seconds| seconds.saturating_mul(2))
}
