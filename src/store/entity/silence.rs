//! Table `silences`.

use sea_orm::entity::prelude::*;

use crate::base::ids::SilenceId;
use crate::base::timestamp::Timestamp;

/// What nobody wants to be told of for a while.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "silences")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub silence_id: SilenceId,
    /// Only alerts of this rule.
    pub rule: Option<String>,
    /// JSON object of the labels that alerts must have.
    pub labels: String,
    /// When it ends.
    pub until_at: Timestamp,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
