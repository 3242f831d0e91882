//! By what a schedule fires.

use std::time::Duration;

use super::change::OnChange;
use super::cron::Cron;
use crate::base::timestamp::Timestamp;
use crate::domain::time_zone::TimeZone;

/// By what a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// By the wall clocks of a time zone.
    Cron {
        /// The times.
        cron: Box<Cron>,
        /// Where the clocks are.
        time_zone: TimeZone,
    },
    /// At an interval.
    Interval {
        /// The interval.
        every: Duration,
        /// What the intervals are counted from; the first firing is one interval later.
        anchored_at: Timestamp,
    },
    /// When the graph's files have changed.
    OnChange(OnChange),
}

impl Cadence {
    /// The first time strictly after `instant`; none for changes, and at the end of representable time.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { cron, time_zone } => cron.next_after(instant, time_zone),
            Self::Interval { every, anchored_at } => next_multiple(*every, *anchored_at, instant),
            Self::OnChange(_) => None,
        }
    }

    /// The least time between two firings; none for changes.
    pub fn shortest_gap(&self) -> Option<Duration> {
        match self {
            Self::Cron { cron, .. } => Some(cron.shortest_gap()),
            Self::Interval { every, .. } => Some(*every),
            Self::OnChange(_) => None,
        }
    }
}

/// The first of `anchored_at` + n × `every`, n from 1, that lies strictly after `instant`.
fn next_multiple(every: Duration, anchored_at: Timestamp, instant: Timestamp) -> Option<Timestamp> {
    let every = i128::try_from(every.as_micros()).ok()?;
    let anchor = i128::from(anchored_at.micros());
    let passed = (i128::from(instant.micros()) - anchor).div_euclid(every);
    let fires_at = anchor + (passed + 1).max(1) * every;
    i64::try_from(fires_at).ok().map(Timestamp::from_micros)
}
