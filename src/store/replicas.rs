//! Rows of `replicas`.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryFilter as _};

use super::Error;
use super::entity::replica::{Column, Entity, Model};
use crate::base::ids::TargetId;
use crate::domain::graph_id::GraphId;

/// What is known of a graph's copy at a target; the row of an unknown one where nobody has tried yet.
///
/// # Errors
/// The database's.
pub async fn find(connection: &impl ConnectionTrait, target_id: TargetId, graph_id: &GraphId) -> Result<Model, Error> {
    let found = Entity::find_by_id((target_id, graph_id.clone())).one(connection).await.map_err(Error::during("find a replica"))?;
    Ok(found.unwrap_or_else(|| Model::unknown(target_id, graph_id.clone())))
}

/// What is known of all copies at a target.
///
/// # Errors
/// The database's.
pub async fn list_of_target(connection: &impl ConnectionTrait, target_id: TargetId) -> Result<Vec<Model>, Error> {
    Entity::find().filter(Column::TargetId.eq(target_id)).all(connection).await.map_err(Error::during("list replicas"))
}

/// Notes how an attempt to send a snapshot has ended.
///
/// # Errors
/// A violation of a foreign key when target or graph have gone meanwhile.
pub async fn write_attempt(connection: &impl ConnectionTrait, replica: Model) -> Result<(), Error> {
    write(connection, replica, &[Column::LastAttemptAt, Column::LastSuccessAt, Column::LastError, Column::Failures]).await
}

/// Notes what was read again.
///
/// # Errors
/// As [`write_attempt`].
pub async fn write_reread(connection: &impl ConnectionTrait, replica: Model) -> Result<(), Error> {
    let columns = [Column::RereadAt, Column::RereadAfter, Column::RereadFiles, Column::DamagedFiles, Column::RepairedFiles];
    write(connection, replica, &columns).await
}

/// Other columns of a row that is there stay: sending and reading again go on beside each other.
async fn write(connection: &impl ConnectionTrait, replica: Model, columns: &[Column]) -> Result<(), Error> {
    let on_conflict = OnConflict::columns([Column::TargetId, Column::GraphId]).update_columns(columns.iter().copied()).to_owned();
    let insert = Entity::insert(replica.into_active_model()).on_conflict(on_conflict);
    insert.exec_without_returning(connection).await.map_err(Error::during("write a replica"))?;
    Ok(())
}
