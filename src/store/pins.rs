//! What keeps a snapshot from being deleted, pins, legal holds and checkpoints, and what keeps these away, the mark of a deletion: columns
//! of `snapshots`. Whichever is written first holds, on all instances.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, UpdateMany};

use super::Error;
use super::entity::snapshot::{Column, Entity, Model};
use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// Holds for a snapshot that is pinned at this instant.
pub(super) fn is_pinned(now: Timestamp) -> Expr {
    Column::PinReason.is_not_null().and(Column::PinnedUntilAt.is_null().or(Column::PinnedUntilAt.gt(now)))
}

/// Holds for a snapshot that is under a legal hold at this instant.
pub(super) fn is_held(now: Timestamp) -> Expr {
    Column::HoldReason.is_not_null().and(Column::HeldUntilAt.is_null().or(Column::HeldUntilAt.gt(now)))
}

/// Holds for a snapshot that nothing deletes at this instant.
fn is_protected(now: Timestamp) -> Expr {
    is_pinned(now).or(is_held(now)).or(Column::Checkpoints.gt(0))
}

/// Lets a checkpoint keep a snapshot. False when it is being deleted, or gone: then nothing is written.
///
/// # Errors
/// The database's.
pub async fn join_checkpoint(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<bool, Error> {
    let update = Entity::update_many().col_expr(Column::Checkpoints, Expr::col(Column::Checkpoints).add(1));
    let update = update.filter(Column::SnapshotId.eq(id)).filter(Column::DeletingOperationId.is_null());
    Ok(update.exec(connection).await.map_err(Error::during("keep a snapshot"))?.rows_affected > 0)
}

/// Ends that a checkpoint keeps a snapshot.
///
/// # Errors
/// The database's.
pub async fn leave_checkpoint(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<(), Error> {
    let update = Entity::update_many().col_expr(Column::Checkpoints, Expr::col(Column::Checkpoints).sub(1));
    let update = update.filter(Column::SnapshotId.eq(id)).filter(Column::Checkpoints.gt(0));
    update.exec(connection).await.map_err(Error::during("release a snapshot"))?;
    Ok(())
}

/// The snapshots of a graph that checkpoints keep, newest first, so many at most.
///
/// # Errors
/// The database's.
pub async fn list_in_checkpoints(connection: &impl ConnectionTrait, graph_id: &GraphId, most: u64) -> Result<Vec<SnapshotId>, Error> {
    list_those(connection, graph_id, Column::Checkpoints.gt(0), most).await
}

/// Writes a snapshot's pin, and nothing else: its work may go on meanwhile. False when it is being deleted, or gone: then nothing is
/// written.
///
/// # Errors
/// The database's.
pub async fn update_pin(connection: &impl ConnectionTrait, snapshot: &Model) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::PinReason, Expr::value(snapshot.pin_reason.clone()))
        .col_expr(Column::PinnedAt, Expr::value(snapshot.pinned_at))
        .col_expr(Column::PinnedUntilAt, Expr::value(snapshot.pinned_until_at))
        .filter(Column::SnapshotId.eq(snapshot.snapshot_id))
        .filter(Column::DeletingOperationId.is_null());
    Ok(update.exec(connection).await.map_err(Error::during("pin a snapshot"))?.rows_affected > 0)
}

/// Writes a snapshot's legal hold, as [`update_pin`] writes its pin.
///
/// # Errors
/// The database's.
pub async fn update_hold(connection: &impl ConnectionTrait, snapshot: &Model) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::HoldReason, Expr::value(snapshot.hold_reason.clone()))
        .col_expr(Column::HeldAt, Expr::value(snapshot.held_at))
        .col_expr(Column::HeldUntilAt, Expr::value(snapshot.held_until_at))
        .filter(Column::SnapshotId.eq(snapshot.snapshot_id))
        .filter(Column::DeletingOperationId.is_null());
    Ok(update.exec(connection).await.map_err(Error::during("hold a snapshot"))?.rows_affected > 0)
}

/// The snapshots of a graph that are pinned now, newest first, so many at most.
///
/// # Errors
/// The database's.
pub async fn list_pinned(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    now: Timestamp,
    most: u64,
) -> Result<Vec<SnapshotId>, Error> {
    list_those(connection, graph_id, is_pinned(now), most).await
}

/// The snapshots of a graph that are under a legal hold now, newest first, so many at most.
///
/// # Errors
/// The database's.
pub async fn list_held(connection: &impl ConnectionTrait, graph_id: &GraphId, now: Timestamp, most: u64) -> Result<Vec<SnapshotId>, Error> {
    list_those(connection, graph_id, is_held(now), most).await
}

async fn list_those(connection: &impl ConnectionTrait, graph_id: &GraphId, test: Expr, most: u64) -> Result<Vec<SnapshotId>, Error> {
    let query = Entity::find().select_only().column(Column::SnapshotId).filter(Column::GraphId.eq(graph_id.clone())).filter(test);
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SnapshotId).limit(most);
    query.into_tuple().all(connection).await.map_err(Error::during("list snapshots"))
}

/// Marks a snapshot as being deleted by an operation, so that no pin and no hold comes any more. False when it is pinned or held now,
/// or gone: then it is not marked.
///
/// # Errors
/// The database's.
pub async fn mark_deleting(
    connection: &impl ConnectionTrait,
    id: SnapshotId,
    operation_id: OperationId,
    now: Timestamp,
) -> Result<bool, Error> {
    let update = deleting(Some(operation_id)).filter(Column::SnapshotId.eq(id)).filter(is_protected(now).not());
    Ok(update.exec(connection).await.map_err(Error::during("mark a snapshot"))?.rows_affected > 0)
}

/// Marks all snapshots of a graph, but for those that are pinned or held now, as being deleted by an operation.
///
/// # Errors
/// The database's.
pub async fn mark_all_deleting(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    operation_id: OperationId,
    now: Timestamp,
) -> Result<(), Error> {
    let update = deleting(Some(operation_id)).filter(Column::GraphId.eq(graph_id.clone())).filter(is_protected(now).not());
    update.exec(connection).await.map_err(Error::during("mark snapshots"))?;
    Ok(())
}

/// Takes back the marks of an operation that deletes nothing more.
///
/// # Errors
/// The database's.
pub async fn unmark_deleting(connection: &impl ConnectionTrait, graph_id: &GraphId, operation_id: OperationId) -> Result<(), Error> {
    let update = deleting(None).filter(Column::GraphId.eq(graph_id.clone())).filter(Column::DeletingOperationId.eq(operation_id));
    update.exec(connection).await.map_err(Error::during("unmark snapshots"))?;
    Ok(())
}

fn deleting(operation_id: Option<OperationId>) -> UpdateMany<Entity> {
    Entity::update_many().col_expr(Column::DeletingOperationId, Expr::value(operation_id))
}
