//! What keeps a snapshot from being deleted, and what keeps it from being pinned: columns of `snapshots`. Whichever is written first
//! holds, on all instances.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, UpdateMany};

use super::Error;
use super::entity::snapshot::{Column, Entity, Model};
use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// Holds for a snapshot that is pinned at this instant.
pub(super) fn is_pinned(now: Timestamp) -> Expr {
    Column::PinReason.is_not_null().and(Column::PinnedUntilAt.is_null().or(Column::PinnedUntilAt.gt(now)))
}

/// Writes a snapshot's pin, and nothing else: its work may go on meanwhile. False when it is being deleted, or gone: then nothing is
/// written.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, snapshot: &Model) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::PinReason, Expr::value(snapshot.pin_reason.clone()))
        .col_expr(Column::PinnedAt, Expr::value(snapshot.pinned_at))
        .col_expr(Column::PinnedUntilAt, Expr::value(snapshot.pinned_until_at))
        .filter(Column::SnapshotId.eq(snapshot.snapshot_id))
        .filter(Column::DeletingOperationId.is_null());
    Ok(update.exec(connection).await.map_err(Error::during("pin a snapshot"))?.rows_affected > 0)
}

/// Marks a snapshot as being deleted by an operation, so that no pin comes any more. False when it is pinned now, or gone: then it is
/// not marked.
///
/// # Errors
/// The database's.
pub async fn mark_deleting(
    connection: &impl ConnectionTrait,
    id: SnapshotId,
    operation_id: OperationId,
    now: Timestamp,
) -> Result<bool, Error> {
    let update = deleting(Some(operation_id)).filter(Column::SnapshotId.eq(id)).filter(is_pinned(now).not());
    Ok(update.exec(connection).await.map_err(Error::during("mark a snapshot"))?.rows_affected > 0)
}

/// Marks all snapshots of a graph, but for those that are pinned now, as being deleted by an operation.
///
/// # Errors
/// The database's.
pub async fn mark_all_deleting(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    operation_id: OperationId,
    now: Timestamp,
) -> Result<(), Error> {
    let update = deleting(Some(operation_id)).filter(Column::GraphId.eq(graph_id.clone())).filter(is_pinned(now).not());
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
