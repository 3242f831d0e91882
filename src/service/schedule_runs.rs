//! What happens when schedules fire. A run and the schedule's next time are written in one transaction, so that neither a crash nor a
//! second instance loses or doubles a run.

use std::collections::HashMap;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::probes::no_good_snapshot;
use super::replication::ReplicateWish;
use super::schedule_rows::schedule_of;
use super::snapshots::NewSnapshot;
use crate::base::ids::{OperationId, ScheduleRunId};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::label::{Labels, Selector};
use crate::domain::operation::OperationState;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::schedule::missed::Missed;
use crate::domain::schedule::overlap::{OverlapDecision, OverlapPolicy};
use crate::domain::schedule_run::{RunOutcome, ScheduleAction};
use crate::domain::tag::Tags;
use crate::store::entity::graph;
use crate::store::entity::operation::Model as OperationRow;
use crate::store::entity::schedule::Model as ScheduleRow;
use crate::store::entity::schedule_run::Model;
use crate::store::{self, Transaction, graphs, operations, schedule_runs, schedules, snapshots};

/// How many schedules fire in one transaction: so many share the cost of a commit, and others wait no longer for it.
const FIRED_TOGETHER: u64 = 100;

/// A run with the operation that takes its snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRun {
    /// The row.
    pub row: Model,
    /// The operation, as long as it is known.
    pub operation: Option<OperationRow>,
}

/// Whose doing the snapshots of schedules are.
const SCHEDULER: Caller = Caller { name: "scheduler", request_id: None };

impl Services {
    /// Fires all schedules that are due; says how many have fired.
    ///
    /// # Errors
    /// The database's. A schedule that cannot fire by itself keeps no other from firing.
    pub async fn fire_due(&self) -> Result<usize, Error> {
        let mut fired = 0;
        loop {
            let now = self.now();
            let due = schedules::list_due(self.store().read(), now, FIRED_TOGETHER).await?;
            if due.is_empty() || self.stopping().is_cancelled() {
                return Ok(fired);
            }
            let all = self.graphs_that_may_be_meant(&due).await?;
            if self.fire_together(&due, &all, now).await.is_err() {
                self.fire_one_by_one(&due, &all, now).await?;
            }
            fired += due.len();
            self.wakeup().announce_work();
        }
    }

    /// All graphs only where a selector must be asked.
    pub(super) async fn graphs_that_may_be_meant(&self, due: &[ScheduleRow]) -> Result<Vec<graph::Model>, Error> {
        let named: Option<Vec<GraphId>> = due.iter().map(|row| row.graph_id.clone()).collect();
        Ok(match named {
            Some(ids) => graphs::list_by_ids(self.store().read(), ids).await?,
            None => graphs::list_all(self.store().read()).await?,
        })
    }

    async fn fire_together(&self, due: &[ScheduleRow], all: &[graph::Model], now: Timestamp) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        for schedule in due {
            self.fire(&transaction, schedule, all, now).await?;
        }
        Ok(store::commit(transaction).await?)
    }

    /// So that one that cannot fire does not hold up the others; it is tried again when it is due next.
    async fn fire_one_by_one(&self, due: &[ScheduleRow], all: &[graph::Model], now: Timestamp) -> Result<(), Error> {
        for schedule in due {
            let transaction = self.store().begin().await?;
            match self.fire(&transaction, schedule, all, now).await {
                Ok(()) => store::commit(transaction).await?,
                Err(error) => {
                    drop(transaction);
                    let schedule_id = schedule.schedule_id.to_string();
                    tracing::error!(schedule_id, error = error.chain(), "a schedule cannot fire");
                    let next = schedule_of(schedule)?.next_after(now);
                    schedules::advance(self.store().read(), schedule, next, schedule.last_run_at).await?;
                }
            }
        }
        Ok(())
    }

    async fn fire(&self, transaction: &Transaction, row: &ScheduleRow, all: &[graph::Model], now: Timestamp) -> Result<(), Error> {
        let Some(next_run_at) = row.next_run_at else { return Ok(()) };
        let schedule = schedule_of(row)?;
        let decision = schedule.decide(next_run_at, now);
        let last_run_at = decision.run.map(|run| run.fire_at).or(row.last_run_at);
        if !schedules::advance(&**transaction, row, decision.next_fire_at, last_run_at).await? {
            // Another instance, or a caller, was faster.
            return Ok(());
        }
        for graph in graphs_of(row, all) {
            if let Some(missed) = decision.missed {
                self.record_missed(transaction, row, &graph.graph_id, missed).await?;
            }
            if let Some(run) = decision.run {
                self.start_run(transaction, row, graph, run.fire_at, schedule.overlap()).await?;
            }
        }
        Ok(())
    }

    async fn record_missed(&self, transaction: &Transaction, row: &ScheduleRow, graph_id: &GraphId, missed: Missed) -> Result<(), Error> {
        let count = i32::try_from(missed.count).unwrap_or(i32::MAX);
        let message = format!("not started in time, first due at {}", missed.first);
        let run = Model { count, message: Some(message), ..self.new_run(row, graph_id, missed.last, RunOutcome::Missed) };
        schedule_runs::insert(&**transaction, run).await?;
        let schedule_id = row.schedule_id.to_string();
        tracing::warn!(schedule_id, graph_id = graph_id.as_str(), count, "runs of a schedule were missed");
        Ok(())
    }

    /// Queues a snapshot or a drill for a firing, in the transaction that advances the schedule; gives the run, new or as another has made
    /// it.
    pub(super) async fn start_run(
        &self,
        transaction: &Transaction,
        row: &ScheduleRow,
        graph: &graph::Model,
        fire_at: Timestamp,
        overlap: OverlapPolicy,
    ) -> Result<Model, Error> {
        let last = self.last_run_state(transaction, row, &graph.graph_id).await?;
        let run = match overlap.decide(last) {
            OverlapDecision::LeaveOut => {
                let message = "the run before is not over".to_owned();
                Model { message: Some(message), ..self.new_run(row, &graph.graph_id, fire_at, RunOutcome::Overlapped) }
            }
            OverlapDecision::Queue if row.action == ScheduleAction::Drill => {
                self.start_drill(transaction, row, &graph.graph_id, fire_at).await?
            }
            OverlapDecision::Queue if row.action == ScheduleAction::Replicate => {
                self.start_replication(transaction, row, graph, fire_at).await?
            }
            OverlapDecision::Queue => {
                let tags = Tags::from_json(row.tags.as_deref());
                let new = NewSnapshot { graph_id: graph.graph_id.clone(), source_dir: None, metadata: None, tags, request_id: None };
                match self.insert_snapshot(transaction, &new, graph.source_dir.clone(), graph.inputs_dir.clone()).await {
                    Ok(snapshot) => {
                        let id = Some(snapshot.snapshot_id.to_string());
                        self.record_audit(&**transaction, &SCHEDULER, "CreateSnapshot", &graph.graph_id, id).await?;
                        Model {
                            operation_id: Some(snapshot.operation_id),
                            snapshot_id: Some(snapshot.snapshot_id),
                            ..self.new_run(row, &graph.graph_id, fire_at, RunOutcome::Queued)
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Exhausted => {
                        Model { message: Some(error.to_string()), ..self.new_run(row, &graph.graph_id, fire_at, RunOutcome::Refused) }
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        schedule_runs::insert(&**transaction, run.clone()).await?;
        Ok(run)
    }

    /// Queues the drill of a graph's newest good snapshot.
    async fn start_drill(
        &self,
        transaction: &Transaction,
        row: &ScheduleRow,
        graph_id: &GraphId,
        fire_at: Timestamp,
    ) -> Result<Model, Error> {
        let run = |outcome| self.new_run(row, graph_id, fire_at, outcome);
        let Some(snapshot) = snapshots::find_newest_good(&**transaction, graph_id, self.now()).await? else {
            return Ok(Model { message: Some(no_good_snapshot(graph_id).to_string()), ..run(RunOutcome::Refused) });
        };
        match self.insert_drill(transaction, &snapshot).await {
            Ok(drill) => {
                self.record_audit(&**transaction, &SCHEDULER, "RunDrill", graph_id, Some(snapshot.snapshot_id.to_string())).await?;
                let snapshot_id = Some(snapshot.snapshot_id);
                Ok(Model { operation_id: drill.operation_id, snapshot_id, ..run(RunOutcome::Queued) })
            }
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                Ok(Model { message: Some(error.to_string()), ..run(RunOutcome::Refused) })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for all that the targets of a graph lack.
    async fn start_replication(
        &self,
        transaction: &Transaction,
        row: &ScheduleRow,
        graph: &graph::Model,
        fire_at: Timestamp,
    ) -> Result<Model, Error> {
        let run = |outcome| self.new_run(row, &graph.graph_id, fire_at, outcome);
        match self.insert_replication(transaction, graph, &ReplicateWish::default()).await {
            Ok((operation, _)) => {
                self.record_audit(&**transaction, &SCHEDULER, "ReplicateGraph", &graph.graph_id, None).await?;
                Ok(Model { operation_id: Some(operation.operation_id), ..run(RunOutcome::Queued) })
            }
            // No target takes it, or too many operations wait for the graph.
            Err(error) if [ErrorKind::Exhausted, ErrorKind::FailedPrecondition].contains(&error.kind()) => {
                Ok(Model { message: Some(error.to_string()), ..run(RunOutcome::Refused) })
            }
            Err(error) => Err(error),
        }
    }

    async fn last_run_state(
        &self,
        transaction: &Transaction,
        row: &ScheduleRow,
        graph_id: &GraphId,
    ) -> Result<Option<OperationState>, Error> {
        let last = schedule_runs::find_last_queued(&**transaction, row.schedule_id, graph_id).await?;
        let Some(id) = last.and_then(|run| run.operation_id) else { return Ok(None) };
        Ok(operations::find(&**transaction, id).await?.map(|operation| operation.state))
    }

    fn new_run(&self, row: &ScheduleRow, graph_id: &GraphId, fire_at: Timestamp, outcome: RunOutcome) -> Model {
        let now = self.now();
        Model {
            schedule_run_id: ScheduleRunId::new(self.ids(), now),
            schedule_id: row.schedule_id,
            graph_id: graph_id.clone(),
            fire_at,
            created_at: now,
            outcome,
            operation_id: None,
            snapshot_id: None,
            count: 1,
            message: None,
        }
    }

    /// Fires a schedule now, whether it is paused or not; its next time stays.
    ///
    /// # Errors
    /// There is no such schedule.
    pub async fn run_schedule(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<Vec<ScheduleRun>, Error> {
        let body = [id];
        let request = Request { request_id, action: "RunSchedule", body: &body };
        let row = self.get_schedule(id).await?;
        let all = self.graphs_that_may_be_meant(std::slice::from_ref(&row)).await?;
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.runs_of_request(&row, &first).await;
        }
        let (now, overlap) = (self.now(), schedule_of(&row)?.overlap());
        let mut runs = Vec::new();
        for graph in graphs_of(&row, &all) {
            runs.push(self.start_run(&transaction, &row, graph, now, overlap).await?);
        }
        let last_run_at = if runs.is_empty() { row.last_run_at } else { Some(now) };
        schedules::advance(&*transaction, &row, row.next_run_at, last_run_at).await?;
        request.remember(self, &*transaction, now.micros().to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, row.graph_id.as_ref(), Some(id.to_owned())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        self.with_operations(runs).await
    }

    async fn runs_of_request(&self, row: &ScheduleRow, fire_at: &str) -> Result<Vec<ScheduleRun>, Error> {
        let fire_at = fire_at.parse().map(Timestamp::from_micros).unwrap_or_default();
        let runs = schedule_runs::list_fired_at(self.store().read(), row.schedule_id, fire_at).await?;
        self.with_operations(runs).await
    }

    /// Runs of a schedule, newest first.
    ///
    /// # Errors
    /// There is no such schedule.
    pub async fn list_schedule_runs(
        &self,
        id: &str,
        graph_id: Option<&GraphId>,
        page: &PageRequest<TimeKey>,
    ) -> Result<Page<ScheduleRun>, Error> {
        let row = self.get_schedule(id).await?;
        let runs = schedule_runs::list(self.store().read(), row.schedule_id, graph_id, page).await?;
        Ok(Page { items: self.with_operations(runs.items).await?, next_page_token: runs.next_page_token })
    }

    async fn with_operations(&self, runs: Vec<Model>) -> Result<Vec<ScheduleRun>, Error> {
        let ids: Vec<OperationId> = runs.iter().filter_map(|run| run.operation_id).collect();
        let found = operations::list_by_ids(self.store().read(), &ids).await?;
        let found: HashMap<OperationId, OperationRow> = found.into_iter().map(|operation| (operation.operation_id, operation)).collect();
        let joined = |row: Model| {
            let operation = row.operation_id.and_then(|id| found.get(&id).cloned());
            ScheduleRun { row, operation }
        };
        Ok(runs.into_iter().map(joined).collect())
    }
}

/// The graphs that a schedule is for.
pub(super) fn graphs_of<'g>(row: &ScheduleRow, all: &'g [graph::Model]) -> Vec<&'g graph::Model> {
    if let Some(graph_id) = &row.graph_id {
        return all.binary_search_by(|graph| graph.graph_id.cmp(graph_id)).map(|at| vec![&all[at]]).unwrap_or_default();
    }
    let Some(selector) = row.graph_selector.as_deref().and_then(|text| Selector::parse(text).ok()) else { return Vec::new() };
    // Copies have nothing to take or to send on.
    let has_part = |graph: &&graph::Model| row.action == ScheduleAction::Drill || !graph.graph_id.is_copy();
    all.iter().filter(has_part).filter(|graph| selector.matches(&Labels::from_json(graph.labels.as_deref()))).collect()
}
