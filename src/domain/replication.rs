//! How far a target is behind.

use std::time::Duration;

use crate::base::timestamp::Timestamp;

/// A snapshot of a graph, as far as a target that should have it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it was complete.
    pub completed_at: Timestamp,
    /// What it has added to the repository, bytes.
    pub stored_bytes: u64,
    /// Whether it was brought to the target.
    pub is_there: bool,
}

/// How far a target is behind with a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// For how long it has lacked a newer snapshot than it has; nothing when in step. The oldest that is newer than all that it has
    /// counts, and not the newest: that one would say of a target which is down for a week that it is an hour behind.
    pub length: Duration,
    /// Snapshots that it lacks.
    pub snapshots: u64,
    /// What they have added to the repository, bytes.
    pub bytes: u64,
}

impl Lag {
    /// Of all snapshots that a target should have, in any order.
    pub fn of(due: &[Due], now: Timestamp) -> Self {
        let newest_there = due.iter().filter(|one| one.is_there).map(|one| one.completed_at).max();
        let lacks = || due.iter().filter(|one| !one.is_there);
        let newer = lacks().filter(|one| newest_there.is_none_or(|newest| one.completed_at > newest));
        let since = newer.map(|one| one.completed_at).min();
        Self {
            length: since.map_or(Duration::ZERO, |since| now.since(since)),
            snapshots: lacks().count() as u64,
            bytes: lacks().map(|one| one.stored_bytes).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_newer_than_all_that_is_there_counts() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let one = |seconds, is_there| Due { completed_at: at(seconds), stored_bytes: 10, is_there };
        let lag = |due: &[Due]| {
            let lag = Lag::of(due, at(100));
            (lag.length.as_secs(), lag.snapshots, lag.bytes)
        };
        assert_eq!(lag(&[]), (0, 0, 0));
        assert_eq!(lag(&[one(10, true), one(20, true)]), (0, 0, 0));
        assert_eq!(lag(&[one(10, true), one(20, false), one(30, false)]), (80, 2, 20));
        // The newest is there: nothing would be lost but history.
        assert_eq!(lag(&[one(10, false), one(20, true)]), (0, 1, 10));
        assert_eq!(lag(&[one(10, false)]), (90, 1, 10));
    }
}
