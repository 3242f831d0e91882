//! Schedules: what they do, when they fire next.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::base::words::length;
use crate::store::entity::schedule::Model;

/// How many of the next times are shown.
const NEXT: usize = 3;

/// A schedule in a list.
#[derive(Debug, Clone)]
pub(super) struct ScheduleRow {
    /// Its name.
    pub(super) id: String,
    /// What it does: one of our own words.
    pub(super) action: &'static str,
    /// The graph that it is for, with its page.
    pub(super) graph: Option<(String, String)>,
    /// The graphs that it is for, by their labels.
    pub(super) selector: String,
    /// By what it fires.
    pub(super) cadence: String,
    /// Whether it fires.
    pub(super) state: Mark,
    /// It does not fire.
    pub(super) is_paused: bool,
    /// Where it comes from: one of our own words.
    pub(super) origin: &'static str,
    /// When it fires next.
    pub(super) next: Option<Moment>,
    /// The times after that.
    pub(super) later: Vec<Moment>,
    /// When it has fired last.
    pub(super) last: Option<Moment>,
}

impl ScheduleRow {
    /// A row of this schedule, which fires at these times.
    pub(super) fn of(row: &Model, runs: Vec<Timestamp>, now: Timestamp) -> Self {
        let moment = |at| Moment::new(at, now);
        let graph = row.graph_id.as_ref().map(|id| (id.to_string(), format!("{HOME}/graphs/{}", encoded(id.as_str()))));
        Self {
            id: row.schedule_id.to_string(),
            action: row.action.as_str(),
            graph,
            selector: row.graph_selector.clone().unwrap_or_default(),
            cadence: cadence(row),
            state: if row.paused { mark(Tone::Fair, "paused") } else { mark(Tone::Good, "active") },
            is_paused: row.paused,
            origin: row.origin.as_str(),
            next: row.next_run_at.map(moment),
            later: runs.into_iter().skip(1).take(NEXT - 1).map(moment).collect(),
            last: row.last_run_at.map(moment),
        }
    }
}

fn cadence(row: &Model) -> String {
    let told = |seconds: i64| length(seconds as f64);
    match (&row.cron, row.interval_seconds, row.debounce_seconds) {
        (Some(cron), _, _) => format!("{cron} ({})", row.time_zone),
        (None, Some(seconds), _) => format!("every {}", told(seconds)),
        (None, None, Some(seconds)) => format!("{} after a change", told(seconds)),
        (None, None, None) => "never".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct SchedulesPage {
    page: Page,
    rows: Vec<ScheduleRow>,
    next: Option<String>,
}

/// Shows a page of them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let services = visit.services();
    let found = services.list_schedules(None, &visit.list()?).await?;
    let mut rows = Vec::with_capacity(found.items.len());
    for row in &found.items {
        rows.push(ScheduleRow::of(row, services.next_runs(row)?, visit.now));
    }
    render(&SchedulesPage { page: visit.page("Schedules"), rows, next: visit.next(found.next_page_token) })
}
