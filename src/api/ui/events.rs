//! Events: what has happened that somebody may want to know.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::event::{EventTopic, Severity};
use crate::domain::graph_id::GraphId;
use crate::store::entity::event::Model;
use crate::store::events::EventFilter;

/// An event in a list.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    /// When.
    pub(super) at: Moment,
    /// What it is about: one of our own words.
    pub(super) topic: &'static str,
    /// How much it matters.
    pub(super) severity: Mark,
    /// With this graph, and where its page is.
    pub(super) graph: Option<(String, Option<String>)>,
    /// For people.
    pub(super) message: String,
}

impl EventRow {
    /// A row of this event.
    pub(super) fn of(row: Model, now: Timestamp) -> Self {
        // A graph may be gone; its name stays.
        let link = |id: &str| GraphId::parse(id).ok().map(|id| format!("{HOME}/graphs/{}", encoded(id.as_str())));
        Self {
            at: Moment::new(row.created_at, now),
            topic: row.kind.as_str(),
            severity: row.severity.into(),
            graph: row.graph_id.map(|id| (id.clone(), link(&id))),
            message: row.message,
        }
    }
}

impl From<Severity> for Mark {
    fn from(severity: Severity) -> Self {
        let tone = match severity {
            Severity::Info => Tone::Quiet,
            Severity::Warning => Tone::Fair,
            Severity::Critical => Tone::Bad,
        };
        mark(tone, severity.as_str())
    }
}

const TOPICS: [EventTopic; 9] = [
    EventTopic::Snapshot,
    EventTopic::Recovery,
    EventTopic::Drill,
    EventTopic::Verification,
    EventTopic::Schedule,
    EventTopic::Target,
    EventTopic::Health,
    EventTopic::Alert,
    EventTopic::Maintenance,
];

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage<'a> {
    page: Page,
    topics: &'static [EventTopic],
    topic: &'a str,
    severities: &'static [Severity],
    severity: &'a str,
    graph: &'a str,
    rows: Vec<EventRow>,
    next: Option<String>,
}

impl EventsPage<'_> {
    fn is_topic(&self, one: &EventTopic) -> bool {
        one.as_str() == self.topic
    }

    fn is_severity(&self, one: &Severity) -> bool {
        one.as_str() == self.severity
    }
}

/// Shows a page of them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (topic, severity, graph) = (visit.asked("topic"), visit.asked("severity"), visit.asked("graph"));
    let wanted = EventFilter {
        graph_id: Some(graph.to_owned()).filter(|graph| !graph.is_empty()),
        topic: EventTopic::parse(topic),
        severity: Severity::parse(severity),
        ..EventFilter::default()
    };
    let found = visit.services().list_events(&wanted, &visit.list()?).await?;
    render(&EventsPage {
        page: visit.page("Events"),
        topics: &TOPICS,
        topic,
        severities: &SEVERITIES,
        severity,
        graph,
        rows: found.items.into_iter().map(|row| EventRow::of(row, visit.now)).collect(),
        next: visit.next(found.next_page_token),
    })
}
