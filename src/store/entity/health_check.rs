//! Table `health_checks`.

use sea_orm::entity::prelude::*;

use crate::base::ids::HealthCheckId;
use crate::base::timestamp::Timestamp;
use crate::domain::health::{ComponentType, HealthStatus};

/// What was found when a component was looked at.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "health_checks")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub health_check_id: HealthCheckId,
    /// What the component is.
    pub component_type: ComponentType,
    /// Which one: a graph's id.
    pub component_id: String,
    /// How it was.
    pub status: HealthStatus,
    /// Why, and what to do.
    pub message: String,
    /// JSON object of what was measured.
    pub details: String,
    /// When.
    pub checked_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
