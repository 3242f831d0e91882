//! One graph: how it is protected, its snapshots on a line of time, how it grew, how far its targets are.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;

use super::HOME;
use super::alerts::{AlertRow, firing};
use super::chart::{Trend, Unit};
use super::drills::DrillRow;
use super::failure::Failure;
use super::graphs::GraphRow;
use super::marks::{Bytes, Count, Length, Mark, Moment};
use super::page::{Page, render};
use super::timeline::{Timeline, consistency};
use super::visit::{Visit, graph_id};
use crate::base::timestamp::Timestamp;
use crate::base::uri::encoded;
use crate::domain::graph_id::GraphId;
use crate::domain::page::PageRequest;
use crate::service::overview::GraphOverview;
use crate::store::entity::snapshot::Model;
use crate::store::snapshots::SnapshotFilter;

/// How many snapshots the line and the curves show.
const SHOWN: u64 = 200;

/// A snapshot in the list.
struct SnapshotRow {
    id: String,
    created: Moment,
    status: Mark,
    consistency: Mark,
    size: Bytes,
    stored: Bytes,
    documents: Count,
    entities: Count,
    relations: Count,
    verified: Option<(Mark, Moment)>,
    pin: Option<String>,
    is_held: bool,
    error: Option<String>,
    operation: String,
    is_restorable: bool,
}

impl SnapshotRow {
    fn of(row: Model, now: Timestamp) -> Self {
        let passed = row.verified_passed.map(|passed| {
            if passed {
                super::marks::mark(super::marks::Tone::Good, "passed")
            } else {
                super::marks::mark(super::marks::Tone::Bad, "failed")
            }
        });
        let is_over = |until: Option<Timestamp>| until.is_some_and(|until| until <= now);
        Self {
            id: row.snapshot_id.to_string(),
            created: Moment::new(row.created_at, now),
            status: row.status.into(),
            consistency: consistency(&row),
            size: Bytes(row.size_bytes),
            stored: Bytes(row.stored_bytes),
            documents: Count(row.documents),
            entities: Count(row.entities),
            relations: Count(row.relations),
            verified: passed.zip(row.verified_at.map(|at| Moment::new(at, now))),
            is_held: row.hold_reason.is_some() && !is_over(row.held_until_at),
            pin: row.pin_reason.filter(|_| !is_over(row.pinned_until_at)),
            error: row.error_message,
            operation: format!("{HOME}/operations/{}", row.operation_id),
            is_restorable: row.status.is_restorable(),
        }
    }
}

/// How far a target is.
struct TargetRow {
    name: String,
    status: Mark,
    lag: Length,
    is_behind: bool,
    missing: u64,
    missing_bytes: Bytes,
    there: usize,
    last_success: Option<Moment>,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "graph.html")]
struct GraphPage {
    page: Page,
    row: GraphRow,
    id: String,
    source_dir: String,
    is_copy: bool,
    alerts: Vec<AlertRow>,
    findings: Vec<(&'static str, Mark, String, Moment)>,
    rto_objective: Option<Length>,
    timeline: Timeline,
    trends: Vec<Trend>,
    drill: Option<DrillRow>,
    targets: Vec<TargetRow>,
    snapshots: Vec<SnapshotRow>,
    next: Option<String>,
}

/// Shows it.
pub(super) async fn show(visit: Visit, id: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let graph_id = graph_id(&id.map(|Path(id)| id).unwrap_or_default())?;
    let (services, now) = (visit.services(), visit.now);
    let overview = services.graph_overview(&graph_id).await?;
    let of_graph = SnapshotFilter { graph_id: Some(graph_id.clone()), ..SnapshotFilter::default() };
    let shown = services.list_snapshots(&of_graph, &PageRequest { size: SHOWN, after: None }).await?.items;
    let listed = services.list_snapshots(&of_graph, &visit.list()?).await?;
    let rto = overview.row.rto_objective_seconds.map(|seconds| Length::seconds(seconds as f64));
    render(&GraphPage {
        page: visit.page(format!("Graph {graph_id}")),
        id: encoded(graph_id.as_str()),
        source_dir: overview.row.source_dir.clone(),
        is_copy: graph_id.is_copy(),
        alerts: firing(&visit, Some(graph_id.clone()), SHOWN).await?,
        findings: findings(&overview, now),
        rto_objective: rto,
        timeline: Timeline::of(&shown),
        trends: trends(&shown),
        drill: services.last_drill(&graph_id).await?.map(|row| DrillRow::of(&row, now)).transpose()?,
        targets: targets(&visit, &graph_id).await?,
        snapshots: listed.items.into_iter().map(|row| SnapshotRow::of(row, now)).collect(),
        next: visit.next(listed.next_page_token),
        row: GraphRow::of(&overview, now),
    })
}

fn findings(overview: &GraphOverview, now: Timestamp) -> Vec<(&'static str, Mark, String, Moment)> {
    let found = [("Source", &overview.source), ("Backup", &overview.backup)];
    let told = found.into_iter().filter_map(|(name, check)| check.as_ref().map(|check| (name, check)));
    told.map(|(name, check)| (name, check.status.into(), check.message.clone(), Moment::new(check.checked_at, now))).collect()
}

/// Out of the snapshots' own rows, newest first: what they measured is the truth.
fn trends(shown: &[Model]) -> Vec<Trend> {
    let whole = || shown.iter().rev().filter(|row| row.status.is_restorable());
    let of = |name, unit, value: fn(&Model) -> i64| Trend::of(name, unit, whole().map(|row| (row.created_at, value(row) as f64)).collect());
    let all = [
        of("Size", Unit::Bytes, |row| row.size_bytes),
        of("Added to the repository", Unit::Bytes, |row| row.stored_bytes),
        of("Documents", Unit::Number, |row| row.documents),
        of("Chunks", Unit::Number, |row| row.chunks),
        of("Entities", Unit::Number, |row| row.entities),
        of("Relations", Unit::Number, |row| row.relations),
    ];
    all.into_iter().flatten().collect()
}

async fn targets(visit: &Visit, graph_id: &GraphId) -> Result<Vec<TargetRow>, Failure> {
    if !visit.ui.features.replication {
        return Ok(Vec::new());
    }
    let status = visit.services().replication_status(graph_id).await?;
    let row = |one: crate::service::replication::ReplicaStatus| TargetRow {
        name: one.target.name.clone(),
        status: if one.target.enabled { one.target.status.into() } else { super::marks::mark(super::marks::Tone::Quiet, "disabled") },
        is_behind: !one.lag.length.is_zero(),
        lag: one.lag.length.into(),
        missing: one.lag.snapshots,
        missing_bytes: Bytes(i64::try_from(one.lag.bytes).unwrap_or(i64::MAX)),
        there: one.replicated,
        last_success: one.replica.last_success_at.map(|at| Moment::new(at, visit.now)),
        error: one.replica.last_error,
    };
    Ok(status.replicas.into_iter().map(row).collect())
}
