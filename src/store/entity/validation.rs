//! Table `validations`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{CheckpointId, ValidationId};
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::ValidationState;
use crate::domain::verification::VerificationLevel;

/// The validation of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "validations")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub validation_id: ValidationId,
    /// Of this checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Where it stands.
    pub state: ValidationState,
    /// How deep.
    pub level: VerificationLevel,
    /// JSON list of what is wrong, see `domain::checkpoint::Problem`.
    pub problems: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When all had been looked at.
    pub ended_at: Option<Timestamp>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
