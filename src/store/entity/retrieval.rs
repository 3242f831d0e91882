//! Table `retrievals`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{ProbeSetId, SnapshotId};
use crate::base::timestamp::Timestamp;

/// What a snapshot retrieves for its graph's probes. It goes with its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retrievals")]
pub struct Model {
    /// The snapshot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub snapshot_id: SnapshotId,
    /// The probes.
    pub probe_set_id: ProbeSetId,
    /// JSON list in the order of the probes, see `domain::probe::Retrieved`; none where they could not be asked.
    pub retrieved: Option<String>,
    /// Why they could not.
    pub error_message: Option<String>,
    /// When they were asked.
    pub created_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
