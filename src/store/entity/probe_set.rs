//! Table `probe_sets`.

use sea_orm::entity::prelude::*;

use crate::base::ids::ProbeSetId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// The probes of a graph as they were set at one time. The newest ones count; earlier ones stay as long as a snapshot was asked them.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "probe_sets")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub probe_set_id: ProbeSetId,
    /// The graph.
    pub graph_id: GraphId,
    /// JSON list of the probes, see `domain::probe::Probe`.
    pub probes: String,
    /// When they were set.
    pub created_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
