//! Facts: what has happened, as triggers note it, and what is counted of it.

use super::{Metric, names};
use crate::base::timestamp::Timestamp;
use crate::domain::words::words;

words! {
    /// What has happened.
    pub enum FactKind {
        /// An operation has ended. Its word is its kind and its state, its amount how long it took in seconds, -1 if it never began.
        Operation = "operation",
        /// A snapshot was taken. Its word is the audit's.
        Snapshot = "snapshot",
        /// Snapshots that can be restored have become more, or fewer. Its word is the hour in which they were asked for, its amount their size.
        Kept = "kept",
        /// What they have added to their repository.
        Stored = "stored",
        /// Snapshots that have failed have become more, or fewer.
        Failed = "failed",
        /// A snapshot was deleted.
        Deleted = "deleted",
        /// A checkpoint was validated. Its word is how that ended.
        Validation = "validation",
        /// A graph was drilled. Its word is how that ended.
        Drill = "drill",
        /// A snapshot was verified. Its count is 1 where nothing was wrong; its word is the level.
        Verification = "verification",
        /// A schedule did not fire in time.
        Missed = "missed",
        /// Something has happened to a target. Its word is what, and a message; its amount the bytes that were sent.
        Target = "target",
        /// A component was looked at and protects nothing, or cannot be reached. Its word is what it is.
        Unhealthy = "unhealthy",
        /// A component was looked at. Its amount is how long that took, seconds.
        HealthCheck = "health_check",
        /// A snapshot has waited for LightRAG. Its amount is how long, seconds.
        Quiesce = "quiesce",
        /// What retention no longer keeps was looked for on all graphs.
        Retention = "retention",
        /// Somebody was to be told of an alert. Its word is the channel, and what became of it.
        Notification = "notification",
        /// An event was written. Its word is the severity.
        Event = "event",
        /// A graph, a schedule or a target is no longer there.
        Gone = "gone",
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What.
    pub kind: FactKind,
    /// To this graph.
    pub graph_id: Option<String>,
    /// The operation, target, schedule or component that it is about.
    pub subject_id: Option<String>,
    /// The schedule that brought it about.
    pub schedule_id: Option<String>,
    /// As its kind says.
    pub word: Option<String>,
    /// As its kind says.
    pub amount: f64,
    /// How many.
    pub count: i64,
    /// When.
    pub at: Timestamp,
}

impl Fact {
    /// One of this kind, with nothing more to say yet.
    pub fn new(kind: FactKind, at: Timestamp) -> Self {
        Self { kind, graph_id: None, subject_id: None, schedule_id: None, word: None, amount: 0.0, count: 1, at }
    }
}

/// How a tally goes on from what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is added.
    Add,
    /// The greater one stays.
    Raise,
    /// It takes its place.
    Set,
}

/// What is counted of a fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Of this metric, or figure of [`statistics`].
    pub metric: &'static str,
    /// The values of its labels; schedules and targets by their ids.
    pub labels: Vec<String>,
    /// Of a histogram.
    pub bucket: i32,
    /// It goes with this graph.
    pub graph_id: Option<String>,
    /// It goes with this schedule or target.
    pub owner_id: Option<String>,
    /// How the value goes on.
    pub step: Step,
    /// The value; of a histogram how many.
    pub value: f64,
    /// Of a histogram: the sum of what was measured.
    pub total: f64,
}

/// Figures that are kept for the statistics, and not served as metrics.
pub mod statistics {
    /// Snapshots that can be restored; of all graphs, and with a label for each.
    pub const KEPT: &str = "kept";
    /// The sum of their sizes, bytes.
    pub const KEPT_BYTES: &str = "kept_bytes";
    /// What they have added to their repositories, bytes.
    pub const STORED_BYTES: &str = "stored_bytes";
    /// Snapshots that have failed.
    pub const FAILED: &str = "failed";
    /// Snapshots that can be restored, by the hour since the epoch in which they were asked for.
    pub const KEPT_BY_HOUR: &str = "kept_by_hour";
}

impl Tally {
    fn of(metric: &'static str, labels: impl IntoIterator<Item = impl Into<String>>, step: Step, value: f64) -> Self {
        let labels = labels.into_iter().map(Into::into).collect();
        Self { metric, labels, bucket: 0, graph_id: None, owner_id: None, step, value, total: 0.0 }
    }

    fn one(metric: &Metric, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::of(metric.name, labels, Step::Add, 1.0)
    }

    fn measured(metric: &Metric, labels: impl IntoIterator<Item = impl Into<String>>, seconds: f64) -> Self {
        let bounds = metric.bounds();
        let bucket = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        Self { bucket: i32::try_from(bucket).unwrap_or(i32::MAX), total: seconds, ..Self::one(metric, labels) }
    }

    fn with(self, graph_id: Option<&String>, owner_id: Option<&String>) -> Self {
        Self { graph_id: graph_id.cloned(), owner_id: owner_id.cloned(), ..self }
    }
}

/// What is counted of a fact.
pub fn tallies_of(fact: &Fact) -> Vec<Tally> {
    let word = fact.word.as_deref().unwrap_or_default();
    let seconds = fact.at.seconds();
    let of_graph = |metric: &Metric, step, value| {
        let graph = fact.graph_id.as_ref()?;
        Some(Tally::of(metric.name, [graph], step, value).with(Some(graph), None))
    };
    match fact.kind {
        FactKind::Operation => of_operation(fact),
        FactKind::Snapshot => of_snapshot(fact),
        FactKind::Kept | FactKind::Stored | FactKind::Failed => of_statistics(fact),
        FactKind::Deleted => vec![Tally::one(&names::RETENTION_DELETED, NONE)],
        FactKind::Validation => {
            let failed = (word == "failed").then(|| Tally::one(&names::RECOVERY_VALIDATION_FAILURES, NONE));
            [Tally::one(&names::RECOVERY_VALIDATIONS, NONE)].into_iter().chain(failed).collect()
        }
        FactKind::Drill => {
            let passed = (word == "passed").then(|| of_graph(&names::DRILL_LAST_SUCCESS, Step::Raise, seconds)).flatten();
            [Tally::one(&names::DRILL_RUNS, [word])].into_iter().chain(passed).collect()
        }
        FactKind::Verification if fact.count > 0 => of_graph(&names::VERIFICATION_LAST_SUCCESS, Step::Raise, seconds).into_iter().collect(),
        FactKind::Verification => vec![Tally::one(&names::VERIFICATION_FAILURES, [word])],
        FactKind::Missed => {
            let Some(schedule) = &fact.subject_id else { return Vec::new() };
            let missed = Tally::of(names::SCHEDULE_MISSED.name, [schedule], Step::Add, fact.count as f64);
            vec![missed.with(None, Some(schedule))]
        }
        FactKind::Target => of_target(fact),
        FactKind::Unhealthy => vec![Tally::one(&names::HEALTH_CHECK_FAILURES, NONE)],
        FactKind::HealthCheck => vec![Tally::measured(&names::HEALTH_CHECK_DURATION, NONE, fact.amount)],
        FactKind::Quiesce => vec![Tally::measured(&names::BACKUP_QUIESCE_DURATION, NONE, fact.amount)],
        FactKind::Retention => vec![Tally::of(names::RETENTION_LAST_SUCCESS.name, NONE, Step::Raise, seconds)],
        FactKind::Notification => {
            let (channel, result) = word.split_once(' ').unwrap_or((word, ""));
            vec![Tally::one(&names::NOTIFICATIONS, [channel, result])]
        }
        FactKind::Event => vec![Tally::one(&names::EVENTS, [word])],
        FactKind::Gone => Vec::new(),
    }
}

const NONE: [&str; 0] = [];

fn of_operation(fact: &Fact) -> Vec<Tally> {
    let Some((kind, state)) = fact.word.as_deref().and_then(|word| word.split_once(' ')) else { return Vec::new() };
    let mut tallies = vec![Tally::one(&names::OPERATIONS, [kind, state])];
    let has_begun = fact.amount >= 0.0;
    if has_begun {
        tallies.push(Tally::measured(&names::OPERATION_DURATION, [kind], fact.amount));
    }
    match (kind, state) {
        ("snapshot", "succeeded") if has_begun => tallies.push(Tally::measured(&names::BACKUP_DURATION, NONE, fact.amount)),
        ("snapshot", "failed") => {
            tallies.push(Tally::one(&names::BACKUP_ERRORS, NONE));
            tallies.extend(run_of(fact, "failed", Some(0.0)));
        }
        ("snapshot", "cancelled") => tallies.extend(run_of(fact, "cancelled", None)),
        ("restore", _) => {
            tallies.push(Tally::one(&names::RESTORE_RUNS, [state]));
            if state == "succeeded" && has_begun {
                tallies.push(Tally::measured(&names::RESTORE_DURATION, NONE, fact.amount));
            }
        }
        ("failover", "succeeded" | "failed") => tallies.push(Tally::one(&names::RECOVERY_FAILOVERS, NONE)),
        _ => {}
    }
    tallies
}

fn of_snapshot(fact: &Fact) -> Vec<Tally> {
    let mut tallies = vec![Tally::one(&names::SNAPSHOTS, NONE)];
    if fact.word.as_deref() == Some("inconsistent") {
        tallies.extend(run_of(fact, "inconsistent", Some(0.5)));
        return tallies;
    }
    tallies.extend(run_of(fact, "succeeded", Some(1.0)));
    let (Some(graph), schedule) = (&fact.graph_id, fact.schedule_id.clone().unwrap_or_default()) else { return tallies };
    let success = Tally::of(names::BACKUP_LAST_SUCCESS.name, [graph, &schedule], Step::Raise, fact.at.seconds());
    tallies.push(success.with(Some(graph), fact.schedule_id.as_ref()));
    tallies
}

fn run_of(fact: &Fact, result: &str, last_result: Option<f64>) -> Vec<Tally> {
    let Some(graph) = &fact.graph_id else { return Vec::new() };
    let schedule = fact.schedule_id.as_deref().unwrap_or_default();
    let run = Tally::one(&names::BACKUP_RUNS, [graph, schedule, result]).with(Some(graph), fact.schedule_id.as_ref());
    let attempt = Tally::of(names::BACKUP_LAST_ATTEMPT.name, [graph], Step::Raise, fact.at.seconds());
    let last = last_result.map(|value| Tally::of(names::BACKUP_LAST_RESULT.name, [graph], Step::Set, value));
    [run].into_iter().chain([attempt].into_iter().chain(last).map(|tally| tally.with(Some(graph), None))).collect()
}

fn of_target(fact: &Fact) -> Vec<Tally> {
    let what = fact.word.as_deref().and_then(|word| word.split(' ').next()).unwrap_or_default();
    let operation = Tally::one(&names::REPLICATION_OPERATIONS, NONE);
    match (what, &fact.subject_id, &fact.graph_id) {
        ("failed", ..) => vec![operation, Tally::one(&names::REPLICATION_ERRORS, NONE)],
        ("replicated", Some(target), Some(graph)) => {
            let success = Tally::of(names::REPLICATION_LAST_SUCCESS.name, [graph, target], Step::Raise, fact.at.seconds());
            let sent = Tally::of(names::REPLICATION_TRANSFERRED.name, [target], Step::Add, fact.amount);
            vec![
                operation,
                Tally::of(names::REPLICATION_BYTES.name, NONE, Step::Add, fact.amount),
                sent.with(None, Some(target)),
                success.with(Some(graph), Some(target)),
            ]
        }
        _ => Vec::new(),
    }
}

/// Of all graphs, and of this one.
fn of_statistics(fact: &Fact) -> Vec<Tally> {
    let count = fact.count as f64;
    let figures = match fact.kind {
        FactKind::Kept => vec![(statistics::KEPT, count), (statistics::KEPT_BYTES, fact.amount)],
        FactKind::Stored => vec![(statistics::STORED_BYTES, fact.amount)],
        _ => vec![(statistics::FAILED, count)],
    };
    let mut tallies = Vec::new();
    for (figure, value) in figures {
        tallies.push(Tally::of(figure, NONE, Step::Add, value));
        if let Some(graph) = &fact.graph_id {
            tallies.push(Tally::of(figure, [graph], Step::Add, value).with(Some(graph), None));
        }
    }
    if fact.kind == FactKind::Kept {
        tallies.push(Tally::of(statistics::KEPT_BY_HOUR, fact.word.as_deref(), Step::Add, count));
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(fact: &Fact) -> Vec<String> {
        tallies_of(fact).into_iter().map(|tally| format!("{}{:?}@{}={}", tally.metric, tally.labels, tally.bucket, tally.value)).collect()
    }

    #[test]
    fn a_snapshot_that_failed_is_counted() {
        let fact = Fact {
            graph_id: Some("g".to_owned()),
            word: Some("snapshot failed".to_owned()),
            amount: 2.0,
            ..Fact::new(FactKind::Operation, Timestamp::from_micros(7_000_000))
        };
        let counted = [
            "lightkeep_operations_total[\"snapshot\", \"failed\"]@0=1",
            "lightkeep_operation_duration_seconds[\"snapshot\"]@3=1",
            "lightrag_backup_errors_total[]@0=1",
            "lightkeep_backup_runs_total[\"g\", \"\", \"failed\"]@0=1",
            "lightkeep_backup_last_attempt_timestamp_seconds[\"g\"]@0=7",
            "lightkeep_backup_last_result[\"g\"]@0=0",
        ];
        assert_eq!(names_of(&fact), counted);
    }

    #[test]
    fn what_is_longer_than_all_bounds_is_in_the_last_bucket() {
        let fact = Fact { amount: 1e9, ..Fact::new(FactKind::HealthCheck, Timestamp::default()) };
        assert_eq!(names_of(&fact), ["lightrag_health_check_duration_seconds[]@8=1"]);
    }

    #[test]
    fn an_inconsistent_snapshot_is_no_success() {
        let fact = Fact {
            graph_id: Some("g".to_owned()),
            word: Some("inconsistent".to_owned()),
            ..Fact::new(FactKind::Snapshot, Timestamp::default())
        };
        assert!(tallies_of(&fact).iter().all(|tally| tally.metric != names::BACKUP_LAST_SUCCESS.name));
    }
}
