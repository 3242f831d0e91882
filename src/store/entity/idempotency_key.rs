//! Table `idempotency_keys`.

use sea_orm::entity::prelude::*;

use crate::base::timestamp::Timestamp;

/// A request that a caller may repeat.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
pub struct Model {
    /// The caller's name for the request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: String,
    /// The RPC's name.
    pub action: String,
    /// SHA-256 of the request, hex: the same name with another request is refused.
    pub body_hash: String,
    /// What the request made: an operation's, a graph's or a snapshot's id; of a cleanup, its operations' ids with commas between.
    pub subject_id: String,
    /// When; forgotten after a day.
    pub created_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
