//! Rows of `notifications`: what is still to be told, and what was.

use sea_orm::sea_query::{Expr, ExprTrait as _, LockBehavior, LockType, Query, QueryStatementBuilder as _, SelectStatement};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _};
use sea_orm::{QuerySelect as _, QueryTrait as _};

use super::Error;
use super::entity::notification::{Column, Entity, Model};
use crate::base::timestamp::Timestamp;
use crate::domain::alert::Channel;

/// Adds what is to be told.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, notification: Model) -> Result<(), Error> {
    let insert = Entity::insert(notification.into_active_model());
    insert.exec_without_returning(connection).await.map_err(Error::during("insert a notification"))?;
    Ok(())
}

/// Whether anything is to be told by this channel now.
///
/// # Errors
/// The database's.
pub async fn has_due(connection: &impl ConnectionTrait, channel: Channel, now: Timestamp) -> Result<bool, Error> {
    let query = due(channel, now).one(connection).await;
    Ok(query.map_err(Error::during("look for notifications"))?.is_some())
}

/// Takes the next thing that is to be told by this channel; nobody else does before `until`. What comes later of an alert waits for what
/// comes before it.
///
/// # Errors
/// The database's.
pub async fn claim(connection: &impl ConnectionTrait, channel: Channel, now: Timestamp, until: Timestamp) -> Result<Option<Model>, Error> {
    let mut next = due(channel, now).select_only().column(Column::NotificationId).into_query();
    // SQLite has no such clause and needs none; sea-query leaves it out there.
    next.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let claimed = Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::NextAttemptAt, Expr::value(until))
        .filter(Expr::col(Column::NotificationId).eq(Expr::SubQuery(None, Box::new(next.into_sub_query_statement()))))
        // Another instance may have taken it while this one waited for its row.
        .filter(Column::NextAttemptAt.lte(now))
        .exec_with_returning(connection)
        .await
        .map_err(Error::during("claim a notification"))?;
    Ok(claimed.into_iter().next())
}

/// The oldest that is due.
fn due(channel: Channel, now: Timestamp) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::NotificationId.in_subquery(first_of_each_alert(channel)))
        .filter(Column::NextAttemptAt.lte(now))
        .order_by_asc(Column::NextAttemptAt)
        .order_by_asc(Column::NotificationId)
        .limit(1)
}

/// Ids are ordered by time, so the least is the oldest.
fn first_of_each_alert(channel: Channel) -> SelectStatement {
    Query::select()
        .expr(Expr::col(Column::NotificationId).min())
        .from(Entity)
        .and_where(Column::Channel.eq(channel))
        .and_where(Column::DeliveredAt.is_null())
        .and_where(Column::GivenUpAt.is_null())
        .group_by_col(Column::AlertId)
        .to_owned()
}

/// How an attempt has ended.
#[derive(Debug, Clone)]
pub enum Attempt {
    /// It has arrived.
    Delivered,
    /// It has not, and is tried again then.
    Failed {
        /// When it is tried again.
        next_attempt_at: Timestamp,
        /// Why.
        error: String,
    },
    /// It has not, and is tried no more.
    GivenUp {
        /// Why.
        error: String,
    },
}

/// Writes how an attempt has ended, unless somebody else has made another one meanwhile.
///
/// # Errors
/// The database's.
pub async fn finish(connection: &impl ConnectionTrait, claimed: &Model, attempt: Attempt, now: Timestamp) -> Result<(), Error> {
    let update = Entity::update_many()
        .filter(Column::NotificationId.eq(claimed.notification_id))
        .filter(Column::Attempts.eq(claimed.attempts))
        .filter(Column::DeliveredAt.is_null());
    let update = match attempt {
        Attempt::Delivered => update.col_expr(Column::DeliveredAt, Expr::value(now)),
        Attempt::Failed { next_attempt_at, error } => {
            update.col_expr(Column::NextAttemptAt, Expr::value(next_attempt_at)).col_expr(Column::LastError, Expr::value(error))
        }
        Attempt::GivenUp { error } => update.col_expr(Column::GivenUpAt, Expr::value(now)).col_expr(Column::LastError, Expr::value(error)),
    };
    update.exec(connection).await.map_err(Error::during("note how a notification went"))?;
    Ok(())
}
