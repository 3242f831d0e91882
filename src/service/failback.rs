//! The way back from a recovery site: a checkpoint of the graphs there, and when it is complete, its failover to where they were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sea_orm::ConnectionTrait;

use super::Services;
use super::checkpoint_schedule::WINDOW;
use super::checkpoints::NewCheckpoint;
use super::error::{Error, ErrorKind};
use super::failover_plan::{describe, graph_id_of, graph_ids_of};
use super::failover_run::members_of;
use super::idempotency::Request;
use super::inputs::inputs_root;
use super::looking::Opened;
use super::operations::to_json;
use super::placements::kept_name;
use super::restore_plan::differs;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::caller::Caller;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState};
use crate::domain::failover::{FailoverKind, FailoverState, Member, Move};
use crate::domain::label::Labels;
use crate::domain::operation::OperationKind;
use crate::lightrag::workspace::is_other_workspace;
use crate::store::entity::failover::Model;
use crate::store::entity::{checkpoint, operation, snapshot};
use crate::store::{self, Transaction, checkpoints, failovers, fences, operations, snapshots};

impl Services {
    pub(super) async fn fail_back_once(&self, caller: &Caller, id: &str, force: bool, request: &Request<'_>) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        let failover = self.find_failover_to_update(&transaction, id).await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_failover(&*transaction, &first).await;
        }
        if !matches!(failover.state, FailoverState::Succeeded | FailoverState::Switched) {
            let message = format!("failover `{id}` cannot be failed back: it is {}", failover.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_NOT_SWITCHED", message));
        }
        let now = self.now();
        let members: Vec<Member> =
            members_of(&failover)?.into_iter().filter(Member::is_moved).map(|member| reversed(member, now)).collect();
        if members.is_empty() {
            let message =
                format!("failover `{id}` has put each graph in its own place, there is no way back from it: roll it back instead");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_IN_PLACE", message));
        }
        let graph_ids = graph_ids_of(&members)?;
        fences::lock(&*transaction).await?;
        self.check_free(&transaction, &graph_ids, &members).await?;
        self.check_not_moved(&*transaction, &failover, &members_of(&failover)?).await?;
        let new = NewCheckpoint {
            graph_ids: graph_ids.clone(),
            snapshots: BTreeMap::new(),
            description: format!("to fail back from failover {id}"),
            labels: Labels::default(),
            allow_partial: false,
            window: WINDOW,
            validate: None,
            retention_days: None,
            request_id: None,
        };
        let checkpoint = self.insert_checkpoint(&transaction, caller, &new, CheckpointOrigin::Created).await?;
        let row = self.new_failover(FailoverKind::Failback, checkpoint.checkpoint_id, &members, now)?;
        let row = Model { failed_over_by: Some(failover.failover_id), force, ..row };
        self.begin_failover(transaction, caller, request, &graph_ids, row).await
    }

    /// Queues the failbacks whose snapshots are there, and ends those whose are not coming.
    pub(super) async fn settle_failbacks(&self) -> Result<(), Error> {
        for failback in failovers::list_capturing(self.store().read()).await? {
            let checkpoint = checkpoints::find(self.store().read(), failback.checkpoint_id).await?;
            if checkpoint.as_ref().is_some_and(|row| row.state == CheckpointState::Capturing) {
                continue;
            }
            if let Err(error) = self.settle_failback(&failback, checkpoint).await {
                tracing::error!(failover_id = %failback.failover_id, error = error.chain(), "cannot go on with a failback");
            }
        }
        Ok(())
    }

    async fn settle_failback(&self, failback: &Model, checkpoint: Option<checkpoint::Model>) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        let row = failovers::find_to_update(&*transaction, failback.failover_id).await?;
        // Another instance may have been faster.
        let Some(mut row) = row.filter(|row| row.state == FailoverState::Capturing) else { return Ok(()) };
        match checkpoint {
            Some(checkpoint) if checkpoint.state == CheckpointState::Completed => self.queue_failback(&transaction, &mut row).await?,
            other => {
                let why = other.and_then(|row| row.error_message).unwrap_or_else(|| "its checkpoint was deleted".to_owned());
                (row.state, row.error_message, row.ended_at) = (FailoverState::Failed, Some(why), Some(self.now()));
                fences::release(&*transaction, row.failover_id).await?;
            }
        }
        failovers::update(&*transaction, row).await?;
        store::commit(transaction).await?;
        failpoint::reach("failback.captured");
        self.wakeup().announce_work();
        Ok(())
    }

    async fn queue_failback(&self, transaction: &Transaction, row: &mut Model) -> Result<(), Error> {
        let mut members = members_of(row)?;
        self.fill_snapshots(&**transaction, row, &mut members).await?;
        let first = members.first().ok_or_else(|| Error::internal("fail back", "there is no graph"))?;
        // What its caller has been promised is done, however many wait.
        let operation: operation::Model = self.new_operation(OperationKind::Failover, &graph_id_of(first)?, None, "{}".to_owned());
        let operation = operations::insert(&**transaction, operation).await?;
        row.plan = to_json(&members)?;
        (row.operation_id, row.state) = (Some(operation.operation_id), FailoverState::Running);
        Ok(())
    }

    /// The snapshots of a failback's checkpoint, in its plan.
    async fn fill_snapshots(&self, connection: &impl ConnectionTrait, row: &Model, members: &mut [Member]) -> Result<(), Error> {
        let joined = checkpoints::list_members(connection, &[row.checkpoint_id]).await?;
        for member in members {
            let snapshot_id = joined.iter().find(|one| one.graph_id.as_str() == member.graph_id).and_then(|one| one.snapshot_id);
            let missing = || Error::internal("fail back", "a graph did not join the checkpoint");
            let snapshot = snapshots::find(connection, &graph_id_of(member)?, snapshot_id.ok_or_else(missing)?).await?;
            let snapshot = snapshot.ok_or_else(missing)?;
            describe(member, &snapshot);
        }
        Ok(())
    }

    /// That a graph's source is as its snapshot has captured it: what has been written since would be lost.
    pub(super) async fn check_as_captured(&self, member: &Member, row: &snapshot::Model, control: &Arc<Control>) -> Result<(), Error> {
        let opened = self.open_snapshot(row).await?;
        let inputs = match &member.inputs {
            Some(inputs) => Some((inputs_root(&opened.root, row)?, self.inputs_at(Path::new(&inputs.from)).await?)),
            None => None,
        };
        let (source, is_workspace, watched) = (PathBuf::from(&member.source.from), member.is_workspace, Arc::clone(control));
        let differing = self.blocking(move || {
            let skips = |path: &Path| if is_workspace { is_other_workspace(path) } else { Ok(false) };
            let differing = differs(&opened, &source, &skips, &watched)?.map(|example| source.join(example));
            let Some((root, inputs)) = inputs.filter(|_| differing.is_none()) else { return Ok(differing) };
            let opened = Opened { root, ..opened };
            let differing = differs(&opened, &inputs.directory, &|path| Ok(inputs.is_anothers(path)), &watched)?;
            Ok::<_, Error>(differing.map(|example| inputs.directory.join(example)))
        });
        let Some(example) = differing.await? else { return Ok(()) };
        let message = format!(
            "graph `{}` was written to since its snapshot, stop its LightRAG server and fail back again: {}",
            member.graph_id,
            example.display()
        );
        Err(Error::refused(ErrorKind::FailedPrecondition, "SOURCE_CHANGED", message))
    }
}

/// The way back of a graph.
fn reversed(member: Member, now: crate::base::timestamp::Timestamp) -> Member {
    let back = |one: Move| Move {
        kept_as: kept_name(Path::new(&one.from), now).display().to_string(),
        from: one.target,
        target: one.from,
        aside: String::new(),
        had_former: false,
        was_left: false,
        replaced_as: None,
        size_bytes: one.size_bytes,
    };
    let (source, inputs) = (back(member.source), member.inputs.map(back));
    Member { source, inputs, snapshot_id: String::new(), expected_seconds: None, ..member }
}
