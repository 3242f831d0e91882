//! Failovers, and the report of one: each step, how long it took and what came out.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;

use super::HOME;
use super::failure::Failure;
use super::marks::{Bytes, Length, Mark, Moment};
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::base::words::{many, sentence};
use crate::domain::failover::{Member, Step};
use crate::service::Error;
use crate::service::failovers::{members_of, steps_of};
use crate::store::entity::failover::Model;

struct FailoverRow {
    id: String,
    link: String,
    kind: String,
    state: Mark,
    phase: String,
    created: Moment,
    took: Option<Length>,
    graphs: String,
    checkpoint: String,
    error: String,
    operation: Option<String>,
}

impl FailoverRow {
    fn of(row: &Model, now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            id: row.failover_id.to_string(),
            link: format!("{HOME}/failovers/{}", row.failover_id),
            kind: sentence(row.kind.as_str()),
            state: row.state.into(),
            phase: sentence(row.phase.as_str()),
            created: Moment::new(row.created_at, now),
            took: row.ended_at.map(|at| at.since(row.created_at).into()),
            graphs: many(members_of(row)?.len(), "graph"),
            checkpoint: row.checkpoint_id.to_string(),
            error: row.error_message.clone().unwrap_or_default(),
            operation: row.operation_id.map(|id| format!("{HOME}/operations/{id}")),
        })
    }
}

#[derive(Template)]
#[template(path = "failovers.html")]
struct FailoversPage {
    page: Page,
    rows: Vec<FailoverRow>,
    next: Option<String>,
}

/// Shows a page of them.
pub(super) async fn list(visit: Visit) -> Result<Response, Failure> {
    let found = visit.services().list_failovers(None, &visit.list()?).await?;
    render(&FailoversPage {
        page: visit.page("Failovers"),
        rows: found.items.iter().map(|row| FailoverRow::of(row, visit.now)).collect::<Result<_, _>>()?,
        next: visit.next(found.next_page_token),
    })
}

struct MemberRow {
    graph: String,
    link: String,
    snapshot: String,
    from: String,
    target: String,
    kept_as: String,
    size: Bytes,
}

struct StepRow {
    kind: String,
    of: String,
    outcome: Mark,
    started: Moment,
    took: Option<Length>,
    message: String,
}

fn step(step: Step, now: Timestamp) -> StepRow {
    let started = Timestamp::from_micros(step.started_at_micros);
    StepRow {
        kind: sentence(step.kind.as_str()),
        of: step.hook.or(step.graph_id).unwrap_or_else(|| "all graphs".to_owned()),
        outcome: step.outcome.into(),
        started: Moment::new(started, now),
        took: step.ended_at_micros.map(|at| Timestamp::from_micros(at).since(started).into()),
        message: step.message.unwrap_or_default(),
    }
}

#[derive(Template)]
#[template(path = "failover.html")]
struct FailoverPage {
    page: Page,
    row: FailoverRow,
    members: Vec<MemberRow>,
    steps: Vec<StepRow>,
}

/// Shows the report of one.
pub(super) async fn show(visit: Visit, id: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let row = visit.services().get_failover(&id.map(|Path(id)| id).unwrap_or_default()).await?;
    let member = |one: Member| MemberRow {
        link: format!("{HOME}/graphs/{}", encoded(&one.graph_id)),
        size: Bytes(i64::try_from(one.size_bytes()).unwrap_or(i64::MAX)),
        graph: one.graph_id,
        snapshot: one.snapshot_id,
        from: one.source.from,
        target: one.source.target,
        kept_as: one.source.kept_as,
    };
    render(&FailoverPage {
        page: visit.page(format!("{} report", sentence(row.kind.as_str()))),
        members: members_of(&row)?.into_iter().map(member).collect(),
        steps: steps_of(&row)?.into_iter().map(|one| step(one, visit.now)).collect(),
        row: FailoverRow::of(&row, visit.now)?,
    })
}
