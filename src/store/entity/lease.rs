//! Table `leases`.

use sea_orm::entity::prelude::*;

use crate::base::ids::InstanceId;
use crate::base::timestamp::Timestamp;

/// The right to do something alone among the instances.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub struct Model {
    /// What it is the right to.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Who has it.
    pub instance_id: InstanceId,
    /// Until when.
    pub until_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
