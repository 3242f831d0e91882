//! Table `events`.

use sea_orm::entity::prelude::*;

use crate::base::ids::EventId;
use crate::base::timestamp::Timestamp;
use crate::domain::event::{EventTopic, Severity};

/// Something that an operator may want to know.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: EventId,
    /// When it was written: just after it has happened.
    pub created_at: Timestamp,
    /// What it is about.
    pub kind: EventTopic,
    /// How much it matters.
    pub severity: Severity,
    /// With this graph, which may be gone.
    pub graph_id: Option<String>,
    /// The operation, snapshot, target, schedule or component that it is about.
    pub subject_id: Option<String>,
    /// For people.
    pub message: String,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
