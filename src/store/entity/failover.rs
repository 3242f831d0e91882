//! Table `failovers`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{CheckpointId, FailoverId, OperationId};
use crate::base::timestamp::Timestamp;
use crate::domain::failover::{FailoverKind, FailoverState, Phase};

/// The graphs of a checkpoint put in place, all or none. It outlives its checkpoint and its graphs.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "failovers")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub failover_id: FailoverId,
    /// Which way it goes.
    pub kind: FailoverKind,
    /// The checkpoint; it may have been deleted since.
    pub checkpoint_id: CheckpointId,
    /// Of a failback: the failover that it takes back.
    pub failed_over_by: Option<FailoverId>,
    /// What does it, or puts back what it has replaced; none while the snapshots of a failback are taken.
    pub operation_id: Option<OperationId>,
    /// Where it stands.
    pub state: FailoverState,
    /// How far the work is.
    pub phase: Phase,
    /// Even where a running LightRAG server uses a place.
    pub force: bool,
    /// JSON list of [`Member`](crate::domain::failover::Member).
    pub plan: String,
    /// JSON list of [`Step`](crate::domain::failover::Step).
    pub report: String,
    /// Why it did not come about, or what went wrong after the switch.
    pub error_message: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it had ended.
    pub ended_at: Option<Timestamp>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
