//! Rows of `operations` that no worker claims: they wait for what is done beside them.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};

use super::Error;
use super::entity::operation::{Column, Entity};
use super::operations::Ending;
use crate::base::ids::OperationId;
use crate::base::timestamp::Timestamp;
use crate::domain::operation::OperationState;

/// Notes how far the work is that an operation waits for.
///
/// # Errors
/// The database's.
pub async fn update_progress(connection: &impl ConnectionTrait, id: OperationId, stage: &str, done_bytes: i64) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::Stage, Expr::value(stage))
        .col_expr(Column::DoneBytes, Expr::value(done_bytes))
        .filter(Column::OperationId.eq(id))
        .filter(Column::State.eq(OperationState::Queued));
    update.exec(connection).await.map_err(Error::during("note the progress of an operation"))?;
    Ok(())
}

/// Ends an operation that still waits.
///
/// # Errors
/// The database's.
pub async fn end(connection: &impl ConnectionTrait, id: OperationId, ending: Ending, now: Timestamp) -> Result<(), Error> {
    let update = Entity::update_many()
        .col_expr(Column::State, Expr::value(ending.state))
        .col_expr(Column::Error, Expr::value(ending.error))
        .col_expr(Column::Result, Expr::value(ending.result))
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::OperationId.eq(id))
        .filter(Column::State.eq(OperationState::Queued));
    update.exec(connection).await.map_err(Error::during("end an operation"))?;
    Ok(())
}
