//! Table `operations`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{InstanceId, OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};

/// One piece of long work.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// The graph that it works on, alone.
    pub graph_id: GraphId,
    /// The snapshot that it takes, restores, verifies or deletes; none for work on a whole repository.
    pub snapshot_id: Option<SnapshotId>,
    /// JSON of what the kind needs beyond that.
    pub payload: String,
    /// The step that it is in.
    pub stage: String,
    /// Bytes done in this stage.
    pub done_bytes: i64,
    /// Bytes to do in this stage; 0 when unknown.
    pub total_bytes: i64,
    /// How often work on it has begun. With the id it is the fence: a worker writes only while its attempt is the last.
    pub attempt: i32,
    /// Who works on it.
    pub instance_id: Option<InstanceId>,
    /// Until when that one owns it without a further sign of life.
    pub lease_until_at: Option<Timestamp>,
    /// A caller has asked it to stop.
    pub cancel_requested: bool,
    /// JSON of the error that ended it.
    pub error: Option<String>,
    /// JSON of what came out, see `domain::report`; before the end, of what was done so far.
    pub result: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the work began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
