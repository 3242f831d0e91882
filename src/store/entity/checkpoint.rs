//! Table `checkpoints`.

use sea_orm::entity::prelude::*;

use crate::base::ids::CheckpointId;
use crate::base::timestamp::Timestamp;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState};
use crate::domain::verification::VerificationLevel;

/// One snapshot of each of several graphs, made together.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoints")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub checkpoint_id: CheckpointId,
    /// Where it comes from.
    pub origin: CheckpointOrigin,
    /// Where it stands.
    pub state: CheckpointState,
    /// As its caller wrote it.
    pub description: String,
    /// JSON object of its labels.
    pub labels: Option<String>,
    /// It is complete without the graphs that cannot join.
    pub allow_partial: bool,
    /// All captures that are made for it must begin within so many seconds.
    pub window_seconds: i64,
    /// How deep it is validated as soon as it is complete; none for not at all.
    pub validate_level: Option<VerificationLevel>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was complete, or had failed.
    pub completed_at: Option<Timestamp>,
    /// When the first of its captures began.
    pub captured_from_at: Option<Timestamp>,
    /// When the last of its captures began.
    pub captured_until_at: Option<Timestamp>,
    /// Kept at least until then.
    pub retention_until: Option<Timestamp>,
    /// What its last validation that counts said; none before the first has ended.
    pub validation_passed: Option<bool>,
    /// How deep that was.
    pub validation_level: Option<VerificationLevel>,
    /// When that had ended.
    pub validated_at: Option<Timestamp>,
    /// Why it has failed.
    pub error_message: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
