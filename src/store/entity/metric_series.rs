//! Table `metric_series`.

use sea_orm::entity::prelude::*;

use crate::base::timestamp::Timestamp;

/// A series in the history of metrics.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_series")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub series_id: i64,
    /// The metric.
    pub metric: String,
    /// A JSON list of its labels' values.
    pub labels: String,
    /// When it was sampled last, as of the last hour or so.
    pub seen_at: Option<Timestamp>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
