//! Table `schedule_runs`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{OperationId, ScheduleId, ScheduleRunId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::schedule_run::RunOutcome;

/// What came of one firing of a schedule for one graph. It goes with its schedule.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule_runs")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule_run_id: ScheduleRunId,
    /// The schedule that fired.
    pub schedule_id: ScheduleId,
    /// For this graph.
    pub graph_id: GraphId,
    /// When it was due.
    pub fire_at: Timestamp,
    /// When that was dealt with.
    pub created_at: Timestamp,
    /// What came of it.
    pub outcome: RunOutcome,
    /// The operation that takes the snapshot.
    pub operation_id: Option<OperationId>,
    /// The snapshot.
    pub snapshot_id: Option<SnapshotId>,
    /// How many firings this stands for.
    pub count: i32,
    /// Why there is no snapshot.
    pub message: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
