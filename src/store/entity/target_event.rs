//! Table `target_events`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{EventId, SnapshotId, TargetId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::target::EventKind;

/// Something that has happened to a target.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "target_events")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: EventId,
    /// When.
    pub created_at: Timestamp,
    /// To this target, which may have been removed since.
    pub target_id: TargetId,
    /// With this graph.
    pub graph_id: Option<GraphId>,
    /// With this snapshot.
    pub snapshot_id: Option<SnapshotId>,
    /// What.
    pub kind: EventKind,
    /// For people.
    pub message: String,
    /// Bytes of files that were sent.
    pub sent_bytes: i64,
    /// How long it took, seconds.
    pub duration_seconds: f64,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
