//! Table `schedules`.

use sea_orm::entity::prelude::*;

use crate::base::ids::ScheduleId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::schedule_run::{ScheduleAction, ScheduleOrigin};

/// When snapshots are taken, or drilled, by themselves. It goes with its graph.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedules")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule_id: ScheduleId,
    /// Where it comes from.
    pub origin: ScheduleOrigin,
    /// The graph that it is for; else those of the selector.
    pub graph_id: Option<GraphId>,
    /// The graphs that it is for, by their labels.
    pub graph_selector: Option<String>,
    /// A cron expression of five fields.
    pub cron: Option<String>,
    /// The IANA name of the expression's time zone.
    pub time_zone: String,
    /// An interval, seconds.
    pub interval_seconds: Option<i64>,
    /// After a change nothing must have changed for so long, seconds.
    pub debounce_seconds: Option<i64>,
    /// The least time between two captures that follow changes, seconds.
    pub minimum_interval_seconds: Option<i64>,
    /// What intervals are counted from.
    pub anchored_at: Timestamp,
    /// The most that runs are later, seconds.
    pub jitter_seconds: i64,
    /// What becomes of missed runs.
    pub missed_run_policy: String,
    /// How late they may be made up, seconds; 0 for any time.
    pub missed_run_grace_seconds: i64,
    /// What becomes of a run that meets the one before.
    pub overlap_policy: String,
    /// It does not fire.
    pub paused: bool,
    /// When it fires next; none while paused, and for one that follows changes.
    pub next_run_at: Option<Timestamp>,
    /// When it has fired last.
    pub last_run_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Counts its updates, from 1.
    pub revision: i64,
    /// JSON list of the tags that its snapshots get.
    pub tags: Option<String>,
    /// What it does.
    pub action: ScheduleAction,
}

/// No relations: queries name their keys.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
