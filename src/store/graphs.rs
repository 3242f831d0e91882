//! Rows of `graphs`.

use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
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
