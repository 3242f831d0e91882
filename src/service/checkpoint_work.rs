//! What completes checkpoints and validations: when all of their operations have ended. It is looked for after each change and every
//! second, on each instance, so a crash or a restart on the way changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use super::Services;
use super::error::Error;
use super::validations::Limit;
use crate::base::failpoint;
use crate::base::ids::{CheckpointId, SnapshotId};
use crate::domain::checkpoint::{CheckpointState, Decision, Joining, Progress, captured_between, decide};
use crate::domain::snapshot::SnapshotStatus;
use crate::store::entity::checkpoint::Model;
use crate::store::entity::checkpoint_member::Model as Member;
use crate::store::entity::snapshot;
use crate::store::{self, Transaction, checkpoints, pins, snapshots, validations};

/// Why a snapshot that was deleted before it could join is missing.
const GONE: &str = "its snapshot is gone";

impl Services {
    /// Completes all checkpoints and validations whose operations have ended, and queues the failbacks that have waited for them. One that
    /// cannot be completed keeps no other from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle_recovery(&self) -> Result<(), Error> {
        for id in checkpoints::list_capturing(self.store().read()).await? {
            if let Err(error) = self.settle_checkpoint(id).await {
                tracing::error!(checkpoint_id = %id, error = error.chain(), "cannot complete a checkpoint");
            }
        }
        self.settle_failbacks().await?;
        for validation in validations::list_running(self.store().read()).await? {
            if let Err(error) = self.settle_validation(&validation).await {
                tracing::error!(validation_id = %validation.validation_id, error = error.chain(), "cannot complete a validation");
            }
        }
        Ok(())
    }

    async fn settle_checkpoint(&self, id: CheckpointId) -> Result<(), Error> {
        let mut members = checkpoints::list_members(self.store().read(), &[id]).await?;
        // As they have joined.
        members.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
        let joining = self.joining(&members).await?;
        if joining.iter().any(|one| one.progress == Progress::Waits) {
            return Ok(());
        }
        let transaction = self.store().begin().await?;
        let row = checkpoints::find_to_update(&*transaction, id).await?;
        // Another instance may have been faster.
        let Some(row) = row.filter(|row| row.state == CheckpointState::Capturing) else { return Ok(()) };
        let window = Duration::from_secs(u64::try_from(row.window_seconds).unwrap_or(0));
        match decide(&joining, row.allow_partial, window) {
            Decision::Wait => return Ok(()),
            Decision::Complete => self.complete_checkpoint(&transaction, row, members, &joining).await?,
            Decision::Fail(why) => self.fail_checkpoint(&transaction, row, members, &joining, why).await?,
        }
        store::commit(transaction).await?;
        failpoint::reach("checkpoint.settled");
        self.wakeup().announce_work();
        Ok(())
    }

    async fn joining(&self, members: &[Member]) -> Result<Vec<Joining>, Error> {
        let ids: Vec<SnapshotId> = members.iter().filter_map(|member| member.snapshot_id).collect();
        let rows = snapshots::list_by_ids(self.store().read(), &ids).await?;
        let mut rows: HashMap<SnapshotId, snapshot::Model> = rows.into_iter().map(|row| (row.snapshot_id, row)).collect();
        let mut joining = Vec::with_capacity(members.len());
        for member in members {
            let snapshot = member.snapshot_id.and_then(|id| rows.remove(&id));
            let progress = match snapshot {
                None => Progress::Failed(member.error_message.clone().unwrap_or_else(|| GONE.to_owned())),
                Some(row) if !row.status.is_settled() => Progress::Waits,
                Some(row) if row.status.is_restorable() => Progress::Ready(row.captured_at.or(row.started_at)),
                Some(row) if row.status == SnapshotStatus::Failed => Progress::Failed(row.error_message.unwrap_or_default()),
                Some(row) => Progress::Failed(format!("its snapshot is {}", row.status)),
            };
            joining.push(Joining { graph_id: member.graph_id.clone(), fresh: member.fresh, progress });
        }
        Ok(joining)
    }

    async fn complete_checkpoint(
        &self,
        transaction: &Transaction,
        mut row: Model,
        members: Vec<Member>,
        joining: &[Joining],
    ) -> Result<(), Error> {
        let between = captured_between(joining.iter());
        (row.captured_from_at, row.captured_until_at) = (between.map(|(from, _)| from), between.map(|(_, until)| until));
        row.state = CheckpointState::Completed;
        row.completed_at = Some(self.now());
        let members = self.write_members(transaction, members, joining, false).await?;
        checkpoints::update(&**transaction, row.clone()).await?;
        if let Some(level) = row.validate_level {
            // What the checkpoint's caller has been promised is done, whoever waits.
            self.insert_validation(transaction, &row, &members, level, Limit::None).await?;
        }
        Ok(())
    }

    /// A checkpoint that has failed keeps nothing: what was taken for it is a snapshot like any other.
    async fn fail_checkpoint(
        &self,
        transaction: &Transaction,
        row: Model,
        members: Vec<Member>,
        joining: &[Joining],
        why: String,
    ) -> Result<(), Error> {
        tracing::warn!(checkpoint_id = %row.checkpoint_id, why, "a checkpoint has failed");
        self.write_members(transaction, members, joining, true).await?;
        let row = Model { state: CheckpointState::Failed, completed_at: Some(self.now()), error_message: Some(why), ..row };
        Ok(checkpoints::update(&**transaction, row).await?)
    }

    /// Writes what became of each member; gives those that have joined. Whoever has not is kept no longer.
    async fn write_members(
        &self,
        transaction: &Transaction,
        members: Vec<Member>,
        joining: &[Joining],
        leave_all: bool,
    ) -> Result<Vec<Member>, Error> {
        let mut joined = Vec::with_capacity(members.len());
        for (mut member, one) in members.into_iter().zip(joining) {
            let snapshot_id = member.snapshot_id;
            match &one.progress {
                Progress::Ready(captured_at) => member.captured_at = *captured_at,
                Progress::Failed(why) => (member.snapshot_id, member.error_message) = (None, Some(why.clone())),
                Progress::Waits => {}
            }
            if let Some(id) = snapshot_id.filter(|_| leave_all || member.snapshot_id.is_none()) {
                pins::leave_checkpoint(&**transaction, id).await?;
            }
            checkpoints::update_member(&**transaction, member.clone()).await?;
            joined.extend(member.snapshot_id.is_some().then_some(member));
        }
        Ok(joined)
    }
}
