//! Drills: what each has measured, and why one has failed.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Length, Mark, Moment};
use super::page::{Page, render};
use super::visit::{Visit, graph_id};
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::drill::DrillReport;
use crate::service::Error;
use crate::service::drills::{reasons_of, report_of};
use crate::store::drills::DrillFilter;
use crate::store::entity::drill::Model;

/// A drill in a list.
#[derive(Debug, Clone)]
pub(super) struct DrillRow {
    /// Its name.
    pub(super) id: String,
    /// The graph.
    pub(super) graph: String,
    /// Where its page is.
    pub(super) link: String,
    /// The snapshot.
    pub(super) snapshot: String,
    /// Where it stands.
    pub(super) state: Mark,
    /// When it was asked for.
    pub(super) created: Moment,
    /// How long the recovery took.
    pub(super) rto: Option<Length>,
    /// What would have been lost.
    pub(super) rpo: Option<Length>,
    /// The lowest recall of its probes.
    pub(super) recall: Option<String>,
    /// Why it has failed.
    pub(super) reasons: String,
    /// The operation that does it.
    pub(super) operation: Option<String>,
}

impl DrillRow {
    /// A row of this drill.
    ///
    /// # Errors
    /// What is stored of it cannot be read.
    pub(super) fn of(row: &Model, now: Timestamp) -> Result<Self, Error> {
        let (report, reasons) = (report_of(row)?, reasons_of(row)?);
        let report = report.as_ref();
        Ok(Self {
            id: row.drill_id.to_string(),
            link: format!("{HOME}/graphs/{}", encoded(row.graph_id.as_str())),
            graph: row.graph_id.to_string(),
            snapshot: row.snapshot_id.to_string(),
            state: row.state.into(),
            created: Moment::new(row.created_at, now),
            rto: report.and_then(DrillReport::rto_seconds).map(Length::seconds),
            rpo: report.and_then(|report| report.rpo_seconds).map(Length::seconds),
            recall: report.and_then(DrillReport::recall).map(|recall| format!("{recall:.3}")),
            reasons: reasons.join("; "),
            operation: row.operation_id.map(|id| format!("{HOME}/operations/{id}")),
        })
    }
}

#[derive(Template)]
#[template(path = "drills.html")]
struct DrillsPage<'a> {
    page: Page,
    graph: &'a str,
    rows: Vec<DrillRow>,
    next: Option<String>,
}

/// Shows a page of them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let graph = visit.asked("graph");
    let of_graph = if graph.is_empty() { None } else { Some(graph_id(graph)?) };
    let found = visit.services().list_drills(&DrillFilter { graph_id: of_graph, ..DrillFilter::default() }, &visit.list()?).await?;
    render(&DrillsPage {
        page: visit.page("Drills"),
        graph,
        rows: found.items.iter().map(|row| DrillRow::of(row, visit.now)).collect::<Result<_, _>>()?,
        next: visit.next(found.next_page_token),
    })
}
