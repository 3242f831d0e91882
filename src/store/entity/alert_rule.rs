//! Table `alert_rules`.

use sea_orm::entity::prelude::*;

use crate::base::timestamp::Timestamp;
use crate::domain::alert::{AlertCondition, Severity};

/// A rule that a caller has made, or a default one that a caller has changed.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rules")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Whether it is asked.
    pub is_enabled: bool,
    /// How bad what it finds is.
    pub severity: Severity,
    /// The metric that it looks at.
    pub metric: String,
    /// JSON object of the labels of the series that it looks at.
    pub labels: String,
    /// Whether the value is an instant, and the time since then counts.
    pub is_age: bool,
    /// When it finds a series.
    pub condition: AlertCondition,
    /// The bound of the value.
    pub threshold: f64,
    /// The metric by which the threshold is multiplied.
    pub relative_to: Option<String>,
    /// How long it must be found before it fires.
    pub for_seconds: i64,
    /// What it means.
    pub summary: String,
    /// When it was written last.
    pub changed_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
