//! Rows of `verifications`.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use sea_orm::{QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::Error;
use super::entity::verification::{Column, Entity, Model};
use crate::base::ids::{SnapshotId, VerificationId};
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::verification::VerificationLevel;

/// Adds a verification.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, verification: Model) -> Result<(), Error> {
    verification.into_active_model().insert(connection).await.map_err(Error::during("insert a verification"))?;
    Ok(())
}

/// The verification with this id.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, id: VerificationId) -> Result<Option<Model>, Error> {
    Entity::find_by_id(id).one(connection).await.map_err(Error::during("find a verification"))
}

/// Which verifications a list has; what is not set does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerificationFilter {
    /// As deep as this.
    pub level: Option<VerificationLevel>,
    /// With this outcome.
    pub passed: Option<bool>,
}

/// The verifications of a snapshot, newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &impl ConnectionTrait,
    snapshot_id: SnapshotId,
    wanted: VerificationFilter,
    page: &PageRequest<TimeKey>,
) -> Result<Page<Model>, Error> {
    let condition = Condition::all()
        .add(Column::SnapshotId.eq(snapshot_id))
        .add_option(wanted.level.map(|level| Column::Level.eq(level)))
        .add_option(wanted.passed.map(|passed| Column::Passed.eq(passed)));
    let mut query = Entity::find().filter(condition);
    if let Some((ended_at, id)) = &page.after {
        let key = Expr::tuple([Expr::col(Column::EndedAt), Expr::col(Column::VerificationId)]);
        query = query.filter(key.lt(Expr::tuple([Expr::val(*ended_at), Expr::val(id.clone())])));
    }
    let query = query.order_by_desc(Column::EndedAt).order_by_desc(Column::VerificationId).limit(page.size + 1);
    let rows = query.all(connection).await.map_err(Error::during("list verifications"))?;
    Ok(page.page(rows, |row| (row.ended_at, row.verification_id.to_string())))
}
