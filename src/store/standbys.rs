//! Rows of `standbys`.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::standby::{Column, Entity, Model};
use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// The standby of a copy.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(graph_id.clone()).one(connection).await.map_err(Error::during("find a standby"))
}

/// All standbys.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().order_by_asc(Column::GraphId).all(connection).await.map_err(Error::during("list standbys"))
}

/// Sets the standby of a copy. Another directory begins anew.
///
/// # Errors
/// The database's.
pub async fn set(connection: &impl ConnectionTrait, standby: Model) -> Result<(), Error> {
    let columns = [Column::Directory, Column::OperationId, Column::SnapshotId, Column::RefreshedAt, Column::Fingerprint, Column::Restored];
    let on_conflict = OnConflict::column(Column::GraphId).update_columns(columns).to_owned();
    let insert = Entity::insert(standby.into_active_model()).on_conflict(on_conflict);
    insert.exec_without_returning(connection).await.map_err(Error::during("set a standby"))?;
    Ok(())
}

/// Notes which restore refreshes a standby; says whether its directory is still this one.
///
/// # Errors
/// The database's.
pub async fn update_operation(connection: &impl ConnectionTrait, standby: &Model, id: OperationId) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::OperationId, Expr::value(id))
        .filter(Column::GraphId.eq(standby.graph_id.clone()))
        .filter(Column::Directory.eq(standby.directory.as_str()));
    let result = update.exec(connection).await.map_err(Error::during("update a standby"))?;
    Ok(result.rows_affected > 0)
}

/// Notes by what is known again what a restore has made for a standby.
///
/// # Errors
/// The database's.
pub async fn update_restored(connection: &impl ConnectionTrait, id: OperationId, restored: String) -> Result<(), Error> {
    let update = Entity::update_many().col_expr(Column::Restored, Expr::value(restored)).filter(Column::OperationId.eq(id));
    update.exec(connection).await.map_err(Error::during("update a standby"))?;
    Ok(())
}

/// Notes what stands in a standby now.
///
/// # Errors
/// The database's.
pub async fn update_refreshed(
    connection: &impl ConnectionTrait,
    standby: &Model,
    snapshot_id: SnapshotId,
    refreshed_at: Timestamp,
) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::SnapshotId, Expr::value(snapshot_id))
        .col_expr(Column::RefreshedAt, Expr::value(refreshed_at))
        .col_expr(Column::Fingerprint, Expr::col(Column::Restored))
        .filter(Column::GraphId.eq(standby.graph_id.clone()))
        .filter(Column::Directory.eq(standby.directory.as_str()));
    update.exec(connection).await.map_err(Error::during("update a standby"))?;
    Ok(())
}

/// Removes the standby of a copy; its directory stays as it is.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
    Entity::delete_by_id(graph_id.clone()).exec(connection).await.map_err(Error::during("delete a standby"))?;
    Ok(())
}
