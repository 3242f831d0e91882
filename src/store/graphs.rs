//! Rows of `graphs`.

use sea_orm::ActiveValue::NotSet;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Func, Order, Query, QueryStatementBuilder as _, SubQueryStatement};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, FromQueryResult, IntoActiveModel as _,
};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect, QueryTrait as _};

use super::Error;
use super::entity::graph::{Column, Entity, Model};
use super::entity::{snapshot, tally};
use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::snapshot::SnapshotStatus;

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

/// The graph with this id, which nobody else changes before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn find_to_update(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<Option<Model>, Error> {
    // SQLite has no such clause and needs none: its writers come one after the other.
    let query = Entity::find_by_id(graph_id.clone()).lock_exclusive();
    query.one(connection).await.map_err(Error::during("find a graph"))
}

/// Writes a graph. What its repository holds in vain stays as it is: somebody may delete a snapshot meanwhile.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, graph: Model) -> Result<(), Error> {
    let mut row = graph.into_active_model().reset_all();
    row.unpruned_since_at = NotSet;
    row.update(connection).await.map_err(Error::during("update a graph"))?;
    Ok(())
}

/// Notes that a graph's repository holds what a deleted snapshot needed, since now if it has not before.
///
/// # Errors
/// The database's.
pub async fn update_unpruned(connection: &impl ConnectionTrait, graph_id: &GraphId, now: Timestamp) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::UnprunedSinceAt, Expr::value(now))
        .filter(Column::GraphId.eq(graph_id.clone()))
        .filter(Column::UnprunedSinceAt.is_null());
    update.exec(connection).await.map_err(Error::during("note a deletion"))?;
    Ok(())
}

/// Notes that a graph's repository holds nothing in vain any more.
///
/// # Errors
/// The database's.
pub async fn update_pruned(connection: &impl ConnectionTrait, graph_id: &GraphId) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::UnprunedSinceAt, Expr::value(None::<Timestamp>))
        .filter(Column::GraphId.eq(graph_id.clone()));
    update.exec(connection).await.map_err(Error::during("note a prune"))?;
    Ok(())
}

/// The graphs whose repositories hold something in vain since then or longer, longest first.
///
/// # Errors
/// The database's.
pub async fn list_unpruned(connection: &impl ConnectionTrait, since: Timestamp) -> Result<Vec<GraphId>, Error> {
    let query = Entity::find().select_only().column(Column::GraphId).filter(Column::UnprunedSinceAt.lte(since));
    let query = query.order_by_asc(Column::UnprunedSinceAt).order_by_asc(Column::GraphId);
    query.into_tuple().all(connection).await.map_err(Error::during("list graphs"))
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

/// The ids of the graphs that have no tally of a metric.
///
/// # Errors
/// The database's.
pub async fn list_ids_without_tally(connection: &impl ConnectionTrait, metric: &str) -> Result<Vec<GraphId>, Error> {
    // `NOT IN` finds nothing where one of these is null.
    let counted = tally::Entity::find().select_only().column(tally::Column::GraphId);
    let counted = counted.filter(tally::Column::Metric.eq(metric)).filter(tally::Column::GraphId.is_not_null()).into_query();
    let query = Entity::find().select_only().column(Column::GraphId).filter(Column::GraphId.not_in_subquery(counted));
    query.into_tuple().all(connection).await.map_err(Error::during("list graphs without a tally"))
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

/// The graphs that are registered with this directory, as their source or for their inputs, in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn list_by_directory(connection: &impl ConnectionTrait, directory: &str) -> Result<Vec<Model>, Error> {
    let is_place = Column::SourceDir.eq(directory).or(Column::InputsDir.eq(directory));
    sorted(Entity::find().filter(is_place).all(connection).await)
}

/// The databases' own order depends on their collation.
fn sorted(rows: Result<Vec<Model>, DbErr>) -> Result<Vec<Model>, Error> {
    let mut rows = rows.map_err(Error::during("list graphs"))?;
    rows.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
    Ok(rows)
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

/// Counts over the restorable snapshots of one graph.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct GraphStats {
    /// The graph.
    pub graph_id: GraphId,
    /// How many.
    pub total_snapshots: i64,
    /// Sum of their sizes, bytes.
    pub total_size_bytes: i64,
    /// Bytes that they added to the repository.
    pub stored_bytes: i64,
    /// When the newest was asked for.
    pub last_snapshot_at: Option<Timestamp>,
    /// The newest of the graph's own directory.
    pub latest_snapshot_id: Option<SnapshotId>,
}

/// Counts over each graph's restorable snapshots, of these graphs or of all, in the order of the ids; graphs without any have zeros.
///
/// # Errors
/// The database's.
pub async fn aggregate(connection: &impl ConnectionTrait, only: Option<Vec<GraphId>>) -> Result<Vec<GraphStats>, Error> {
    use snapshot::Column as Snapshot;
    let sum = |column: Snapshot| Expr::expr(Expr::col((snapshot::Entity, column)).sum().cast_as("BIGINT")).if_null(0);
    let is_restorable = Expr::col((snapshot::Entity, Snapshot::Status)).is_in(SnapshotStatus::RESTORABLE);
    let same_graph = Expr::col((snapshot::Entity, Snapshot::GraphId)).equals((Entity, Column::GraphId));
    let mut query = Entity::find()
        .select_only()
        .column(Column::GraphId)
        .column_as(Expr::col((snapshot::Entity, Snapshot::SnapshotId)).count(), "total_snapshots")
        .column_as(sum(Snapshot::SizeBytes), "total_size_bytes")
        .column_as(sum(Snapshot::StoredBytes), "stored_bytes")
        .column_as(Expr::col((snapshot::Entity, Snapshot::CreatedAt)).max(), "last_snapshot_at")
        .column_as(Expr::SubQuery(None, Box::new(latest_snapshot())), "latest_snapshot_id")
        .group_by(Column::GraphId)
        .group_by(Column::SourceDir)
        .order_by_asc(Column::GraphId);
    if let Some(only) = only {
        query = query.filter(Column::GraphId.is_in(only));
    }
    QuerySelect::query(&mut query).left_join(snapshot::Entity, same_graph.and(is_restorable));
    query.into_model::<GraphStats>().all(connection).await.map_err(Error::during("count snapshots"))
}

/// The newest restorable snapshot of a graph's own directory, within a query over graphs.
fn latest_snapshot() -> SubQueryStatement {
    use snapshot::Column as Snapshot;
    let inner = Alias::new("latest");
    let column = |column: Snapshot| Expr::col((inner.clone(), column));
    Query::select()
        .expr(column(Snapshot::SnapshotId))
        .from_as(snapshot::Entity, inner.clone())
        .and_where(column(Snapshot::GraphId).equals((Entity, Column::GraphId)))
        .and_where(column(Snapshot::SourceDir).equals((Entity, Column::SourceDir)))
        .and_where(column(Snapshot::Status).is_in(SnapshotStatus::RESTORABLE))
        .order_by((inner.clone(), Snapshot::CreatedAt), Order::Desc)
        .order_by((inner.clone(), Snapshot::SnapshotId), Order::Desc)
        .limit(1)
        .to_owned()
        .into_sub_query_statement()
}

/// Writes the sealed key of a graph's LightRAG server.
///
/// # Errors
/// The database's.
pub async fn update_server_api_key(connection: &impl ConnectionTrait, graph_id: &GraphId, sealed: &str) -> Result<(), Error> {
    let update = Entity::update_many().col_expr(Column::ServerApiKey, Expr::value(sealed)).filter(Column::GraphId.eq(graph_id.clone()));
    update.exec(connection).await.map_err(Error::during("update a server's key"))?;
    Ok(())
}

/// Whether the sealed key of any LightRAG server begins so: with the file of keys; earlier versions sealed otherwise.
///
/// # Errors
/// The database's.
pub async fn has_any_sealed(connection: &impl ConnectionTrait, prefix: &str) -> Result<bool, Error> {
    let query = Entity::find().filter(Column::ServerApiKey.starts_with(prefix));
    Ok(query.one(connection).await.map_err(Error::during("find a graph"))?.is_some())
}
