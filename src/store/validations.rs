//! Rows of `validations` and `validation_members`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::checkpoints::INSERTED_AT_ONCE;
use super::entity::validation::{Column, Entity, Model};
use super::entity::validation_member::{Column as MemberColumn, Entity as Members, Model as Member};
use crate::base::ids::{CheckpointId, ValidationId};
use crate::domain::checkpoint::ValidationState;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::verification::VerificationLevel;

/// Adds a validation with its members.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, validation: Model, members: Vec<Member>) -> Result<Model, Error> {
    let row = validation.into_active_model().insert(connection).await.map_err(Error::during("insert a validation"))?;
    for some in members.chunks(INSERTED_AT_ONCE) {
        let rows = Members::insert_many(some.iter().cloned().map(sea_orm::IntoActiveModel::into_active_model));
        rows.exec_without_returning(connection).await.map_err(Error::during("insert a validation's snapshots"))?;
    }
    Ok(row)
}

/// The validation with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: ValidationId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a validation"))
}

/// The validation with this id, which nobody else changes before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn find_to_update(connection: &impl ConnectionTrait, id: ValidationId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).lock_exclusive().one(connection).await.map_err(Error::during("find a validation"))
}

/// The validations that have not ended, oldest first.
///
/// # Errors
/// The database's.
pub async fn list_running(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::State.eq(ValidationState::Running));
    let query = query.order_by_asc(Column::CreatedAt).order_by_asc(Column::ValidationId);
    query.all(connection).await.map_err(Error::during("list validations"))
}

/// The validation of a checkpoint that runs and is as deep as this.
///
/// # Errors
/// The database's.
pub async fn find_running(connection: &impl ConnectionTrait, id: CheckpointId, level: VerificationLevel) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::CheckpointId.eq(id)).filter(Column::State.eq(ValidationState::Running));
    query.filter(Column::Level.eq(level)).one(connection).await.map_err(Error::during("find a validation"))
}

/// Whether a later validation of the same checkpoint has ended that is at least as deep.
///
/// # Errors
/// The database's.
pub async fn has_later(connection: &impl ConnectionTrait, validation: &Model) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::CheckpointId.eq(validation.checkpoint_id)).filter(Column::State.ne(ValidationState::Running));
    let as_deep = std::iter::once(validation.level).chain(validation.level.deeper());
    let query = query.filter(Column::CreatedAt.gt(validation.created_at)).filter(Column::Level.is_in(as_deep));
    Ok(query.one(connection).await.map_err(Error::during("find a validation"))?.is_some())
}

/// The validations of a checkpoint, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, id: CheckpointId, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(Column::CheckpointId.eq(id));
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::ValidationId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::ValidationId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list validations"))?;
    Ok(page.page(rows, |row| (row.created_at, row.validation_id.to_string())))
}

/// The snapshots of a validation, by their graphs.
///
/// # Errors
/// The database's.
pub async fn list_members(connection: &impl ConnectionTrait, id: ValidationId) -> Result<Vec<Member>, Error> {
    let query = Members::find().filter(MemberColumn::ValidationId.eq(id)).order_by_asc(MemberColumn::GraphId);
    query.all(connection).await.map_err(Error::during("list a validation's snapshots"))
}

/// Writes a validation.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, validation: Model) -> Result<(), Error> {
    validation.into_active_model().reset_all().update(connection).await.map_err(Error::during("update a validation"))?;
    Ok(())
}
