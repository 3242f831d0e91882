//! Checkpoints: one snapshot of each of several graphs, made together; when one is complete, and what its validation says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::graph_id::GraphId;
use super::words::words;
use crate::base::timestamp::Timestamp;

words! {
    /// Where a checkpoint stands.
    pub enum CheckpointState {
        /// Its snapshots are being taken.
        Capturing = "capturing",
        /// All that was to join is there.
        Completed = "completed",
        /// It did not come about; it keeps no snapshot.
        Failed = "failed",
    }
}

words! {
    /// Where a checkpoint comes from.
    pub enum CheckpointOrigin {
        /// A caller made it.
        Created = "created",
        /// LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL.
        Automatic = "automatic",
    }
}

words! {
    /// Where a validation stands.
    pub enum ValidationState {
        /// Its snapshots are being verified.
        Running = "running",
        /// Each snapshot is there, and all that was asked of it is well.
        Passed = "passed",
        /// Something is wrong.
        Failed = "failed",
    }
}

/// What is wrong with one graph of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The graph.
    pub graph_id: String,
    /// Its snapshot.
    pub snapshot_id: String,
    /// What is wrong.
    pub message: String,
}

/// A graph that is to join a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// The graph.
    pub graph_id: GraphId,
    /// Its snapshot is taken for the checkpoint, not named by its caller.
    pub fresh: bool,
    /// How far its snapshot is.
    pub progress: Progress,
}

/// How far a snapshot for a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Not there yet.
    Waits,
    /// There; when its capture began, where that is known.
    Ready(Option<Timestamp>),
    /// It will not come, and why.
    Failed(String),
}

/// What becomes of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Not all of its snapshots have ended.
    Wait,
    /// It is complete with those that are ready.
    Complete,
    /// It has failed, and why.
    Fail(String),
}

/// Decides about a checkpoint. All graphs join or none, unless it may be partial; then at least one does. All captures that are made for
/// it must begin within the window.
pub fn decide(joining: &[Joining], allow_partial: bool, window: Duration) -> Decision {
    if joining.iter().any(|one| one.progress == Progress::Waits) {
        return Decision::Wait;
    }
    let failed = |one: &Joining| match &one.progress {
        Progress::Failed(why) => Some(format!("graph `{}` cannot join: {why}", one.graph_id)),
        Progress::Waits | Progress::Ready(_) => None,
    };
    let failures: Vec<String> = joining.iter().filter_map(failed).collect();
    if failures.len() == joining.len() || (!allow_partial && !failures.is_empty()) {
        return Decision::Fail(failures.join("; "));
    }
    match captured_between(joining.iter().filter(|one| one.fresh)) {
        Some((from, until)) if until.since(from) > window => Decision::Fail(format!(
            "the captures began within {} s, not within {} s: raise `window_seconds`, or the number of operations that run at once",
            until.since(from).as_secs(),
            window.as_secs()
        )),
        _ => Decision::Complete,
    }
}

/// When the first and the last of these captures began; none where none is known.
pub fn captured_between<'j>(joining: impl Iterator<Item = &'j Joining>) -> Option<(Timestamp, Timestamp)> {
    let times = joining.filter_map(|one| match one.progress {
        Progress::Ready(captured_at) => captured_at,
        Progress::Waits | Progress::Failed(_) => None,
    });
    times.fold(None, |between, time| {
        let (from, until): (Timestamp, Timestamp) = between.unwrap_or((time, time));
        Some((from.min(time), until.max(time)))
    })
}

/// What the retention of checkpoints asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// Where it stands.
    pub state: CheckpointState,
    /// Whether its last validation passed.
    pub validated: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its retention is over; none while it is being made.
    pub retention_until: Option<Timestamp>,
}

/// Whether each checkpoint goes: those whose time is over, but for the newest that is complete, and the newest that is validated.
pub fn expired(checkpoints: &[KeptCheckpoint], now: Timestamp) -> Vec<bool> {
    let newest = |test: &dyn Fn(&KeptCheckpoint) -> bool| {
        checkpoints.iter().filter(|one| one.state == CheckpointState::Completed && test(one)).map(|one| one.created_at).max()
    };
    let spared = [newest(&|_| true), newest(&|one| one.validated)];
    let is_over = |one: &KeptCheckpoint| one.retention_until.is_some_and(|until| until <= now);
    let is_spared = |one: &KeptCheckpoint| one.state == CheckpointState::Completed && spared.contains(&Some(one.created_at));
    checkpoints.iter().map(|one| one.state != CheckpointState::Capturing && is_over(one) && !is_spared(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn joining(graph_id: &str, progress: Progress) -> Joining {
        Joining { graph_id: GraphId::parse(graph_id).expect("valid"), fresh: true, progress }
    }

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn all_join_or_none() {
        let (ready, failed) = (Progress::Ready(Some(at(0))), Progress::Failed("no source".into()));
        let both = [joining("a", ready.clone()), joining("b", Progress::Ready(Some(at(60))))];
        assert_eq!(decide(&both, false, WINDOW), Decision::Complete);
        assert_eq!(captured_between(both.iter()), Some((at(0), at(60))));
        let one = [joining("a", ready.clone()), joining("b", failed.clone())];
        assert_eq!(decide(&one, false, WINDOW), Decision::Fail("graph `b` cannot join: no source".into()));
        assert_eq!(decide(&one, true, WINDOW), Decision::Complete);
        let none = [joining("a", failed.clone()), joining("b", failed.clone())];
        assert!(matches!(decide(&none, true, WINDOW), Decision::Fail(_)));
        // Nothing is decided before all have ended, so nothing of it is left behind.
        assert_eq!(decide(&[joining("a", failed), joining("b", Progress::Waits)], false, WINDOW), Decision::Wait);
    }

    #[test]
    fn captures_begin_within_the_window() {
        let apart = [joining("a", Progress::Ready(Some(at(0)))), joining("b", Progress::Ready(Some(at(61))))];
        let Decision::Fail(why) = decide(&apart, true, WINDOW) else { panic!("must fail") };
        assert!(why.starts_with("the captures began within 61 s, not within 60 s"), "{why}");
        // A snapshot that the caller names is as old as it is.
        let [first, second] = apart;
        assert_eq!(decide(&[first, Joining { fresh: false, ..second }], false, WINDOW), Decision::Complete);
    }

    #[test]
    fn the_newest_complete_and_the_newest_validated_stay() {
        use CheckpointState::*;
        let one = |state, validated, created: i64| KeptCheckpoint {
            state,
            validated,
            created_at: at(created),
            retention_until: (state != Capturing).then(|| at(100)),
        };
        let all =
            [one(Capturing, false, 6), one(Failed, false, 5), one(Completed, false, 4), one(Completed, true, 3), one(Completed, true, 2)];
        assert_eq!(expired(&all, at(99)), [false; 5]);
        assert_eq!(expired(&all, at(100)), [false, true, false, false, true]);
    }
}
