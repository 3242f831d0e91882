//! Table `replications`.

use sea_orm::entity::prelude::*;

use super::{snapshot, target};
use crate::base::ids::{SnapshotId, TargetId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::target::ReplicationState;

/// A snapshot on its way to a target, or there. Without a row nobody has tried yet.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "replications")]
pub struct Model {
    /// There.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_id: TargetId,
    /// This one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub snapshot_id: SnapshotId,
    /// Of this graph.
    pub graph_id: GraphId,
    /// How far it is.
    pub state: ReplicationState,
    /// Attempts that have failed, since somebody has asked for it.
    pub failures: i32,
    /// Why the last one has failed.
    pub error_message: Option<String>,
    /// Bytes of files that were sent for it.
    pub sent_bytes: i64,
    /// When it was there.
    pub replicated_at: Option<Timestamp>,
}

impl Model {
    /// The row of a snapshot that nobody has sent to a target yet.
    pub fn begun(target: &target::Model, snapshot: &snapshot::Model, state: ReplicationState) -> Self {
        Self {
            target_id: target.target_id,
            snapshot_id: snapshot.snapshot_id,
            graph_id: snapshot.graph_id.clone(),
            state,
            failures: 0,
            error_message: None,
            sent_bytes: 0,
            replicated_at: None,
        }
    }
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
