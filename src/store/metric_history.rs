//! Rows of `metric_series` and `metric_points`: what was sampled, and what several samples were together.

use std::collections::HashMap;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};
use sea_orm::{PaginatorTrait as _, QuerySelect as _, Set, Statement};

use super::Error;
use super::entity::{metric_point, metric_series};
use crate::base::timestamp::Timestamp;

/// Databases bind so many values at once only.
const AT_ONCE: usize = 1000;

/// The name of a series: its metric, and a JSON list of its labels' values.
pub type SeriesName = (String, String);

/// The series of a metric, or all.
///
/// # Errors
/// The database's.
pub async fn list_series(connection: &impl ConnectionTrait, metric: Option<&str>) -> Result<Vec<metric_series::Model>, Error> {
    let of_metric = metric.map(|metric| metric_series::Column::Metric.eq(metric));
    let query = metric_series::Entity::find().filter(sea_orm::Condition::all().add_option(of_metric));
    query.order_by_asc(metric_series::Column::SeriesId).all(connection).await.map_err(Error::during("list series"))
}

/// How many series there are.
///
/// # Errors
/// The database's.
pub async fn count_series(connection: &impl ConnectionTrait) -> Result<u64, Error> {
    metric_series::Entity::find().count(connection).await.map_err(Error::during("count series"))
}

/// Adds series that are not there yet, and notes of all that they were seen; gives their numbers.
///
/// # Errors
/// The database's.
pub async fn see_series(
    connection: &impl ConnectionTrait,
    names: &[SeriesName],
    now: Timestamp,
) -> Result<HashMap<SeriesName, i64>, Error> {
    use metric_series::{ActiveModel, Column, Entity};
    let mut seen = HashMap::with_capacity(names.len());
    for some in names.chunks(AT_ONCE) {
        let rows = some.iter().map(|(metric, labels)| ActiveModel {
            series_id: sea_orm::NotSet,
            metric: Set(metric.clone()),
            labels: Set(labels.clone()),
            seen_at: Set(Some(now)),
        });
        let conflict = OnConflict::columns([Column::Metric, Column::Labels]).update_column(Column::SeenAt).to_owned();
        let rows = Entity::insert_many(rows).on_conflict(conflict).exec_with_returning(connection).await;
        let rows = rows.map_err(Error::during("add series"))?;
        seen.extend(rows.into_iter().map(|row| ((row.metric, row.labels), row.series_id)));
    }
    Ok(seen)
}

/// Adds points; those that are there already stay as they are.
///
/// # Errors
/// The database's.
pub async fn insert_points(connection: &impl ConnectionTrait, points: &[metric_point::Model]) -> Result<(), Error> {
    use metric_point::{Column, Entity};
    let key = [Column::SeriesId, Column::ResolutionSeconds, Column::AtSeconds];
    for some in points.chunks(AT_ONCE) {
        let insert = Entity::insert_many(some.iter().cloned().map(metric_point::Model::into_active_model));
        let insert = insert.on_conflict(OnConflict::columns(key).do_nothing().to_owned());
        insert.exec_without_returning(connection).await.map_err(Error::during("add points"))?;
    }
    Ok(())
}

/// Puts the points of one resolution together to those of a coarser one, from one instant to before another, seconds since the epoch. What
/// was put together before stays.
///
/// # Errors
/// The database's.
pub async fn roll_up(connection: &impl ConnectionTrait, (fine, coarse): (i32, i32), (from, until): (i64, i64)) -> Result<(), Error> {
    let sql = format!(
        "INSERT INTO metric_points (series_id, resolution_seconds, at_seconds, minimum, maximum, average, last, samples) \
         SELECT grouped.series_id, {coarse}, grouped.begins, grouped.minimum, grouped.maximum, grouped.average, newest.last, \
         grouped.samples FROM (SELECT series_id, at_seconds / {coarse} * {coarse} AS begins, MIN(minimum) AS minimum, \
         MAX(maximum) AS maximum, SUM(average * samples) / SUM(samples) AS average, SUM(samples) AS samples, \
         MAX(at_seconds) AS newest_at FROM metric_points WHERE resolution_seconds = {fine} AND at_seconds >= {from} AND \
         at_seconds < {until} GROUP BY series_id, at_seconds / {coarse} * {coarse}) grouped \
         JOIN metric_points newest ON newest.series_id = grouped.series_id AND newest.resolution_seconds = {fine} \
         AND newest.at_seconds = grouped.newest_at WHERE 1 = 1 ON CONFLICT DO NOTHING"
    );
    run(connection, sql, "roll up the history").await
}

/// When the newest point of a resolution begins, seconds since the epoch.
///
/// # Errors
/// The database's.
pub async fn newest(connection: &impl ConnectionTrait, resolution_seconds: i32) -> Result<Option<i64>, Error> {
    use metric_point::{Column, Entity};
    let query = Entity::find().select_only().column(Column::AtSeconds).filter(Column::ResolutionSeconds.eq(resolution_seconds));
    let query = query.order_by_desc(Column::AtSeconds).limit(1);
    query.into_tuple().one(connection).await.map_err(Error::during("find the newest point"))
}

/// The points of series, of one resolution, from one instant to before another, in their order.
///
/// # Errors
/// The database's.
pub async fn list_points(
    connection: &impl ConnectionTrait,
    series: &[i64],
    resolution_seconds: i32,
    (from, until): (i64, i64),
) -> Result<Vec<metric_point::Model>, Error> {
    use metric_point::{Column, Entity};
    let query = Entity::find().filter(Column::SeriesId.is_in(series.iter().copied()));
    let query = query.filter(Column::ResolutionSeconds.eq(resolution_seconds)).filter(Column::AtSeconds.between(from, until - 1));
    let query = query.order_by_asc(Column::SeriesId).order_by_asc(Column::AtSeconds);
    query.all(connection).await.map_err(Error::during("list points"))
}

/// Forgets the points of a resolution from before an instant, seconds since the epoch.
///
/// # Errors
/// The database's.
pub async fn delete_points(connection: &impl ConnectionTrait, resolution_seconds: i32, before: i64) -> Result<(), Error> {
    use metric_point::{Column, Entity};
    let delete = Entity::delete_many().filter(Column::ResolutionSeconds.eq(resolution_seconds)).filter(Column::AtSeconds.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget points"))?;
    Ok(())
}

/// Forgets series that were not seen since an instant and have no points any more.
///
/// # Errors
/// The database's.
pub async fn delete_series(connection: &impl ConnectionTrait, unseen_since: Timestamp) -> Result<(), Error> {
    let micros = unseen_since.micros();
    let sql = format!(
        "DELETE FROM metric_series WHERE seen_at < {micros} AND NOT EXISTS (SELECT 1 FROM metric_points WHERE \
         metric_points.series_id = metric_series.series_id)"
    );
    run(connection, sql, "forget series").await
}

async fn run(connection: &impl ConnectionTrait, sql: String, operation: &'static str) -> Result<(), Error> {
    let backend: DbBackend = connection.get_database_backend();
    connection.execute_raw(Statement::from_string(backend, sql)).await.map_err(Error::during(operation))?;
    Ok(())
}
