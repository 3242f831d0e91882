//! Rows of `schedules`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::schedule::{Column, Entity, Model};
use crate::base::ids::ScheduleId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::schedule_run::{ScheduleAction, ScheduleOrigin};

/// Adds a schedule.
///
/// # Errors
/// A unique violation when the graph has one that was set for it.
pub async fn insert(connection: &impl ConnectionTrait, schedule: Model) -> Result<Model, Error> {
    schedule.into_active_model().insert(connection).await.map_err(Error::during("insert a schedule"))
}

/// The schedule with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: ScheduleId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a schedule"))
}

/// The schedule that was set for a graph, or its default one.
///
/// # Errors
/// The database's.
pub async fn find_of_graph(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::Origin.ne(ScheduleOrigin::Created));
    query.one(connection).await.map_err(Error::during("find a graph's schedule"))
}

/// Whether a schedule that takes snapshots names this graph, the default one aside.
///
/// # Errors
/// The database's.
pub async fn is_named(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::Origin.ne(ScheduleOrigin::Default));
    let query = query.filter(Column::Action.eq(ScheduleAction::Snapshot));
    Ok(query.one(connection).await.map_err(Error::during("find a graph's schedules"))?.is_some())
}

/// Schedules, oldest first; with a graph, only those that name it and those with a selector, which may take it in.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &impl ConnectionTrait,
    graph_id: Option<&GraphId>,
    page: &PageRequest<TimeKey>,
) -> Result<Page<Model>, Error> {
    let mut query = Entity::find();
    if let Some(graph_id) = graph_id {
        query = query.filter(Condition::any().add(Column::GraphId.eq(graph_id.clone())).add(Column::GraphSelector.is_not_null()));
    }
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::ScheduleId)]);
        query = query.filter(key.gt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_asc(Column::CreatedAt).order_by_asc(Column::ScheduleId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list schedules"))?;
    Ok(page.page(rows, |row| (row.created_at, row.schedule_id.to_string())))
}

/// All schedules.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().all(connection).await.map_err(Error::during("list schedules"))
}

/// Schedules that are due, those that have waited longest first.
///
/// # Errors
/// The database's.
pub async fn list_due(connection: &impl ConnectionTrait, now: Timestamp, limit: u64) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::NextRunAt.lte(now));
    let query = query.order_by_asc(Column::NextRunAt).order_by_asc(Column::ScheduleId).limit(limit);
    query.all(connection).await.map_err(Error::during("list due schedules"))
}

/// Schedules that follow changes and are not paused.
///
/// # Errors
/// The database's.
pub async fn list_on_change(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::DebounceSeconds.is_not_null()).filter(Column::Paused.eq(false));
    query.order_by_asc(Column::ScheduleId).all(connection).await.map_err(Error::during("list schedules that follow changes"))
}

/// The default schedules of graphs.
///
/// # Errors
/// The database's.
pub async fn list_default(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::Origin.eq(ScheduleOrigin::Default));
    query.all(connection).await.map_err(Error::during("list default schedules"))
}

/// The graphs that schedules name which take snapshots.
///
/// # Errors
/// The database's.
pub async fn list_named_graphs(connection: &impl ConnectionTrait) -> Result<Vec<GraphId>, Error> {
    let query = Entity::find().select_only().column(Column::GraphId).filter(Column::GraphId.is_not_null()).distinct();
    let query = query.filter(Column::Action.eq(ScheduleAction::Snapshot));
    query.into_tuple().all(connection).await.map_err(Error::during("list graphs with schedules"))
}

/// Advances a schedule that fires: counts only while nobody else has; says whether it did.
///
/// # Errors
/// The database's.
pub async fn advance(
    connection: &impl ConnectionTrait,
    schedule: &Model,
    next_run_at: Option<Timestamp>,
    last_run_at: Option<Timestamp>,
) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::NextRunAt, Expr::value(next_run_at))
        .col_expr(Column::LastRunAt, Expr::value(last_run_at))
        .filter(Column::ScheduleId.eq(schedule.schedule_id))
        .filter(Column::Revision.eq(schedule.revision))
        .filter(match schedule.next_run_at {
            Some(next) => Column::NextRunAt.eq(next),
            None => Column::NextRunAt.is_null(),
        });
    Ok(update.exec(connection).await.map_err(Error::during("advance a schedule"))?.rows_affected > 0)
}

/// Writes a schedule whose last update was this revision; says whether it still was.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, schedule: &Model, revision: i64) -> Result<bool, Error> {
    let row = schedule.clone().into_active_model().reset_all();
    let update = Entity::update_many().set(row).filter(Column::ScheduleId.eq(schedule.schedule_id)).filter(Column::Revision.eq(revision));
    Ok(update.exec(connection).await.map_err(Error::during("update a schedule"))?.rows_affected > 0)
}

/// Removes a schedule and its runs.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, id: ScheduleId) -> Result<bool, Error> {
    let deleted = Entity::delete_by_id(id).exec(connection).await.map_err(Error::during("delete a schedule"))?;
    Ok(deleted.rows_affected > 0)
}

/// Removes the default schedule of a graph.
///
/// # Errors
/// The database's.
pub async fn delete_default(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::GraphId.eq(graph_id.clone())).filter(Column::Origin.eq(ScheduleOrigin::Default));
    delete.exec(connection).await.map_err(Error::during("delete a default schedule"))?;
    Ok(())
}
