//! Queries over everything at once, each bounded: what a first glance needs, whatever the number of graphs.

use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::Error;
use super::entity::{health_check, lease, operation, schedule, snapshot};
use super::snapshots::is_good;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::health::ComponentType;
use crate::domain::operation::OperationState;

/// When the capture of each graph's newest good snapshot began, of one graph or of all; graphs without one are left out.
///
/// # Errors
/// The database's.
pub async fn list_newest_good(
    connection: &impl ConnectionTrait,
    only: Option<&GraphId>,
    now: Timestamp,
) -> Result<Vec<(GraphId, Timestamp)>, Error> {
    use snapshot::Column;
    let captured_at = Func::coalesce([Expr::col(Column::CapturedAt), Expr::col(Column::CreatedAt)]);
    let mut query = snapshot::Entity::find()
        .select_only()
        .column(Column::GraphId)
        .column_as(Expr::expr(Func::max(captured_at)), "captured_at")
        .filter(is_good(now))
        .group_by(Column::GraphId);
    if let Some(graph_id) = only {
        query = query.filter(Column::GraphId.eq(graph_id.clone()));
    }
    query.into_tuple().all(connection).await.map_err(Error::during("find the newest good snapshots"))
}

/// What was found of graphs and their backups since then, newest first, of one graph or of all.
///
/// # Errors
/// The database's.
pub async fn list_findings(
    connection: &impl ConnectionTrait,
    only: Option<&GraphId>,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<health_check::Model>, Error> {
    use health_check::Column;
    let mut query = health_check::Entity::find()
        .filter(Column::CheckedAt.between(since, now))
        .filter(Column::ComponentType.is_in([ComponentType::Graph, ComponentType::Backup]))
        .order_by_desc(Column::CheckedAt)
        .order_by_desc(Column::HealthCheckId);
    if let Some(graph_id) = only {
        query = query.filter(Column::ComponentId.eq(graph_id.as_str()));
    }
    query.all(connection).await.map_err(Error::during("list health checks"))
}

/// Operations that wait or work, those that work first, then oldest first.
///
/// # Errors
/// The database's.
pub async fn list_open(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<operation::Model>, Error> {
    use operation::Column;
    let query = operation::Entity::find()
        .filter(Column::State.is_in(OperationState::OPEN))
        // `running` comes after `queued` in the alphabet.
        .order_by_desc(Column::State)
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::OperationId)
        .limit(limit);
    query.all(connection).await.map_err(Error::during("list open operations"))
}

/// How many operations are in a state.
///
/// # Errors
/// The database's.
pub async fn count_in(connection: &impl ConnectionTrait, state: OperationState) -> Result<u64, Error> {
    let query = operation::Entity::find().filter(operation::Column::State.eq(state));
    query.count(connection).await.map_err(Error::during("count operations"))
}

/// The schedules that fire next, the next first.
///
/// # Errors
/// The database's.
pub async fn list_next(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<schedule::Model>, Error> {
    use schedule::Column;
    let query = schedule::Entity::find().filter(Column::NextRunAt.is_not_null()).order_by_asc(Column::NextRunAt);
    let query = query.order_by_asc(Column::ScheduleId).limit(limit);
    query.all(connection).await.map_err(Error::during("list schedules"))
}

/// Who has the right to do what alone.
///
/// # Errors
/// The database's.
pub async fn list_leases(connection: &impl ConnectionTrait) -> Result<Vec<lease::Model>, Error> {
    let query = lease::Entity::find().order_by_asc(lease::Column::Name);
    query.all(connection).await.map_err(Error::during("list leases"))
}
