//! Rows of `checkpoints` and `checkpoint_members`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, QueryTrait as _};

use super::Error;
use super::entity::checkpoint::{Column, Entity, Model};
use super::entity::checkpoint_member::{Column as MemberColumn, Entity as Members, Model as Member};
use crate::base::ids::CheckpointId;
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// How many rows one statement inserts.
pub(super) const INSERTED_AT_ONCE: usize = 1000;

/// Adds a checkpoint with its members.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, checkpoint: Model, members: Vec<Member>) -> Result<Model, Error> {
    let row = checkpoint.into_active_model().insert(connection).await.map_err(Error::during("insert a checkpoint"))?;
    // Databases bind so many values at once only.
    for some in members.chunks(INSERTED_AT_ONCE) {
        let rows = Members::insert_many(some.iter().cloned().map(sea_orm::IntoActiveModel::into_active_model));
        rows.exec_without_returning(connection).await.map_err(Error::during("insert a checkpoint's graphs"))?;
    }
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

/// Whether a checkpoint that makes itself is being made or validated.
///
/// # Errors
/// The database's.
pub async fn has_open_automatic(connection: &impl ConnectionTrait) -> Result<bool, Error> {
    let is_validated = Column::ValidateLevel.is_null().or(Column::ValidatedAt.is_not_null());
    let is_open = Column::State.eq(CheckpointState::Capturing).or(Column::State.eq(CheckpointState::Completed).and(is_validated.not()));
    let query = Entity::find().filter(Column::Origin.eq(CheckpointOrigin::Automatic)).filter(is_open);
    Ok(query.one(connection).await.map_err(Error::during("find an open checkpoint"))?.is_some())
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

/// When a checkpoint with this graph passed its last validation; none where none ever has.
///
/// # Errors
/// The database's.
pub async fn find_last_validated(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Timestamp>, Error> {
    let of_graph = Members::find().select_only().column(MemberColumn::CheckpointId).filter(MemberColumn::GraphId.eq(graph_id.clone()));
    let of_graph = of_graph.filter(MemberColumn::SnapshotId.is_not_null()).into_query();
    let query = Entity::find().filter(Column::CheckpointId.in_subquery(of_graph)).filter(Column::ValidationPassed.eq(true));
    let query = query.order_by_desc(Column::ValidatedAt);
    Ok(query.one(connection).await.map_err(Error::during("find a validated checkpoint"))?.and_then(|row| row.validated_at))
}

/// The newest complete checkpoint with this graph.
///
/// # Errors
/// The database's.
pub async fn find_newest_of(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    let of_graph = Members::find().select_only().column(MemberColumn::CheckpointId).filter(MemberColumn::GraphId.eq(graph_id.clone()));
    let of_graph = of_graph.filter(MemberColumn::SnapshotId.is_not_null()).into_query();
    let query = Entity::find().filter(Column::CheckpointId.in_subquery(of_graph)).filter(Column::State.eq(CheckpointState::Completed));
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
