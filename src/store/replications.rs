//! Rows of `replications`, and what is still to be sent.

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, ExprTrait as _, Func, OnConflict};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel, QueryFilter as _, QueryOrder as _};
use sea_orm::{Order, QuerySelect as _, QueryTrait as _};

use super::Error;
use super::entity::replication::{Column, Entity, Model};
use super::entity::snapshot;
use crate::base::ids::{SnapshotId, TargetId};
use crate::domain::graph_id::GraphId;
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::target::{ReplicationState, SendOrder};

const KEY: [Column; 2] = [Column::TargetId, Column::SnapshotId];

/// What is looked for among the snapshots that a target lacks.
#[derive(Debug, Clone)]
pub struct DueFilter<'a> {
    /// Lacks them.
    pub target_id: TargetId,
    /// Of these graphs.
    pub graph_ids: &'a [GraphId],
    /// Only those that somebody has asked for.
    pub only_wanted: bool,
    /// Which first.
    pub order: SendOrder,
    /// How many at most.
    pub limit: u64,
}

/// Snapshots that a target lacks: complete ones that were not brought there. Those that have failed come after those that have not.
///
/// # Errors
/// The database's.
pub async fn list_due(connection: &impl ConnectionTrait, wanted: &DueFilter<'_>) -> Result<Vec<snapshot::Model>, Error> {
    use snapshot::Column as Snapshot;
    let in_state = |state| {
        let rows = Entity::find().select_only().column(Column::SnapshotId).filter(Column::TargetId.eq(wanted.target_id));
        rows.filter(Column::State.eq(state)).into_query()
    };
    let (mut found, order) = (Vec::new(), if wanted.order == SendOrder::OldestFirst { Order::Asc } else { Order::Desc });
    let of_snapshot = Expr::col((Entity, Column::SnapshotId)).equals((snapshot::Entity, Snapshot::SnapshotId));
    let failed = Entity::find().select_only().column(Column::Failures).filter(Column::TargetId.eq(wanted.target_id)).filter(of_snapshot);
    let failures = Expr::expr(Func::coalesce([Expr::from(failed.into_query()), Expr::value(0)]));
    // Databases bind so many values at once only.
    for some in wanted.graph_ids.chunks(10_000) {
        let mut query = snapshot::Entity::find()
            .filter(Snapshot::GraphId.is_in(some.iter().cloned()))
            .filter(Snapshot::Status.is_in(SnapshotStatus::RESTORABLE))
            .filter(Snapshot::RecordId.is_not_null())
            .filter(Snapshot::DeletingOperationId.is_null())
            .filter(Snapshot::SnapshotId.not_in_subquery(in_state(ReplicationState::Done)));
        if wanted.only_wanted {
            query = query.filter(Snapshot::SnapshotId.in_subquery(in_state(ReplicationState::Wanted)));
        }
        let query = query
            .order_by(failures.clone(), Order::Asc)
            .order_by(Snapshot::CreatedAt, order.clone())
            .order_by(Snapshot::SnapshotId, order.clone())
            .limit(wanted.limit);
        found.extend(query.all(connection).await.map_err(Error::during("list snapshots to replicate"))?);
    }
    Ok(found)
}

/// The rows of these snapshots at a target.
///
/// # Errors
/// The database's.
pub async fn list_of(connection: &impl ConnectionTrait, target_id: TargetId, ids: &[SnapshotId]) -> Result<Vec<Model>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    // Databases bind so many values at once only.
    for some in ids.chunks(10_000) {
        let query = Entity::find().filter(Column::TargetId.eq(target_id)).filter(Column::SnapshotId.is_in(some.iter().copied()));
        found.extend(query.all(connection).await.map_err(Error::during("list replications"))?);
    }
    Ok(found)
}

/// The snapshots of a graph that were brought to a target and are still listed here.
///
/// # Errors
/// The database's.
pub async fn list_done(connection: &impl ConnectionTrait, target_id: TargetId, graph_id: &GraphId) -> Result<HashSet<SnapshotId>, Error> {
    let query = Entity::find().select_only().column(Column::SnapshotId).filter(Column::TargetId.eq(target_id));
    let query = query.filter(Column::GraphId.eq(graph_id.clone())).filter(Column::State.eq(ReplicationState::Done));
    let ids: Vec<SnapshotId> = query.into_tuple().all(connection).await.map_err(Error::during("list replications"))?;
    Ok(ids.into_iter().collect())
}

/// Asks for snapshots. With `again`, also for those that were brought to their target: they may be gone there.
///
/// # Errors
/// A violation of a foreign key when target or snapshot have gone meanwhile.
pub async fn want(connection: &impl ConnectionTrait, replications: &[Model], again: bool) -> Result<(), Error> {
    let columns = [Column::State, Column::Failures, Column::ErrorMessage];
    let mut on_conflict = OnConflict::columns(KEY).update_columns(columns).to_owned();
    if !again {
        on_conflict.action_and_where(Expr::col((Entity, Column::State)).ne(ReplicationState::Done));
    }
    // Databases bind so many values at once only.
    for some in replications.chunks(1_000) {
        let insert = Entity::insert_many(some.iter().cloned().map(IntoActiveModel::into_active_model)).on_conflict(on_conflict.clone());
        insert.exec_without_returning(connection).await.map_err(Error::during("ask for replications"))?;
    }
    Ok(())
}

/// Notes that a snapshot was brought to its target.
///
/// # Errors
/// As [`want`].
pub async fn write_done(connection: &impl ConnectionTrait, done: Model) -> Result<(), Error> {
    write(connection, done, &[Column::State, Column::ErrorMessage, Column::SentBytes, Column::ReplicatedAt]).await
}

/// Notes that one could not be brought there. Who has asked for it still does.
///
/// # Errors
/// As [`want`].
pub async fn write_failed(connection: &impl ConnectionTrait, failed: Model) -> Result<(), Error> {
    write(connection, failed, &[Column::Failures, Column::ErrorMessage]).await
}

async fn write(connection: &impl ConnectionTrait, replication: Model, columns: &[Column]) -> Result<(), Error> {
    let on_conflict = OnConflict::columns(KEY).update_columns(columns.iter().copied()).to_owned();
    let insert = Entity::insert(replication.into_active_model()).on_conflict(on_conflict);
    insert.exec_without_returning(connection).await.map_err(Error::during("write a replication"))?;
    Ok(())
}

/// Forgets that these snapshots were brought to a target: they are not there any more, or not whole.
///
/// # Errors
/// The database's.
pub async fn forget(connection: &impl ConnectionTrait, target_id: TargetId, graph_id: &GraphId) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::TargetId.eq(target_id)).filter(Column::GraphId.eq(graph_id.clone()));
    let delete = delete.filter(Column::State.eq(ReplicationState::Done));
    delete.exec(connection).await.map_err(Error::during("forget replications"))?;
    Ok(())
}

/// Asks no longer for these snapshots at a target.
///
/// # Errors
/// The database's.
pub async fn unwant(connection: &impl ConnectionTrait, target_id: TargetId, ids: &[SnapshotId]) -> Result<(), Error> {
    // Databases bind so many values at once only.
    for some in ids.chunks(10_000) {
        let update = Entity::update_many()
            .col_expr(Column::State, Expr::value(ReplicationState::Failed))
            .filter(Column::TargetId.eq(target_id))
            .filter(Column::SnapshotId.is_in(some.iter().copied()))
            .filter(Column::State.eq(ReplicationState::Wanted));
        update.exec(connection).await.map_err(Error::during("end replications"))?;
    }
    Ok(())
}
