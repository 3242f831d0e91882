//! Table `facts`.

use sea_orm::entity::prelude::*;

use crate::base::timestamp::Timestamp;
use crate::domain::metric::fact::FactKind;

/// Something that has happened and is not counted yet; see `domain::metric::fact`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "facts")]
pub struct Model {
    /// Its number.
    #[sea_orm(primary_key)]
    pub fact_id: i64,
    /// What.
    pub kind: FactKind,
    /// To this graph.
    pub graph_id: Option<String>,
    /// The operation, target, schedule or component that it is about.
    pub subject_id: Option<String>,
    /// The schedule that brought it about.
    pub schedule_id: Option<String>,
    /// As its kind says.
    pub word: Option<String>,
    /// As its kind says.
    pub amount: f64,
    /// How many.
    pub count: i64,
    /// When.
    pub at: Timestamp,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
