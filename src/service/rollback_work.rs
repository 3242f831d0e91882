//! The rollback of a failover, and what is put back when a switch fails: each graph's former directory is exchanged with what stands in its
//! place, whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::failover_run::FailoverRun;
use super::operations::{payload, to_json};
use super::placements::{Aside, failover_aside, kept_name};
use super::put_back::PutBack;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;
use crate::domain::failover::{FailoverState, Phase, StepKind, StepOf};
use crate::domain::hook::HookEvent;
use crate::domain::operation::OperationKind;
use crate::lightrag::workspace::is_other_workspace;
use crate::store::entity::failover::Model;
use crate::store::entity::operation;
use crate::store::{Transaction, failovers, fences};

/// What a failover was before its rollback was asked for.
#[derive(Debug, Serialize, Deserialize)]
struct RollbackPayload {
    state: String,
}

/// The payload of the operation that rolls a failover back.
pub(super) fn rollback_payload(row: &Model) -> Result<String, Error> {
    to_json(&RollbackPayload { state: row.state.to_string() })
}

impl Services {
    /// Rolls the failover of an operation back.
    ///
    /// # Errors
    /// Whatever kept it from being done: before anything is put back the graphs stay the new ones, after that it is to be done again.
    pub async fn run_rollback(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let mut run = FailoverRun::open(self, operation, control, Some("rollback")).await?;
        if matches!(run.row.phase, Phase::Switched | Phase::Switching) {
            run.run_hooks(HookEvent::BeforeFence, control).await?;
            let (members, force) = (run.members.clone(), run.row.force);
            let looked = async { self.servers_in_the_way(&members, force).await?.into_iter().next().map_or(Ok(()), Err) };
            run.step(StepKind::Check, StepOf::All, looked).await?;
            run.fence().await?;
            run.row.phase = Phase::PuttingBack;
            run.save().await?;
            failpoint::reach("rollback.begun");
        }
        if run.row.phase == Phase::PuttingBack {
            run.put_all_back(Some(operation.created_at)).await?;
        }
        run.run_hooks(HookEvent::AfterSwitch, control).await?;
        run.ask_servers().await?;
        run.complete(FailoverState::RolledBack, FailoverState::RolledBack, StepKind::PutBack).await
    }

    /// Puts right what attempts at a failover or a rollback have left that is not tried again: all graphs are the old ones, or the new.
    pub(super) async fn abandon_failover(&self, operation: &operation::Model) {
        let control = Arc::new(Control::default());
        let abandoned = async {
            let mut run = FailoverRun::open(self, operation, &control, None).await?;
            match run.row.phase {
                Phase::Preparing => run.remove_asides().await,
                Phase::Switching | Phase::PuttingBack => {
                    run.row.phase = Phase::PuttingBack;
                    let is_rollback = operation.kind == OperationKind::Rollback;
                    run.put_all_back(is_rollback.then_some(operation.created_at)).await
                }
                Phase::Switched | Phase::PutBack => Ok(()),
            }
        };
        if let Err(error) = abandoned.await {
            let operation_id = operation.operation_id;
            tracing::error!(%operation_id, error = error.chain(), "cannot put back what a failover has replaced");
        }
    }

    /// What becomes of a failover whose operation ends without success, in the transaction that ends it. Graphs of which some are old and
    /// some new stay fenced.
    pub(super) async fn end_failover(&self, transaction: &Transaction, operation: &operation::Model, why: &str) -> Result<(), Error> {
        let Some(mut row) = failovers::find_by_operation(&**transaction, operation.operation_id).await? else { return Ok(()) };
        row.state = row.phase.state_without_success();
        row.error_message = Some(why.to_owned());
        match operation.kind {
            OperationKind::Rollback if row.phase == Phase::Switched => {
                let RollbackPayload { state } = payload(operation)?;
                row.state = FailoverState::parse(&state).unwrap_or(FailoverState::Switched);
                row.error_message = Some(format!("it could not be rolled back: {why}"));
            }
            OperationKind::Failover if row.phase == Phase::PutBack => row.state = FailoverState::Failed,
            _ => {}
        }
        row.ended_at = Some(self.now());
        if row.state != FailoverState::Incomplete {
            fences::release(&**transaction, row.failover_id).await?;
        }
        Ok(failovers::update(&**transaction, row).await?)
    }
}

impl FailoverRun<'_> {
    /// Removes what an earlier attempt has restored and not put in place.
    pub(super) async fn remove_asides(&self) -> Result<(), Error> {
        let asides = self.asides();
        self.services.blocking(move || asides.into_iter().try_for_each(|aside| Aside::make(aside).map(drop))).await
    }

    fn asides(&self) -> Vec<PathBuf> {
        let of = |(number, member): (usize, &crate::domain::failover::Member)| {
            let id = self.row.failover_id;
            let source = failover_aside(Path::new(&member.source.target), id, false, number);
            let inputs = member.inputs.as_ref().map(|inputs| failover_aside(Path::new(&inputs.target), id, true, number));
            std::iter::once(source).chain(inputs).collect::<Vec<_>>()
        };
        self.members.iter().enumerate().flat_map(of).collect()
    }

    /// Puts the former directory of each graph back, what was switched last first. A rollback keeps what stands there now, by the time at
    /// which it was asked for; what a failed switch has put there is of no use.
    pub(super) async fn put_all_back(&mut self, keeps_since: Option<Timestamp>) -> Result<(), Error> {
        let failover_id = self.row.failover_id;
        let asked_at = keeps_since.unwrap_or(self.row.created_at.plus(Duration::from_micros(1)));
        for number in self.switching_order().into_iter().rev() {
            let (graph_id, is_rollback) = (self.members[number].graph_id.clone(), keeps_since.is_some());
            let mut works = Vec::new();
            for (is_inputs, one) in [false, true].into_iter().zip(self.members[number].moves_mut()) {
                let (target, replaced_as) = (PathBuf::from(&one.target), kept_name(Path::new(&one.target), asked_at));
                one.replaced_as = is_rollback.then(|| replaced_as.display().to_string());
                let aside = failover_aside(&target, failover_id, is_inputs, number);
                let inputs = if is_inputs { Some(self.services.inputs_at(&target).await?) } else { None };
                works.push((PutBack { done: one.clone(), aside, replaced_as, failover_id, removes_it: !is_rollback }, inputs));
            }
            let put_back = self.services.blocking(move || {
                works.iter().rev().try_for_each(|(work, inputs)| match inputs {
                    Some(inputs) => work.run(&|path| Ok(inputs.is_anothers(path))),
                    None => work.run(&is_other_workspace),
                })
            });
            self.step(StepKind::PutBack, StepOf::Graph(&graph_id), put_back).await?;
            failpoint::reach("failover.graph_put_back");
        }
        self.row.phase = Phase::PutBack;
        let transaction = self.begin().await?;
        self.register_places(&transaction, false).await?;
        self.write(&transaction).await?;
        self.commit(transaction).await?;
        failpoint::reach("failover.put_back");
        self.remove_asides().await
    }
}
