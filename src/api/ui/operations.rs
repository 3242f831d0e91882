//! Operations: what is being done and how far it is, what was done, and one of them in full.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Length, Mark, Moment, Progress};
use super::page::{Page, render};
use super::visit::{Visit, graph_id};
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::base::words::sentence;
use crate::domain::operation::{OperationKind, OperationState};
use crate::service::operations::recorded_error;
use crate::store::entity::operation::Model;
use crate::store::operations::OperationFilter;

/// An operation in a list.
#[derive(Debug, Clone)]
pub(super) struct OperationRow {
    /// Its name.
    pub(super) id: String,
    /// Where its page is.
    pub(super) link: String,
    /// What it does.
    pub(super) kind: String,
    /// Where it stands.
    pub(super) state: Mark,
    /// The graph that it works on.
    pub(super) graph: String,
    /// Where that one's page is.
    pub(super) graph_link: String,
    /// The step that it is in.
    pub(super) stage: String,
    /// How far it is; none where it does not work.
    pub(super) progress: Option<Progress>,
    /// When it was asked for.
    pub(super) created: Moment,
    /// How long it has worked.
    pub(super) took: Option<Length>,
    /// What it ended with.
    pub(super) error: Option<String>,
    /// Something more happens to it.
    pub(super) is_open: bool,
}

impl OperationRow {
    /// A row of this operation.
    pub(super) fn of(row: &Model, now: Timestamp) -> Self {
        let is_running = row.state == OperationState::Running;
        Self {
            id: row.operation_id.to_string(),
            link: format!("{HOME}/operations/{}", row.operation_id),
            kind: sentence(row.kind.as_str()),
            state: row.state.into(),
            graph: row.graph_id.to_string(),
            graph_link: format!("{HOME}/graphs/{}", encoded(row.graph_id.as_str())),
            stage: row.stage.clone(),
            progress: is_running.then_some(Progress { done: row.done_bytes, total: row.total_bytes }),
            created: Moment::new(row.created_at, now),
            took: row.started_at.map(|at| row.ended_at.unwrap_or(now).since(at).into()),
            error: recorded_error(row).map(|error| error.message),
            is_open: !row.state.is_ended(),
        }
    }
}

#[derive(Template)]
#[template(path = "operations.html")]
struct OperationsPage<'a> {
    page: Page,
    open: Vec<OperationRow>,
    running: u64,
    queued: u64,
    rows: Vec<OperationRow>,
    kinds: &'static [OperationKind],
    kind: &'a str,
    states: &'static [OperationState],
    state: &'a str,
    graph: &'a str,
    next: Option<String>,
}

impl OperationsPage<'_> {
    fn is_kind(&self, one: &OperationKind) -> bool {
        one.as_str() == self.kind
    }

    fn is_state(&self, one: &OperationState) -> bool {
        one.as_str() == self.state
    }
}

const KINDS: [OperationKind; 15] = [
    OperationKind::Snapshot,
    OperationKind::Restore,
    OperationKind::Delete,
    OperationKind::Cleanup,
    OperationKind::Prune,
    OperationKind::Verify,
    OperationKind::Check,
    OperationKind::Repair,
    OperationKind::Reconcile,
    OperationKind::Unregister,
    OperationKind::Drill,
    OperationKind::Failover,
    OperationKind::Rollback,
    OperationKind::Replicate,
    OperationKind::Recover,
];

const STATES: [OperationState; 5] =
    [OperationState::Queued, OperationState::Running, OperationState::Succeeded, OperationState::Failed, OperationState::Cancelled];

/// How many open operations are shown above the history.
const OPEN: u64 = 50;

/// Shows those that are open, and a page of all.
pub(super) async fn list(visit: Visit) -> Result<Response, Failure> {
    let (kind, state, graph) = (visit.asked("kind"), visit.asked("state"), visit.asked("graph"));
    let wanted = OperationFilter {
        graph_id: if graph.is_empty() { None } else { Some(graph_id(graph)?) },
        kind: OperationKind::parse(kind),
        state: OperationState::parse(state),
        ..OperationFilter::default()
    };
    let services = visit.services();
    let (running, queued) = services.count_open_operations().await?;
    let open = services.open_operations(OPEN).await?;
    let found = services.list_operations(&wanted, &visit.list()?).await?;
    render(&OperationsPage {
        page: visit.page("Operations"),
        open: open.iter().map(|row| OperationRow::of(row, visit.now)).collect(),
        running,
        queued,
        rows: found.items.iter().map(|one| OperationRow::of(&one.row, visit.now)).collect(),
        kinds: &KINDS,
        kind,
        states: &STATES,
        state,
        graph,
        next: visit.next(found.next_page_token),
    })
}

#[derive(Template)]
#[template(path = "operation.html")]
struct OperationPage {
    page: Page,
    row: OperationRow,
    place: Option<u64>,
    snapshot: Option<String>,
    attempt: i32,
    instance: Option<String>,
    started: Option<Moment>,
    ended: Option<Moment>,
    reason: Option<String>,
    is_cancelling: bool,
    result: Vec<(String, String)>,
}

/// Shows one.
pub(super) async fn show(visit: Visit, id: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let operation = visit.services().get_operation(&id.map(|Path(id)| id).unwrap_or_default()).await?;
    let (row, now) = (&operation.row, visit.now);
    render(&OperationPage {
        page: visit.page(format!("{} of {}", sentence(row.kind.as_str()), row.graph_id)),
        place: operation.place,
        snapshot: row.snapshot_id.map(|id| id.to_string()),
        attempt: row.attempt,
        instance: row.instance_id.map(|id| id.to_string()),
        started: row.started_at.map(|at| Moment::new(at, now)),
        ended: row.ended_at.map(|at| Moment::new(at, now)),
        reason: recorded_error(row).map(|error| error.reason),
        is_cancelling: row.cancel_requested && !row.state.is_ended(),
        result: result(row),
        row: OperationRow::of(row, now),
    })
}

/// What came out, by name.
fn result(row: &Model) -> Vec<(String, String)> {
    let json = row.result.as_deref().filter(|_| row.state.is_ended());
    let Some(Ok(serde_json::Value::Object(all))) = json.map(serde_json::from_str) else { return Vec::new() };
    let told = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    all.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (sentence(&name), told(value))).collect()
}
