//! Rows of `events`.

use sea_orm::QuerySelect as _;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _};
use sea_orm::{QueryFilter as _, QueryOrder as _};

use super::Error;
use super::entity::event::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds events.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, events: Vec<Model>) -> Result<(), Error> {
    for some in events.chunks(1000) {
        let insert = Entity::insert_many(some.iter().cloned().map(Model::into_active_model));
        insert.exec_without_returning(connection).await.map_err(Error::during("insert events"))?;
    }
    Ok(())
}

/// Which events a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// With this graph.
    pub graph_id: Option<String>,
    /// About this.
    pub topic: Option<EventTopic>,
    /// Those that matter as much.
    pub severity: Option<Severity>,
    /// About this operation, snapshot, target, schedule or component.
    pub subject_id: Option<String>,
    /// Written then or later.
    pub created_from: Option<Timestamp>,
    /// Written before then.
    pub created_before: Option<Timestamp>,
}

impl EventFilter {
    fn condition(&self) -> Condition {
        Condition::all()
            .add_option(self.graph_id.as_ref().map(|graph_id| Column::GraphId.eq(graph_id)))
            .add_option(self.topic.map(|topic| Column::Kind.eq(topic)))
            .add_option(self.severity.map(|severity| Column::Severity.eq(severity)))
            .add_option(self.subject_id.as_ref().map(|subject_id| Column::SubjectId.eq(subject_id)))
            .add_option(self.created_from.map(|from| Column::CreatedAt.gte(from)))
            .add_option(self.created_before.map(|before| Column::CreatedAt.lt(before)))
    }
}

/// Events, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &EventFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let mut query = Entity::find().filter(wanted.condition());
    if let Some((created_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::EventId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*created_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::CreatedAt).order_by_desc(Column::EventId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list events"))?;
    Ok(page.page(rows, |row| (row.created_at, row.event_id.to_string())))
}

/// Events that came after this one, oldest first, so many at most.
///
/// # Errors
/// The database's.
pub async fn list_after(connection: &impl ConnectionTrait, wanted: &EventFilter, after: &TimeKey, limit: u64) -> Result<Vec<Model>, Error> {
    let key = Expr::tuple([Expr::col(Column::CreatedAt), Expr::col(Column::EventId)]);
    let query = Entity::find().filter(wanted.condition()).filter(key.gt(Expr::tuple([Expr::val(after.0), Expr::val(after.1.clone())])));
    let query = query.order_by_asc(Column::CreatedAt).order_by_asc(Column::EventId).limit(limit);
    query.all(connection).await.map_err(Error::during("list events"))
}

/// How many events there are.
///
/// # Errors
/// The database's.
pub async fn count(connection: &impl ConnectionTrait, wanted: &EventFilter) -> Result<u64, Error> {
    Entity::find().filter(wanted.condition()).count(connection).await.map_err(Error::during("count events"))
}

/// Forgets what happened before this instant.
///
/// # Errors
/// The database's.
pub async fn delete_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::CreatedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget events"))?;
    Ok(())
}
