//! Rows of `schedule_runs`.

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::schedule_run::{Column, Entity, Model};
use crate::base::ids::ScheduleId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::schedule_run::RunOutcome;

/// Adds a run; says whether it is new, since each firing of a schedule for a graph has one.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, run: Model) -> Result<bool, Error> {
    let key = OnConflict::columns([Column::ScheduleId, Column::GraphId, Column::FireAt]).do_nothing().to_owned();
    let insert = Entity::insert(run.into_active_model()).on_conflict(key);
    Ok(insert.exec_without_returning(connection).await.map_err(Error::during("insert a schedule's run"))? > 0)
}

/// The last run of a schedule that queued a snapshot of this graph.
///
/// # Errors
/// The database's.
pub async fn find_last_queued(
    connection: &impl ConnectionTrait,
    schedule_id: ScheduleId,
    graph_id: &GraphId,
) -> Result<Option<Model>, Error> {
    let query = Entity::find()
        .filter(Column::ScheduleId.eq(schedule_id))
        .filter(Column::GraphId.eq(graph_id.clone()))
        .filter(Column::Outcome.eq(RunOutcome::Queued))
        .order_by_desc(Column::FireAt)
        .limit(1);
    query.one(connection).await.map_err(Error::during("find a schedule's last run"))
}

/// Runs of a schedule, newest first; of one graph or of all.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &impl ConnectionTrait,
    schedule_id: ScheduleId,
    graph_id: Option<&GraphId>,
    page: &PageRequest<TimeKey>,
) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(Column::ScheduleId.eq(schedule_id));
    if let Some(graph_id) = graph_id {
        query = query.filter(Column::GraphId.eq(graph_id.clone()));
    }
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::ScheduleRunId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::ScheduleRunId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list a schedule's runs"))?;
    Ok(page.page(rows, |row| (row.created_at, row.schedule_run_id.to_string())))
}

/// The runs of one firing of a schedule, by their graphs.
///
/// # Errors
/// The database's.
pub async fn list_fired_at(connection: &impl ConnectionTrait, schedule_id: ScheduleId, fire_at: Timestamp) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::ScheduleId.eq(schedule_id)).filter(Column::FireAt.eq(fire_at));
    query.order_by_asc(Column::GraphId).all(connection).await.map_err(Error::during("list a firing's runs"))
}

/// Forgets runs from before this instant.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<u64, Error> {
    let delete = Entity::delete_many().filter(Column::CreatedAt.lt(before));
    Ok(delete.exec(connection).await.map_err(Error::during("forget runs of schedules"))?.rows_affected)
}
