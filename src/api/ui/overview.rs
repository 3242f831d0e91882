//! The first page: is everything protected, and what is not.

use askama::Template;
use axum::response::{Redirect, Response};

use super::HOME;
use super::failure::Failure;
use super::graphs::GraphRow;
use super::marks::{Bytes, Mark, Moment, Tone, mark, protection};
use super::operations::OperationRow;
use super::page::{Page, render};
use super::schedules::ScheduleRow;
use super::visit::Visit;
use super::words::many;
use crate::domain::health::HealthStatus;
use crate::domain::page::PageRequest;
use crate::domain::target::TargetStatus;
use crate::service::overview::Counts;
use crate::store::entity::target;

/// How many rows each list of the first page has.
const ROWS: usize = 10;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    verdict: Mark,
    says: String,
    counts: Counts,
    troubled: Vec<GraphRow>,
    more_troubled: usize,
    running: u64,
    queued: u64,
    operations: Vec<OperationRow>,
    next: Vec<ScheduleRow>,
    targets: Vec<(target::Model, Mark)>,
    totals: Totals,
}

/// Counts over everything, as the API tells them.
struct Totals {
    backups: i64,
    size_bytes: i64,
    size: Bytes,
    checkpoints: u64,
    validated_checkpoints: u64,
    latest_checkpoint: Option<Moment>,
    failover_in_progress: bool,
}

/// Shows it.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let services = visit.services();
    let overviews = services.graph_overviews().await?;
    let counts = Counts::of(&overviews);
    let totals = totals(&visit, &overviews).await?;
    let (running, queued) = services.count_open_operations().await?;
    let open = services.open_operations(ROWS as u64).await?;
    let next = if visit.ui.features.backup { services.next_schedules(5).await? } else { Vec::new() };
    let mut troubled: Vec<_> = overviews.iter().filter(|one| one.status != HealthStatus::Healthy).collect();
    // The worst first; the order of ids among equals.
    troubled.sort_by_key(|one| std::cmp::Reverse(one.status));
    let (verdict, says) = verdict(&counts);
    render(&OverviewPage {
        page: visit.page("Overview"),
        verdict,
        says,
        counts,
        more_troubled: troubled.len().saturating_sub(ROWS),
        troubled: troubled.into_iter().take(ROWS).map(|one| GraphRow::of(one, visit.now)).collect(),
        running,
        queued,
        operations: open.iter().map(|row| OperationRow::of(row, visit.now)).collect(),
        next: next.iter().map(|row| ScheduleRow::of(row, Vec::new(), visit.now)).collect(),
        targets: targets(&visit).await?,
        totals,
    })
}

/// Leads to it.
pub(super) async fn home() -> Redirect {
    Redirect::permanent(HOME)
}

async fn totals(visit: &Visit, overviews: &[crate::service::overview::GraphOverview]) -> Result<Totals, Failure> {
    let recovery = visit.services().recovery_status().await?;
    let size_bytes = overviews.iter().map(|one| one.stats.total_size_bytes).sum();
    Ok(Totals {
        backups: overviews.iter().map(|one| one.stats.total_snapshots).sum(),
        size_bytes,
        size: Bytes(size_bytes),
        checkpoints: recovery.total_checkpoints,
        validated_checkpoints: recovery.validated_checkpoints,
        latest_checkpoint: recovery.latest.map(|row| Moment::new(row.created_at, visit.now)),
        failover_in_progress: recovery.failover_in_progress,
    })
}

async fn targets(visit: &Visit) -> Result<Vec<(target::Model, Mark)>, Failure> {
    if !visit.ui.features.replication {
        return Ok(Vec::new());
    }
    let page = visit.services().list_targets(&PageRequest { size: 20, after: None }).await?;
    let with_mark = |row: target::Model| {
        let mark = if row.enabled { Mark::from(row.status) } else { mark(Tone::Quiet, "disabled") };
        (row, mark)
    };
    let mut targets: Vec<_> = page.items.into_iter().map(with_mark).collect();
    targets.sort_by_key(|(row, _)| row.status == TargetStatus::Healthy);
    Ok(targets)
}

/// The answer to the first question.
fn verdict(counts: &Counts) -> (Mark, String) {
    let &Counts { graphs, healthy, degraded, critical, unknown } = counts;
    match (graphs, critical, degraded, unknown) {
        (0, ..) => (mark(Tone::Quiet, "nothing to protect"), "There is no graph yet: register one, or take its first snapshot.".to_owned()),
        (_, 0, 0, 0) if graphs == 1 => (protection(HealthStatus::Healthy), "The graph is protected.".to_owned()),
        (_, 0, 0, 0) => (protection(HealthStatus::Healthy), format!("All {} are protected.", many(healthy, "graph"))),
        (_, 0, 0, _) => (protection(HealthStatus::Unknown), format!("{} of {graphs} not checked lately.", many(unknown, "graph"))),
        (_, 0, _, _) => (protection(HealthStatus::Degraded), format!("{} of {graphs} in need of care.", many(degraded, "graph"))),
        _ => (protection(HealthStatus::Critical), format!("{} of {graphs} not protected.", many(critical, "graph"))),
    }
}
