//! Schedules.

use super::{all_there, page, request_id, timestamp};
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::label::Selector;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::schedule::missed::MissedRunPolicy;
use crate::domain::schedule::overlap::OverlapPolicy;
use crate::domain::schedule::{OnChangeFields, ScheduleFields};
use crate::domain::schedule_run::{ScheduleAction, ScheduleOrigin};
use crate::domain::tag::Tags;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::schedule_rows::{GraphSchedule, NewSchedule, SchedulePart, ScheduleUpdate, Subject, etag, fields_of};
use crate::store::entity::schedule::Model;

const DEFAULT_DEBOUNCE_SECONDS: i64 = 5;
const DEFAULT_MINIMUM_INTERVAL_SECONDS: i64 = 60;

pub(in crate::api::grpc) fn parse_new(request: v1::CreateScheduleRequest) -> Result<NewSchedule, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let schedule = request.schedule.unwrap_or_default();
    let subject = subject(&mut violations, &schedule.graph_id, &schedule.graph_selector);
    let fields = fields(&mut violations, &schedule);
    let tags = Tags::parse(&mut violations, "tags", schedule.tags);
    let action = match v1::ScheduleAction::try_from(schedule.action) {
        Ok(v1::ScheduleAction::Unspecified | v1::ScheduleAction::Snapshot) => ScheduleAction::Snapshot,
        Ok(v1::ScheduleAction::Drill) => ScheduleAction::Drill,
        Ok(v1::ScheduleAction::Replicate) => ScheduleAction::Replicate,
        Err(_) => {
            violations.add("action", format_args!("is not an action that is known: {}", schedule.action));
            ScheduleAction::Snapshot
        }
    };
    if action != ScheduleAction::Snapshot {
        if fields.on_change.is_some() {
            violations.add("on_change", "is for snapshots, what else is done has `cron` or an interval");
        }
        if tags != Tags::default() {
            violations.add("tags", "are for snapshots, what else is done has none");
        }
    }
    let new = subject.map(|subject| NewSchedule { subject, fields, tags, action, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn parse_set(request: v1::SetGraphScheduleRequest) -> Result<GraphSchedule, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let paused = request.paused;
    let schedule = v1::Schedule {
        interval_hours: request.interval_hours,
        interval_seconds: request.interval_seconds,
        cron: request.cron,
        time_zone: request.time_zone,
        on_change: request.on_change,
        jitter_seconds: request.jitter_seconds,
        missed_run_policy: request.missed_run_policy,
        missed_run_grace_seconds: request.missed_run_grace_seconds,
        overlap_policy: request.overlap_policy,
        ..v1::Schedule::default()
    };
    let fields = fields(&mut violations, &schedule);
    let tags = Tags::parse(&mut violations, "tags", request.tags);
    let set = graph_id.map(|graph_id| GraphSchedule { graph_id, fields, tags, paused, request_id });
    all_there(violations, set)
}

pub(in crate::api::grpc) fn parse_update(request: v1::UpdateScheduleRequest) -> Result<ScheduleUpdate, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let schedule = request.schedule.unwrap_or_default();
    let mut etags: Vec<String> = [request.etag, schedule.etag.clone()].into_iter().filter(|etag| !etag.is_empty()).collect();
    etags.dedup();
    if etags.len() > 1 {
        violations.add("etag", "differs from `schedule.etag`: send one of them");
    }
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty()).unwrap_or_else(|| set_fields(&schedule));
    let fields = fields(&mut violations, &schedule);
    let (mut parts, mut wants_subject, mut wants_tags) = (Vec::new(), false, false);
    for path in &paths {
        match path.as_str() {
            "graph_id" | "graph_selector" => wants_subject = true,
            "interval_hours" | "interval_seconds" | "cron" | "on_change" => parts.push(SchedulePart::Cadence),
            "time_zone" => parts.push(SchedulePart::TimeZone),
            "jitter_seconds" => parts.push(SchedulePart::Jitter),
            "missed_run_policy" => parts.push(SchedulePart::MissedRunPolicy),
            "missed_run_grace_seconds" => parts.push(SchedulePart::Grace),
            "overlap_policy" => parts.push(SchedulePart::Overlap),
            "tags" => wants_tags = true,
            // What comes back with an answer is no change.
            "schedule_id" | "action" | "etag" | "origin" | "created_at" | "next_run_at" | "last_run_at" => {}
            "paused" => violations.add("update_mask", "names `paused`: pause and resume have calls of their own"),
            other => violations.add("update_mask", format_args!("names a field that cannot be changed: `{other}`")),
        }
    }
    let subject = if wants_subject { subject(&mut violations, &schedule.graph_id, &schedule.graph_selector) } else { None };
    let tags = wants_tags.then(|| Tags::parse(&mut violations, "tags", schedule.tags));
    violations.finish()?;
    Ok(ScheduleUpdate { schedule_id: request.schedule_id, subject, fields, parts, tags, etag: etags.pop(), request_id })
}

fn set_fields(schedule: &v1::Schedule) -> Vec<String> {
    let fields = [
        ("graph_id", !schedule.graph_id.is_empty() || !schedule.graph_selector.is_empty()),
        ("cron", is_timed(schedule)),
        ("time_zone", !schedule.time_zone.is_empty()),
        ("jitter_seconds", schedule.jitter_seconds != 0),
        ("missed_run_policy", schedule.missed_run_policy != 0),
        ("missed_run_grace_seconds", schedule.missed_run_grace_seconds != 0),
        ("overlap_policy", schedule.overlap_policy != 0),
        ("tags", !schedule.tags.is_empty()),
    ];
    fields.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect()
}

fn is_timed(schedule: &v1::Schedule) -> bool {
    let interval = schedule.interval_hours.is_some() || schedule.interval_seconds.is_some();
    interval || schedule.cron.is_some() || schedule.on_change.is_some()
}

fn subject(violations: &mut Violations, graph_id: &str, selector: &str) -> Option<Subject> {
    match (graph_id, selector) {
        ("", "") => {
            violations.add("graph_id", "must be given, or `graph_selector`");
            None
        }
        (text, "") => violations.take("graph_id", GraphId::parse(text)).map(Subject::Graph),
        ("", text) => violations.take("graph_selector", Selector::parse(text)).map(Subject::Selected),
        _ => {
            violations.add("graph_selector", "must not be given with `graph_id`");
            None
        }
    }
}

/// As the domain checks them; what only the proto can say wrongly is checked here.
fn fields(violations: &mut Violations, schedule: &v1::Schedule) -> ScheduleFields {
    let on_change = schedule.on_change.map(|on_change| OnChangeFields {
        debounce_seconds: if on_change.debounce_seconds == 0 { DEFAULT_DEBOUNCE_SECONDS } else { on_change.debounce_seconds },
        minimum_interval_seconds: on_change.minimum_interval_seconds.unwrap_or(DEFAULT_MINIMUM_INTERVAL_SECONDS),
    });
    let missed_run_policy = match v1::MissedRunPolicy::try_from(schedule.missed_run_policy) {
        Ok(v1::MissedRunPolicy::Unspecified) => "",
        Ok(v1::MissedRunPolicy::Skip) => MissedRunPolicy::Skip.as_str(),
        Ok(v1::MissedRunPolicy::RunOnce) => MissedRunPolicy::RunOnce.as_str(),
        Err(_) => "unknown",
    };
    let overlap_policy = match v1::OverlapPolicy::try_from(schedule.overlap_policy) {
        Ok(v1::OverlapPolicy::Unspecified) => "",
        Ok(v1::OverlapPolicy::Wait) => OverlapPolicy::Wait.as_str(),
        Ok(v1::OverlapPolicy::Skip) => OverlapPolicy::Skip.as_str(),
        Ok(v1::OverlapPolicy::Start) => "start",
        Err(_) => "unknown",
    };
    ScheduleFields {
        cron: schedule.cron.clone(),
        time_zone: schedule.time_zone.clone(),
        interval_seconds: interval_seconds(violations, schedule),
        on_change,
        jitter_seconds: schedule.jitter_seconds,
        missed_run_policy: missed_run_policy.to_owned(),
        grace_seconds: schedule.missed_run_grace_seconds,
        overlap_policy: overlap_policy.to_owned(),
    }
}

fn interval_seconds(violations: &mut Violations, schedule: &v1::Schedule) -> Option<i64> {
    let Some(hours) = schedule.interval_hours else { return schedule.interval_seconds };
    let seconds = (hours * 3600.0).round();
    if !(60.0..=366.0 * 24.0 * 3600.0).contains(&seconds) {
        violations.add("interval_hours", format_args!("must be from a minute to 366 days, in hours: {hours}"));
        return None;
    }
    let seconds = seconds as i64;
    if schedule.interval_seconds.is_some_and(|other| other != seconds) {
        violations.add("interval_seconds", "differs from `interval_hours`: send one of them");
    }
    Some(seconds)
}

/// A list that is wanted, of one graph or of all.
pub(in crate::api::grpc) fn parse_list(
    graph_id: &str,
    page_size: i32,
    page_token: &str,
) -> Result<(Option<GraphId>, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = match graph_id {
        "" | "-" => None,
        text => violations.take("graph_id", GraphId::parse(text)),
    };
    let page = page(&mut violations, page_size, page_token);
    Ok((graph_id, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn to_proto(row: Model) -> v1::Schedule {
    let fields = fields_of(&row);
    let origin = match row.origin {
        ScheduleOrigin::Created => v1::ScheduleOrigin::Created,
        ScheduleOrigin::Graph => v1::ScheduleOrigin::Graph,
        ScheduleOrigin::Default => v1::ScheduleOrigin::Default,
    };
    let missed_run_policy = match MissedRunPolicy::parse(&row.missed_run_policy) {
        Some(MissedRunPolicy::Skip) => v1::MissedRunPolicy::Skip,
        Some(MissedRunPolicy::RunOnce) | None => v1::MissedRunPolicy::RunOnce,
    };
    let overlap_policy = match OverlapPolicy::parse(&row.overlap_policy) {
        Some(OverlapPolicy::Skip) => v1::OverlapPolicy::Skip,
        Some(OverlapPolicy::Wait) | None => v1::OverlapPolicy::Wait,
    };
    let on_change = fields.on_change.map(|on_change| v1::OnChange {
        debounce_seconds: on_change.debounce_seconds,
        minimum_interval_seconds: Some(on_change.minimum_interval_seconds),
    });
    let action = match row.action {
        ScheduleAction::Snapshot => v1::ScheduleAction::Snapshot,
        ScheduleAction::Drill => v1::ScheduleAction::Drill,
        ScheduleAction::Replicate => v1::ScheduleAction::Replicate,
    };
    v1::Schedule {
        schedule_id: row.schedule_id.to_string(),
        graph_id: row.graph_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        graph_selector: row.graph_selector.clone().unwrap_or_default(),
        interval_hours: fields.interval_seconds.map(|seconds| seconds as f64 / 3600.0),
        interval_seconds: fields.interval_seconds,
        cron: fields.cron,
        time_zone: fields.time_zone,
        on_change,
        jitter_seconds: fields.jitter_seconds,
        missed_run_policy: missed_run_policy.into(),
        missed_run_grace_seconds: fields.grace_seconds,
        overlap_policy: overlap_policy.into(),
        paused: row.paused,
        next_run_at: row.next_run_at.map(timestamp),
        last_run_at: row.last_run_at.map(timestamp),
        origin: origin.into(),
        created_at: Some(timestamp(row.created_at)),
        etag: etag(&row),
        tags: Tags::from_json(row.tags.as_deref()).into_iter().collect(),
        action: action.into(),
    }
}

pub(in crate::api::grpc) fn created(row: Model, next_runs: Vec<Timestamp>) -> v1::CreateScheduleResponse {
    let next_runs = next_runs.into_iter().map(timestamp).collect();
    v1::CreateScheduleResponse { schedule: Some(to_proto(row)), next_runs }
}

/// A schedule that was not made has no id.
pub(in crate::api::grpc) fn previewed(row: Model, next_runs: Vec<Timestamp>) -> v1::CreateScheduleResponse {
    let answer = created(row, next_runs);
    let schedule = answer.schedule.map(|schedule| v1::Schedule { schedule_id: String::new(), etag: String::new(), ..schedule });
    v1::CreateScheduleResponse { schedule, ..answer }
}
