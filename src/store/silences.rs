//! Rows of `silences`.

use sea_orm::QuerySelect as _;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::silence::{Column, Entity, Model};
use crate::base::ids::SilenceId;
use crate::base::timestamp::Timestamp;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds a silence.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, silence: Model) -> Result<(), Error> {
    let insert = Entity::insert(silence.into_active_model());
    insert.exec_without_returning(connection).await.map_err(Error::during("insert a silence"))?;
    Ok(())
}

/// The silence with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: SilenceId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a silence"))
}

/// All silences that have not ended.
///
/// # Errors
/// The database's.
pub async fn list_in_force(connection: &impl ConnectionTrait, now: Timestamp) -> Result<Vec<Model>, Error> {
    Entity::find().filter(Column::UntilAt.gt(now)).all(connection).await.map_err(Error::during("list silences"))
}

/// Silences that have not ended, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, now: Timestamp, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(Column::UntilAt.gt(now));
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::SilenceId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::SilenceId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list silences"))?;
    Ok(page.page(rows, |row| (row.created_at, row.silence_id.to_string())))
}

/// Removes a silence; says whether it was there.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, id: SilenceId) -> Result<bool, Error> {
    let result = Entity::delete_by_id(id).exec(connection).await;
    Ok(result.map_err(Error::during("delete a silence"))?.rows_affected > 0)
}

/// Forgets silences that have ended before this instant.
///
/// # Errors
/// The database's.
pub async fn delete_ended_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::UntilAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget silences"))?;
    Ok(())
}
