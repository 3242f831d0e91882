//! The work on one failover: its row, its plan, and its report, in which each step stands as soon as it begins.

use std::future::Future;
use std::sync::Arc;

use super::Services;
use super::error::{Error, ErrorKind};
use super::failover_plan::{graph_ids_of, places_of, rows_of};
use super::hooks::{HookFailure, Told, Turn};
use super::operations::to_json;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::failover::{Member, Move, Phase, Step, StepKind, StepOf, StepOutcome, has_run, mark_interrupted};
use crate::domain::graph_id::GraphId;
use crate::domain::hook::HookEvent;
use crate::store::entity::failover::Model;
use crate::store::entity::{operation, snapshot};
use crate::store::{self, Transaction, failovers, fences, graphs, operations, snapshots};

/// A failover that is being done, failed back or rolled back.
pub(super) struct FailoverRun<'a> {
    pub(super) services: &'a Services,
    pub(super) operation: &'a operation::Model,
    pub(super) control: &'a Arc<Control>,
    pub(super) row: Model,
    pub(super) members: Vec<Member>,
    pub(super) report: Vec<Step>,
    /// What hooks are told that is being done.
    action: &'static str,
}

/// The graphs of a failover.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub fn members_of(row: &Model) -> Result<Vec<Member>, Error> {
    serde_json::from_str(&row.plan).map_err(|error| Error::internal("read the plan of a failover", error))
}

/// The steps of a failover, as they stand in its row.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub fn steps_of(row: &Model) -> Result<Vec<Step>, Error> {
    serde_json::from_str(&row.report).map_err(|error| Error::internal("read the report of a failover", error))
}

/// The steps of a failover that nobody works on: what was being done is marked as interrupted.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub(super) fn interrupted_report_of(row: &Model) -> Result<Vec<Step>, Error> {
    let mut report = steps_of(row)?;
    mark_interrupted(&mut report);
    Ok(report)
}

impl<'a> FailoverRun<'a> {
    /// Takes up the failover of an operation. What an earlier process was at is marked as interrupted.
    pub(super) async fn open(
        services: &'a Services,
        operation: &'a operation::Model,
        control: &'a Arc<Control>,
        action: Option<&'static str>,
    ) -> Result<Self, Error> {
        let row = failovers::find_by_operation(services.store().read(), operation.operation_id).await?;
        let row = row.ok_or_else(|| Error::internal("fail over", "the operation has no failover"))?;
        let report = interrupted_report_of(&row)?;
        let action = action.unwrap_or(row.kind.as_str());
        Ok(Self { services, operation, control, members: members_of(&row)?, row, report, action })
    }

    /// Writes the row, fenced by the attempt.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        let transaction = self.begin().await?;
        self.write(&transaction).await?;
        self.commit(transaction).await
    }

    /// Writes how far the work is, so that not even a power cut forgets it.
    pub(super) async fn save_phase(&mut self, phase: Phase) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.row.phase, phase);
        if let Err(error) = self.save().await {
            self.row.phase = before;
            return Err(error);
        }
        Ok(self.services.store().flush().await?)
    }

    /// Writes that all graphs are the new ones, by these snapshots, or the old ones, and registers them where they are then.
    pub(super) async fn save_places(&mut self, phase: Phase, restored: &[snapshot::Model]) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.row.phase, phase);
        let written = async {
            let transaction = self.begin().await?;
            self.register_places(&transaction, phase == Phase::Switched).await?;
            for row in restored {
                snapshots::update_restored(&*transaction, row.snapshot_id).await?;
            }
            self.write(&transaction).await?;
            self.commit(transaction).await
        };
        if let Err(error) = written.await {
            self.row.phase = before;
            return Err(error);
        }
        Ok(())
    }

    /// Waits until no other work of this process is in the graphs' places.
    pub(super) async fn reserve_targets(&self) -> Result<(), Error> {
        let targets = places_of(&self.members);
        let mut changes = self.services.wakeup().changes();
        while !self.services.running().reserve(self.operation.operation_id, &targets) {
            self.control.go_on()?;
            changes.next().await;
        }
        Ok(())
    }

    /// A transaction in which nobody else owns the operation.
    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        let transaction = self.services.store().begin().await?;
        operations::confirm(&*transaction, self.operation).await?;
        Ok(transaction)
    }

    /// Writes the row as it is now.
    pub(super) async fn write(&mut self, transaction: &Transaction) -> Result<(), Error> {
        (self.row.plan, self.row.report) = (to_json(&self.members)?, to_json(&self.report)?);
        Ok(failovers::update(&**transaction, self.row.clone()).await?)
    }

    pub(super) async fn commit(&self, transaction: Transaction) -> Result<(), Error> {
        store::commit(transaction).await?;
        self.services.wakeup().announce_change();
        Ok(())
    }

    /// Does a step, and reports its beginning and its end.
    pub(super) async fn step<T>(
        &mut self,
        kind: StepKind,
        of: StepOf<'_>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.begin_step(kind, of).await?;
        let result = work.await;
        let (outcome, message) = match &result {
            Ok(_) => (StepOutcome::Done, None),
            Err(error) if error.kind() == ErrorKind::Cancelled => (StepOutcome::Interrupted, None),
            Err(error) => (StepOutcome::Failed, Some(error.record().message)),
        };
        self.end_step(outcome, message).await?;
        result
    }

    pub(super) async fn begin_step(&mut self, kind: StepKind, of: StepOf<'_>) -> Result<(), Error> {
        self.control.begin_stage(kind.as_str(), 0);
        self.report.push(Step::begin(kind, self.operation.operation_id, &of, self.services.now()));
        self.save().await
    }

    pub(super) async fn end_step(&mut self, outcome: StepOutcome, message: Option<String>) -> Result<(), Error> {
        if let Some(step) = self.report.last_mut() {
            (step.outcome, step.message, step.ended_at_micros) = (outcome, message, Some(self.services.now().micros()));
        }
        self.save().await
    }

    /// Adds to what is said of the last step; written with the next.
    pub(super) fn note(&mut self, message: String) {
        if let Some(step) = self.report.last_mut() {
            step.message = Some(message);
        }
    }

    /// Runs the hooks of an event that this operation has not run.
    ///
    /// # Errors
    /// One failed that comes before the fence; the operation was cancelled.
    pub(super) async fn run_hooks(&mut self, event: HookEvent, control: &Control) -> Result<(), Error> {
        let hooks = self.services.settings().failover.hooks.of(event);
        if hooks.is_empty() {
            return Ok(());
        }
        let (members, epochs) = (self.members.clone(), self.epochs().await?);
        for (number, hook) in (1..).zip(hooks) {
            let turn = Turn { event, number, hook };
            let label = turn.label();
            if has_run(&self.report, self.operation.operation_id, &label) {
                continue;
            }
            let (checkpoint_id, error_message) = (self.row.checkpoint_id.to_string(), self.row.error_message.clone());
            let told = Told {
                action: self.action,
                failover_id: self.row.failover_id,
                checkpoint_id: &checkpoint_id,
                operation_id: self.operation.operation_id,
                members: &members,
                epochs: &epochs,
                error_message: error_message.as_deref(),
            };
            self.begin_step(StepKind::Hook, StepOf::Hook(&label)).await?;
            match self.services.run_hook(&turn, &told, control).await {
                Ok(Ok(())) => self.end_step(StepOutcome::Done, None).await?,
                Ok(Err(HookFailure { outcome, message })) => {
                    tracing::warn!(hook = label, why = message, "a hook has failed");
                    self.end_step(outcome, Some(message.clone())).await?;
                    if event == HookEvent::BeforeFence {
                        let message = format!("hook `{label}` has failed, nothing was touched: {message}");
                        return Err(Error::refused(ErrorKind::FailedPrecondition, "HOOK_FAILED", message));
                    }
                }
                Err(error) => {
                    self.end_step(StepOutcome::Interrupted, None).await?;
                    return Err(error);
                }
            }
            failpoint::reach("failover.hooked");
        }
        Ok(())
    }

    /// The fences' epochs, in the order of the members: those that they will have where they are not up yet.
    async fn epochs(&self) -> Result<Vec<i64>, Error> {
        let read = self.services.store().read();
        let rows = rows_of(read, &self.members).await?;
        let up = fences::list_of(read, &self.graph_ids()?).await?;
        let epoch = |member: &Member| {
            let is_up = up.iter().any(|fence| fence.is_up && fence.graph_id.as_str() == member.graph_id);
            rows.get(&member.graph_id).map_or(0, |row| row.fence_epoch) + i64::from(!is_up)
        };
        Ok(self.members.iter().map(epoch).collect())
    }

    pub(super) fn graph_ids(&self) -> Result<Vec<GraphId>, Error> {
        graph_ids_of(&self.members)
    }

    /// Keeps every other operation from the graphs, and waits for the end of those that run.
    pub(super) async fn fence(&mut self) -> Result<(), Error> {
        self.begin_step(StepKind::Fence, StepOf::All).await?;
        let transaction = self.begin().await?;
        fences::raise(&*transaction, self.row.failover_id).await?;
        self.commit(transaction).await?;
        failpoint::reach("failover.fenced");
        let (services, graph_ids, control) = (self.services, self.graph_ids()?, Arc::clone(self.control));
        let besides = self.operation.operation_id;
        let waited = async {
            let mut changes = services.wakeup().changes();
            loop {
                control.go_on()?;
                let (here, now) = (services.running().ids(), services.now());
                if fences::count_running(services.store().read(), &graph_ids, besides, &here, now).await? == 0 {
                    return Ok::<_, Error>(());
                }
                changes.next().await;
            }
        };
        match waited.await {
            Ok(()) => self.end_step(StepOutcome::Done, None).await,
            Err(error) => {
                self.end_step(StepOutcome::Interrupted, None).await?;
                Err(error)
            }
        }
    }

    /// Registers each graph where it is now: where the failover has put it, or where it was.
    async fn register_places(&self, transaction: &Transaction, are_new: bool) -> Result<(), Error> {
        let ids = self.graph_ids()?;
        let mut moved: Vec<(&GraphId, &Member)> = ids.iter().zip(&self.members).filter(|(_, member)| member.is_moved()).collect();
        // By their names, as everybody takes them.
        moved.sort_unstable_by_key(|(graph_id, _)| *graph_id);
        for (graph_id, member) in moved {
            // Unregistered graphs have no place.
            let Some(mut graph) = graphs::find_to_update(&**transaction, graph_id).await? else { continue };
            let place = |one: &Move| if are_new || one.was_left { one.target.clone() } else { one.from.clone() };
            graph.source_dir = place(&member.source);
            if let Some(inputs) = &member.inputs {
                graph.inputs_dir = Some(place(inputs));
            }
            graph.revision += 1;
            graphs::update(&**transaction, graph).await?;
        }
        Ok(())
    }
}
