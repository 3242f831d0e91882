//! Rows of `health_checks`.

use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::health_check::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;
use crate::domain::health::ComponentType;

/// Adds what was found of some components.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, checks: Vec<Model>) -> Result<(), Error> {
    let checks = checks.into_iter().map(sea_orm::IntoActiveModel::into_active_model);
    Entity::insert_many(checks).exec_without_returning(connection).await.map_err(Error::during("insert health checks"))?;
    Ok(())
}

/// What was found of a component last; what is dated later than now is left by a clock that ran ahead.
///
/// # Errors
/// The database's.
pub async fn find_newest(
    connection: &impl ConnectionTrait,
    component_type: ComponentType,
    id: &str,
    now: Timestamp,
) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::ComponentType.eq(component_type)).filter(Column::ComponentId.eq(id));
    let query = query.filter(Column::CheckedAt.lte(now));
    let query = query.order_by_desc(Column::CheckedAt).order_by_desc(Column::HealthCheckId);
    query.one(connection).await.map_err(Error::during("find a health check"))
}

/// Forgets all that was found of a component.
///
/// # Errors
/// The database's.
pub async fn delete_of(connection: &impl ConnectionTrait, id: &str) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::ComponentId.eq(id));
    delete.exec(connection).await.map_err(Error::during("forget health checks"))?;
    Ok(())
}

/// Forgets what was found before this instant.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::CheckedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget health checks"))?;
    Ok(())
}
