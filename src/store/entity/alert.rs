//! Table `alerts`.

use sea_orm::entity::prelude::*;

use crate::base::ids::AlertId;
use crate::base::timestamp::Timestamp;
use crate::domain::alert::{AlertState, Severity};
use crate::domain::graph_id::GraphId;

/// Something that a rule has found.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alerts")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alert_id: AlertId,
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// JSON object of its labels, their names in order.
    pub labels: String,
    /// The graph that it is about.
    pub graph_id: Option<GraphId>,
    /// Where it stands.
    pub state: AlertState,
    /// The value when it was found last; none where it is missing.
    pub value: Option<f64>,
    /// The bound that it is beyond.
    pub threshold: Option<f64>,
    /// What it means.
    pub summary: String,
    /// When it was found first.
    pub started_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// When it was decided to tell that it fires.
    pub told_at: Option<Timestamp>,
    /// When somebody said that he knows.
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// What he said.
    pub comment: Option<String>,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
