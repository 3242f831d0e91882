//! Table `drills`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{CheckpointId, DrillId, DrillRunId, OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::drill::DrillState;
use crate::domain::graph_id::GraphId;

/// The drill of a snapshot. It outlives its snapshot, and goes with its graph.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "drills")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub drill_id: DrillId,
    /// The drills that were asked for together: one, or those of a checkpoint.
    pub run_id: DrillRunId,
    /// The graph.
    pub graph_id: GraphId,
    /// The snapshot that is restored; it may have been deleted since.
    pub snapshot_id: SnapshotId,
    /// The checkpoint that it was asked for.
    pub checkpoint_id: Option<CheckpointId>,
    /// The operation that does it; none where there was nothing that could be restored.
    pub operation_id: Option<OperationId>,
    /// Where it stands.
    pub state: DrillState,
    /// JSON list of why it has failed.
    pub reasons: String,
    /// JSON of what was measured, see `domain::drill::DrillReport`; none where it was not done.
    pub report: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it had ended.
    pub ended_at: Option<Timestamp>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
