//! Rows of `leases`: the right to do something alone among the instances.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryOrder as _};

use super::Error;
use super::entity::lease::{Column, Entity, Model};
use crate::base::ids::InstanceId;
use crate::base::timestamp::Timestamp;

/// Ends all leases: for a database that only one process can use, their holders are dead.
///
/// # Errors
/// The database's.
pub async fn delete_all(connection: &impl ConnectionTrait) -> Result<(), Error> {
    Entity::delete_many().exec(connection).await.map_err(Error::during("end leases"))?;
    Ok(())
}

/// Takes or renews a lease; says whether the instance has it now.
///
/// # Errors
/// The database's.
pub async fn take(
    connection: &impl ConnectionTrait,
    name: &str,
    holder: InstanceId,
    now: Timestamp,
    length: Duration,
) -> Result<bool, Error> {
    let lease = Model { name: name.to_owned(), instance_id: holder, until_at: now.plus(length) };
    let own_or_over = Expr::col((Entity, Column::InstanceId)).eq(holder).or(Expr::col((Entity, Column::UntilAt)).lt(now));
    let on_conflict =
        OnConflict::column(Column::Name).update_columns([Column::InstanceId, Column::UntilAt]).action_and_where(own_or_over).to_owned();
    let insert = Entity::insert(lease.into_active_model()).on_conflict(on_conflict);
    insert.exec_without_returning(connection).await.map_err(Error::during("take a lease"))?;
    let row = Entity::find_by_id(name.to_owned()).one(connection).await.map_err(Error::during("find a lease"))?;
    Ok(row.is_some_and(|row| row.instance_id == holder && row.until_at > now))
}

/// All leases, held or run out, by their names.
///
/// # Errors
/// The database's.
pub async fn list(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().order_by_asc(Column::Name).all(connection).await.map_err(Error::during("list leases"))
}
