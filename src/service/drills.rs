//! Drills: asked for, looked at, waited for. What they do is in `drill_work`.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::operations::to_json;
use super::probes::no_good_snapshot;
use super::snapshots::check_restorable;
use crate::base::ids::{CheckpointId, DrillId, DrillRunId, OperationId, SnapshotId};
use crate::base::secret::Secret;
use crate::domain::caller::Caller;
use crate::domain::checkpoint::CheckpointState;
use crate::domain::drill::{DrillReport, DrillState};
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::drills::DrillFilter;
use crate::store::entity::drill::Model;
use crate::store::entity::snapshot;
use crate::store::{self, Transaction, checkpoints, drills, snapshots};

/// How drills are done, and how often by themselves.
#[derive(Debug, Clone)]
pub struct DrillSettings {
    /// Where graphs are restored to, each into a directory of its own below it.
    pub directory: PathBuf,
    /// The operator's shell command that starts a LightRAG over a restored graph. It may hold a token.
    pub command: Option<Secret>,
    /// How long it may take until it is healthy.
    pub timeout: Duration,
    /// The share that each probe must retrieve of what it did, 0 to 1.
    pub minimum_recall: f64,
    /// How long after the last drill of a graph its newest good snapshot is drilled by itself; zero for never.
    pub interval: Duration,
}

/// A snapshot that is to be drilled.
#[derive(Debug, Clone)]
pub struct NewDrill {
    /// Of this graph.
    pub graph_id: GraphId,
    /// This snapshot; the newest good one when not set.
    pub snapshot_id: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// What a drill has measured and found; none for one that has not come so far.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub fn report_of(row: &Model) -> Result<Option<DrillReport>, Error> {
    row.report.as_deref().map(serde_json::from_str).transpose().map_err(unreadable)
}

/// Why a drill has failed.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub fn reasons_of(row: &Model) -> Result<Vec<String>, Error> {
    serde_json::from_str(&row.reasons).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::internal("read a drill", error)
}

impl Services {
    /// Queues the drill of a snapshot.
    ///
    /// # Errors
    /// There is no such graph or snapshot; it cannot be restored; the graph has no good one; too many operations wait for the graph.
    pub async fn drill_snapshot(&self, caller: &Caller, new: &NewDrill) -> Result<Model, Error> {
        let body = [new.graph_id.as_str(), new.snapshot_id.as_deref().unwrap_or_default()];
        let request = Request { request_id: new.request_id.as_deref(), action: "RunDrill", body: &body };
        match self.drill_snapshot_once(caller, new, &request).await {
            Err(error) if error.is_race() => self.drill_snapshot_once(caller, new, &request).await,
            result => result,
        }
    }

    async fn drill_snapshot_once(&self, caller: &Caller, new: &NewDrill, request: &Request<'_>) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_drill(&*transaction, &first).await;
        }
        self.find_graph(&*transaction, &new.graph_id).await?;
        let snapshot = match &new.snapshot_id {
            Some(id) => self.snapshot_of(&*transaction, &new.graph_id, id).await?,
            None => {
                let newest = snapshots::find_newest_good(&*transaction, &new.graph_id, self.now()).await?;
                newest.ok_or_else(|| no_good_snapshot(&new.graph_id))?
            }
        };
        check_restorable(&snapshot)?;
        let row = self.insert_drill(&transaction, &snapshot).await?;
        request.remember(self, &*transaction, row.drill_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, &new.graph_id, Some(snapshot.snapshot_id.to_string())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(row)
    }

    /// Queues the drill of a snapshot. Announce the work after the commit.
    ///
    /// # Errors
    /// Too many operations wait for the graph.
    pub(super) async fn insert_drill(&self, transaction: &Transaction, snapshot: &snapshot::Model) -> Result<Model, Error> {
        let (graph_id, snapshot_id) = (&snapshot.graph_id, snapshot.snapshot_id);
        let operation = self.new_operation(OperationKind::Drill, graph_id, Some(snapshot_id), "{}".to_owned());
        let operation = self.enqueue(&**transaction, operation).await?;
        let row = self.new_drill(graph_id, snapshot_id, DrillRunId::new(self.ids(), self.now()), None);
        Ok(drills::insert(&**transaction, Model { operation_id: Some(operation.operation_id), ..row }).await?)
    }

    /// The row of a drill without an operation.
    fn new_drill(&self, graph_id: &GraphId, snapshot_id: SnapshotId, run_id: DrillRunId, checkpoint_id: Option<CheckpointId>) -> Model {
        let now = self.now();
        Model {
            drill_id: DrillId::new(self.ids(), now),
            run_id,
            graph_id: graph_id.clone(),
            snapshot_id,
            checkpoint_id,
            operation_id: None,
            state: DrillState::Running,
            reasons: "[]".to_owned(),
            report: None,
            created_at: now,
            ended_at: None,
        }
    }

    /// Queues a drill of each snapshot of a checkpoint; gives them by their graphs.
    ///
    /// # Errors
    /// There is no such checkpoint; it is not complete; too many operations wait for one of its graphs.
    pub async fn drill_checkpoint(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<Vec<Model>, Error> {
        let body = [id];
        let request = Request { request_id, action: "RunCheckpointDrill", body: &body };
        match self.drill_checkpoint_once(caller, id, &request).await {
            Err(error) if error.is_race() => self.drill_checkpoint_once(caller, id, &request).await,
            result => result,
        }
    }

    async fn drill_checkpoint_once(&self, caller: &Caller, id: &str, request: &Request<'_>) -> Result<Vec<Model>, Error> {
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            let run_id = DrillRunId::parse(&first);
            return self.drills_of_run(run_id.ok_or_else(|| Error::NotFound { kind: "Drill", id: first })?).await;
        }
        let row = self.find_checkpoint(&*transaction, id).await?;
        if row.state != CheckpointState::Completed {
            let message = format!("checkpoint `{id}` cannot be drilled: it is {}", row.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_NOT_COMPLETE", message));
        }
        let mut members = checkpoints::list_members(&*transaction, &[row.checkpoint_id]).await?;
        members.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
        let (run_id, mut run) = (DrillRunId::new(self.ids(), self.now()), Vec::new());
        for (graph_id, snapshot_id) in members.into_iter().filter_map(|member| Some((member.graph_id, member.snapshot_id?))) {
            let row = self.new_drill(&graph_id, snapshot_id, run_id, Some(row.checkpoint_id));
            run.extend(self.insert_member_drill(&transaction, row).await?);
        }
        request.remember(self, &*transaction, run_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, None, Some(id.to_owned())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(run)
    }

    /// Adds the drill of a checkpoint's snapshot with its operation; nothing where the graph is not under our care any more.
    async fn insert_member_drill(&self, transaction: &Transaction, mut row: Model) -> Result<Option<Model>, Error> {
        if self.find_graph(&**transaction, &row.graph_id).await.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let snapshot = snapshots::find(&**transaction, &row.graph_id, row.snapshot_id).await?;
        if snapshot.is_some_and(|snapshot| snapshot.status.is_restorable()) {
            let operation = self.new_operation(OperationKind::Drill, &row.graph_id, Some(row.snapshot_id), "{}".to_owned());
            row.operation_id = Some(self.enqueue(&**transaction, operation).await?.operation_id);
        } else {
            (row.state, row.ended_at) = (DrillState::Failed, Some(row.created_at));
            row.reasons = to_json(&["it cannot be restored any more"])?;
        }
        Ok(Some(drills::insert(&**transaction, row).await?))
    }

    async fn find_drill(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Drill", id: id.to_owned() };
        drills::find(connection, DrillId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    /// One drill.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_drill(&self, id: &str) -> Result<Model, Error> {
        self.find_drill(self.store().read(), id).await
    }

    /// Drills, newest first.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn list_drills(&self, wanted: &DrillFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        if let Some(graph_id) = &wanted.graph_id {
            self.find_graph(self.store().read(), graph_id).await?;
        }
        Ok(drills::list(self.store().read(), wanted, page).await?)
    }

    async fn drills_of_run(&self, id: DrillRunId) -> Result<Vec<Model>, Error> {
        Ok(drills::list_run(self.store().read(), id).await?)
    }

    /// Waits until a drill has ended.
    ///
    /// # Errors
    /// It could not be done: the error of its operation. Unavailable when this process stops before.
    pub async fn wait_for_drill(&self, drill: Model) -> Result<Model, Error> {
        if let Some(id) = drill.operation_id {
            self.wait_for(id).await?;
        }
        self.get_drill(&drill.drill_id.to_string()).await
    }

    /// Waits until all drills that were asked for together have ended. One that could not be done has failed.
    ///
    /// # Errors
    /// Unavailable when this process stops before.
    pub async fn wait_for_drills(&self, run: Vec<Model>) -> Result<Vec<Model>, Error> {
        let Some(run_id) = run.first().map(|drill| drill.run_id) else { return Ok(run) };
        let waiting: Vec<OperationId> = run.iter().filter_map(|drill| drill.operation_id).collect();
        for id in waiting {
            match self.wait_for(id).await {
                Ok(_) | Err(Error::Recorded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.drills_of_run(run_id).await
    }
}
