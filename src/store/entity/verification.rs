//! Table `verifications`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{OperationId, SnapshotId, VerificationId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::verification::VerificationLevel;

/// What one verification of a snapshot found. It goes with its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "verifications")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub verification_id: VerificationId,
    /// The graph of its snapshot.
    pub graph_id: GraphId,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The operation that did it.
    pub operation_id: OperationId,
    /// How deep.
    pub level: VerificationLevel,
    /// Whether nothing is wrong.
    pub passed: bool,
    /// JSON list of what is wrong with the data.
    pub problems: String,
    /// JSON of the audit's verdict, at the content level.
    pub verdict: Option<String>,
    /// Bytes read from the repository.
    pub read_bytes: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
