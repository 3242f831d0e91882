//! Operations: asked for, looked at, waited for, watched, cancelled; and how a worker claims and ends them.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Services;
use super::error::{Error, ErrorKind, RecordedError};
use super::idempotency::Request;
use crate::base::control::{Control, Progress};
use crate::base::ids::{OperationId, SnapshotId};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{MAX_ATTEMPTS, MAX_QUEUED_PER_GRAPH, OperationKind, OperationState};
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::store::entity::operation::Model;
use crate::store::operations::{Ending, OperationFilter};
use crate::store::{self, drills, fences, graphs, operations, pins, snapshots};

/// The stages of a snapshot in which it stores what it reads.
const STORING: [&str; 3] = ["store", "audit", "probe"];

/// An operation and, while it waits, its place in its graph's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The row.
    pub row: Model,
    /// From 1; none unless it waits.
    pub place: Option<u64>,
}

/// An operation that is to be queued.
#[derive(Debug, Clone)]
pub(super) struct Work<'a> {
    /// What it does.
    pub(super) kind: OperationKind,
    /// On this graph.
    pub(super) graph_id: &'a GraphId,
    /// On this snapshot of it.
    pub(super) snapshot_id: Option<SnapshotId>,
    /// JSON of what it needs beyond that.
    pub(super) payload: String,
}

impl Services {
    /// The row of a new operation, waiting. To be inserted with [`Services::enqueue`].
    pub fn new_operation(&self, kind: OperationKind, graph_id: &GraphId, snapshot_id: Option<SnapshotId>, payload: String) -> Model {
        let now = self.now();
        Model {
            operation_id: OperationId::new(self.ids(), now),
            kind,
            state: OperationState::Queued,
            graph_id: graph_id.clone(),
            snapshot_id,
            payload,
            stage: String::new(),
            done_bytes: 0,
            total_bytes: 0,
            attempt: 0,
            instance_id: None,
            lease_until_at: None,
            cancel_requested: false,
            error: None,
            result: None,
            created_at: now,
            started_at: None,
            ended_at: None,
        }
    }

    /// Queues an operation, in the transaction of all that goes with it. Announce the work after the commit.
    ///
    /// # Errors
    /// Too many wait for this graph.
    pub async fn enqueue(&self, connection: &impl ConnectionTrait, operation: Model) -> Result<Model, Error> {
        if operations::count_queued(connection, &operation.graph_id).await? >= MAX_QUEUED_PER_GRAPH {
            return Err(Error::Refused {
                kind: ErrorKind::Exhausted,
                reason: "TOO_MANY_WAITING",
                message: format!("{MAX_QUEUED_PER_GRAPH} operations wait for graph `{}` already, try again later", operation.graph_id),
                retry_after: Some(Duration::from_secs(5)),
            });
        }
        Ok(operations::insert(connection, operation).await?)
    }

    /// Queues an operation that stands for itself, with all that goes with it: the request's name and the audit event. The same
    /// request gives the same operation again.
    ///
    /// # Errors
    /// Too many wait for this graph.
    pub(super) async fn queue(&self, caller: &Caller, work: &Work<'_>, request: &Request<'_>) -> Result<Model, Error> {
        match self.queue_once(caller, work, request).await {
            Err(error) if error.is_race() => self.queue_once(caller, work, request).await,
            result => result,
        }
    }

    async fn queue_once(&self, caller: &Caller, work: &Work<'_>, request: &Request<'_>) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.operation_of(&*transaction, &first).await;
        }
        let operation = self.new_operation(work.kind, work.graph_id, work.snapshot_id, work.payload.clone());
        let operation = self.enqueue(&*transaction, operation).await?;
        request.remember(self, &*transaction, operation.operation_id.to_string()).await?;
        let subject = work.snapshot_id.map(|id| id.to_string());
        self.record_audit(&*transaction, caller, request.action, work.graph_id, subject).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(operation)
    }

    /// The operation that a request made when it came first.
    pub(super) async fn operation_of(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Operation", id: id.to_owned() };
        let parsed = OperationId::parse(id).ok_or_else(missing)?;
        operations::find(connection, parsed).await?.ok_or_else(missing)
    }

    /// Ends an operation well, with what came out.
    ///
    /// # Errors
    /// The lease was lost.
    pub(super) async fn finish_with(&self, operation: &Model, report: &impl Serialize, control: &Control) -> Result<(), Error> {
        let result = Some(to_json(report)?);
        let ending = Ending { result, ..Ending::succeeded() };
        Ok(operations::finish(self.store().read(), operation, ending, control.progress(), self.now()).await?)
    }

    /// One operation.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_operation(&self, id: &str) -> Result<Operation, Error> {
        let missing = || Error::NotFound { kind: "Operation", id: id.to_owned() };
        let id = OperationId::parse(id).ok_or_else(missing)?;
        let row = operations::find(self.store().read(), id).await?.ok_or_else(missing)?;
        self.with_place(row).await
    }

    async fn with_place(&self, row: Model) -> Result<Operation, Error> {
        let waits = row.state == OperationState::Queued;
        let place = if waits { Some(operations::place(self.store().read(), &row).await?) } else { None };
        Ok(Operation { row, place })
    }

    /// Operations, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_operations(&self, wanted: &OperationFilter, page: &PageRequest<TimeKey>) -> Result<Page<Operation>, Error> {
        let rows = operations::list(self.store().read(), wanted, page).await?;
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            items.push(self.with_place(row).await?);
        }
        Ok(Page { items, next_page_token: rows.next_page_token })
    }

    /// Asks an operation to stop; gives it as it is then.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn cancel_operation(&self, caller: &Caller, id: &str) -> Result<Operation, Error> {
        let operation = self.get_operation(id).await?.row;
        let id = operation.operation_id;
        let transaction = self.store().begin().await?;
        // One that was given back has something to put right: its worker ends it.
        let was_given_back = operation.started_at.is_some() && OperationKind::THROUGH_FENCES.contains(&operation.kind);
        if was_given_back || !operations::cancel_queued(&*transaction, id, self.now()).await? {
            operations::request_cancel(&*transaction, id).await?;
        } else {
            self.end_without_success(&transaction, &operation, "cancelled before it began").await?;
        }
        self.record_audit(&*transaction, caller, "CancelOperation", &operation.graph_id, Some(id.to_string())).await?;
        store::commit(transaction).await?;
        self.running().cancel(id);
        self.wakeup().announce_work();
        self.get_operation(&id.to_string()).await
    }

    /// Waits until an operation has ended.
    ///
    /// # Errors
    /// The error that it ended with; unavailable when this process stops before.
    pub async fn wait_for(&self, id: OperationId) -> Result<Model, Error> {
        let mut changes = self.wakeup().changes();
        loop {
            let row = operations::find(self.store().read(), id).await?;
            let row = row.ok_or_else(|| Error::NotFound { kind: "Operation", id: id.to_string() })?;
            if row.state.is_ended() {
                return match recorded_error(&row) {
                    Some(error) => Err(Error::Recorded(error)),
                    None => Ok(row),
                };
            }
            self.check_goes_on(&format!("operation `{id}`"))?;
            changes.next().await;
        }
    }

    /// Claims the next operation that may run, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_operation(&self) -> Result<Option<Model>, Error> {
        let (transaction, now, here) = (self.store().begin().await?, self.now(), self.running().ids());
        let claimed = match operations::claim(&*transaction, self.instance_id(), &here, now).await {
            // Another instance was faster on the same graph: its turn.
            Err(error) if error.is_unique_violation() => return Ok(None),
            result => result?,
        };
        let is_held_off = |operation: &Model| !OperationKind::THROUGH_FENCES.contains(&operation.kind) && !self.store().is_sqlite();
        if let Some(operation) = claimed.as_ref().filter(|operation| is_held_off(operation))
            && fences::is_up(&*transaction, &operation.graph_id).await?
        {
            // Fenced by another transaction while this one claimed it: it waits.
            return Ok(None);
        }
        if let Some(operation) = claimed.as_ref().filter(|operation| operation.kind == OperationKind::Snapshot) {
            snapshots::update_started(&*transaction, operation.operation_id, now).await?;
        }
        store::commit(transaction).await?;
        Ok(claimed)
    }

    /// Renews the lease and records progress; tells whether the work is to stop.
    ///
    /// # Errors
    /// The lease was lost.
    pub async fn beat(&self, operation: &Model, progress: Progress) -> Result<bool, Error> {
        let cancel = operations::beat(self.store().read(), operation, progress, self.now()).await?;
        self.wakeup().announce_change();
        Ok(cancel)
    }

    /// Records how an operation ended that did not end well.
    ///
    /// # Errors
    /// The lease was lost.
    pub async fn fail_operation(&self, operation: &Model, error: &Error, control: &Arc<Control>) -> Result<(), Error> {
        let recorded = error.record();
        let cancelled = error.kind() == ErrorKind::Cancelled;
        let state = if cancelled { OperationState::Cancelled } else { OperationState::Failed };
        let json = serde_json::to_string(&recorded).map_err(|source| Error::internal("write an operation's error", source))?;
        let (transaction, now) = (self.store().begin().await?, self.now());
        let ending = Ending { state, error: Some(json), result: None };
        operations::finish(&*transaction, operation, ending, control.progress(), now).await?;
        self.end_without_success(&transaction, operation, &recorded.message).await?;
        // Whoever has come so far may have stored what nobody needs now.
        if operation.kind == OperationKind::Snapshot && (operation.attempt > 1 || STORING.contains(&control.progress().stage)) {
            graphs::update_unpruned(&*transaction, &operation.graph_id, now).await?;
        }
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(())
    }

    /// What becomes of an operation's snapshots, or its drill, when it ends without success, in the transaction that ends it.
    async fn end_without_success(&self, transaction: &store::Transaction, operation: &Model, why: &str) -> Result<(), Error> {
        let (id, graph_id) = (operation.operation_id, &operation.graph_id);
        match operation.kind {
            OperationKind::Snapshot => snapshots::update_failed(&**transaction, id, why, self.now()).await?,
            // What it has marked and not deleted is as any other snapshot again.
            OperationKind::Delete | OperationKind::Cleanup | OperationKind::Unregister => {
                pins::unmark_deleting(&**transaction, graph_id, id).await?;
            }
            OperationKind::Drill => {
                let reasons = to_json(&[format!("it could not be done: {why}")])?;
                drills::update_failed(&**transaction, id, reasons, self.now()).await?;
            }
            OperationKind::Failover | OperationKind::Rollback => self.end_failover(transaction, operation, why).await?,
            // What it has asked for is not asked for any more.
            OperationKind::Replicate => self.unwant(transaction, operation).await?,
            OperationKind::Restore
            | OperationKind::Recover
            | OperationKind::Prune
            | OperationKind::Verify
            | OperationKind::Check
            | OperationKind::Repair
            | OperationKind::Reconcile => {}
        }
        Ok(())
    }

    /// That this attempt still owns an operation.
    ///
    /// # Errors
    /// The lease was lost.
    pub async fn check_lease(&self, operation: &Model) -> Result<(), Error> {
        Ok(operations::confirm(self.store().read(), operation).await?)
    }

    /// Gives an operation back that must not end where the database has interrupted it.
    ///
    /// # Errors
    /// The lease was lost.
    pub async fn try_again(&self, operation: &Model) -> Result<(), Error> {
        Ok(operations::give_back(self.store().read(), operation).await?)
    }

    /// Gives an operation back so that the next process goes on with it.
    ///
    /// # Errors
    /// The lease was lost.
    pub async fn release_operation(&self, operation: &Model) -> Result<(), Error> {
        Ok(operations::release(self.store().read(), operation).await?)
    }
}

/// JSON of what goes into an operation's row.
///
/// # Errors
/// It has no form in JSON, which is a bug.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::internal("write what goes into an operation's row", error))
}

/// What an operation needs beyond its subject.
///
/// # Errors
/// Its row holds something else, which is a bug.
pub(super) fn payload<T: DeserializeOwned>(operation: &Model) -> Result<T, Error> {
    serde_json::from_str(&operation.payload).map_err(|error| Error::internal("read an operation's payload", error))
}

/// What came out of an operation; none before it has ended well.
pub fn report<T: DeserializeOwned>(operation: &Model) -> Option<T> {
    // Before its end an operation notes there what it has done so far.
    serde_json::from_str(operation.result.as_deref().filter(|_| operation.state.is_ended())?).ok()
}

/// The snapshot that an operation works on.
///
/// # Errors
/// It works on none, which is a bug.
pub(super) fn subject(operation: &Model) -> Result<SnapshotId, Error> {
    operation.snapshot_id.ok_or_else(|| Error::internal("work on a snapshot", "the operation's row names none"))
}

/// Whether work on this operation has ended the process too often to be tried again.
pub fn is_hopeless(operation: &Model) -> Option<Error> {
    let message = || format!("operation `{}` ended the server {MAX_ATTEMPTS} times, it is not tried again", operation.operation_id);
    (operation.attempt > MAX_ATTEMPTS).then(|| Error::refused(ErrorKind::Internal, "TOO_MANY_ATTEMPTS", message()))
}

/// The error that an operation ended with.
pub fn recorded_error(row: &Model) -> Option<RecordedError> {
    if row.state == OperationState::Cancelled {
        let message = "the operation was cancelled".to_owned();
        return Some(RecordedError { kind: ErrorKind::Cancelled.to_string(), reason: "OPERATION_CANCELLED".to_owned(), message });
    }
    let json = row.error.as_ref()?;
    Some(serde_json::from_str(json).unwrap_or_else(|_| RecordedError {
        kind: ErrorKind::Internal.to_string(),
        reason: "INTERNAL".to_owned(),
        message: json.clone(),
    }))
}
