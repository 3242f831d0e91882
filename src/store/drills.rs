//! Rows of `drills`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::drill::{Column, Entity, Model};
use crate::base::ids::{CheckpointId, DrillId, DrillRunId, OperationId};
use crate::base::timestamp::Timestamp;
use crate::domain::drill::DrillState;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds a drill.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, drill: Model) -> Result<Model, Error> {
    drill.into_active_model().insert(connection).await.map_err(Error::during("insert a drill"))
}

/// The drill with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: DrillId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a drill"))
}

/// The drill that an operation does.
///
/// # Errors
/// The database's.
pub async fn find_by_operation(connection: &impl ConnectionTrait, id: OperationId) -> Result<Option<Model>, Error> {
    Entity::find().filter(Column::OperationId.eq(id)).one(connection).await.map_err(Error::during("find a drill"))
}

/// The drill of a graph that was asked for last; one that is dated later than now is left by a clock that ran ahead.
///
/// # Errors
/// The database's.
pub async fn find_newest(connection: &impl ConnectionTrait, graph_id: &GraphId, now: Timestamp) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::CreatedAt.lte(now));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::DrillId);
    query.one(connection).await.map_err(Error::during("find the last drill"))
}

/// The drill of a graph that was asked for last and has come to one of these states.
///
/// # Errors
/// The database's.
pub async fn find_newest_in(
    connection: &impl ConnectionTrait,
    graph_id: &GraphId,
    states: &[DrillState],
    now: Timestamp,
) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::State.is_in(states.iter().copied()));
    let query = query.filter(Column::CreatedAt.lte(now));
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::DrillId);
    query.one(connection).await.map_err(Error::during("find the last drill"))
}

/// The drills that were asked for together, by their graphs.
///
/// # Errors
/// The database's.
pub async fn list_run(connection: &impl ConnectionTrait, id: DrillRunId) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::RunId.eq(id)).order_by_asc(Column::GraphId);
    query.all(connection).await.map_err(Error::during("list drills"))
}

/// Which drills a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct DrillFilter {
    /// Of this graph.
    pub graph_id: Option<GraphId>,
    /// Of this checkpoint.
    pub checkpoint_id: Option<CheckpointId>,
    /// With this outcome; those that run have none.
    pub passed: Option<bool>,
}

impl DrillFilter {
    fn condition(&self) -> Condition {
        let state = |passed| if passed { DrillState::Passed } else { DrillState::Failed };
        Condition::all()
            .add_option(self.graph_id.clone().map(|graph_id| Column::GraphId.eq(graph_id)))
            .add_option(self.checkpoint_id.map(|checkpoint_id| Column::CheckpointId.eq(checkpoint_id)))
            .add_option(self.passed.map(|passed| Column::State.eq(state(passed))))
    }
}

/// Drills, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &DrillFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(wanted.condition());
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::DrillId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::DrillId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list drills"))?;
    Ok(page.page(rows, |row| (row.created_at, row.drill_id.to_string())))
}

/// Writes a drill.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, drill: Model) -> Result<(), Error> {
    drill.into_active_model().reset_all().update(connection).await.map_err(Error::during("update a drill"))?;
    Ok(())
}

/// Marks the drill of an operation as failed. `reasons` is a JSON list.
///
/// # Errors
/// The database's.
pub async fn update_failed(connection: &impl ConnectionTrait, id: OperationId, reasons: String, now: Timestamp) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::State, Expr::value(DrillState::Failed))
        .col_expr(Column::Reasons, Expr::value(reasons))
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::OperationId.eq(id));
    update.exec(connection).await.map_err(Error::during("update a drill"))?;
    Ok(())
}

/// Removes drills that ended before then.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::EndedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("delete drills"))?;
    Ok(())
}
