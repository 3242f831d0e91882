//! Table `checkpoint_members`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{CheckpointId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// A graph of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint_members")]
pub struct Model {
    /// Of this checkpoint.
    #[sea_orm(primary_key, auto_increment = false)]
    pub checkpoint_id: CheckpointId,
    /// The graph.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// Its place in the order in which the graphs depend on each other.
    pub position: i32,
    /// Its snapshot; none where it could not join.
    pub snapshot_id: Option<SnapshotId>,
    /// Taken for the checkpoint, not named by its caller.
    pub fresh: bool,
    /// When its capture began.
    pub captured_at: Option<Timestamp>,
    /// Why it could not join.
    pub error_message: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
