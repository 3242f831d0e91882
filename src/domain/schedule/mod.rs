//! When snapshots are taken by themselves.
//!
//! A schedule fires by a cron expression on the wall clocks of a time zone, at an interval, or once its graph's files have changed and come
//! to rest ([`change`]). This module knows the times; what is late or missed is judged in [`missed`], what meets its own last run in
//! [`overlap`].
//!
//! # Where clocks are changed
//!
//! - **Times of the day** (`30 2 * * *`, `0 8,20 * * 1-5`: only values, lists and ranges in minute and hour) fire once for each day that
//!   has them. A time that a day leaves out, since clocks are put forward, fires at the first instant after the gap: 02:30 at 03:00.
//!   Several such times fire once, together. A time that a day has twice, since clocks are put back, fires at the first of the two.
//! - **Rhythms** (`*/5 * * * *`, `0 * * * *`: a `*` or a step in minute or hour) go by elapsed time: they fire whenever the wall clock
//!   shows a time that they name. Every five minutes stays every five minutes, through both passes of the hour that comes twice, and
//!   nothing is made up for the hour that is left out. What names that hour only (`*/5 2 * * *`) does not fire on that day, and twice as
//!   often on the other.
//! - **Intervals** know no wall clock. The n-th firing is the anchor plus n intervals, so nothing drifts.
//!
//! # Jitter
//!
//! Schedules of many graphs with the same expression do not all start at once: each is later by a time of its own, between 0 and
//! `jitter_seconds`, which follows from its id and stays the same. It moves all firings alike, so their order and their distances are kept.

mod cadence;
pub mod change;
pub mod cron;
mod fields;
pub mod missed;
pub mod overlap;
mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cadence::Cadence;
pub use parse::{OnChangeFields, ScheduleFields};

use self::missed::MissedRuns;
use self::overlap::OverlapPolicy;
use crate::base::timestamp::Timestamp;

/// A valid schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cadence: Cadence,
    /// Its own part of the jitter that was asked for.
    delay: Duration,
    missed_runs: MissedRuns,
    overlap: OverlapPolicy,
}

impl Schedule {
    /// By what it fires.
    pub fn cadence(&self) -> &Cadence {
        &self.cadence
    }

    /// How much later than its cadence it fires: always the same.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// What becomes of runs that were not started in time.
    pub fn missed_runs(&self) -> MissedRuns {
        self.missed_runs
    }

    /// What becomes of a run that meets the one before.
    pub fn overlap(&self) -> OverlapPolicy {
        self.overlap
    }

    /// The first time strictly after `instant` at which it fires, its delay counted in. It is also the answer for a schedule that is made,
    /// changed or resumed at `instant`: it goes on from there, and what fell into a pause was not missed. None for one that fires on
    /// changes, and at the end of representable time.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let delay = i64::try_from(self.delay.as_micros()).unwrap_or(i64::MAX);
        let without = Timestamp::from_micros(instant.micros().saturating_sub(delay));
        let fires_at = self.cadence.next_after(without)?.micros().checked_add(delay)?;
        Some(Timestamp::from_micros(fires_at))
    }
}
