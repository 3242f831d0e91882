//! Rows of `graphs`.

use sea_orm::sea_query::{Expr, ExprTrait as _, Func};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
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

/// The inputs directories of all graphs that have one.
///
/// # Errors
/// The database's.
pub async fn list_inputs(connection: &impl ConnectionTrait) -> Result<Vec<String>, Error> {
    let query = Entity::find().select_only().column(Column::InputsDir).filter(Column::InputsDir.is_not_null());
    query.into_tuple().all(connection).await.map_err(Error::during("list graphs"))
}

/// Which graphs a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct GraphFilter {
    /// Their ids begin with this.
    pub id_prefix: Option<String>,
    /// Of this directory.
    pub source_dir: Option<String>,
}

impl GraphFilter {
    fn condition(&self) -> Condition {
        // Not LIKE: it has patterns, and SQLite's does not tell small letters from large ones.
        let begins = |prefix: &str| {
            let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
            Func::cust("SUBSTR").args([Expr::col(Column::GraphId), Expr::val(1), Expr::val(length)]).eq(prefix)
        };
        Condition::all()
            .add_option(self.id_prefix.as_deref().map(begins))
            .add_option(self.source_dir.as_deref().map(|source_dir| Column::SourceDir.eq(source_dir)))
    }
}

/// Graphs in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &GraphFilter, page: &PageRequest<String>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(wanted.condition());
    if let Some(after) = &page.after {
        query = query.filter(Column::GraphId.gt(after.as_str()));
    }
    let query = query.order_by_asc(Column::GraphId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list graphs"))?;
    Ok(page.page(rows, |row| row.graph_id.to_string()))
}
