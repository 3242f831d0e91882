//! Rows of `audit_events`.

use sea_orm::{ActiveModelTrait as _, ConnectionTrait, IntoActiveModel as _};

use super::Error;
use super::entity::audit_event::Model;

/// Adds an event, in the transaction of the change that it tells of.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &impl ConnectionTrait, event: Model) -> Result<(), Error> {
    event.into_active_model().insert(connection).await.map_err(Error::during("insert an audit event"))?;
    Ok(())
}
