//! Rows of `alerts`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};
use sea_orm::{PaginatorTrait as _, QuerySelect as _};

use super::Error;
use super::entity::alert::{Column, Entity, Model};
use crate::base::ids::AlertId;
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{AlertState, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest, TimeKey};

/// Adds an alert.
///
/// # Errors
/// A unique violation when there is an open one of this rule with these labels.
pub async fn insert(connection: &impl ConnectionTrait, alert: Model) -> Result<(), Error> {
    let insert = Entity::insert(alert.into_active_model());
    insert.exec_without_returning(connection).await.map_err(Error::during("insert an alert"))?;
    Ok(())
}

/// The alert with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: AlertId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find an alert"))
}

/// Which alerts a list has; what is not set does not matter.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// In this state.
    pub state: Option<AlertState>,
    /// This bad.
    pub severity: Option<Severity>,
    /// Of this graph.
    pub graph_id: Option<GraphId>,
    /// Of this rule.
    pub rule: Option<String>,
}

/// Alerts, newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait, wanted: &AlertFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
    let condition = Condition::all()
        .add_option(wanted.state.map(|state| Column::State.eq(state)))
        .add_option(wanted.severity.map(|severity| Column::Severity.eq(severity)))
        .add_option(wanted.graph_id.clone().map(|graph_id| Column::GraphId.eq(graph_id)))
        .add_option(wanted.rule.clone().map(|rule| Column::Rule.eq(rule)));
    let mut query = Entity::find().filter(condition);
    if let Some((started_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::StartedAt), Expr::col(Column::AlertId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*started_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::StartedAt).order_by_desc(Column::AlertId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list alerts"))?;
    Ok(page.page(rows, |row| (row.started_at, row.alert_id.to_string())))
}

/// How many fire, of a severity or of all.
///
/// # Errors
/// The database's.
pub async fn count_firing(connection: &impl ConnectionTrait, severity: Option<Severity>) -> Result<u64, Error> {
    let of_severity = Condition::all().add_option(severity.map(|severity| Column::Severity.eq(severity)));
    let query = Entity::find().filter(Column::State.eq(AlertState::Firing)).filter(of_severity);
    query.count(connection).await.map_err(Error::during("count alerts"))
}

/// All that are not over.
///
/// # Errors
/// The database's.
pub async fn list_open(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    let query = Entity::find().filter(Column::State.ne(AlertState::Resolved)).order_by_asc(Column::AlertId);
    query.all(connection).await.map_err(Error::during("list open alerts"))
}

/// Writes what a look at the samples has changed of an alert that was in this state. What a caller has said of it is not touched.
///
/// # Errors
/// The database's.
pub async fn update(connection: &impl ConnectionTrait, alert: &Model, read_state: AlertState) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Severity, Expr::value(alert.severity))
        .col_expr(Column::State, Expr::value(alert.state))
        .col_expr(Column::Value, Expr::value(alert.value))
        .col_expr(Column::Threshold, Expr::value(alert.threshold))
        .col_expr(Column::Summary, Expr::value(alert.summary.clone()))
        .col_expr(Column::FiredAt, Expr::value(alert.fired_at))
        .col_expr(Column::ResolvedAt, Expr::value(alert.resolved_at))
        .col_expr(Column::ToldAt, Expr::value(alert.told_at))
        .filter(Column::AlertId.eq(alert.alert_id))
        .filter(Column::State.eq(read_state));
    update.exec(connection).await.map_err(Error::during("update an alert"))?;
    Ok(())
}

/// Writes that somebody knows of an alert; says whether it is still open.
///
/// # Errors
/// The database's.
pub async fn acknowledge(connection: &impl ConnectionTrait, id: AlertId, by: &str, comment: &str, now: Timestamp) -> Result<bool, Error> {
    let update = Entity::update_many()
        .col_expr(Column::AcknowledgedAt, Expr::value(now))
        .col_expr(Column::AcknowledgedBy, Expr::value(by))
        .col_expr(Column::Comment, Expr::value(comment))
        .filter(Column::AlertId.eq(id))
        .filter(Column::State.ne(AlertState::Resolved));
    Ok(update.exec(connection).await.map_err(Error::during("acknowledge an alert"))?.rows_affected > 0)
}

/// Removes an alert that never fired.
///
/// # Errors
/// The database's.
pub async fn delete_pending(connection: &impl ConnectionTrait, id: AlertId) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::AlertId.eq(id)).filter(Column::State.eq(AlertState::Pending));
    delete.exec(connection).await.map_err(Error::during("delete an alert"))?;
    Ok(())
}

/// Forgets alerts that were over before this instant, and who was told of them.
///
/// # Errors
/// The database's.
pub async fn delete_resolved_before(connection: &impl ConnectionTrait, before: Timestamp) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::ResolvedAt.lt(before));
    delete.exec(connection).await.map_err(Error::during("forget alerts"))?;
    Ok(())
}
