//! Rows of `idempotency_keys`.

use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};

use super::Error;
use super::entity::idempotency_key::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;

/// Adds a request's name.
///
/// # Errors
/// A unique violation when it is taken.
pub async fn insert(connection: &impl ConnectionTrait, key: Model) -> Result<(), Error> {
    key.into_active_model().insert(connection).await.map_err(Error::during("insert an idempotency key"))?;
    Ok(())
}

/// The request with this name.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, request_id: &str) -> Result<Option<Model>, Error> {
    Entity::find_by_id(request_id.to_owned()).one(connection).await.map_err(Error::during("find an idempotency key"))
}

/// Forgets requests older than this; says how many.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<u64, Error> {
    let delete = Entity::delete_many().filter(Column::CreatedAt.lt(before));
    Ok(delete.exec(connection).await.map_err(Error::during("delete idempotency keys"))?.rows_affected)
}
