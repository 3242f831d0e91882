//! Table `standbys`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{OperationId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// A directory in which the newest good snapshot of a copy stands restored.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "standbys")]
pub struct Model {
    /// Of this copy.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// The directory, absolute, links resolved.
    pub directory: String,
    /// The restore that refreshes it, or has last tried to.
    pub operation_id: Option<OperationId>,
    /// What stands in it; none before the first.
    pub snapshot_id: Option<SnapshotId>,
    /// Since when.
    pub refreshed_at: Option<Timestamp>,
    /// By what it is known again then, if nobody has written to it.
    pub fingerprint: Option<String>,
    /// The same of what the operation has restored, before it was put in place.
    pub restored: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
