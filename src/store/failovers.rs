//! Rows of `failovers`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::entity::failover::{Column, Entity, Model};
use super::{Error, fences};
use crate::base::ids::{CheckpointId, FailoverId, OperationId};
use crate::domain::failover::FailoverState;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// The states in which something more happens.
const OPEN: [FailoverState; 3] = [FailoverState::Capturing, FailoverState::Running, FailoverState::RollingBack];

/// Adds a failover.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, failover: Model) -> Result<Model, Error> {
    failover.into_active_model().insert(connection).await.map_err(Error::during("insert a failover"))
}

/// The failover with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: FailoverId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a failover"))
}

/// The failover with this id, which nobody else changes before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn find_to_update(connection: &impl ConnectionTrait, id: FailoverId) -> Result<Option<Model>, Error> {
    // SQLite has no such clause and needs none: its writers come one after the other.
    Entity::find_by_id(id).lock_exclusive().one(connection).await.map_err(Error::during("find a failover"))
}

/// The failover that an operation does, or puts back.
///
/// # Errors
/// The database's.
pub async fn find_by_operation(connection: &impl ConnectionTrait, id: OperationId) -> Result<Option<Model>, Error> {
    Entity::find().filter(Column::OperationId.eq(id)).one(connection).await.map_err(Error::during("find a failover"))
}

/// The failovers whose snapshots are being taken.
///
/// # Errors
/// The database's.
pub async fn list_capturing(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::State.eq(FailoverState::Capturing));
    query.all(connection).await.map_err(Error::during("list failovers"))
}

/// The failovers that hold graphs.
///
/// # Errors
/// The database's.
pub async fn list_holding(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::FailoverId.in_subquery(fences::holding()));
    query.all(connection).await.map_err(Error::during("list failovers"))
}

/// Whether any failover waits or is being done, of this checkpoint or of any.
///
/// # Errors
/// The database's.
pub async fn has_open(connection: &impl ConnectionTrait, checkpoint_id: Option<CheckpointId>) -> Result<bool, Error> {
    let of = Condition::all().add_option(checkpoint_id.map(|id| Column::CheckpointId.eq(id)));
    let query = Entity::find().filter(of).filter(Column::State.is_in(OPEN));
    Ok(query.one(connection).await.map_err(Error::during("find an open failover"))?.is_some())
}

/// Failovers, newest first, of this checkpoint or of all.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &impl ConnectionTrait,
    checkpoint_id: Option<CheckpointId>,
    page: &PageRequest<TimeKey>,
) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(Condition::all().add_option(checkpoint_id.map(|id| Column::CheckpointId.eq(id))));
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::FailoverId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::FailoverId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list failovers"))?;
    Ok(page.page(rows, |row| (row.created_at, row.failover_id.to_string())))
}

/// Writes a failover.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, failover: Model) -> Result<(), Error> {
    failover.into_active_model().reset_all().update(connection).await.map_err(Error::during("update a failover"))?;
    Ok(())
}
