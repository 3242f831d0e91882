//! Table `audit_events`.

use sea_orm::entity::prelude::*;

use crate::base::ids::AuditEventId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// Who changed what, written in the transaction of the change.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub audit_event_id: AuditEventId,
    /// When.
    pub created_at: Timestamp,
    /// Who.
    pub caller: String,
    /// In which request.
    pub request_id: Option<String>,
    /// The RPC's name.
    pub action: String,
    /// The graph concerned.
    pub graph_id: Option<GraphId>,
    /// The snapshot or operation concerned.
    pub subject_id: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
