//! Schedules as callers write them, and as rows hold them.

use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Selector;
use crate::domain::schedule::{OnChangeFields, Schedule, ScheduleFields};
use crate::domain::schedule_run::ScheduleAction;
use crate::domain::tag::Tags;
use crate::service::error::Error;
use crate::store::entity::schedule::Model;

/// Which graphs a schedule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// This one.
    Graph(GraphId),
    /// Those with these labels.
    Selected(Selector),
}

/// A schedule that is to be made.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// For which graphs.
    pub subject: Subject,
    /// When it fires.
    pub fields: ScheduleFields,
    /// What its snapshots are tagged with.
    pub tags: Tags,
    /// What it does.
    pub action: ScheduleAction,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// What is to change of a schedule; what is not set stays.
#[derive(Debug, Clone)]
pub struct ScheduleUpdate {
    /// Of this schedule.
    pub schedule_id: String,
    /// For which graphs.
    pub subject: Option<Subject>,
    /// The new values.
    pub fields: ScheduleFields,
    /// Which of them count.
    pub parts: Vec<SchedulePart>,
    /// What its snapshots are tagged with.
    pub tags: Option<Tags>,
    /// The etag of the schedule as the caller knows it.
    pub etag: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// A part of a schedule that can be changed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulePart {
    /// By what it fires: expression, interval or changes.
    Cadence,
    /// The expression's time zone.
    TimeZone,
    /// The jitter.
    Jitter,
    /// What becomes of missed runs.
    MissedRunPolicy,
    /// How late they may be made up.
    Grace,
    /// What becomes of runs that meet.
    Overlap,
}

impl ScheduleUpdate {
    pub(super) fn apply_to(&self, fields: &mut ScheduleFields) {
        for part in &self.parts {
            let new = self.fields.clone();
            match part {
                SchedulePart::Cadence => {
                    (fields.cron, fields.interval_seconds, fields.on_change) = (new.cron, new.interval_seconds, new.on_change);
                }
                SchedulePart::TimeZone => fields.time_zone = new.time_zone,
                SchedulePart::Jitter => fields.jitter_seconds = new.jitter_seconds,
                SchedulePart::MissedRunPolicy => fields.missed_run_policy = new.missed_run_policy,
                SchedulePart::Grace => fields.grace_seconds = new.grace_seconds,
                SchedulePart::Overlap => fields.overlap_policy = new.overlap_policy,
            }
        }
    }
}

/// The schedule of a graph that is to be set.
#[derive(Debug, Clone)]
pub struct GraphSchedule {
    /// Of this graph.
    pub graph_id: GraphId,
    /// When it fires.
    pub fields: ScheduleFields,
    /// What its snapshots are tagged with.
    pub tags: Tags,
    /// It does not fire.
    pub paused: bool,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// The etag of a schedule.
pub fn etag(schedule: &Model) -> String {
    schedule.revision.to_string()
}

/// A row's schedule.
///
/// # Errors
/// The row holds something else, which is a bug.
pub(super) fn schedule_of(row: &Model) -> Result<Schedule, Error> {
    let parsed = Schedule::parse(&fields_of(row), &row.schedule_id.to_string(), row.anchored_at);
    parsed.map_err(|violations| Error::internal("read a schedule's row", violations.to_string()))
}

/// What a row says, as a caller would.
pub fn fields_of(row: &Model) -> ScheduleFields {
    let on_change = row.debounce_seconds.map(|debounce_seconds| OnChangeFields {
        debounce_seconds,
        minimum_interval_seconds: row.minimum_interval_seconds.unwrap_or_default(),
    });
    ScheduleFields {
        cron: row.cron.clone(),
        time_zone: row.time_zone.clone(),
        interval_seconds: row.interval_seconds,
        on_change,
        jitter_seconds: row.jitter_seconds,
        missed_run_policy: row.missed_run_policy.clone(),
        grace_seconds: row.missed_run_grace_seconds,
        overlap_policy: row.overlap_policy.clone(),
    }
}

/// Writes checked fields into a row, which goes on from now.
pub(super) fn fill_in(row: &mut Model, fields: &ScheduleFields, schedule: &Schedule, now: Timestamp) {
    row.cron = fields.cron.clone();
    row.time_zone = fields.time_zone.clone();
    row.interval_seconds = fields.interval_seconds;
    row.debounce_seconds = fields.on_change.map(|on_change| on_change.debounce_seconds);
    row.minimum_interval_seconds = fields.on_change.map(|on_change| on_change.minimum_interval_seconds);
    row.jitter_seconds = fields.jitter_seconds;
    row.missed_run_policy = schedule.missed_runs().policy.to_string();
    row.missed_run_grace_seconds = fields.grace_seconds;
    row.overlap_policy = schedule.overlap().to_string();
    row.next_run_at = if row.paused { None } else { schedule.next_after(now) };
}

/// The columns of a subject: the graph, or the selector.
pub(super) fn columns_of(subject: &Subject) -> (Option<GraphId>, Option<String>) {
    match subject {
        Subject::Graph(graph_id) => (Some(graph_id.clone()), None),
        Subject::Selected(selector) => (None, Some(selector.to_string())),
    }
}

/// A subject as a part of a request that is compared.
pub(super) fn subject_text(subject: &Subject) -> String {
    match subject {
        Subject::Graph(graph_id) => format!("graph {graph_id}"),
        Subject::Selected(selector) => format!("selector {selector}"),
    }
}
