//! Rows of `tallies`: what was counted.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};

use super::Error;
use super::entity::tally::{Column, Entity, Model};
use crate::domain::metric::fact::{Step, Tally};

const KEY: [Column; 3] = [Column::Metric, Column::Labels, Column::Bucket];

/// Databases bind so many values at once only.
const AT_ONCE: usize = 1000;

/// Counts. What concerns the same tally is put together first, and all are written in the order of their keys, so that no two transactions
/// wait for each other.
///
/// # Errors
/// The database's.
pub async fn count(connection: &impl ConnectionTrait, tallies: Vec<Tally>) -> Result<(), Error> {
    let mut added: BTreeMap<(String, String, i32), Model> = BTreeMap::new();
    let (mut raised, mut set) = (added.clone(), added.clone());
    for tally in tallies {
        let step = tally.step;
        let row = row_of(tally);
        let rows = match step {
            Step::Add => &mut added,
            Step::Raise => &mut raised,
            Step::Set => &mut set,
        };
        let key = (row.metric.clone(), row.labels.clone(), row.bucket);
        rows.entry(key)
            .and_modify(|earlier| match step {
                Step::Add => (earlier.value, earlier.total) = (earlier.value + row.value, earlier.total + row.total),
                Step::Raise => earlier.value = earlier.value.max(row.value),
                Step::Set => earlier.value = row.value,
            })
            .or_insert(row);
    }
    for (step, rows) in [(Step::Add, added), (Step::Raise, raised), (Step::Set, set)] {
        let rows: Vec<Model> = rows.into_values().collect();
        for some in rows.chunks(AT_ONCE) {
            let insert = Entity::insert_many(some.iter().cloned().map(Model::into_active_model)).on_conflict(on_conflict(step));
            insert.exec_without_returning(connection).await.map_err(Error::during("count"))?;
        }
    }
    Ok(())
}

fn row_of(tally: Tally) -> Model {
    let Tally { metric, labels, bucket, graph_id, owner_id, value, total, .. } = tally;
    let labels = serde_json::Value::from(labels).to_string();
    Model { metric: metric.to_owned(), labels, bucket, graph_id, owner_id, value, total }
}

fn on_conflict(step: Step) -> OnConflict {
    let new = |column: Column| Expr::col((Alias::new("excluded"), column));
    let old = |column: Column| Expr::col((Entity, column));
    let mut conflict = OnConflict::columns(KEY);
    match step {
        Step::Add => {
            conflict.value(Column::Value, old(Column::Value).add(new(Column::Value)));
            conflict.value(Column::Total, old(Column::Total).add(new(Column::Total)));
        }
        Step::Raise => {
            let is_later = new(Column::Value).gt(old(Column::Value));
            conflict.value(Column::Value, Expr::case(is_later, new(Column::Value)).finally(old(Column::Value)));
        }
        Step::Set => {
            conflict.value(Column::Value, new(Column::Value));
        }
    }
    conflict
}

/// All tallies.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().all(connection).await.map_err(Error::during("list tallies"))
}

/// The tallies of one metric or figure.
///
/// # Errors
/// The database's.
pub async fn list_of(connection: &impl ConnectionTrait, metric: &str) -> Result<Vec<Model>, Error> {
    Entity::find().filter(Column::Metric.eq(metric)).all(connection).await.map_err(Error::during("list tallies"))
}

/// The tallies of one metric or figure whose labels come after these as text, a JSON list.
///
/// # Errors
/// The database's.
pub async fn list_after(connection: &impl ConnectionTrait, metric: &str, labels: &str) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::Metric.eq(metric)).filter(Column::Labels.gt(labels));
    query.all(connection).await.map_err(Error::during("list tallies"))
}

/// The tally of a metric or figure without labels, or nothing.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, metric: &str) -> Result<f64, Error> {
    let row = Entity::find_by_id((metric.to_owned(), "[]".to_owned(), 0)).one(connection).await;
    Ok(row.map_err(Error::during("find a tally"))?.map_or(0.0, |row| row.value))
}

/// Removes the tallies that go with a graph, a schedule or a target.
///
/// # Errors
/// The database's.
pub async fn delete_of(connection: &impl ConnectionTrait, id: &str) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::GraphId.eq(id).or(Column::OwnerId.eq(id)));
    delete.exec(connection).await.map_err(Error::during("remove tallies"))?;
    Ok(())
}

/// Removes all tallies of a metric or figure.
///
/// # Errors
/// The database's.
pub async fn delete_metric(connection: &impl ConnectionTrait, metric: &str) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::Metric.eq(metric));
    delete.exec(connection).await.map_err(Error::during("remove tallies"))?;
    Ok(())
}
