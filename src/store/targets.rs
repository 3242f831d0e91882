//! Rows of `targets`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::target::{Column, Entity, Model};
use crate::base::ids::TargetId;
use crate::base::timestamp::Timestamp;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::target::TargetStatus;

/// Adds a target.
///
/// # Errors
/// A unique violation when the name is taken.
pub async fn insert(connection: &impl ConnectionTrait, target: Model) -> Result<Model, Error> {
    target.into_active_model().insert(connection).await.map_err(Error::during("insert a target"))
}

/// The target with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: TargetId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a target"))
}

/// The target with this name.
///
/// # Errors
/// The database's.
pub async fn find_by_name(connection: &impl ConnectionTrait, name: &str) -> Result<Option<Model>, Error> {
    Entity::find().filter(Column::Name.eq(name)).one(connection).await.map_err(Error::during("find a target"))
}

/// How many there are.
///
/// # Errors
/// The database's.
pub async fn count(connection: &impl ConnectionTrait) -> Result<u64, Error> {
    Entity::find().count(connection).await.map_err(Error::during("count targets"))
}

/// All targets, oldest first.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::TargetId);
    query.all(connection).await.map_err(Error::during("list targets"))
}

/// Targets, oldest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find();
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::TargetId)]);
        query = query.filter(key.gt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_asc(Column::CreatedAt).order_by_asc(Column::TargetId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list targets"))?;
    Ok(page.page(rows, |row| (row.created_at, row.target_id.to_string())))
}

/// Writes a target whose revision was counted up; says whether it was as it was read. What was found when it was looked at is not touched.
///
/// # Errors
/// A unique violation when the name is taken.
pub async fn update(connection: &impl ConnectionTrait, target: &Model, read_revision: i64) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::Name, Expr::value(target.name.clone()))
        .col_expr(Column::ApiKey, Expr::value(target.api_key.clone()))
        .col_expr(Column::Enabled, Expr::value(target.enabled))
        .col_expr(Column::GraphSelector, Expr::value(target.graph_selector.clone()))
        .col_expr(Column::OnRequest, Expr::value(target.on_request))
        .col_expr(Column::Parallelism, Expr::value(target.parallelism))
        .col_expr(Column::BytesPerSecond, Expr::value(target.bytes_per_second))
        .col_expr(Column::SendOrder, Expr::value(target.send_order))
        .col_expr(Column::OffSite, Expr::value(target.off_site))
        .col_expr(Column::RereadPercentPerDay, Expr::value(target.reread_percent_per_day))
        .col_expr(Column::Revision, Expr::value(target.revision))
        .filter(Column::TargetId.eq(target.target_id))
        .filter(Column::Revision.eq(read_revision));
    let result = update.exec(connection).await.map_err(Error::during("update a target"))?;
    Ok(result.rows_affected > 0)
}

/// Writes what was found when a target was looked at.
///
/// # Errors
/// The database's.
pub async fn update_condition(
    connection: &impl ConnectionTrait,
    id: TargetId,
    status: TargetStatus,
    condition: &str,
    checked_at: Timestamp,
) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(status))
        .col_expr(Column::Condition, Expr::value(condition))
        .col_expr(Column::CheckedAt, Expr::value(checked_at))
        .filter(Column::TargetId.eq(id));
    update.exec(connection).await.map_err(Error::during("update a target"))?;
    Ok(())
}

/// Writes what is sealed of a target.
///
/// # Errors
/// The database's.
pub async fn update_sealed(
    connection: &impl ConnectionTrait,
    id: TargetId,
    api_key: Option<String>,
    repository_password: Option<String>,
) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::ApiKey, Expr::value(api_key))
        .col_expr(Column::RepositoryPassword, Expr::value(repository_password))
        .filter(Column::TargetId.eq(id));
    update.exec(connection).await.map_err(Error::during("update a target's key"))?;
    Ok(())
}

/// Removes a target, and what is known of its copies.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, id: TargetId) -> Result<(), Error> {
    Entity::delete_by_id(id).exec(connection).await.map_err(Error::during("delete a target"))?;
    Ok(())
}

/// Whether anything of any target is sealed.
///
/// # Errors
/// The database's.
pub async fn has_any_sealed(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::ApiKey.is_not_null().or(Column::RepositoryPassword.is_not_null()));
    Ok(query.one(connection).await.map_err(Error::during("find a target"))?.is_some())
}
