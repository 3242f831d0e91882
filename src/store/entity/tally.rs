//! Table `tallies`.

use sea_orm::entity::prelude::*;

/// What was counted.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tallies")]
pub struct Model {
    /// The metric, or the figure of the statistics.
    #[sea_orm(primary_key, auto_increment = false)]
    pub metric: String,
    /// A JSON list of its labels' values; schedules and targets by their ids.
    #[sea_orm(primary_key, auto_increment = false)]
    pub labels: String,
    /// Of a histogram; 0 for all else.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i32,
    /// It goes with this graph.
    pub graph_id: Option<String>,
    /// It goes with this schedule or target.
    pub owner_id: Option<String>,
    /// The value; of a histogram how many.
    pub value: f64,
    /// Of a histogram: the sum of what was measured.
    pub total: f64,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
