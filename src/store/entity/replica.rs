//! Table `replicas`.

use sea_orm::entity::prelude::*;

use crate::base::ids::TargetId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// What is known of a graph's copy at a target.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "replicas")]
pub struct Model {
    /// There.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_id: TargetId,
    /// Of this graph.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// When a snapshot was sent last, with or without success.
    pub last_attempt_at: Option<Timestamp>,
    /// When one was brought there last.
    pub last_success_at: Option<Timestamp>,
    /// Why the last attempt has failed; none after a success.
    pub last_error: Option<String>,
    /// Attempts that have failed since the last success.
    pub failures: i32,
    /// When some of it was read again last.
    pub reread_at: Option<Timestamp>,
    /// The last name that was read then, hex; none where the next reading begins anew.
    pub reread_after: Option<String>,
    /// Files that were read again, in all.
    pub reread_files: i64,
    /// Those of them that were damaged.
    pub damaged_files: i64,
    /// Those of these that were sent again.
    pub repaired_files: i64,
}

impl Model {
    /// A copy of which nothing is known yet.
    pub fn unknown(target_id: TargetId, graph_id: GraphId) -> Self {
        Self {
            target_id,
            graph_id,
            last_attempt_at: None,
            last_success_at: None,
            last_error: None,
            failures: 0,
            reread_at: None,
            reread_after: None,
            reread_files: 0,
            damaged_files: 0,
            repaired_files: 0,
        }
    }
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
