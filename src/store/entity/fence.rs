//! Table `fences`.

use sea_orm::entity::prelude::*;

use crate::base::ids::FailoverId;
use crate::domain::graph_id::GraphId;

/// A graph that a failover holds, from its request to its end.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "fences")]
pub struct Model {
    /// The graph.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// The failover.
    pub failover_id: FailoverId,
    /// Nothing else works on the graph.
    pub is_up: bool,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
