//! Queries over everything at once, each bounded: what a first glance needs, whatever the number of graphs.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::Error;
use super::entity::{operation, schedule};
use crate::domain::operation::OperationState;

/// Operations that wait or work, those that work first, then oldest first.
///
/// # Errors
/// The database's.
pub async fn list_open(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<operation::Model>, Error> {
    use operation::Column;
    let query = operation::Entity::find()
        .filter(Column::State.is_in(OperationState::OPEN))
        // `running` comes after `queued` in the alphabet.
        .order_by_desc(Column::State)
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::OperationId)
        .limit(limit);
    query.all(connection).await.map_err(Error::during("list open operations"))
}

/// How many operations are in a state.
///
/// # Errors
/// The database's.
pub async fn count_in(connection: &impl ConnectionTrait, state: OperationState) -> Result<u64, Error> {
    let query = operation::Entity::find().filter(operation::Column::State.eq(state));
    query.count(connection).await.map_err(Error::during("count operations"))
}

/// The schedules that fire next, the next first.
///
/// # Errors
/// The database's.
pub async fn list_next(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<schedule::Model>, Error> {
    use schedule::Column;
    let query = schedule::Entity::find().filter(Column::NextRunAt.is_not_null()).order_by_asc(Column::NextRunAt);
    let query = query.order_by_asc(Column::ScheduleId).limit(limit);
    query.all(connection).await.map_err(Error::during("list schedules"))
}
