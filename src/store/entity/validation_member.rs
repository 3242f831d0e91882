//! Table `validation_members`.

use sea_orm::entity::prelude::*;

use crate::base::ids::{OperationId, SnapshotId, ValidationId};
use crate::domain::graph_id::GraphId;

/// A snapshot that a validation looks at.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "validation_members")]
pub struct Model {
    /// Of this validation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub validation_id: ValidationId,
    /// The graph.
    #[sea_orm(primary_key, auto_increment = false)]
    pub graph_id: GraphId,
    /// Its snapshot.
    pub snapshot_id: SnapshotId,
    /// The operation that verifies it; none where there is nothing that could be verified.
    pub operation_id: Option<OperationId>,
    /// What is wrong, where that was known without looking.
    pub problem: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
