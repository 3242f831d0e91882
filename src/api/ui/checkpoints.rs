//! Checkpoints: which graphs each holds, and what its validation said.

use askama::Template;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Length, Mark, Moment, Tone, mark};
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::base::words::many;
use crate::domain::checkpoint::CheckpointState;
use crate::service::checkpoints::Checkpoint;

struct Member {
    graph: String,
    link: String,
    snapshot: String,
    error: String,
}

struct CheckpointRow {
    id: String,
    description: String,
    origin: &'static str,
    created: Moment,
    state: Mark,
    error: String,
    graphs: String,
    members: Vec<Member>,
    window: Option<Length>,
    validation: Mark,
    validated: Option<Moment>,
    kept: Option<Moment>,
}

impl CheckpointRow {
    fn of(one: Checkpoint, now: Timestamp) -> Self {
        let Checkpoint { row, members, validated } = one;
        let moment = |at| Moment::new(at, now);
        let validation = match (row.validation_passed, validated) {
            (Some(true), true) => mark(Tone::Good, "validated"),
            (Some(true), false) => mark(Tone::Fair, "validated too long ago"),
            (Some(false), _) => mark(Tone::Bad, "not valid"),
            (None, _) if row.state == CheckpointState::Completed && row.validate_level.is_some() => mark(Tone::Busy, "being validated"),
            (None, _) => mark(Tone::Quiet, "not validated"),
        };
        let between = row.captured_from_at.zip(row.captured_until_at);
        Self {
            id: row.checkpoint_id.to_string(),
            description: row.description,
            origin: row.origin.as_str(),
            created: moment(row.created_at),
            state: row.state.into(),
            error: row.error_message.unwrap_or_default(),
            graphs: many(members.len(), "graph"),
            members: members.into_iter().map(member).collect(),
            window: between.map(|(from, until)| until.since(from).into()),
            validation,
            validated: row.validated_at.map(moment),
            kept: row.retention_until.map(moment),
        }
    }
}

fn member(row: crate::store::entity::checkpoint_member::Model) -> Member {
    Member {
        link: format!("{HOME}/graphs/{}", encoded(row.graph_id.as_str())),
        graph: row.graph_id.to_string(),
        snapshot: row.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        error: row.error_message.unwrap_or_default(),
    }
}

#[derive(Template)]
#[template(path = "checkpoints.html")]
struct CheckpointsPage {
    page: Page,
    total: u64,
    validated: u64,
    rows: Vec<CheckpointRow>,
    next: Option<String>,
}

/// Shows a page of them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let services = visit.services();
    let status = services.recovery_status().await?;
    let found = services.list_checkpoints(&visit.list()?).await?;
    render(&CheckpointsPage {
        page: visit.page("Checkpoints"),
        total: status.total_checkpoints,
        validated: status.validated_checkpoints,
        rows: found.items.into_iter().map(|one| CheckpointRow::of(one, visit.now)).collect(),
        next: visit.next(found.next_page_token),
    })
}
