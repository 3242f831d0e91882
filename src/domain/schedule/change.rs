//! Snapshots that follow changes: one is taken once the files have been at rest for a while, and not too often.

use std::time::Duration;

use crate::base::timestamp::Timestamp;

/// When a change makes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnChange {
    /// How long nothing must have changed. As long as changes follow each other faster, none is taken.
    pub debounce: Duration,
    /// The least time from the beginning of one capture to that of the next.
    pub minimum_interval: Duration,
}

impl OnChange {
    /// When to take the next snapshot: now, if the answer is not later than `now`. None if nothing has changed since the last one.
    ///
    /// `last_change_at` is when the last change was seen, none if never. `last_capture_at` is when the capture of the last good snapshot
    /// began, none if there is none. A change seen in that very moment may have been captured or not, so it counts as not.
    /// Instants after `now`, from a clock that was put back, count as now: a change is never forgotten, nor put off to the far future.
    pub fn fires_at(&self, last_change_at: Option<Timestamp>, last_capture_at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let changed_at = last_change_at?;
        if last_capture_at.is_some_and(|captured_at| captured_at > changed_at) {
            return None;
        }
        let at_rest = changed_at.min(now).plus(self.debounce);
        let allowed = last_capture_at.map(|captured_at| captured_at.min(now).plus(self.minimum_interval));
        Some(allowed.map_or(at_rest, |allowed| allowed.max(at_rest)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: OnChange = OnChange { debounce: Duration::from_secs(5), minimum_interval: Duration::from_secs(60) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn fires_when_at_rest_and_not_too_often() {
        let fires = |change: Option<i64>, capture: Option<i64>| RULE.fires_at(change.map(at), capture.map(at), at(1000));
        assert_eq!(fires(None, None), None);
        assert_eq!(fires(None, Some(900)), None);
        assert_eq!(fires(Some(998), None), Some(at(1003)), "not at rest yet");
        assert_eq!(fires(Some(998), Some(900)), Some(at(1003)));
        assert_eq!(fires(Some(998), Some(990)), Some(at(1050)), "too soon after the last one");
        assert_eq!(fires(Some(980), Some(990)), None, "in the last one");
        assert_eq!(fires(Some(990), Some(990)), Some(at(1050)), "perhaps not in the last one");
    }

    #[test]
    fn a_clock_that_was_put_back_neither_loses_nor_delays_a_change() {
        // The last capture and the last change are a day ahead.
        assert_eq!(RULE.fires_at(Some(at(90_000)), Some(at(90_000)), at(1000)), Some(at(1060)));
        assert_eq!(RULE.fires_at(Some(at(90_000)), None, at(1000)), Some(at(1005)));
    }

    proptest! {
        #[test]
        fn a_change_that_is_not_captured_fires_in_time(change in 0i64..200, capture in prop::option::of(0i64..200), now in 200i64..400) {
            match RULE.fires_at(Some(at(change)), capture.map(at), at(now)) {
                None => prop_assert!(capture.is_some_and(|capture| capture > change)),
                Some(fires) => {
                    prop_assert!(fires >= at(change + 5) && capture.is_none_or(|capture| fires >= at(capture + 60)));
                    prop_assert!(fires <= at(change.max(capture.unwrap_or(0) + 55) + 5));
                }
            }
        }
    }
}
