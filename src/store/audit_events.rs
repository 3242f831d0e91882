//! Rows of `audit_events`.

use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::audit_event::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;

/// Adds an event, in the transaction of the change that it tells of.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, event: Model) -> Result<(), Error> {
    event.into_active_model().insert(connection).await.map_err(Error::during("insert an audit event"))?;
    Ok(())
}

/// When a caller has done something last, up to this instant: a clock that ran ahead may have left later events.
///
/// # Errors
/// The database's.
pub async fn find_last(
    connection: &impl ConnectionTrait,
    caller: &str,
    action: &str,
    until: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let query = Entity::find().filter(Column::Caller.eq(caller)).filter(Column::Action.eq(action)).filter(Column::CreatedAt.lte(until));
    let last = query.order_by_desc(Column::CreatedAt).one(connection).await.map_err(Error::during("find an audit event"))?;
    Ok(last.map(|event| event.created_at))
}
