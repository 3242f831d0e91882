//! The list of graphs, the worst first or by their names.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::chart::Gauge;
use super::failure::Failure;
use super::live::overviews;
use super::marks::{Bytes, Count, Length, Mark, Moment, protection};
use super::page::{Page, render};
use super::visit::{ROWS, Visit};
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::health::HealthStatus;
use crate::service::overview::{Counts, GraphOverview};

/// A graph in a list.
#[derive(Debug, Clone)]
pub(super) struct GraphRow {
    /// Its name.
    pub(super) id: String,
    /// Where its page is.
    pub(super) link: String,
    /// How it is protected.
    pub(super) mark: Mark,
    /// What is to be done about it.
    pub(super) why: String,
    /// When its newest good snapshot was captured.
    pub(super) newest: Option<Moment>,
    /// How old that may be.
    pub(super) objective: Option<Length>,
    /// How much of that is used.
    pub(super) gauge: Option<Gauge>,
    /// It is older than that.
    pub(super) is_late: bool,
    /// Snapshots that can be restored.
    pub(super) snapshots: Count,
    /// The sum of their sizes.
    pub(super) size: Bytes,
}

impl GraphRow {
    /// A row of this graph.
    pub(super) fn of(one: &GraphOverview, now: Timestamp) -> Self {
        let share = one.age(now).zip(one.objective).map(|(age, objective)| age.as_secs_f64() / objective.as_secs_f64());
        Self {
            id: one.row.graph_id.to_string(),
            link: format!("{HOME}/graphs/{}", encoded(one.row.graph_id.as_str())),
            mark: protection(one.status),
            why: one.reasons.join("; "),
            newest: one.newest_good_at.map(|at| Moment::new(at, now)),
            objective: one.objective.map(Length::from),
            gauge: share.map(Gauge),
            is_late: one.is_late(now),
            snapshots: Count(one.stats.total_snapshots),
            size: Bytes(one.stats.total_size_bytes),
        }
    }
}

#[derive(Template)]
#[template(path = "graphs.html")]
struct GraphsPage<'a> {
    page: Page,
    counts: Counts,
    state: &'a str,
    search: &'a str,
    rows: Vec<GraphRow>,
    found: usize,
    next: Option<String>,
}

/// Shows a page of it.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let overviews = overviews(&visit.ui).await?;
    let (state, search, wanted) = (visit.asked("state"), visit.asked("search"), visit.list::<String>()?);
    let is_wanted = |one: &&GraphOverview| is_in(one.status, state) && one.row.graph_id.as_str().contains(search);
    let found: Vec<&GraphOverview> = overviews.iter().filter(is_wanted).collect();
    let rest = found.iter().filter(|one| wanted.after.as_deref().is_none_or(|after| one.row.graph_id.as_str() > after));
    let rows = rest.take(ROWS.unsigned_abs() as usize + 1).collect();
    let rows = wanted.page(rows, |one| one.row.graph_id.to_string());
    render(&GraphsPage {
        page: visit.page("Graphs"),
        counts: Counts::of(&overviews),
        state,
        search,
        found: found.len(),
        rows: rows.items.into_iter().map(|one| GraphRow::of(one, visit.now)).collect(),
        next: visit.next(rows.next_page_token),
    })
}

/// Whether a graph is in a state, as the counts count it.
fn is_in(status: HealthStatus, state: &str) -> bool {
    match state {
        "healthy" => status == HealthStatus::Healthy,
        "degraded" => status == HealthStatus::Degraded,
        "critical" => matches!(status, HealthStatus::Critical | HealthStatus::Offline),
        "unknown" => status == HealthStatus::Unknown,
        _ => true,
    }
}
