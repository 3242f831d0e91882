//! The rollback of a failover, and what is put back when a switch fails: each graph's former directory is exchanged with what stands in its
//! place, whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::failover_plan::{places_of, refuse_first};
use super::failover_run::{FailoverRun, interrupted_report_of};
use super::operations::{payload, to_json};
use super::placements::{Aside, kept_name};
use super::put_back::PutBack;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;
use crate::domain::failover::{FailoverState, Member, Phase, StepKind, StepOf, StepOutcome};
use crate::domain::hook::HookEvent;
use crate::domain::operation::OperationKind;
use crate::lightrag::apply::recover_apply;
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
        run.reserve_targets().await?;
        if run.row.phase != Phase::PutBack
            && !run.has_begun_to_put_back()
            && let Err(error) = run.prepare_to_put_back().await
        {
            return Err(run.tell_failure(error).await);
        }
        if run.row.phase == Phase::PuttingBack {
            run.put_all_back().await?;
        }
        run.remove_asides_if_possible().await;
        run.run_hooks(HookEvent::AfterSwitch, control).await?;
        run.ask_servers(false).await?;
        run.complete(FailoverState::RolledBack, FailoverState::RolledBack, StepKind::PutBack).await
    }

    /// Puts right what attempts at a failover or a rollback have left that is not tried again: all graphs are the old ones, or the new.
    pub(super) async fn abandon_failover(&self, operation: &operation::Model) {
        let control = Arc::new(Control::new(self.stopping().child_token()));
        let abandoned = async {
            let mut run = FailoverRun::open(self, operation, &control, None).await?;
            if run.row.phase == Phase::Switching {
                run.save_phase(Phase::PuttingBack).await?;
            }
            if run.row.phase == Phase::PuttingBack {
                run.put_all_back().await?;
            }
            if run.row.phase != Phase::Switched {
                run.remove_asides_if_possible().await;
                run.run_hooks(HookEvent::OnFailure, &control).await?;
            }
            Ok::<_, Error>(())
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
        row.report = to_json(&interrupted_report_of(&row)?)?;
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
    /// Whether this rollback has begun to put back: then it only goes on.
    fn has_begun_to_put_back(&self) -> bool {
        let id = self.operation.operation_id.to_string();
        self.report.iter().any(|step| step.kind == StepKind::PutBack && step.operation_id == id)
    }

    /// All of a rollback up to the moment from which it only goes on.
    async fn prepare_to_put_back(&mut self) -> Result<(), Error> {
        let (services, members, force, control) = (self.services, self.members.clone(), self.row.force, Arc::clone(self.control));
        self.run_hooks(HookEvent::BeforeFence, &control).await?;
        let looked = async {
            let mut refusals = services.places_in_use(&members).await?;
            refusals.extend(services.servers_in_the_way(&members, force).await?);
            refuse_first(refusals)
        };
        self.step(StepKind::Check, StepOf::All, looked).await?;
        self.fence().await?;
        let works = self.works_to_put_back().await?;
        let possible = services.blocking(move || works.iter().try_for_each(PutBack::check));
        self.step(StepKind::Check, StepOf::All, possible).await?;
        self.save_phase(Phase::PuttingBack).await?;
        failpoint::reach("rollback.begun");
        Ok(())
    }

    /// By what is named that gives way to what stood there before: the time of the rollback, or of the failover whose switch has failed,
    /// and in any case later than what was replaced.
    fn put_back_at(&self) -> Timestamp {
        let later = self.row.created_at.plus(Duration::from_micros(1));
        if self.operation.kind == OperationKind::Rollback { later.max(self.operation.created_at) } else { later }
    }

    /// Removes what attempts have restored and not put in place.
    pub(super) async fn remove_asides(&self) -> Result<(), Error> {
        let asides = self.members.iter().flat_map(Member::moves).map(|one| one.aside.clone()).filter(|aside| !aside.is_empty());
        let asides: Vec<PathBuf> = asides.map(PathBuf::from).collect();
        self.services.blocking(move || asides.into_iter().try_for_each(|aside| Aside::make(aside).map(drop))).await
    }

    /// As [`Self::remove_asides`], where all that counts has been done: what cannot be removed is logged.
    pub(super) async fn remove_asides_if_possible(&self) {
        if let Err(error) = self.remove_asides().await {
            let failover_id = self.row.failover_id;
            tracing::warn!(%failover_id, error = error.chain(), "cannot remove what a failover has restored beside its places");
        }
    }

    /// What is to be done to put each directory back, what was switched last first.
    async fn works_to_put_back(&mut self) -> Result<Vec<PutBack>, Error> {
        let targets = places_of(&self.members);
        // What is known of a place counts only where nothing is half done there.
        self.services.blocking(move || targets.iter().try_for_each(|target| recover_apply(target).map(|_| ()))).await?;
        let (mut works, at, leaves_gone) = (Vec::new(), self.put_back_at(), self.row.force);
        for (number, is_inputs) in self.switching_order().into_iter().rev() {
            let Some(done) = self.members[number].moves().nth(usize::from(is_inputs)).cloned() else { continue };
            let target = PathBuf::from(&done.target);
            let inputs = if is_inputs { Some(self.services.inputs_at(&target).await?) } else { None };
            let (replaced_as, places) = (kept_name(&target, at), self.services.settings().places.clone());
            works.push(PutBack { failover_id: self.row.failover_id, number, leaves_gone, done, inputs, replaced_as, places });
        }
        let mut members = self.members.clone();
        let named = self.services.blocking(move || {
            let works: Vec<PutBack> = works.into_iter().map(PutBack::named_as_before).collect();
            for work in works.iter().filter(|work| !work.was_not_switched()) {
                if let Some(one) = members[work.number].move_mut(work.inputs.is_some()) {
                    one.replaced_as = Some(work.replaced_as.display().to_string());
                }
            }
            Ok::<_, Error>((members, works))
        });
        let (members, works) = named.await?;
        self.members = members;
        Ok(works)
    }

    /// Puts the former directory of each graph back. What stands there now is kept.
    pub(super) async fn put_all_back(&mut self) -> Result<(), Error> {
        for work in self.works_to_put_back().await? {
            let (number, is_inputs) = (work.number, work.inputs.is_some());
            let graph_id = self.members[number].graph_id.clone();
            let put_back = self.services.blocking(move || work.run());
            let left = self.step(StepKind::PutBack, StepOf::Graph(&graph_id), put_back).await?;
            if let Some(one) = self.members[number].move_mut(is_inputs).filter(|_| left.is_some()) {
                (one.was_left, one.replaced_as) = (true, None);
            }
            if let Some(why) = left {
                self.end_step(StepOutcome::Skipped, Some(why)).await?;
            }
            failpoint::reach("failover.graph_put_back");
        }
        self.save_places(Phase::PutBack, &[]).await?;
        failpoint::reach("failover.put_back");
        Ok(())
    }
}
