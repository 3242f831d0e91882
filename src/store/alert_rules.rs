//! Rows of `alert_rules`.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryOrder as _};

use super::Error;
use super::entity::alert_rule::{Column, Entity, Model};

/// Writes a rule, whether it is there or not.
///
/// # Errors
/// The database's.
pub async fn put(connection: &impl ConnectionTrait, rule: Model) -> Result<(), Error> {
    let columns = [
        Column::IsEnabled,
        Column::Severity,
        Column::Metric,
        Column::Labels,
        Column::IsAge,
        Column::Condition,
        Column::Threshold,
        Column::RelativeTo,
        Column::ForSeconds,
        Column::Summary,
        Column::ChangedAt,
    ];
    let on_conflict = OnConflict::column(Column::Name).update_columns(columns).to_owned();
    let insert = Entity::insert(rule.into_active_model()).on_conflict(on_conflict);
    insert.exec_without_returning(connection).await.map_err(Error::during("write a rule of alerts"))?;
    Ok(())
}

/// All rules, by their names.
///
/// # Errors
/// The database's.
pub async fn list_all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, Error> {
    Entity::find().order_by_asc(Column::Name).all(connection).await.map_err(Error::during("list rules of alerts"))
}

/// Removes a rule; says whether it was there.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &impl ConnectionTrait, name: &str) -> Result<bool, Error> {
    let result = Entity::delete_by_id(name.to_owned()).exec(connection).await;
    Ok(result.map_err(Error::during("delete a rule of alerts"))?.rows_affected > 0)
}
