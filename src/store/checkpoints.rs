//! Rows of `checkpoints` and `checkpoint_members`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult, IntoActiveModel as _};
use sea_orm::{PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::checkpoint::{Column, Entity, Model};
use super::entity::checkpoint_member::{Column as MemberColumn, Entity as Members, Model as Member};
use crate::base::ids::{CheckpointId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState};
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds a checkpoint with its members.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, checkpoint: Model, members: Vec<Member>) -> Result<Model, Error> {
    let row = checkpoint.into_active_model().insert(connection).await.map_err(Error::during("insert a checkpoint"))?;
    let members = members.into_iter().map(sea_orm::IntoActiveModel::into_active_model);
    Members::insert_many(members).exec_without_returning(connection).await.map_err(Error::during("insert a checkpoint's graphs"))?;
    Ok(row)
}

/// The checkpoint with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: CheckpointId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a checkpoint"))
}

/// The checkpoint with this id, which nobody else changes before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn find_to_update(connection: &impl ConnectionTrait, id: CheckpointId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).lock_exclusive().one(connection).await.map_err(Error::during("find a checkpoint"))
}

/// Checkpoints, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find();
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::CheckpointId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::CheckpointId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list checkpoints"))?;
    Ok(page.page(rows, |row| (row.created_at, row.checkpoint_id.to_string())))
}

/// All checkpoints.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().all(connection).await.map_err(Error::during("list checkpoints"))
}

/// The ids of the checkpoints that are being made.
///
/// # Errors
/// The database's.
pub async fn list_capturing(connection: &impl ConnectionTrait) -> Result<Vec<CheckpointId>, Error> {
    let query = Entity::find().select_only().column(Column::CheckpointId).filter(Column::State.eq(CheckpointState::Capturing));
    query.into_tuple().all(connection).await.map_err(Error::during("list checkpoints"))
}

/// When the last checkpoint was asked for that was made by itself.
///
/// # Errors
/// The database's.
pub async fn find_last_automatic(connection: &impl ConnectionTrait) -> Result<Option<Timestamp>, Error> {
    let query = Entity::find().filter(Column::Origin.eq(CheckpointOrigin::Automatic)).order_by_desc(Column::CreatedAt);
    Ok(query.one(connection).await.map_err(Error::during("find the last checkpoint"))?.map(|row| row.created_at))
}

/// The newest checkpoint that is complete.
///
/// # Errors
/// The database's.
pub async fn find_newest_complete(connection: &impl ConnectionTrait) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::State.eq(CheckpointState::Completed));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::CheckpointId);
    query.one(connection).await.map_err(Error::during("find the newest checkpoint"))
}

/// How many checkpoints are complete, and how many of these have passed their last validation since then.
///
/// # Errors
/// The database's.
pub async fn count(connection: &impl ConnectionTrait, validated_since: Timestamp) -> Result<(u64, u64), Error> {
    let complete = Entity::find().filter(Column::State.eq(CheckpointState::Completed));
    let validated = complete.clone().filter(Column::ValidationPassed.eq(true)).filter(Column::ValidatedAt.gt(validated_since));
    let error = Error::during("count checkpoints");
    let all = complete.count(connection).await.map_err(error)?;
    Ok((all, validated.count(connection).await.map_err(Error::during("count checkpoints"))?))
}

/// Writes a checkpoint.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, checkpoint: Model) -> Result<(), Error> {
    checkpoint.into_active_model().reset_all().update(connection).await.map_err(Error::during("update a checkpoint"))?;
    Ok(())
}

/// Removes a checkpoint, with its members and validations.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, id: CheckpointId) -> Result<(), Error> {
    Entity::delete_by_id(id).exec(connection).await.map_err(Error::during("delete a checkpoint"))?;
    Ok(())
}

/// The graphs of these checkpoints, in their order within each.
///
/// # Errors
/// The database's.
pub async fn list_members(connection: &impl ConnectionTrait, ids: &[CheckpointId]) -> Result<Vec<Member>, Error> {
    let query = Members::find().filter(MemberColumn::CheckpointId.is_in(ids.iter().copied()));
    query.order_by_asc(MemberColumn::Position).all(connection).await.map_err(Error::during("list a checkpoint's graphs"))
}

/// Writes a member.
///
/// # Errors
/// The database's.
pub async fn update_member(connection: &impl ConnectionTrait, member: Member) -> Result<(), Error> {
    member.into_active_model().reset_all().update(connection).await.map_err(Error::during("update a checkpoint's graph"))?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Named {
    checkpoint_id: CheckpointId,
}

/// Some checkpoints that a snapshot is in.
///
/// # Errors
/// The database's.
pub async fn list_of_snapshot(connection: &impl ConnectionTrait, id: SnapshotId, most: u64) -> Result<Vec<CheckpointId>, Error> {
    let query = Members::find().select_only().column(MemberColumn::CheckpointId).filter(MemberColumn::SnapshotId.eq(id)).limit(most);
    let rows = query.into_model::<Named>().all(connection).await.map_err(Error::during("list checkpoints"))?;
    Ok(rows.into_iter().map(|row| row.checkpoint_id).collect())
}
