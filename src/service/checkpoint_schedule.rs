//! Checkpoints that are made by themselves, and those whose time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Services;
use super::checkpoints::NewCheckpoint;
use super::error::Error;
use super::idempotency::Request;
use crate::base::ids::CheckpointId;
use crate::domain::caller::Caller;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState, KeptCheckpoint, expired};
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::verification::VerificationLevel;
use crate::store::entity::checkpoint::Model;
use crate::store::{self, audit_events, checkpoints, graphs};

/// What the operator has set for recovery.
#[derive(Debug, Clone, Copy)]
pub struct RecoverySettings {
    /// How often a checkpoint over all graphs is made by itself; zero for never.
    pub checkpoint_interval: Duration,
    /// How long a checkpoint is kept at least, days.
    pub checkpoint_retention_days: u32,
    /// How old the newest good snapshot of a graph may be; zero where nobody says.
    pub rpo_objective: Duration,
    /// How often everything that recovery needs is looked at; zero for never.
    pub health_check_interval: Duration,
    /// How long a validation counts.
    pub validation_max_age: Duration,
}

/// All captures of a checkpoint must begin within this time where nobody says otherwise.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Whose doing checkpoints by themselves are.
const RECOVERY: Caller = Caller { name: "recovery", request_id: None };

/// What they do.
const CREATE: &str = "CreateCheckpoint";

/// What is known of recovery as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryStatus {
    /// Checkpoints that are complete.
    pub total_checkpoints: u64,
    /// Those whose last validation passed, and not too long ago.
    pub validated_checkpoints: u64,
    /// A failover waits or is being done.
    pub failover_in_progress: bool,
    /// The newest that is complete.
    pub latest: Option<Model>,
}

impl Services {
    /// Makes a checkpoint over all graphs where it is time for one: an interval after the last one, or after the first graph was
    /// registered, and not before that one is validated. Graphs that cannot join are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn make_due_checkpoint(&self) -> Result<(), Error> {
        let interval = self.settings().recovery.checkpoint_interval;
        let mut graphs = graphs::list_all(self.store().read()).await?;
        graphs.retain(|graph| !graph.graph_id.is_copy());
        let Some(first) = graphs.iter().map(|graph| graph.created_at).min().filter(|_| !interval.is_zero()) else { return Ok(()) };
        // Asked of the audit trail: checkpoints go away.
        let last = audit_events::find_last(self.store().read(), RECOVERY.name, CREATE, self.now()).await?;
        if last.unwrap_or(first).plus(interval) > self.now() || checkpoints::has_open_automatic(self.store().read()).await? {
            return Ok(());
        }
        let graph_ids: Vec<GraphId> = graphs.into_iter().map(|graph| graph.graph_id).collect();
        let new = NewCheckpoint {
            graph_ids,
            snapshots: BTreeMap::new(),
            description: "made by itself".to_owned(),
            labels: Labels::default(),
            allow_partial: true,
            // Nobody waits for it, and with many graphs one capture comes after the other.
            window: interval,
            validate: Some(VerificationLevel::Content),
            retention_days: None,
            request_id: None,
        };
        let request = Request { request_id: None, action: CREATE, body: &[] };
        self.create_checkpoint_once(&RECOVERY, &new, CheckpointOrigin::Automatic, &request).await?;
        Ok(())
    }

    /// Removes the checkpoints whose time is over, but for the newest complete one and the newest validated one.
    ///
    /// # Errors
    /// The database's.
    pub async fn expire_checkpoints(&self) -> Result<(), Error> {
        let rows = checkpoints::list_all(self.store().read()).await?;
        let kept = |row: &Model| KeptCheckpoint {
            state: row.state,
            validated: row.validation_passed == Some(true),
            created_at: row.created_at,
            retention_until: row.retention_until,
        };
        let goes = expired(&rows.iter().map(kept).collect::<Vec<_>>(), self.now());
        for row in rows.into_iter().zip(goes).filter_map(|(row, goes)| goes.then_some(row)) {
            self.expire_checkpoint(row.checkpoint_id).await?;
        }
        Ok(())
    }

    async fn expire_checkpoint(&self, id: CheckpointId) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        let row = checkpoints::find_to_update(&*transaction, id).await?;
        let Some(row) = row.filter(|row| row.state != CheckpointState::Capturing) else { return Ok(()) };
        if self.check_not_failing_over(&*transaction, id).await.is_err() {
            return Ok(());
        }
        self.remove_checkpoint(&transaction, &row).await?;
        self.record_audit(&*transaction, &RECOVERY, "DeleteCheckpoint", None, Some(id.to_string())).await?;
        Ok(store::commit(transaction).await?)
    }

    /// What is known of recovery as a whole.
    ///
    /// # Errors
    /// The database's.
    pub async fn recovery_status(&self) -> Result<RecoveryStatus, Error> {
        let since = self.now().minus(self.settings().recovery.validation_max_age);
        let (total_checkpoints, validated_checkpoints) = checkpoints::count(self.store().read(), since).await?;
        let latest = checkpoints::find_newest_complete(self.store().read()).await?;
        let failover_in_progress = self.is_failing_over().await?;
        Ok(RecoveryStatus { total_checkpoints, validated_checkpoints, failover_in_progress, latest })
    }
}
