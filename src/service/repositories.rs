//! Work on a whole repository: prune, check, repair, reconcile. Asked for here, done by operations.

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::operations::{Work, to_json};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::verification::RepositoryCheckDepth;
use crate::store::entity::operation::Model;

/// How a repository is pruned.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PruneWish {
    /// The share of unused bytes that may stay, percent.
    pub max_unused_percent: u8,
    /// Most bytes that are read to rewrite packs.
    pub max_repack_bytes: Option<u64>,
    /// The longest that it may take, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<u64>,
    /// Change nothing.
    pub validate_only: bool,
}

impl PruneWish {
    /// The share of unused bytes that stays where nobody says, percent: restic's default.
    pub const UNUSED_PERCENT: u8 = 5;
}

/// How a repository is checked.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CheckWish {
    /// How much of it.
    pub depth: RepositoryCheckDepth,
    /// Bytes that a sample reads.
    pub sample_bytes: u64,
}

/// How a repository is repaired.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RepairWish {
    /// Whether lost content is looked for in the source.
    pub with_source: bool,
    /// Whether snapshots come back whose records were removed before.
    #[serde(default)]
    pub with_removed: bool,
}

/// How rows are compared with records: there is nothing to choose.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ReconcileWish {}

/// What is wanted of a repository.
#[derive(Debug, Clone, Copy)]
pub enum RepositoryWish {
    /// Give back the space of deleted snapshots.
    Prune(PruneWish),
    /// Look for damage.
    Check(CheckWish),
    /// Repair damage.
    Repair(RepairWish),
    /// Follow what restic did.
    Reconcile(ReconcileWish),
}

impl Services {
    /// Queues work on the repository of a graph.
    ///
    /// # Errors
    /// There is no such graph; too many operations wait for it.
    pub async fn work_on_repository(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        wish: RepositoryWish,
        request_id: Option<&str>,
    ) -> Result<Model, Error> {
        self.find_graph(self.store().read(), graph_id).await?;
        let (kind, action, payload) = match wish {
            RepositoryWish::Prune(wish) => (OperationKind::Prune, "PruneRepository", to_json(&wish)?),
            RepositoryWish::Check(wish) => (OperationKind::Check, "CheckRepository", to_json(&wish)?),
            RepositoryWish::Repair(wish) => (OperationKind::Repair, "RepairRepository", to_json(&wish)?),
            RepositoryWish::Reconcile(wish) => (OperationKind::Reconcile, "ReconcileRepository", to_json(&wish)?),
        };
        let body = [graph_id.as_str(), &payload];
        let request = Request { request_id, action, body: &body };
        let work = Work { kind, graph_id, snapshot_id: None, payload: payload.clone() };
        self.queue(caller, &work, &request).await
    }
}
