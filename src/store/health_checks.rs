//! Rows of `health_checks`.

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::health_check::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;

/// Adds what was found of some components.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, checks: Vec<Model>) -> Result<(), Error> {
    let checks = checks.into_iter().map(sea_orm::IntoActiveModel::into_active_model);
    Entity::insert_many(checks).exec_without_returning(connection).await.map_err(Error::during("insert health checks"))?;
    Ok(())
}

/// The newest finding of each component, by type and id.
///
/// # Errors
/// The database's.
pub async fn list_newest(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let (newer, column) = (Alias::new("newer"), |table: &Alias, column: Column| Expr::col((table.clone(), column)));
    let same = |name: Column| column(&newer, name).equals((Entity, name));
    let is_later = column(&newer, Column::CheckedAt).gt(Expr::col((Entity, Column::CheckedAt)));
    let is_second = column(&newer, Column::CheckedAt)
        .equals((Entity, Column::CheckedAt))
        .and(column(&newer, Column::HealthCheckId).gt(Expr::col((Entity, Column::HealthCheckId))));
    let later = Query::select()
        .expr(Expr::val(1))
        .from_as(Entity, newer.clone())
        .and_where(same(Column::ComponentType))
        .and_where(same(Column::ComponentId))
        .and_where(is_later.or(is_second))
        .to_owned();
    let query = Entity::find().filter(Expr::exists(later).not());
    let query = query.order_by_asc(Column::ComponentType).order_by_asc(Column::ComponentId);
    query.all(connection).await.map_err(Error::during("list health checks"))
}

/// Forgets what was found before this instant, and all of components that are not there any more.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::CheckedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget health checks"))?;
    Ok(())
}
