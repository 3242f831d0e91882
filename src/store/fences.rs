//! Rows of `fences`: which failover holds which graph, and whether anything else may work on it.

use sea_orm::sea_query::{Expr, ExprTrait as _, SelectStatement};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};
use sea_orm::{QuerySelect as _, QueryTrait as _};

use super::Error;
use super::entity::fence::{Column, Entity, Model};
use super::entity::{graph, operation};
use crate::base::ids::{FailoverId, OperationId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationState;

/// Makes whoever else would give graphs to a failover wait for the end of this transaction: no key of the database says that the places of
/// two failovers are apart.
///
/// # Errors
/// The database's.
pub async fn lock(connection: &impl ConnectionTrait) -> Result<(), Error> {
    // SQLite has one writer at a time.
    if connection.get_database_backend() == DbBackend::Postgres {
        let lock = connection.execute_unprepared("LOCK TABLE fences IN SHARE ROW EXCLUSIVE MODE").await;
        lock.map_err(Error::during("lock the fences"))?;
    }
    Ok(())
}

/// Gives graphs to a failover. They are not fenced yet.
///
/// # Errors
/// A unique violation when another one holds one of them.
pub async fn hold(connection: &impl ConnectionTrait, graph_ids: &[GraphId], failover_id: FailoverId) -> Result<(), Error> {
    // By their names: two that want the same graphs do not wait for each other.
    let mut graph_ids: Vec<&GraphId> = graph_ids.iter().collect();
    graph_ids.sort_unstable();
    let row = |graph_id: &GraphId| Model { graph_id: graph_id.clone(), failover_id, is_up: false }.into_active_model();
    let insert = Entity::insert_many(graph_ids.into_iter().map(row));
    insert.exec_without_returning(connection).await.map_err(Error::during("hold graphs for a failover"))?;
    Ok(())
}

/// Which of these graphs failovers hold.
///
/// # Errors
/// The database's.
pub async fn list_of(connection: &impl ConnectionTrait, graph_ids: &[GraphId]) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.is_in(graph_ids.iter().cloned()));
    query.all(connection).await.map_err(Error::during("list fences"))
}

/// All graphs that failovers hold.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().all(connection).await.map_err(Error::during("list fences"))
}

/// Whether nothing but its failover works on a graph, asked when nobody changes that before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn is_up(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<bool, Error> {
    // Whoever raises a fence writes the graph's row first. SQLite has no such clause and needs none.
    let graph = graph::Entity::find_by_id(graph_id.clone()).lock_shared().one(connection).await;
    graph.map_err(Error::during("find a graph"))?;
    let fence = Entity::find_by_id(graph_id.clone()).one(connection).await.map_err(Error::during("find a fence"))?;
    Ok(fence.is_some_and(|fence| fence.is_up))
}

/// Fences the graphs of a failover: from now on no other operation of theirs is begun. Each raising has a higher epoch.
///
/// # Errors
/// The database's.
pub async fn raise(connection: &impl ConnectionTrait, failover_id: FailoverId) -> Result<(), Error> {
    let held = Entity::find().select_only().column(Column::GraphId).filter(Column::FailoverId.eq(failover_id));
    let newly = held.filter(Column::IsUp.eq(false)).into_query();
    let bump = graph::Entity::update_many()
        .col_expr(graph::Column::FenceEpoch, Expr::col(graph::Column::FenceEpoch).add(1))
        .filter(graph::Column::GraphId.in_subquery(newly));
    bump.exec(connection).await.map_err(Error::during("fence graphs"))?;
    let raise = Entity::update_many().col_expr(Column::IsUp, Expr::value(true)).filter(Column::FailoverId.eq(failover_id));
    raise.exec(connection).await.map_err(Error::during("fence graphs"))?;
    Ok(())
}

/// Gives the graphs of a failover back.
///
/// # Errors
/// The database's.
pub async fn release(connection: &impl ConnectionTrait, failover_id: FailoverId) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::FailoverId.eq(failover_id));
    delete.exec(connection).await.map_err(Error::during("release graphs"))?;
    Ok(())
}

/// The failovers that hold graphs, within a query.
pub(super) fn holding() -> SelectStatement {
    Entity::find().select_only().column(Column::FailoverId).into_query()
}

/// The graphs that nothing else works on, within a query.
pub(super) fn fenced() -> SelectStatement {
    Entity::find().select_only().column(Column::GraphId).filter(Column::IsUp.eq(true)).into_query()
}

/// Takes the operations of these graphs away from workers that have gone silent: they wait, and what such a worker still writes does not
/// count. Gives how many run all the same, besides this one.
///
/// # Errors
/// The database's.
pub async fn count_running(
    connection: &impl ConnectionTrait,
    graph_ids: &[GraphId],
    besides: OperationId,
    here: &[OperationId],
    now: Timestamp,
) -> Result<usize, Error> {
    use operation::Column as Operation;
    let others = || {
        let of_graphs = Operation::GraphId.is_in(graph_ids.iter().cloned()).and(Operation::State.eq(OperationState::Running));
        of_graphs.and(Operation::OperationId.ne(besides))
    };
    let silent = Operation::LeaseUntilAt.lt(now).and(Operation::OperationId.is_not_in(here.iter().copied()));
    let requeue = operation::Entity::update_many()
        .col_expr(Operation::State, Expr::value(OperationState::Queued))
        .col_expr(Operation::LeaseUntilAt, Expr::value(None::<Timestamp>))
        .filter(others())
        .filter(silent);
    requeue.exec(connection).await.map_err(Error::during("take operations away"))?;
    let running = operation::Entity::find().filter(others()).all(connection).await;
    Ok(running.map_err(Error::during("count running operations"))?.len())
}
