//! Table `metric_points`.

use sea_orm::entity::prelude::*;

/// What was sampled of a series, or what several samples were together.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_points")]
pub struct Model {
    /// The series.
    #[sea_orm(primary_key, auto_increment = false)]
    pub series_id: i64,
    /// How long a time it stands for, seconds; 0 for what was sampled.
    #[sea_orm(primary_key, auto_increment = false)]
    pub resolution_seconds: i32,
    /// When that begins, seconds since the epoch.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at_seconds: i64,
    /// The least.
    pub minimum: f64,
    /// The most.
    pub maximum: f64,
    /// The mean.
    pub average: f64,
    /// The last.
    pub last: f64,
    /// How many.
    pub samples: i32,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
