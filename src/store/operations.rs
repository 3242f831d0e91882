//! Rows of `operations`. Every write of a worker is fenced by the attempt: it counts only while that attempt is the last.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query, QueryStatementBuilder as _, SubQueryStatement};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _};

use sea_orm::Condition;

use super::entity::operation::{Column, Entity, Model};
use super::{Error, fences};
use crate::base::control::Progress;
use crate::base::ids::{InstanceId, OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{LEASE, OperationKind, OperationState};
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds an operation.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, operation: Model) -> Result<Model, Error> {
    operation.into_active_model().insert(connection).await.map_err(Error::during("insert an operation"))
}

/// The operation with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: OperationId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find an operation"))
}

/// The operations with these ids.
///
/// # Errors
/// The database's.
pub async fn list_by_ids(connection: &impl ConnectionTrait, ids: &[OperationId]) -> Result<Vec<Model>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    // Databases bind so many values at once only.
    for some in ids.chunks(10_000) {
        let query = Entity::find().filter(Column::OperationId.is_in(some.iter().copied()));
        found.extend(query.all(connection).await.map_err(Error::during("find operations"))?);
    }
    Ok(found)
}

/// Which operations a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// Of this graph.
    pub graph_id: Option<GraphId>,
    /// In this state.
    pub state: Option<OperationState>,
    /// Of this kind.
    pub kind: Option<OperationKind>,
    /// On this snapshot.
    pub snapshot_id: Option<SnapshotId>,
    /// Asked for then or later.
    pub created_from: Option<Timestamp>,
    /// Asked for before then.
    pub created_before: Option<Timestamp>,
}

impl OperationFilter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.graph_id.clone().map(|graph_id| Column::GraphId.eq(graph_id)))
            .add_option(self.state.map(|state| Column::State.eq(state)))
            .add_option(self.kind.map(|kind| Column::Kind.eq(kind)))
            .add_option(self.snapshot_id.map(|snapshot_id| Column::SnapshotId.eq(snapshot_id)))
            .add_option(self.created_from.map(|from| Column::CreatedAt.gte(from)))
            .add_option(self.created_before.map(|before| Column::CreatedAt.lt(before)))
    }
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// A state that is an end.
    pub state: OperationState,
    /// JSON of the error.
    pub error: Option<String>,
    /// JSON of what came out.
    pub result: Option<String>,
}

impl Ending {
    /// It ended well, and there is nothing more to say.
    pub fn succeeded() -> Self {
        Self { state: OperationState::Succeeded, error: None, result: None }
    }
}

/// Operations, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &OperationFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(wanted.condition());
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::OperationId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::OperationId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list operations"))?;
    Ok(page.page(rows, |row| (row.created_at, row.operation_id.to_string())))
}

/// How many operations wait for a graph.
///
/// # Errors
/// The database's.
pub async fn count_queued(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<u64, Error> {
    let queued = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::State.eq(OperationState::Queued));
    queued.count(connection).await.map_err(Error::during("count waiting operations"))
}

/// Whether a graph has an operation in one of these states, of one of these kinds or of any.
///
/// # Errors
/// The database's.
pub async fn exists(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    kinds: Option<&[OperationKind]>,
    states: &[OperationState],
) -> Result<bool, Error> {
    let of_kinds = kinds.map(|kinds| Column::Kind.is_in(kinds.iter().copied()));
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::State.is_in(states.iter().copied()));
    let query = query.filter(Condition::all().add_option(of_kinds));
    Ok(query.one(connection).await.map_err(Error::during("find an operation"))?.is_some())
}

/// The operations of this kind that wait or work.
///
/// # Errors
/// The database's.
pub async fn list_open_of(connection: &impl ConnectionTrait, kind: OperationKind) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::Kind.eq(kind)).filter(Column::State.is_in(OperationState::OPEN));
    query.all(connection).await.map_err(Error::during("list open operations"))
}

/// The snapshots of a graph that an operation of these kinds waits to use or uses; and those that a restore has used, or failed to, since
/// then.
///
/// # Errors
/// The database's.
pub async fn list_in_use(connection: &impl ConnectionTrait, graph_id: &GraphId, since: Timestamp) -> Result<Vec<SnapshotId>, Error> {
    let waits = Column::Kind
        .is_in([OperationKind::Restore, OperationKind::Verify, OperationKind::Drill])
        .and(Column::State.is_in(OperationState::OPEN));
    let was_restored = Column::Kind.eq(OperationKind::Restore).and(Column::EndedAt.gt(since));
    let query = Entity::find().select_only().column(Column::SnapshotId).filter(Column::GraphId.eq(graph_id.clone()));
    let query = query.filter(Column::SnapshotId.is_not_null()).filter(waits.or(was_restored));
    query.into_tuple().all(connection).await.map_err(Error::during("list operations"))
}

/// The operation of this kind that was asked for last for a graph.
///
/// # Errors
/// The database's.
pub async fn find_newest(connection: &impl ConnectionTrait, graph_id: &GraphId, kind: OperationKind) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::Kind.eq(kind));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::OperationId);
    query.one(connection).await.map_err(Error::during("find the last operation"))
}

/// The place of a waiting operation among those of its graph, from 1.
///
/// # Errors
/// The database's.
pub async fn place(connection: &impl ConnectionTrait, operation: &Model) -> Result<u64, Error> {
    let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::OperationId)]);
    let own = Expr::tuple([Expr::val(operation.created_at), Expr::val(operation.operation_id)]);
    let ahead = Entity::find()
        .filter(Column::GraphId.eq(operation.graph_id.clone()))
        .filter(Column::State.eq(OperationState::Queued))
        .filter(key.lt(own));
    Ok(ahead.count(connection).await.map_err(Error::during("count waiting operations"))? + 1)
}

/// Takes the oldest operation that may run: it waits and nothing runs on its graph, or it runs and its worker has gone silent.
/// One statement, so two workers never take the same; PostgreSQL skips rows that another is about to take.
///
/// # Errors
/// The database's; a unique violation means that another instance was faster on the same graph.
pub async fn claim(
    connection: &impl ConnectionTrait,
    worker: InstanceId,
    here: &[OperationId],
    now: Timestamp,
) -> Result<Option<Model>, Error> {
    let claimed = Entity::update_many()
        .col_expr(Column::State, Expr::value(OperationState::Running))
        .col_expr(Column::Attempt, Expr::col(Column::Attempt).add(1))
        .col_expr(Column::InstanceId, Expr::value(worker))
        .col_expr(Column::LeaseUntilAt, Expr::value(now.plus(LEASE)))
        .col_expr(Column::StartedAt, Expr::value(now))
        .filter(Expr::col(Column::OperationId).eq(Expr::SubQuery(None, Box::new(next_to_run(here, now)))))
        .exec_with_returning(connection)
        .await
        .map_err(Error::during("claim an operation"))?;
    Ok(claimed.into_iter().next())
}

fn next_to_run(here: &[OperationId], now: Timestamp) -> SubQueryStatement {
    let busy = Query::select().column(Column::GraphId).from(Entity).and_where(Column::State.eq(OperationState::Running)).to_owned();
    let free = Column::State.eq(OperationState::Queued).and(Column::GraphId.not_in_subquery(busy));
    let free = free.and(Column::Kind.is_not_in(OperationKind::BESIDE_WORKERS));
    // What this process works on is not silent, whatever the clock has done to its lease.
    let silent =
        Column::State.eq(OperationState::Running).and(Column::LeaseUntilAt.lt(now)).and(Column::OperationId.is_not_in(here.to_vec()));
    // A graph that a failover has fenced is the failover's.
    let goes_through = Column::GraphId.not_in_subquery(fences::fenced()).or(Column::Kind.is_in(OperationKind::THROUGH_FENCES));
    let mut select = Entity::find()
        .select_only()
        .column(Column::OperationId)
        .filter(free.or(silent))
        .filter(goes_through)
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::OperationId)
        .limit(1)
        .into_query();
    // SQLite has no such clause and needs none; sea-query leaves it out there.
    select.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    select.into_sub_query_statement()
}

/// Records progress and renews the lease; tells whether a caller wants the operation to stop.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn beat(connection: &impl ConnectionTrait, operation: &Model, progress: Progress, now: Timestamp) -> Result<bool, Error> {
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let rows = Entity::update_many()
        .col_expr(Column::Stage, Expr::value(progress.stage))
        .col_expr(Column::DoneBytes, Expr::value(bytes(progress.done_bytes)))
        .col_expr(Column::TotalBytes, Expr::value(bytes(progress.total_bytes)))
        .col_expr(Column::LeaseUntilAt, Expr::value(now.plus(LEASE)))
        .filter(fence(operation))
        .exec_with_returning(connection)
        .await
        .map_err(Error::during("renew a lease"))?;
    match rows.first() {
        Some(row) => Ok(row.cancel_requested),
        None => Err(lease_lost(operation)),
    }
}

/// Ends an operation.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn finish(
    connection: &impl ConnectionTrait,
    operation: &Model,
    ending: Ending,
    progress: Progress,
    now: Timestamp,
) -> Result<(), Error> {
    let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let result = Entity::update_many()
        .col_expr(Column::State, Expr::value(ending.state))
        .col_expr(Column::Error, Expr::value(ending.error))
        .col_expr(Column::Result, Expr::value(ending.result))
        .col_expr(Column::Stage, Expr::value(progress.stage))
        .col_expr(Column::DoneBytes, Expr::value(bytes(progress.done_bytes)))
        .col_expr(Column::TotalBytes, Expr::value(bytes(progress.total_bytes)))
        .col_expr(Column::EndedAt, Expr::value(now))
        .col_expr(Column::LeaseUntilAt, Expr::value(None::<Timestamp>))
        .filter(fence(operation))
        .exec(connection)
        .await
        .map_err(Error::during("finish an operation"))?;
    if result.rows_affected == 0 { Err(lease_lost(operation)) } else { Ok(()) }
}

/// Confirms that this attempt owns the operation, in the transaction of what it writes elsewhere; nobody else takes it before that ends.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn confirm(connection: &impl ConnectionTrait, operation: &Model) -> Result<(), Error> {
    // SQLite has no such clause and needs none: its writers come one after the other.
    let row = Entity::find_by_id(operation.operation_id).lock_shared().one(connection).await;
    match row.map_err(Error::during("find an operation"))? {
        Some(row) if row.attempt == operation.attempt && row.state == OperationState::Running => Ok(()),
        _ => Err(lease_lost(operation)),
    }
}

/// Notes what has been done so far, in the transaction of what was done: a next attempt goes on from there. Confirms thereby that this
/// attempt still owns the operation.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn note(connection: &impl ConnectionTrait, operation: &Model, so_far: String) -> Result<(), Error> {
    let update = Entity::update_many().col_expr(Column::Result, Expr::value(so_far)).filter(fence(operation));
    let result = update.exec(connection).await.map_err(Error::during("note what an operation has done"))?;
    if result.rows_affected == 0 { Err(lease_lost(operation)) } else { Ok(()) }
}

/// Gives an operation back, unfinished, so that the next worker begins it at once. The attempt does not count.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn release(connection: &impl ConnectionTrait, operation: &Model) -> Result<(), Error> {
    let result = Entity::update_many()
        .col_expr(Column::State, Expr::value(OperationState::Queued))
        .col_expr(Column::Attempt, Expr::col(Column::Attempt).sub(1))
        .col_expr(Column::LeaseUntilAt, Expr::value(None::<Timestamp>))
        .filter(fence(operation))
        .exec(connection)
        .await
        .map_err(Error::during("release an operation"))?;
    if result.rows_affected == 0 { Err(lease_lost(operation)) } else { Ok(()) }
}

/// Gives an operation back that the database has interrupted. The attempt counts.
///
/// # Errors
/// [`Error::LeaseLost`] when another worker has it.
pub async fn give_back(connection: &impl ConnectionTrait, operation: &Model) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::State, Expr::value(OperationState::Queued))
        .col_expr(Column::LeaseUntilAt, Expr::value(None::<Timestamp>))
        .filter(fence(operation));
    let result = update.exec(connection).await.map_err(Error::during("give an operation back"))?;
    if result.rows_affected == 0 { Err(lease_lost(operation)) } else { Ok(()) }
}

/// Ends a waiting operation as cancelled; says whether it was still waiting.
///
/// # Errors
/// The database's.
pub async fn cancel_queued(connection: &impl ConnectionTrait, id: OperationId, now: Timestamp) -> Result<bool, Error> {
    let result = Entity::update_many()
        .col_expr(Column::State, Expr::value(OperationState::Cancelled))
        .col_expr(Column::CancelRequested, Expr::value(true))
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::OperationId.eq(id))
        .filter(Column::State.eq(OperationState::Queued))
        .exec(connection)
        .await
        .map_err(Error::during("cancel an operation"))?;
    Ok(result.rows_affected > 0)
}

/// Asks the worker of an operation to stop, the one that runs it or the next.
///
/// # Errors
/// The database's.
pub async fn request_cancel(connection: &impl ConnectionTrait, id: OperationId) -> Result<(), Error> {
    Entity::update_many()
        .col_expr(Column::CancelRequested, Expr::value(true))
        .filter(Column::OperationId.eq(id))
        .filter(Column::State.is_in(OperationState::OPEN))
        .exec(connection)
        .await
        .map_err(Error::during("cancel an operation"))?;
    Ok(())
}

/// Ends the leases of all other processes: for a database that only one process can use, they are dead.
///
/// # Errors
/// The database's.
pub async fn expire_leases(connection: &impl ConnectionTrait, now: Timestamp) -> Result<u64, Error> {
    let past = Timestamp::from_micros(now.micros() - i64::try_from(Duration::from_secs(1).as_micros()).unwrap_or(1));
    let result = Entity::update_many()
        .col_expr(Column::LeaseUntilAt, Expr::value(past))
        .filter(Column::State.eq(OperationState::Running))
        .exec(connection)
        .await
        .map_err(Error::during("expire leases"))?;
    Ok(result.rows_affected)
}

/// Holds while this attempt is the one that runs.
fn fence(operation: &Model) -> Expr {
    let this = Column::OperationId.eq(operation.operation_id).and(Column::Attempt.eq(operation.attempt));
    this.and(Column::State.eq(OperationState::Running))
}

fn lease_lost(operation: &Model) -> Error {
    Error::LeaseLost { operation_id: operation.operation_id.to_string() }
}
