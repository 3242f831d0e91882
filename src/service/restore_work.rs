//! Restoring a snapshot: aside, verified, then put in place in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::operations::{payload, subject, to_json};
use super::placements::{Aside, Placement, Restore, aside_path, half_done, inputs_aside_path};
use super::repository_lock::HeldLock;
use super::snapshots::check_restorable;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::report::RestoreReport;
use crate::lightrag::apply::{Recovered, recover_apply};
use crate::repository::LockKind;
use crate::store::entity::operation;
use crate::store::operations::Ending;
use crate::store::{self, operations, snapshots};

/// The stage in which the target is replaced.
const APPLY: &str = "apply";

/// What a restore needs beyond its snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RestorePayload {
    /// Where to, absolute and resolved.
    pub(super) target_dir: PathBuf,
    /// Even where a running LightRAG server uses it.
    pub(super) force: bool,
    /// Only these paths below the source; all of it when empty.
    #[serde(default)]
    pub(super) paths: Vec<PathBuf>,
    /// What is restored becomes a graph of its own under this id.
    #[serde(default)]
    pub(super) fork_graph_id: Option<String>,
    /// Where the inputs go, absolute and resolved; else they are not restored.
    #[serde(default)]
    pub(super) inputs_target_dir: Option<PathBuf>,
    /// It refreshes a standby.
    #[serde(default)]
    pub(super) is_standby: bool,
}

impl RestorePayload {
    /// The directories that it replaces.
    pub(super) fn targets(&self) -> Vec<PathBuf> {
        [&self.target_dir].into_iter().chain(&self.inputs_target_dir).cloned().collect()
    }
}

/// What earlier attempts have left to be done.
enum Left {
    All,
    /// The target is in place; the inputs wait beside theirs, restored and verified.
    Inputs(PathBuf),
    Nothing,
}

impl Services {
    /// Restores the snapshot of an operation.
    ///
    /// # Errors
    /// Whatever keeps it from being whole; then the targets are as they were. An error that comes between the two says so.
    pub async fn run_restore(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let payload: RestorePayload = payload(operation)?;
        if operation.stage == APPLY {
            // By this stage it is known how far the last attempt came: a heartbeat must not write another before that is looked at.
            control.begin_stage(APPLY, 0);
        }
        self.reserve_targets(operation, &payload, control).await?;
        // An earlier attempt may have been interrupted half-way: first the targets are made whole, the old tree or the new.
        let noted = || operation.result.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let left = if operation.attempt > 1 { self.what_is_left(operation, &payload).await? } else { Left::All };
        match left {
            Left::All => {}
            Left::Inputs(target) => {
                let finished = self.finish_inputs(operation, &payload, target, control).await;
                finished.map_err(|error| half_done(Some(&payload.target_dir), error))?;
                return self.complete_restore(operation, &payload, noted(), control).await;
            }
            Left::Nothing => return self.complete_restore(operation, &payload, noted(), control).await,
        }
        let row = self.snapshot_of_operation(operation).await?;
        check_restorable(&row)?;
        self.check_still_free(&payload).await?;
        self.check_places(&operation.graph_id, &payload).await?;
        self.check_target_unused(&operation.graph_id, &payload.target_dir, payload.force).await?;
        let root = self.repository_root(&operation.graph_id);
        let services = self.clone();
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let mut placements = vec![Placement::of_source(operation, &payload, &row)];
        if let Some(target) = &payload.inputs_target_dir {
            placements.push(Placement::of_inputs(operation, &payload, &row, self.replaceable_inputs_at(target).await?));
        }
        let work = Restore {
            placements,
            places: self.settings().places.clone(),
            sync: self.settings().restore_sync,
            repository,
            lock: lock.clone(),
            row,
            control: Arc::clone(control),
        };
        if operation.attempt > 1 {
            // The row may still have the last attempt's stage, which would be taken for this one's.
            control.begin_stage("restore", 0);
            self.beat(operation, control.progress()).await?;
        }
        let (work, asides, report) = self
            .blocking(move || {
                let (asides, report) = work.run()?;
                Ok::<_, Error>((work, asides, report))
            })
            .await?;
        if payload.is_standby {
            self.note_restored(operation, &payload).await?;
        }
        self.check_still_free(&payload).await?;
        operations::note(self.store().read(), operation, to_json(&report)?).await?;
        // Whoever has lost the lease touches nothing; and a next attempt learns from the stage how far this one came.
        control.begin_stage(APPLY, 0);
        control.go_on()?;
        self.beat(operation, control.progress()).await?;
        self.blocking(move || work.put_in_place(asides)).await?;
        failpoint::reach("restore.applied");
        lock.release(self).await;
        self.complete_restore(operation, &payload, Some(report), control).await
    }

    /// Waits until no other restore works on the same directories.
    async fn reserve_targets(&self, operation: &operation::Model, payload: &RestorePayload, control: &Control) -> Result<(), Error> {
        let targets = payload.targets();
        let mut changes = self.wakeup().changes();
        while !self.running().reserve(operation.operation_id, &targets) {
            control.go_on()?;
            changes.next().await;
        }
        Ok(())
    }

    /// Makes the targets whole, and says what earlier attempts have put in place. The target comes before that of the inputs.
    async fn what_is_left(&self, operation: &operation::Model, payload: &RestorePayload) -> Result<Left, Error> {
        let was_applying = operation.stage == APPLY;
        let is_placed = move |target: &Path, aside: &Path| {
            let recovered = recover_apply(target)?;
            // The restored tree is beside the target from before that stage until it has been put in place.
            Ok::<_, Error>(recovered == Recovered::Completed || was_applying && !aside.exists())
        };
        let (target, aside) = (payload.target_dir.clone(), aside_path(&payload.target_dir, operation));
        let inputs = payload.inputs_target_dir.clone().map(|target| (inputs_aside_path(&target, operation), target));
        self.blocking(move || {
            if !is_placed(&target, &aside)? {
                return Ok(Left::All);
            }
            match inputs {
                Some((aside, target)) if !is_placed(&target, &aside)? => Ok(Left::Inputs(target)),
                _ => Ok::<_, Error>(Left::Nothing),
            }
        })
        .await
    }

    /// Puts the inputs in place that an earlier attempt has restored. The stage stays what it was: after one more crash it is known
    /// what has been done.
    async fn finish_inputs(
        &self,
        operation: &operation::Model,
        payload: &RestorePayload,
        target: PathBuf,
        control: &Control,
    ) -> Result<(), Error> {
        let row = self.snapshot_of_operation(operation).await?;
        let placement = Placement::of_inputs(operation, payload, &row, self.replaceable_inputs_at(&target).await?);
        control.go_on()?;
        self.beat(operation, control.progress()).await?;
        let places = self.settings().places.clone();
        self.blocking(move || placement.finish(&places)).await
    }

    /// Ends a restore; without a report when what an earlier attempt has done is not known.
    async fn complete_restore(
        &self,
        operation: &operation::Model,
        payload: &RestorePayload,
        report: Option<RestoreReport>,
        control: &Control,
    ) -> Result<(), Error> {
        let ending = Ending { result: report.as_ref().map(to_json).transpose()?, ..Ending::succeeded() };
        let fork = payload.fork_graph_id.as_deref().and_then(|id| GraphId::parse(id).ok());
        let is_found_again = match &fork {
            Some(fork) => self.has_repository(fork).await?,
            None => false,
        };
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        self.register_fork(&transaction, operation, payload, is_found_again).await?;
        snapshots::update_restored(&*transaction, subject(operation)?).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Puts right what attempts have left that are not tried again: the targets of a restore are made whole, the old tree or the new; the
    /// scratch place of a drill goes.
    pub async fn abandon(&self, operation: &operation::Model) {
        match operation.kind {
            OperationKind::Restore => {}
            OperationKind::Drill => return self.abandon_drill(operation).await,
            OperationKind::Failover | OperationKind::Rollback => return self.abandon_failover(operation).await,
            _ => return,
        }
        let Ok(payload) = serde_json::from_str::<RestorePayload>(&operation.payload) else { return };
        let mut left = vec![(aside_path(&payload.target_dir, operation), payload.target_dir)];
        left.extend(payload.inputs_target_dir.map(|target| (inputs_aside_path(&target, operation), target)));
        for (aside, target) in left {
            let recovered = self.blocking(move || {
                recover_apply(&target)?;
                Aside::make(aside).map(drop)
            });
            if let Err(error) = recovered.await {
                let operation_id = operation.operation_id;
                tracing::error!(%operation_id, error = error.chain(), "cannot make the target of a restore whole");
            }
        }
    }
}
