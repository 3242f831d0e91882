//! The rules that are there by themselves.

use std::time::Duration;

use super::{AlertCondition, Origin, Rule, RuleInForce, Severity};
use crate::domain::metric::{Metric, names};

use AlertCondition::{Above, Below};
use Severity::{Critical, Warning};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: f64 = 86_400.0;
const GIB: f64 = 1_073_741_824.0;

/// A rule as it stands in this table.
struct Row {
    name: &'static str,
    severity: Severity,
    hold_seconds: u64,
    metric: &'static Metric,
    labels: &'static [(&'static str, &'static str)],
    is_age: bool,
    condition: AlertCondition,
    threshold: f64,
    relative_to: Option<&'static Metric>,
    summary: &'static str,
}

/// A rule over the value of a metric.
const fn value(
    (name, severity, hold_seconds): (&'static str, Severity, u64),
    metric: &'static Metric,
    condition: AlertCondition,
    threshold: f64,
    summary: &'static str,
) -> Row {
    Row { name, severity, hold_seconds, metric, labels: &[], is_age: false, condition, threshold, relative_to: None, summary }
}

impl Row {
    /// Over the time since the metric's value.
    const fn aged(self) -> Self {
        Self { is_age: true, ..self }
    }

    /// Only over series with these labels.
    const fn of(self, labels: &'static [(&'static str, &'static str)]) -> Self {
        Self { labels, ..self }
    }

    /// The threshold is so many times this metric.
    const fn times(self, relative_to: &'static Metric) -> Self {
        Self { relative_to: Some(relative_to), ..self }
    }
}

const ROWS: [Row; 26] = [
    value(
        ("BackupTooOld", Warning, 15 * MINUTE),
        &names::PROTECTED_UNTIL,
        Above,
        1.5,
        "the newest good snapshot of graph {graph} is older than one and a half of its schedule's intervals",
    )
    .aged()
    .times(&names::SCHEDULE_INTERVAL),
    value(
        ("BackupFarTooOld", Critical, 15 * MINUTE),
        &names::PROTECTED_UNTIL,
        Above,
        3.0,
        "the newest good snapshot of graph {graph} is older than three of its schedule's intervals",
    )
    .aged()
    .times(&names::SCHEDULE_INTERVAL),
    value(
        ("RpoBreach", Critical, 5 * MINUTE),
        &names::PROTECTED_UNTIL,
        Above,
        1.0,
        "the newest good snapshot of graph {graph} is older than its recovery point objective",
    )
    .aged()
    .times(&names::OBJECTIVE_RPO),
    value(
        ("BackupNeverSucceeded", Critical, HOUR),
        &names::UNPROTECTED_SINCE,
        Above,
        1.0,
        "graph {graph} has a schedule that was due, but no good snapshot",
    )
    .aged()
    .times(&names::SCHEDULE_INTERVAL),
    value(("BackupFailed", Warning, 0), &names::BACKUP_LAST_RESULT, Below, 0.25, "the last snapshot of graph {graph} has failed"),
    value(
        ("ScheduleMissed", Warning, 10 * MINUTE),
        &names::SCHEDULE_NEXT_RUN,
        Above,
        600.0,
        "schedule {schedule} was due, but has not run",
    )
    .aged(),
    value(
        ("SizeAnomaly", Critical, 0),
        &names::GRAPH_SIZE_CHANGE,
        Below,
        -0.3,
        "the newest snapshot of graph {graph} is much smaller than the one before",
    ),
    value(
        ("RecordsAnomaly", Critical, 0),
        &names::GRAPH_RECORDS_CHANGE,
        Below,
        -0.3,
        "the newest snapshot of graph {graph} has far fewer {kind} than the one before",
    ),
    value(
        ("ConsistencyViolation", Critical, 15 * MINUTE),
        &names::CONSISTENCY_VIOLATIONS,
        Above,
        0.0,
        "the stores of graph {graph} contradict each other in its newest snapshot",
    ),
    value(
        ("ReplicationLag", Warning, 15 * MINUTE),
        &names::REPLICATION_LAG,
        Above,
        1.0,
        "target {target} is further behind with graph {graph} than its recovery point objective",
    )
    .times(&names::OBJECTIVE_RPO),
    value(("TargetDown", Critical, 10 * MINUTE), &names::TARGET_UP, Below, 0.25, "target {target} takes no copies"),
    value(("TargetFull", Warning, 30 * MINUTE), &names::TARGET_FREE, Below, 5.0 * GIB, "target {target} has little room left"),
    value(("StorageFull", Critical, 10 * MINUTE), &names::STORAGE_FREE, Below, 0.1, "the disk of the repositories has little room left")
        .times(&names::STORAGE_TOTAL),
    value(
        ("CopiesBelowPolicy", Critical, HOUR),
        &names::COPIES_MISSING,
        Above,
        0.0,
        "the newest good snapshot of graph {graph} has fewer copies than its policy asks for",
    ),
    value(
        ("VerificationTooOld", Warning, HOUR),
        &names::VERIFICATION_LAST_SUCCESS,
        Above,
        30.0 * DAY,
        "no snapshot of graph {graph} was verified for a month",
    )
    .aged(),
    value(
        ("VerificationFailed", Critical, 0),
        &names::VERIFICATION_FAILED,
        Above,
        0.0,
        "a verification has found something wrong in a snapshot of graph {graph}",
    ),
    value(
        ("DrillTooOld", Warning, HOUR),
        &names::DRILL_LAST_SUCCESS,
        Above,
        30.0 * DAY,
        "graph {graph} was not recovered in a drill for a month",
    )
    .aged(),
    value(("DrillFailed", Critical, 0), &names::DRILL_LAST_RESULT, Below, 0.5, "the last drill of graph {graph} has failed"),
    value(
        ("RtoBreach", Warning, 0),
        &names::DRILL_RTO,
        Above,
        1.0,
        "the recovery of graph {graph} took longer in its last drill than its recovery time objective",
    )
    .times(&names::OBJECTIVE_RTO),
    value(
        ("RetrievalRegression", Critical, 0),
        &names::DRILL_RECALL,
        Below,
        0.95,
        "graph {graph} retrieved less for a probe in its last drill than it did before",
    ),
    value(
        ("RetentionStalled", Warning, HOUR),
        &names::RETENTION_LAST_SUCCESS,
        Above,
        2.0 * DAY,
        "what retention no longer keeps was not deleted for two days",
    )
    .aged(),
    value(
        ("OperationStuck", Warning, 5 * MINUTE),
        &names::OPERATION_HEARTBEAT_AGE,
        Above,
        120.0,
        "a running operation gives no sign of life",
    ),
    value(
        ("QueueStalled", Warning, 15 * MINUTE),
        &names::OPERATION_QUEUE_AGE,
        Above,
        3600.0,
        "an operation has waited for more than an hour",
    ),
    value(("SchedulerDead", Critical, 5 * MINUTE), &names::LEASE_HELD, Below, 1.0, "no instance runs the schedules")
        .of(&[("lease", "scheduler")]),
    value(
        ("FailoverIncomplete", Critical, 0),
        &names::FAILOVERS_INCOMPLETE,
        Above,
        0.0,
        "a failover has left some graphs old and some new",
    ),
    value(
        ("ComponentUnhealthy", Critical, 10 * MINUTE),
        &names::COMPONENT_HEALTH,
        Below,
        0.25,
        "{component_type} {component} is not healthy",
    ),
];

/// All of them, in the order of the manual.
pub fn rules() -> Vec<Rule> {
    ROWS.iter().map(rule).collect()
}

/// All of them, as they count where nobody says otherwise.
pub fn in_force() -> Vec<RuleInForce> {
    rules().into_iter().map(|rule| RuleInForce { rule, is_enabled: true, origin: Origin::Default }).collect()
}

fn rule(row: &Row) -> Rule {
    Rule {
        name: row.name.to_owned(),
        severity: row.severity,
        metric: row.metric,
        labels: row.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        is_age: row.is_age,
        condition: row.condition,
        threshold: row.threshold,
        relative_to: row.relative_to,
        hold: Duration::from_secs(row.hold_seconds),
        summary: row.summary.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::RuleFields;
    use super::*;

    /// As somebody would write it down.
    fn written(rule: &Rule) -> RuleFields {
        RuleFields {
            name: rule.name.clone(),
            enabled: None,
            severity: Some(rule.severity.to_string()),
            metric: Some(rule.metric.name.to_owned()),
            labels: Some(rule.labels.clone()),
            is_age: Some(rule.is_age),
            condition: Some(rule.condition.to_string()),
            threshold: Some(rule.threshold),
            relative_to: rule.relative_to.map(|metric| metric.name.to_owned()),
            for_seconds: i64::try_from(rule.hold.as_secs()).ok(),
            summary: Some(rule.summary.clone()),
        }
    }

    #[test]
    fn each_could_have_been_written_by_anybody() {
        let names: BTreeSet<String> = rules().into_iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), ROWS.len());
        for rule in rules() {
            assert_eq!(written(&rule).parse(None).map_err(|violations| violations.to_string()), Ok((rule, true)));
        }
    }
}
