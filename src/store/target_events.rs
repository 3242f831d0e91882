//! Rows of `target_events`.

use sea_orm::QuerySelect as _;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::target_event::{Column, Entity, Model};
use crate::base::ids::TargetId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds an event.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, event: Model) -> Result<(), Error> {
    let insert = Entity::insert(event.into_active_model());
    insert.exec_without_returning(connection).await.map_err(Error::during("insert an event of a target"))?;
    Ok(())
}

/// Which events a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this graph.
    pub graph_id: Option<GraphId>,
    /// Of this target.
    pub target_id: Option<TargetId>,
}

/// Events, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &EventFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let condition = Condition::all()
        .add_option(wanted.graph_id.clone().map(|graph_id| Column::GraphId.eq(graph_id)))
        .add_option(wanted.target_id.map(|target_id| Column::TargetId.eq(target_id)));
    let mut query = Entity::find().filter(condition);
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::EventId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::EventId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list events of targets"))?;
    Ok(page.page(rows, |row| (row.created_at, row.event_id.to_string())))
}

/// Forgets what happened before this instant.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::CreatedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget events of targets"))?;
    Ok(())
}
