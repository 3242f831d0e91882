//! Targets: how each was found, and what has happened lately.

use std::collections::HashMap;

use askama::Template;
use axum::response::Response;

use super::failure::Failure;
use super::marks::{Bytes, Length, Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::Visit;
use crate::domain::page::PageRequest;
use crate::domain::target::EventKind;
use crate::service::replication::Condition;
use crate::store::entity::{target, target_event};
use crate::store::target_events::EventFilter;

/// How many events are shown.
const EVENTS: u64 = 30;

struct TargetRow {
    id: String,
    name: String,
    place: String,
    state: Mark,
    message: String,
    graphs: String,
    mode: &'static str,
    free: Option<Bytes>,
    round_trip: Option<Length>,
    checked: Option<Moment>,
}

impl TargetRow {
    fn of(row: target::Model, visit: &Visit) -> Self {
        let condition: Option<Condition> = row.condition.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let found = condition.as_ref();
        Self {
            id: row.target_id.to_string(),
            name: row.name,
            place: row.base_url.or(row.path).unwrap_or_default(),
            state: if row.enabled { row.status.into() } else { mark(Tone::Quiet, "disabled") },
            message: found.map(|found| found.message.clone()).unwrap_or_default(),
            graphs: row.graph_selector,
            mode: if row.on_request { "on request" } else { "by itself" },
            free: found.and_then(|found| found.free_bytes).map(Bytes),
            round_trip: found.and_then(|found| found.round_trip_seconds).map(Length::seconds),
            checked: row.checked_at.map(|at| Moment::new(at, visit.now)),
        }
    }
}

struct EventRow {
    at: Moment,
    target: String,
    graph: String,
    mark: Mark,
    message: String,
    sent: Bytes,
}

impl EventRow {
    fn of(row: target_event::Model, names: &HashMap<String, String>, visit: &Visit) -> Self {
        let tone = match row.kind {
            EventKind::Replicated | EventKind::Repaired => Tone::Good,
            EventKind::Failed | EventKind::Damaged => Tone::Bad,
            EventKind::Condition => Tone::Quiet,
        };
        let id = row.target_id.to_string();
        Self {
            at: Moment::new(row.created_at, visit.now),
            target: names.get(&id).cloned().unwrap_or(id),
            graph: row.graph_id.map(|graph_id| graph_id.to_string()).unwrap_or_default(),
            mark: mark(tone, row.kind.as_str()),
            message: row.message,
            sent: Bytes(row.sent_bytes),
        }
    }
}

#[derive(Template)]
#[template(path = "targets.html")]
struct TargetsPage {
    page: Page,
    rows: Vec<TargetRow>,
    events: Vec<EventRow>,
    next: Option<String>,
}

/// Shows them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let services = visit.services();
    let found = services.list_targets(&visit.list()?).await?;
    let names = services.all_targets().await?.into_iter().map(|row| (row.target_id.to_string(), row.name)).collect();
    let lately = PageRequest { size: EVENTS, after: None };
    let events = services.list_replication_events(&EventFilter::default(), &lately).await?;
    render(&TargetsPage {
        page: visit.page("Targets"),
        rows: found.items.into_iter().map(|row| TargetRow::of(row, &visit)).collect(),
        events: events.items.into_iter().map(|row| EventRow::of(row, &names, &visit)).collect(),
        next: visit.next(found.next_page_token),
    })
}
