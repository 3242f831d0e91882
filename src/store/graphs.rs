//! Rows of `graphs`.

use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::graph::{Column, Entity, Model};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest};

/// Adds a graph.
///
/// # Errors
/// A unique violation when the id is taken.
pub async fn insert(connection: &impl ConnectionTrait, graph: Model) -> Result<Model, Error> {
    graph.into_active_model().insert(connection).await.map_err(Error::during("insert a graph"))
}

/// The graph with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(graph_id.clone()).one(connection).await.map_err(Error::during("find a graph"))
}

/// Writes a graph whose last update was this revision; says whether it still was.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, graph: &Model, revision: i64) -> Result<bool, Error> {
    let row = graph.clone().into_active_model().reset_all();
    let update = Entity::update_many().set(row).filter(Column::GraphId.eq(graph.graph_id.clone())).filter(Column::Revision.eq(revision));
    Ok(update.exec(connection).await.map_err(Error::during("update a graph"))?.rows_affected > 0)
}

/// Removes a graph; its snapshots must be gone.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
    Entity::delete_by_id(graph_id.clone()).exec(connection).await.map_err(Error::during("delete a graph"))?;
    Ok(())
}

/// The ids of all graphs, in their order.
///
/// # Errors
/// The database's.
pub async fn list_ids(connection: &impl ConnectionTrait) -> Result<Vec<GraphId>, Error> {
    let query = Entity::find().select_only().column(Column::GraphId).order_by_asc(Column::GraphId);
    query.into_tuple().all(connection).await.map_err(Error::during("list graphs"))
}

/// All graphs, in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    sorted(Entity::find().all(connection).await)
}

/// The graphs with these ids, in their order.
///
/// # Errors
/// The database's.
pub async fn list_by_ids(connection: &impl ConnectionTrait, ids: Vec<GraphId>) -> Result<Vec<Model>, Error> {
    sorted(Entity::find().filter(Column::GraphId.is_in(ids)).all(connection).await)
}

/// The databases' own order depends on their collation.
fn sorted(rows: Result<Vec<Model>, DbErr>) -> Result<Vec<Model>, Error> {
    let mut rows = rows.map_err(Error::during("list graphs"))?;
    rows.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
    Ok(rows)
}

/// Graphs in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, page: &PageRequest<String>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find();
    if let Some(after) = &page.after {
        query = query.filter(Column::GraphId.gt(after.as_str()));
    }
    let query = query.order_by_asc(Column::GraphId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list graphs"))?;
    Ok(page.page(rows, |row| row.graph_id.to_string()))
}
