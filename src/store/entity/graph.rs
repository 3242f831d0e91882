//! Table `graphs`.

use sea_orm::entity::prelude::*;

use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};

/// A graph under our care.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "graphs")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// Where its stores live, absolute, links resolved.
    pub source_dir: String,
    /// The LightRAG server that works on it.
    pub server_url: Option<String>,
    /// That server's key, sealed.
    pub server_api_key: Option<String>,
    /// How long a snapshot waits for the server to come to rest, seconds.
    pub quiet_wait_seconds: i32,
    /// What to do when it does not.
    pub busy_policy: BusyPolicy,
    /// What to do with stores that contradict each other.
    pub inconsistent_policy: InconsistentPolicy,
    /// When it was registered.
    pub created_at: Timestamp,
    /// JSON object of its labels.
    pub labels: Option<String>,
    /// Counts its updates, from 1.
    pub revision: i64,
    /// The inputs directory that its snapshots hold too, absolute, links resolved.
    pub inputs_dir: Option<String>,
    /// JSON of its retention policy, see `domain::retention::PolicyFields`; none where snapshots are kept by age.
    pub retention_policy: Option<String>,
    /// Since when its repository holds what deleted snapshots needed; none after a prune that has finished.
    pub unpruned_since_at: Option<Timestamp>,
    /// How old its newest good snapshot may be, seconds; the setting's where it does not say.
    pub rpo_objective_seconds: Option<i64>,
    /// How long its recovery may take, seconds; none where nobody says.
    pub rto_objective_seconds: Option<i64>,
    /// Counts how often failovers have fenced it.
    pub fence_epoch: i64,
    /// Targets that must hold its newest good snapshot; 0 where nobody says.
    pub copies: i32,
    /// How many of them must be off site.
    pub off_site_copies: i32,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
