//! A failover: validated, fenced, restored beside its places, audited and asked; then all graphs are put in place, or none. By the phase
//! in its row the next process knows whether to begin anew, to go on, or to put back.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Services;
use super::error::{Error, ErrorKind};
use super::failover_plan::{graph_id_of, places_of, refuse_first};
use super::failover_run::FailoverRun;
use super::operations::to_json;
use super::placements::{Aside, Placement, Restore, failover_aside};
use super::repository_lock::HeldLock;
use super::restore_work::RestorePayload;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::SnapshotId;
use crate::domain::drill::DrillReport;
use crate::domain::failover::{FailoverKind, FailoverState, Member, Move, Phase, StepKind, StepOf, StepOutcome, problems_since};
use crate::domain::hook::HookEvent;
use crate::domain::report::FailoverOutcome;
use crate::domain::verification::VerificationLevel;
use crate::lightrag::apply::recover_apply;
use crate::lightrag::audit::audit_directory;
use crate::lightrag::server::Server;
use crate::lightrag::workspace::Store;
use crate::repository::LockKind;
use crate::store::entity::{operation, snapshot};
use crate::store::operations::Ending;
use crate::store::{fences, graphs, operations, snapshots};

/// How often a LightRAG server is asked that a hook has started.
const POLL: Duration = Duration::from_millis(200);

impl Services {
    /// Does the failover of an operation.
    ///
    /// # Errors
    /// Whatever kept it from coming about. Then all graphs are the old ones, unless putting them back has failed too.
    pub async fn run_failover(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let mut run = FailoverRun::open(self, operation, control, None).await?;
        run.reserve_targets().await?;
        if run.row.phase == Phase::Preparing
            && let Err(error) = run.prepare().await
        {
            return Err(run.tell_failure(error).await);
        }
        if run.row.phase == Phase::Switching
            && let Err(error) = run.switch().await
        {
            run.begin_to_put_back(error).await?;
        }
        if run.row.phase == Phase::PuttingBack {
            run.put_all_back().await?;
        }
        if run.row.phase == Phase::PutBack {
            run.remove_asides_if_possible().await;
            let why = run.row.error_message.clone().unwrap_or_default();
            return Err(run.tell_failure(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_FAILED", why)).await);
        }
        run.run_hooks(HookEvent::AfterSwitch, control).await?;
        run.ask_servers(true).await?;
        run.complete(FailoverState::Succeeded, FailoverState::Switched, StepKind::Switch).await
    }
}

impl FailoverRun<'_> {
    /// All up to the switch. Nothing that is a graph's is touched.
    async fn prepare(&mut self) -> Result<(), Error> {
        let (services, members, force) = (self.services, self.members.clone(), self.row.force);
        self.begin_anew().await?;
        let looked = async { refuse_first(services.refusals_of(&members, force).await?) };
        self.step(StepKind::Check, StepOf::All, looked).await?;
        let rows = self.snapshots_of().await?;
        for (member, row) in members.iter().zip(&rows) {
            let validated = services.validate_member(row, self.control);
            self.step(StepKind::Validate, StepOf::Graph(&member.graph_id), validated).await?;
        }
        failpoint::reach("failover.validated");
        let control = Arc::clone(self.control);
        self.run_hooks(HookEvent::BeforeFence, &control).await?;
        let looked = async { refuse_first(services.servers_in_the_way(&members, force).await?) };
        self.step(StepKind::Check, StepOf::All, looked).await?;
        self.fence().await?;
        self.check_unchanged(&rows).await?;
        let mut asides = Vec::new();
        let mut prepared = self.restore_all(&rows, &mut asides).await;
        if prepared.is_ok() {
            prepared = self.save_phase(Phase::Switching).await;
        }
        if matches!(prepared, Ok(()) | Err(Error::Store(_))) {
            // They are what is put in place. Where that cannot be written, who knows what has been: the next attempt does.
            asides.into_iter().for_each(Aside::keep);
            failpoint::reach("failover.prepared");
            return prepared;
        }
        services
            .blocking(move || {
                drop(asides);
                Ok::<_, Error>(())
            })
            .await?;
        prepared
    }

    /// Takes what earlier attempts have left out of the way, and names where this one restores to.
    async fn begin_anew(&mut self) -> Result<(), Error> {
        let targets = places_of(&self.members);
        self.services.blocking(move || targets.iter().try_for_each(|target| recover_apply(target).map(|_| ()))).await?;
        self.remove_asides().await?;
        let (failover_id, attempt) = (self.row.failover_id, self.operation.attempt);
        for (number, member) in self.members.iter_mut().enumerate() {
            for (is_inputs, one) in [false, true].into_iter().zip(member.moves_mut()) {
                one.aside = failover_aside(Path::new(&one.target), failover_id, attempt, is_inputs, number).display().to_string();
            }
        }
        self.save().await
    }

    /// Restores, audits and asks each graph, and looks at what it will replace.
    async fn restore_all(&mut self, rows: &[snapshot::Model], asides: &mut Vec<Aside>) -> Result<(), Error> {
        let (services, members, control) = (self.services, self.members.clone(), Arc::clone(self.control));
        let mut all = Vec::new();
        for (member, row) in members.iter().zip(rows) {
            let placements = self.placements_of(member, row).await?;
            all.extend(placements.iter().cloned());
            let restored = services.restore_aside(placements, row, &control);
            asides.extend(self.step(StepKind::Restore, StepOf::Graph(&member.graph_id), restored).await?);
            failpoint::reach("failover.restored");
        }
        for (member, row) in members.iter().zip(rows) {
            let audited = services.audit_member(member, row, PathBuf::from(&member.source.aside), &control);
            let told = self.step(StepKind::Audit, StepOf::Graph(&member.graph_id), audited).await?;
            self.note(told);
        }
        failpoint::reach("failover.audited");
        self.check_unchanged(rows).await?;
        let places = services.settings().places.clone();
        self.members = services
            .blocking(move || {
                check_nested(&members)?;
                all.iter().try_for_each(|placement| placement.check(&places))?;
                let mut members = members;
                let former = |one: &mut Move| one.had_former = Path::new(&one.target).symlink_metadata().is_ok();
                members.iter_mut().flat_map(Member::moves_mut).for_each(former);
                Ok::<_, Error>(members)
            })
            .await?;
        Ok(control.go_on()?)
    }

    /// Puts each graph in place. Cannot be cancelled.
    async fn switch(&mut self) -> Result<(), Error> {
        let (services, rows) = (self.services, self.snapshots_of().await?);
        for (number, is_inputs) in self.switching_order() {
            let member = self.members[number].clone();
            let placement = self.placements_of(&member, &rows[number]).await?.into_iter().nth(usize::from(is_inputs));
            let planned = if is_inputs { member.inputs.clone() } else { Some(member.source.clone()) };
            let Some((placement, planned)) = placement.zip(planned) else { continue };
            let places = services.settings().places.clone();
            let placed = services.blocking(move || placement.ensure_placed(&planned, &places));
            self.step(StepKind::Switch, StepOf::Graph(&member.graph_id), placed).await?;
            failpoint::reach("failover.graph_switched");
        }
        self.save_places(Phase::Switched, &rows).await?;
        failpoint::reach("failover.switched");
        Ok(())
    }

    /// Notes that what has been switched is put back, and why.
    async fn begin_to_put_back(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Store(_)) {
            // Another worker has it, or the database is away: nothing has been decided, and the next attempt goes on.
            return Err(error);
        }
        tracing::error!(failover_id = %self.row.failover_id, error = error.chain(), "a switch has failed, all is put back");
        self.row.error_message = Some(error.record().message);
        self.save_phase(Phase::PuttingBack).await
    }

    /// Tells the hooks that the graphs are the old ones after all, unless the next process goes on. Gives the error again.
    pub(super) async fn tell_failure(&mut self, error: Error) -> Error {
        let goes_on = error.kind() == ErrorKind::Cancelled && self.services.stopping().is_cancelled();
        if goes_on || matches!(error, Error::Store(_)) {
            return error;
        }
        self.row.error_message = Some(error.record().message);
        // What was cancelled is not the telling.
        match self.run_hooks(HookEvent::OnFailure, &Control::new(self.services.stopping().child_token())).await {
            Err(lost @ Error::Store(_)) => lost,
            Err(hook) => {
                tracing::warn!(error = hook.chain(), "cannot run the hooks of a failure");
                error
            }
            Ok(()) => error,
        }
    }

    /// Asks the LightRAG server of each graph whether it is healthy, and uses the graph's place: until it is and does, where hooks have
    /// been told to start it.
    pub(super) async fn ask_servers(&mut self, are_new: bool) -> Result<(), Error> {
        let waits = !self.services.settings().failover.hooks.of(HookEvent::AfterSwitch).is_empty();
        let limit = if waits { self.services.settings().failover.server_timeout } else { Duration::ZERO };
        for member in self.members.clone() {
            let graph = graphs::find(self.services.store().read(), &graph_id_of(&member)?).await?;
            let Some((graph, url)) = graph.and_then(|graph| graph.server_url.clone().map(|url| (graph, url))) else { continue };
            let server = Server::new(&url, self.services.server_api_key(&graph).await?)?;
            let place = PathBuf::from(if are_new { &member.source.target } else { &member.source.from });
            self.begin_step(StepKind::Server, StepOf::Graph(&member.graph_id)).await?;
            let until = Instant::now() + limit;
            let mut why_not = why_not_ready(&server, &place).await;
            while why_not.is_some() && Instant::now() < until {
                self.control.go_on()?;
                sleep(POLL).await;
                why_not = why_not_ready(&server, &place).await;
            }
            let (outcome, message) = match (why_not, waits) {
                (None, _) => (StepOutcome::Done, None),
                (Some(why), true) => (StepOutcome::Failed, Some(format!("after {} s {why}: {url}", limit.as_secs()))),
                (Some(why), false) => (StepOutcome::Skipped, Some(format!("{why}, start it over the graph's place: {url}"))),
            };
            self.end_step(outcome, message).await?;
        }
        Ok(())
    }

    /// Ends the operation and gives the graphs back, in one transaction.
    pub(super) async fn complete(&mut self, well: FailoverState, otherwise: FailoverState, last: StepKind) -> Result<(), Error> {
        let problems = problems_since(&self.report, last);
        self.row.state = if problems.is_empty() { well } else { otherwise };
        self.row.error_message = (!problems.is_empty()).then(|| problems.join("; "));
        self.row.ended_at = Some(self.services.now());
        let outcome = FailoverOutcome { failover_id: self.row.failover_id.to_string(), state: self.row.state.to_string() };
        let ending = Ending { result: Some(to_json(&outcome)?), ..Ending::succeeded() };
        let transaction = self.begin().await?;
        operations::finish(&*transaction, self.operation, ending, self.control.progress(), self.services.now()).await?;
        fences::release(&*transaction, self.row.failover_id).await?;
        self.write(&transaction).await?;
        self.commit(transaction).await?;
        self.services.wakeup().announce_work();
        Ok(())
    }

    /// The snapshots, in the order of the members.
    async fn snapshots_of(&self) -> Result<Vec<snapshot::Model>, Error> {
        let mut rows = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let missing = || Error::NotFound { kind: "Snapshot", id: member.snapshot_id.clone() };
            let id = SnapshotId::parse(&member.snapshot_id).ok_or_else(missing)?;
            let row = snapshots::find(self.services.store().read(), &graph_id_of(member)?, id).await?;
            rows.push(row.ok_or_else(missing)?);
        }
        Ok(rows)
    }

    /// Where a graph's directories wait, and where they go; the source first.
    async fn placements_of(&self, member: &Member, row: &snapshot::Model) -> Result<Vec<Placement>, Error> {
        let payload = RestorePayload {
            target_dir: PathBuf::from(&member.source.target),
            force: self.row.force,
            paths: Vec::new(),
            fork_graph_id: None,
            inputs_target_dir: member.inputs.as_ref().map(|inputs| PathBuf::from(&inputs.target)),
            is_standby: false,
        };
        let mut placements = vec![Placement::of_source(self.operation, &payload, row).of_failover(&member.source)];
        if let Some(inputs) = &member.inputs {
            let there = self.services.replaceable_inputs_at(Path::new(&inputs.target)).await?;
            placements.push(Placement::of_inputs(self.operation, &payload, row, there).of_failover(inputs));
        }
        Ok(placements)
    }

    /// The directories, by the number of their graph and whether they are its inputs, in the order in which they are put in place: what
    /// lies in another's target first, so that it stands there and stays.
    pub(super) fn switching_order(&self) -> Vec<(usize, bool)> {
        let of = |(number, member): (usize, &Member)| {
            let inputs = member.inputs.as_ref().map(|inputs| ((number, true), PathBuf::from(&inputs.target)));
            std::iter::once(((number, false), PathBuf::from(&member.source.target))).chain(inputs).collect::<Vec<_>>()
        };
        let mut order: Vec<((usize, bool), PathBuf)> = self.members.iter().enumerate().flat_map(of).collect();
        let targets: Vec<PathBuf> = order.iter().map(|(_, target)| target.clone()).collect();
        order.sort_by_key(|(_, target)| Reverse(targets.iter().filter(|around| target.starts_with(around)).count()));
        order.into_iter().map(|(which, _)| which).collect()
    }

    /// Of a failback: refuses where the recovery site has been written to since its snapshots.
    async fn check_unchanged(&mut self, rows: &[snapshot::Model]) -> Result<(), Error> {
        if self.row.kind != FailoverKind::Failback {
            return Ok(());
        }
        let (services, members) = (self.services, self.members.clone());
        for (member, row) in members.iter().zip(rows) {
            let unchanged = services.check_as_captured(member, row, self.control);
            self.step(StepKind::Check, StepOf::Graph(&member.graph_id), unchanged).await?;
        }
        Ok(())
    }
}

/// Why a LightRAG server does not serve a graph's place; nothing where it does, as far as it tells.
async fn why_not_ready(server: &Server, place: &Path) -> Option<String> {
    if !server.is_healthy().await {
        return Some("it is not healthy".to_owned());
    }
    let elsewhere = matches!(server.serves_directory(place).await, Ok(Some(false)));
    elsewhere.then(|| format!("it uses another directory than `{}`", place.display()))
}

/// Refuses a workspace in another's target that would not stay there, because it lacks the file by which it is known.
fn check_nested(members: &[Member]) -> Result<(), Error> {
    for inner in members {
        let target = Path::new(&inner.source.target);
        let is_nested = members.iter().any(|outer| outer.graph_id != inner.graph_id && target.starts_with(&outer.source.target));
        if is_nested && !Path::new(&inner.source.aside).join(Store::DocStatus.file_name()).is_file() {
            let message = format!("it lies in another target and has no document status, fail it over apart: {}", target.display());
            return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message));
        }
    }
    Ok(())
}

impl Services {
    /// That a snapshot's record, its trees and all packs that they need are there. Each byte is verified when it is restored, before
    /// anything is put in place.
    async fn validate_member(&self, row: &snapshot::Model, control: &Arc<Control>) -> Result<(), Error> {
        let problems = self.verify_now(row, VerificationLevel::Record, control).await?;
        if problems.is_empty() {
            return Ok(());
        }
        let message = format!("snapshot `{}` of graph `{}` is damaged: {}", row.snapshot_id, row.graph_id, problems.join("; "));
        Err(Error::refused(ErrorKind::DataLoss, "SNAPSHOT_DAMAGED", message))
    }

    async fn restore_aside(&self, placements: Vec<Placement>, row: &snapshot::Model, control: &Arc<Control>) -> Result<Vec<Aside>, Error> {
        let (services, root) = (self.clone(), self.repository_root(&row.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let work = Restore {
            placements,
            places: self.settings().places.clone(),
            sync: self.settings().restore_sync,
            repository,
            lock: lock.clone(),
            row: row.clone(),
            control: Arc::clone(control),
        };
        let (asides, _) = self.blocking(move || work.run()).await?;
        lock.release(self).await;
        Ok(asides)
    }

    /// Audits what was restored, and asks it the probes that its snapshot was asked; gives what came out, for the report.
    async fn audit_member(&self, member: &Member, row: &snapshot::Model, aside: PathBuf, control: &Arc<Control>) -> Result<String, Error> {
        let (directory, watched) = (aside.clone(), Arc::clone(control));
        let verdict = self.blocking(move || audit_directory(&directory, &watched)).await?;
        let told = verdict.consistency.to_string();
        let mut report = DrillReport { verdict: Some(verdict), ..DrillReport::default() };
        self.ask_restored(row, &aside, &mut report, control).await?;
        let failures = report.failures(self.settings().drill.minimum_recall);
        if !failures.is_empty() {
            let message = format!("graph `{}` is not recovered by its snapshot: {}", member.graph_id, failures.join("; "));
            return Err(Error::refused(ErrorKind::FailedPrecondition, "GRAPH_NOT_RECOVERED", message));
        }
        let recall = report.recall().map(|recall| format!(", recall {recall:.3} of {} probes", report.probes.len()));
        Ok(format!("{told}{}", recall.unwrap_or_default()))
    }
}
