//! The first page: is everything protected, and what is not.

use askama::Template;
use axum::response::{Redirect, Response};

use super::HOME;
use super::alerts::{AlertRow, firing};
use super::events::EventRow;
use super::failure::Failure;
use super::graphs::GraphRow;
use super::live::overviews;
use super::marks::{Bytes, Mark, Moment, Tone, mark, protection};
use super::operations::OperationRow;
use super::page::{Page, render};
use super::schedules::ScheduleRow;
use super::visit::Visit;
use crate::domain::event::Severity;
use crate::domain::health::HealthStatus;
use crate::domain::page::PageRequest;
use crate::domain::target::TargetStatus;
use crate::service::overview::Counts;
use crate::store::entity::target;
use crate::store::events::EventFilter;

/// How many rows each list of the first page has.
const ROWS: usize = 10;

/// How many events.
const EVENTS: u64 = 5;

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
    more_targets: usize,
    events: Vec<EventRow>,
    alerts: Vec<AlertRow>,
    firing: u64,
    totals: Totals,
}

/// Counts over everything, as the API tells them.
struct Totals {
    backups: i64,
    recent: i64,
    failed: i64,
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
    let overviews = overviews(&visit.ui).await?;
    let counts = Counts::of(&overviews);
    let totals = totals(&visit).await?;
    let (running, queued) = services.count_open_operations().await?;
    let open = services.open_operations(ROWS as u64).await?;
    let next = if visit.ui.features.backup { services.next_schedules(5).await? } else { Vec::new() };
    let mut troubled: Vec<_> = overviews.iter().filter(|one| one.status != HealthStatus::Healthy).collect();
    // The worst first; the order of ids among equals.
    troubled.sort_by_key(|one| std::cmp::Reverse(one.status));
    let (verdict, says) = verdict(&counts);
    let targets = targets(&visit).await?;
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
        more_targets: targets.len().saturating_sub(ROWS),
        targets: targets.into_iter().take(ROWS).collect(),
        events: troubles(&visit).await?,
        alerts: firing(&visit, None, EVENTS).await?,
        firing: if visit.ui.features.alerts { services.count_firing_alerts().await? } else { 0 },
        totals,
    })
}

/// Leads to it.
pub(super) async fn home() -> Redirect {
    Redirect::temporary(HOME)
}

async fn totals(visit: &Visit) -> Result<Totals, Failure> {
    let services = visit.services();
    let (backups, recovery) = (services.backup_statistics().await?, services.recovery_statistics().await?);
    let status = services.recovery_status().await?;
    Ok(Totals {
        backups: backups.total_backups,
        recent: backups.recent_backups,
        failed: backups.failed_backups,
        size_bytes: backups.total_size_bytes,
        size: Bytes(backups.total_size_bytes),
        checkpoints: recovery.total_checkpoints,
        validated_checkpoints: recovery.validated_checkpoints,
        latest_checkpoint: status.latest.map(|row| Moment::new(row.created_at, visit.now)),
        failover_in_progress: status.failover_in_progress,
    })
}

/// All targets, those that do not answer first.
async fn targets(visit: &Visit) -> Result<Vec<(target::Model, Mark)>, Failure> {
    if !visit.ui.features.replication {
        return Ok(Vec::new());
    }
    let all = visit.services().all_targets().await?;
    let with_mark = |row: target::Model| {
        let mark = if row.enabled { Mark::from(row.status) } else { mark(Tone::Quiet, "disabled") };
        (row, mark)
    };
    let mut targets: Vec<_> = all.into_iter().map(with_mark).collect();
    // By what is shown: a disabled one is neither well nor ill.
    targets.sort_by_key(|(row, _)| (!row.enabled, row.status == TargetStatus::Healthy, row.status != TargetStatus::Unreachable));
    Ok(targets)
}

/// The last events that somebody should look at.
async fn troubles(visit: &Visit) -> Result<Vec<EventRow>, Failure> {
    let mut rows = Vec::new();
    for severity in [Severity::Critical, Severity::Warning] {
        let wanted = EventFilter { severity: Some(severity), ..EventFilter::default() };
        rows.extend(visit.services().list_events(&wanted, &PageRequest { size: EVENTS, after: None }).await?.items);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
    Ok(rows.into_iter().take(EVENTS as usize).map(|row| EventRow::of(row, visit.now)).collect())
}

/// The answer to the first question.
fn verdict(counts: &Counts) -> (Mark, String) {
    let &Counts { graphs, degraded, critical, unknown, .. } = counts;
    let of_all = |number: usize, what: &str| match (number, graphs) {
        (_, 1) => format!("The graph {what}."),
        (1, _) => format!("1 of {graphs} graphs {what}."),
        (_, _) => format!("{number} of {graphs} graphs {}.", what.replacen("is ", "are ", 1).replacen("needs ", "need ", 1)),
    };
    let (status, says) = match (graphs, critical, degraded, unknown) {
        (0, ..) => {
            let says = "There is no graph yet: register one, or take its first snapshot.".to_owned();
            return (mark(Tone::Quiet, "nothing to protect"), says);
        }
        (1, 0, 0, 0) => (HealthStatus::Healthy, "The graph is protected.".to_owned()),
        (_, 0, 0, 0) => (HealthStatus::Healthy, format!("All {graphs} graphs are protected.")),
        (_, 0, 0, _) => (HealthStatus::Unknown, of_all(unknown, "is not checked")),
        (_, 0, _, _) => (HealthStatus::Degraded, of_all(degraded, "needs care")),
        _ => (HealthStatus::Critical, of_all(critical, "is not protected")),
    };
    (protection(status), says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_said_first() {
        let says = |graphs, degraded, critical, unknown| {
            let healthy = graphs - degraded - critical - unknown;
            verdict(&Counts { graphs, healthy, degraded, critical, unknown }).1
        };
        assert_eq!(says(1, 0, 0, 0), "The graph is protected.");
        assert_eq!(says(5, 0, 0, 0), "All 5 graphs are protected.");
        assert_eq!(says(5, 1, 2, 1), "2 of 5 graphs are not protected.");
        assert_eq!(says(5, 3, 0, 1), "3 of 5 graphs need care.");
        assert_eq!(says(5, 0, 0, 1), "1 of 5 graphs is not checked.");
        assert_eq!(says(1, 0, 1, 0), "The graph is not protected.");
    }
}
