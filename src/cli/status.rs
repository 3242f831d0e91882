//! `lightkeep status`: the whole picture on one screen, and in the exit code.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Args;
use lightkeep_client::{Error, v1};
use tonic::Code;
use v1::HealthStatus;

use super::cells::{Cell, Mood, Times, style};
use super::connection::Session;
use super::failure::Failure;
use super::operation;
use super::table::table;
use crate::base::clock::{Clock as _, SystemClock};
use crate::base::words::many;

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Look at everything now, instead of telling what was found last.
    #[arg(long)]
    check: bool,
}

/// All that is told.
struct Picture {
    health: v1::SystemHealth,
    recovery: Option<v1::RecoveryHealth>,
    graphs: Vec<v1::Graph>,
    alerts: Vec<v1::Alert>,
    operations: Vec<v1::Operation>,
}

/// How bad it is: the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Protected,
    Degraded,
    Critical,
}

impl Verdict {
    fn of(status: HealthStatus) -> Self {
        match status {
            HealthStatus::Healthy => Self::Protected,
            HealthStatus::Critical | HealthStatus::Offline => Self::Critical,
            HealthStatus::Unspecified | HealthStatus::Unknown | HealthStatus::Degraded => Self::Degraded,
        }
    }

    /// An alert counts as long as nobody has said that he knows.
    fn of_alert(alert: &v1::Alert) -> Self {
        match alert.severity() {
            _ if alert.acknowledged_at.is_some() || alert.silenced_until.is_some() => Self::Protected,
            v1::Severity::Critical => Self::Critical,
            v1::Severity::Warning => Self::Degraded,
            v1::Severity::Unspecified | v1::Severity::Info => Self::Protected,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// Tells it. The exit code is 0 when all graphs are protected, 1 when something is degraded or not known or there is no graph, 2 when
/// something is critical.
pub(super) async fn run(session: &Session, arguments: &StatusArgs) -> Result<ExitCode, Failure> {
    let picture = look(session, arguments.check).await?;
    let found = Verdict::of(picture.health.overall_status());
    // Where no graph is known nothing is protected: the database may have been lost.
    let found = if picture.graphs.is_empty() { found.max(Verdict::Degraded) } else { found };
    let verdict = picture.alerts.iter().map(Verdict::of_alert).fold(found, Verdict::max);
    if session.output.is_json() {
        session.output.text(&as_json(session, &picture, verdict)?)?;
    } else {
        session.output.text(&screen(session, &picture, verdict)?)?;
    }
    Ok(ExitCode::from(verdict as u8))
}

async fn look(session: &Session, check: bool) -> Result<Picture, Failure> {
    let recovery = if check {
        optional(session.client.call(v1::CheckRecoveryHealthRequest {}).await)?
    } else {
        optional(session.client.call(v1::GetRecoveryHealthRequest {}).await)?
    };
    let firing = v1::ListAlertsRequest { state: v1::AlertState::Firing.into(), page_size: 1000, ..Default::default() };
    Ok(Picture {
        recovery,
        health: session.call(v1::GetHealthRequest {}).await?,
        graphs: optional(session.client.all(v1::ListGraphsRequest { page_size: 1000, ..Default::default() }).await)?.unwrap_or_default(),
        alerts: optional(session.client.all(firing).await)?.unwrap_or_default(),
        operations: operation::open_ones(session, "-").await?,
    })
}

/// What a service that is switched off would have said is left out.
fn optional<T>(answer: Result<T, Error>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Code::Unimplemented => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn as_json(session: &Session, picture: &Picture, verdict: Verdict) -> Result<String, Failure> {
    let output = &session.output;
    let recovery = picture.recovery.as_ref().map_or_else(|| Ok("null".to_owned()), |recovery| output.json(recovery))?;
    let (status, health) = (verdict.word(), output.json(&picture.health)?);
    let (alerts, operations) = (output.json_list(&picture.alerts)?, output.json_list(&picture.operations)?);
    Ok(format!(r#"{{"status":"{status}","health":{health},"recovery_health":{recovery},"alerts":{alerts},"operations":{operations}}}"#)
        + "\n")
}

fn screen(session: &Session, picture: &Picture, verdict: Verdict) -> Result<String, Failure> {
    let mood = match verdict {
        Verdict::Protected => Mood::Good,
        Verdict::Degraded => Mood::Doubtful,
        Verdict::Critical => Mood::Bad,
    };
    let counts = [(picture.graphs.len(), "graph"), (picture.alerts.len(), "alert"), (picture.operations.len(), "open operation")];
    let counts: Vec<String> = counts.iter().map(|(number, noun)| many(*number, noun)).collect();
    let head = format!("{}  {}\n", style(mood).bold().apply_to(verdict.word().to_uppercase()), counts.join(", "));
    let parts = [
        head,
        graphs(session, picture)?,
        targets(session, picture)?,
        others(session, picture)?,
        alerts(session, picture)?,
        operations(session, picture)?,
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Ok(parts.join("\n"))
}

/// A line for each graph: the worse of how it is and how its backup is.
fn graphs(session: &Session, picture: &Picture) -> Result<String, Failure> {
    if picture.graphs.is_empty() {
        return Ok("no graphs; `lightkeep graph add` takes one into care\n".to_owned());
    }
    let none = HashMap::new();
    let found = picture.recovery.as_ref().map_or([&none, &none], |health| [&health.graphs, &health.backups]);
    let mut rows = session.output.rows(&picture.graphs, &["graph_id", "last_snapshot_time", "total_snapshots"], ages())?;
    for row in &mut rows {
        let worst = found.iter().filter_map(|found| found.get(&row[0].text)).max_by_key(|health| Verdict::of(health.status()));
        row.insert(1, status_cell(worst.map_or(HealthStatus::Unknown, v1::ComponentHealth::status)));
        row.push(Cell::plain(worst.map_or("not looked at yet: --check looks now", |health| health.message.as_str())));
    }
    Ok(table(&["GRAPH", "STATUS", "NEWEST SNAPSHOT", "SNAPSHOTS", "FOUND"], &rows))
}

fn targets(session: &Session, picture: &Picture) -> Result<String, Failure> {
    let mut found: Vec<v1::ComponentHealth> = picture.recovery.iter().flat_map(|health| health.replication.values().cloned()).collect();
    found.sort_by(|left, right| left.component_id.cmp(&right.component_id));
    components(session, "TARGET", &found)
}

/// What is neither a graph nor a target: the database, the storage. Told only where something is the matter.
fn others(session: &Session, picture: &Picture) -> Result<String, Failure> {
    let all = picture.health.details.as_ref().map(|details| details.components.as_slice()).unwrap_or_default();
    let is_told = |component: &&v1::ComponentHealth| {
        !matches!(component.component_type.as_str(), "graph" | "backup" | "target") && component.status() != HealthStatus::Healthy
    };
    let found: Vec<v1::ComponentHealth> = all.iter().filter(is_told).cloned().collect();
    components(session, "COMPONENT", &found)
}

fn components(session: &Session, title: &str, found: &[v1::ComponentHealth]) -> Result<String, Failure> {
    if found.is_empty() {
        return Ok(String::new());
    }
    let rows = session.output.rows(found, &["component_id", "status", "last_check", "message"], ages())?;
    Ok(table(&[title, "STATUS", "LOOKED AT", "FOUND"], &rows))
}

fn alerts(session: &Session, picture: &Picture) -> Result<String, Failure> {
    if picture.alerts.is_empty() {
        return Ok(String::new());
    }
    let rows = session.output.rows(&picture.alerts, &["severity", "started_at", "summary", "acknowledged_by"], ages())?;
    Ok(table(&["ALERT", "SINCE", "WHAT", "ACKNOWLEDGED"], &rows))
}

fn operations(session: &Session, picture: &Picture) -> Result<String, Failure> {
    if picture.operations.is_empty() {
        return Ok(String::new());
    }
    let rows = session.output.rows(&picture.operations, &["operation_id", "kind", "graph_id", "state", "stage"], ages())?;
    Ok(table(&["OPERATION", "KIND", "GRAPH", "STATE", "STAGE"], &rows))
}

/// How long ago things were, at a glance.
fn ages() -> Times {
    Times::Age(SystemClock.now())
}

fn status_cell(status: HealthStatus) -> Cell {
    Cell::word(&status.as_str_name().trim_start_matches("HEALTH_STATUS_").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_protected() {
        let verdicts =
            [HealthStatus::Healthy, HealthStatus::Unknown, HealthStatus::Degraded, HealthStatus::Offline, HealthStatus::Critical];
        assert_eq!(verdicts.map(|status| Verdict::of(status) as u8), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn an_alert_counts_until_somebody_knows_of_it() {
        let firing = |severity: v1::Severity| v1::Alert { severity: severity.into(), ..Default::default() };
        assert_eq!(Verdict::of_alert(&firing(v1::Severity::Critical)), Verdict::Critical);
        assert_eq!(Verdict::of_alert(&firing(v1::Severity::Warning)), Verdict::Degraded);
        assert_eq!(Verdict::of_alert(&firing(v1::Severity::Info)), Verdict::Protected);
        let known = v1::Alert { acknowledged_at: Some(prost_types::Timestamp::default()), ..firing(v1::Severity::Critical) };
        assert_eq!(Verdict::of_alert(&known), Verdict::Protected);
    }
}
