//! Failovers: planned, asked for, looked at, waited for, rolled back and failed back. What they do is in `failover_work` and
//! `rollback_work`.

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::failover_plan::{FailoverPlan, Site, graph_id_of, graph_ids_of, places_of, refusal, refuse_first, rows_of};
pub use super::failover_run::{members_of, steps_of};
use super::hooks::Turn;
use super::idempotency::Request;
use super::operations::to_json;
use super::put_back::{former_gone, former_of};
use super::rollback_work::rollback_payload;
use crate::base::ids::{CheckpointId, FailoverId};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::failover::{FailoverKind, FailoverState, Member, Phase, StepKind};
use crate::domain::graph_id::GraphId;
use crate::domain::hook::HookEvent;
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::entity::failover::Model;
use crate::store::{self, Transaction, failovers, fences, operations};

/// The failover of a checkpoint.
#[derive(Debug, Clone)]
pub struct NewFailover {
    /// Of this checkpoint.
    pub checkpoint_id: String,
    /// Where graphs go that do not go to their own places.
    pub site: Site,
    /// Even where a graph's own running LightRAG server uses a place.
    pub force: bool,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

impl Services {
    /// What this failover would do, and what speaks against it.
    ///
    /// # Errors
    /// There is no such checkpoint, or a graph of it is not under our care any more; it is not complete; a directory is not fit.
    pub async fn preview_failover(&self, new: &NewFailover) -> Result<FailoverPlan, Error> {
        let mut plan = self.plan_failover(&new.checkpoint_id, &new.site, new.force, self.now()).await?;
        let graph_ids = graph_ids_of(&plan.members)?;
        plan.refusals.extend(refusal(self.check_not_held(self.store().read(), &graph_ids).await)?);
        plan.refusals.extend(refusal(self.check_apart_from_failovers(self.store().read(), &places_of(&plan.members)).await)?);
        Ok(plan)
    }

    /// The steps of a failover, in their order; hooks by their names.
    pub fn failover_steps(&self) -> Vec<String> {
        let hooks = |event| {
            let hooks = self.settings().failover.hooks.of(event);
            (1..).zip(hooks).map(move |(number, hook)| format!("hook {}", Turn { event, number, hook }.label())).collect::<Vec<_>>()
        };
        let named = |kinds: &[StepKind]| kinds.iter().map(ToString::to_string).collect::<Vec<_>>();
        [
            named(&[StepKind::Check, StepKind::Validate]),
            hooks(HookEvent::BeforeFence),
            named(&[StepKind::Fence, StepKind::Restore, StepKind::Audit, StepKind::Switch]),
            hooks(HookEvent::AfterSwitch),
            named(&[StepKind::Server]),
        ]
        .concat()
    }

    /// Queues a failover.
    ///
    /// # Errors
    /// As [`Services::preview_failover`], and whatever that names as speaking against it: another failover holds one of the graphs, a
    /// LightRAG server uses a place, there is no room. Then nothing was made.
    pub async fn fail_over(&self, caller: &Caller, new: &NewFailover) -> Result<Model, Error> {
        let site = format!("{:?} {}", new.site, new.force);
        let body = [new.checkpoint_id.as_str(), &site];
        let request = Request { request_id: new.request_id.as_deref(), action: "RunFailover", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.get_failover(&first).await;
        }
        match self.fail_over_once(caller, new, &request).await {
            Err(error) if error.is_race() => self.fail_over_once(caller, new, &request).await,
            result => result,
        }
    }

    async fn fail_over_once(&self, caller: &Caller, new: &NewFailover, request: &Request<'_>) -> Result<Model, Error> {
        let now = self.now();
        let plan = self.plan_failover(&new.checkpoint_id, &new.site, new.force, now).await?;
        let graph_ids = graph_ids_of(&plan.members)?;
        let transaction = self.store().begin().await?;
        fences::lock(&*transaction).await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_failover(&*transaction, &first).await;
        }
        self.check_free(&transaction, &graph_ids, &plan.members).await?;
        refuse_first(plan.refusals)?;
        self.check_not_changed(&transaction, &plan.members).await?;
        // Whoever deletes the checkpoint waits for this, and then sees the failover.
        self.find_checkpoint_to_update(&transaction, &new.checkpoint_id).await?;
        let first = plan.members.first().ok_or_else(|| Error::internal("fail over", "the checkpoint has no graph"))?;
        let operation = self.new_operation(OperationKind::Failover, &graph_id_of(first)?, None, "{}".to_owned());
        let operation = self.enqueue(&*transaction, operation).await?;
        let row = self.new_failover(FailoverKind::Failover, plan.checkpoint.checkpoint_id, &plan.members, now)?;
        let row = Model { operation_id: Some(operation.operation_id), force: new.force, state: FailoverState::Running, ..row };
        self.begin_failover(transaction, caller, request, &graph_ids, row).await
    }

    /// Writes a failover that holds these graphs from now on.
    pub(super) async fn begin_failover(
        &self,
        transaction: Transaction,
        caller: &Caller,
        request: &Request<'_>,
        graph_ids: &[GraphId],
        row: Model,
    ) -> Result<Model, Error> {
        let row = failovers::insert(&*transaction, row).await?;
        fences::hold(&*transaction, graph_ids, row.failover_id).await?;
        request.remember(self, &*transaction, row.failover_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, None, Some(row.failover_id.to_string())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(row)
    }

    /// The row of a failover without an operation.
    pub(super) fn new_failover(
        &self,
        kind: FailoverKind,
        checkpoint_id: CheckpointId,
        members: &[Member],
        now: Timestamp,
    ) -> Result<Model, Error> {
        Ok(Model {
            failover_id: FailoverId::new(self.ids(), now),
            kind,
            checkpoint_id,
            failed_over_by: None,
            operation_id: None,
            state: FailoverState::Capturing,
            phase: Phase::Preparing,
            force: false,
            plan: to_json(&members)?,
            report: "[]".to_owned(),
            error_message: None,
            created_at: now,
            ended_at: None,
        })
    }

    pub(super) async fn find_failover(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Failover", id: id.to_owned() };
        failovers::find(connection, FailoverId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    pub(super) async fn find_failover_to_update(&self, transaction: &Transaction, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Failover", id: id.to_owned() };
        failovers::find_to_update(&**transaction, FailoverId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    /// One failover.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_failover(&self, id: &str) -> Result<Model, Error> {
        self.find_failover(self.store().read(), id).await
    }

    /// Failovers, newest first, of this checkpoint or of all.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_failovers(&self, checkpoint_id: Option<CheckpointId>, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        Ok(failovers::list(self.store().read(), checkpoint_id, page).await?)
    }

    /// Waits until nothing more happens to a failover by itself.
    ///
    /// # Errors
    /// Unavailable when this process stops before. How it ended is the answer.
    pub async fn wait_for_failover(&self, id: FailoverId) -> Result<Model, Error> {
        let mut changes = self.wakeup().changes();
        loop {
            let row = self.get_failover(&id.to_string()).await?;
            if row.state.is_ended() {
                return Ok(row);
            }
            self.check_goes_on(&format!("failover `{id}`"))?;
            changes.next().await;
        }
    }

    /// Queues the rollback of a failover: what it has replaced is put back, and what stands there now is kept beside it.
    ///
    /// # Errors
    /// There is no such failover; its graphs are the old ones; what it has replaced is gone; a graph has been moved since; another
    /// failover holds one of the graphs; a LightRAG server uses a place and no hook stops it.
    pub async fn roll_back_failover(&self, caller: &Caller, id: &str, force: bool, request_id: Option<&str>) -> Result<Model, Error> {
        let forced = if force { "force" } else { "" };
        let body = [id, forced];
        let request = Request { request_id, action: "RollBackFailover", body: &body };
        if request.find_subject(self.store().read()).await?.is_some() {
            return self.get_failover(id).await;
        }
        match self.roll_back_once(caller, id, force, &request).await {
            Err(error) if error.is_race() => self.roll_back_once(caller, id, force, &request).await,
            result => result,
        }
    }

    async fn roll_back_once(&self, caller: &Caller, id: &str, force: bool, request: &Request<'_>) -> Result<Model, Error> {
        let seen = self.get_failover(id).await?;
        if seen.state.can_roll_back() {
            self.check_rollback(&seen, force).await?;
        }
        let transaction = self.store().begin().await?;
        let mut row = self.find_failover_to_update(&transaction, id).await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(row);
        }
        if !row.state.can_roll_back() || row.state != seen.state {
            let message = format!("failover `{id}` cannot be rolled back: it is {}", row.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_NOT_SWITCHED", message));
        }
        let members = members_of(&row)?;
        let graph_ids = graph_ids_of(&members)?;
        if row.state != FailoverState::Incomplete {
            fences::lock(&*transaction).await?;
            self.check_free(&transaction, &graph_ids, &members).await?;
            self.check_not_moved(&*transaction, &row, &members).await?;
            fences::hold(&*transaction, &graph_ids, row.failover_id).await?;
        }
        let first = members.first().ok_or_else(|| Error::internal("roll back", "the failover has no graph"))?;
        let operation = self.new_operation(OperationKind::Rollback, &graph_id_of(first)?, None, rollback_payload(&row)?);
        // However many wait for the graph: where some graphs are old and some new, they wait for this.
        let operation = operations::insert(&*transaction, operation).await?;
        (row.operation_id, row.state, row.force, row.ended_at) = (Some(operation.operation_id), FailoverState::RollingBack, force, None);
        failovers::update(&*transaction, row.clone()).await?;
        request.remember(self, &*transaction, id.to_owned()).await?;
        self.record_audit(&*transaction, caller, request.action, None, Some(id.to_owned())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(row)
    }

    /// Refuses what can be known to keep a rollback from being done, without keeping anybody from the database.
    async fn check_rollback(&self, row: &Model, force: bool) -> Result<(), Error> {
        let members = members_of(row)?;
        if row.state != FailoverState::Incomplete && !force {
            let (row, looked_at) = (row.clone(), members.clone());
            self.blocking(move || check_former(&row, &looked_at)).await?;
        }
        refuse_first(self.places_in_use(&members).await?)?;
        if self.settings().failover.hooks.of(HookEvent::BeforeFence).is_empty() {
            refuse_first(self.servers_in_the_way(&members, force).await?)?;
        }
        Ok(())
    }

    /// Refuses where a graph was changed since its failover was planned; nobody changes it before the transaction ends.
    async fn check_not_changed(&self, transaction: &Transaction, members: &[Member]) -> Result<(), Error> {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
        for member in members {
            let graph = self.find_graph_to_update(transaction, &graph_id_of(member)?).await?;
            let inputs = member.inputs.as_ref().map(|inputs| &inputs.from);
            if graph.source_dir != member.source.from || inputs.is_some() && graph.inputs_dir.as_ref() != inputs {
                let message = format!("graph `{}` was changed meanwhile, ask again", member.graph_id);
                return Err(Error::refused(ErrorKind::Aborted, "GRAPH_CHANGED", message));
            }
        }
        Ok(())
    }

    /// Refuses where a graph is not any more where its failover has put it.
    pub(super) async fn check_not_moved(&self, connection: &impl ConnectionTrait, row: &Model, members: &[Member]) -> Result<(), Error> {
        let graphs = rows_of(connection, members).await?;
        for member in members {
            let graph_id = &member.graph_id;
            // Whoever is not under our care any more is put back all the same.
            let Some(graph) = graphs.get(graph_id) else { continue };
            let inputs = member.inputs.as_ref().map(|inputs| &inputs.target);
            if graph.source_dir != member.source.target || inputs.is_some() && graph.inputs_dir.as_ref() != inputs {
                let message = format!(
                    "graph `{graph_id}` has been moved since failover `{}`, from `{}` to `{}`: restore a snapshot instead",
                    row.failover_id, member.source.target, graph.source_dir
                );
                return Err(Error::refused(ErrorKind::FailedPrecondition, "GRAPH_MOVED", message));
            }
        }
        Ok(())
    }

    /// Queues the way back from a recovery site: snapshots of the graphs there, and a failover of these to where the graphs were.
    ///
    /// # Errors
    /// There is no such failover; its graphs are the old ones; it has moved none; a graph has been moved since; another failover holds
    /// one of the graphs.
    pub async fn fail_back(&self, caller: &Caller, id: &str, force: bool, request_id: Option<&str>) -> Result<Model, Error> {
        let forced = if force { "force" } else { "" };
        let body = [id, forced];
        let request = Request { request_id, action: "FailBack", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.get_failover(&first).await;
        }
        match self.fail_back_once(caller, id, force, &request).await {
            Err(error) if error.is_race() => self.fail_back_once(caller, id, force, &request).await,
            result => result,
        }
    }

    /// That a checkpoint is not needed by a failover.
    ///
    /// # Errors
    /// One is being done with it.
    pub(super) async fn check_not_failing_over(&self, connection: &impl ConnectionTrait, id: CheckpointId) -> Result<(), Error> {
        if failovers::has_open(connection, Some(id)).await? {
            let message = format!("a failover of checkpoint `{id}` is being done, wait for its end");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "FAILOVER_IN_PROGRESS", message));
        }
        Ok(())
    }

    /// Whether any failover waits or is being done.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_failing_over(&self) -> Result<bool, Error> {
        Ok(failovers::has_open(self.store().read(), None).await?)
    }
}

/// Refuses where something that a failover has replaced is gone.
fn check_former(row: &Model, members: &[Member]) -> Result<(), Error> {
    let mut replaced = members.iter().flat_map(Member::moves).filter(|one| one.had_former);
    replaced.find(|one| former_of(one).is_none()).map_or(Ok(()), |one| Err(former_gone(row.failover_id, one)))
}
