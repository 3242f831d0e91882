//! Runs that were not started in time: the server was down, or busy.

use std::time::Duration;

use super::Schedule;
use crate::base::timestamp::Timestamp;
use crate::domain::words::words;

/// A run that starts within this time is in time. Schedules are looked at every second; this leaves room for many that are due at once.
pub const IN_TIME: Duration = Duration::from_secs(60);

/// Missed runs are counted up to this number. Years without a server under a schedule for each minute cost no more than that.
pub const COUNT_MAX: u32 = 1000;

words! {
    /// What becomes of a run that was missed.
    pub enum MissedRunPolicy {
        /// It is left out; the schedule goes on with the next one.
        Skip = "skip",
        /// One run is made up for all that were missed.
        RunOnce = "run_once",
    }
}

/// What becomes of missed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedRuns {
    /// What becomes of them.
    pub policy: MissedRunPolicy,
    /// How late the one that is made up may be; none for any time.
    pub grace: Option<Duration>,
}

/// A run that is to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it was due. It names the run: with the schedule's id it is the same for whoever decides.
    pub fire_at: Timestamp,
    /// How late it is.
    pub late_by: Duration,
}

/// Runs that were missed and are not made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many; [`COUNT_MAX`] means so many or more.
    pub count: u32,
    /// When the first was due.
    pub first: Timestamp,
    /// When the last was due.
    pub last: Timestamp,
}

/// What to do with a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// To be started: never more than one.
    pub run: Option<Run>,
    /// Left out.
    pub missed: Option<Missed>,
    /// When the schedule fires next: later than now. None if never again.
    pub next_fire_at: Option<Timestamp>,
}

impl Schedule {
    /// What to do now with a schedule whose next firing is recorded as `next_fire_at`. To be kept in one transaction with the run.
    ///
    /// What was due and is in time is run. What is later is left out, or the last of it is made up, as the policy says; never more than one
    /// run comes of it. The costs grow with the logarithm of the time that was missed, and with the count up to [`COUNT_MAX`].
    pub fn decide(&self, next_fire_at: Timestamp, now: Timestamp) -> Decision {
        if next_fire_at > now {
            return Decision { run: None, missed: None, next_fire_at: Some(next_fire_at) };
        }
        let fire_at = self.last_firing(next_fire_at, now);
        let late_by = now.since(fire_at);
        let may_be_late = match self.missed_runs().policy {
            MissedRunPolicy::Skip => false,
            MissedRunPolicy::RunOnce => self.missed_runs().grace.is_none_or(|grace| late_by <= grace),
        };
        let run = (late_by <= IN_TIME || may_be_late).then_some(Run { fire_at, late_by });
        // All that is not made up.
        let missed_until = if run.is_some() { Timestamp::from_micros(fire_at.micros() - 1) } else { fire_at };
        let missed = (next_fire_at <= missed_until).then(|| Missed {
            count: self.count_firings(next_fire_at, missed_until),
            first: next_fire_at,
            last: self.last_firing(next_fire_at, missed_until),
        });
        Decision { run, missed, next_fire_at: self.next_after(now) }
    }

    /// The last firing at or before `until`, from a known one on.
    fn last_firing(&self, known: Timestamp, until: Timestamp) -> Timestamp {
        let (mut last, mut beyond) = (known, until);
        // `last` is a firing in time, and none lies between `beyond` and `until`.
        while let Some(next) = self.next_after(last).filter(|next| *next <= until) {
            let middle = Timestamp::from_micros(last.micros().midpoint(beyond.micros()));
            match self.next_after(middle).filter(|next| *next <= until) {
                Some(later) => last = later,
                None => (last, beyond) = (next, middle),
            }
        }
        last
    }

    /// How many firings lie from a known one on to `until`, up to [`COUNT_MAX`].
    fn count_firings(&self, known: Timestamp, until: Timestamp) -> u32 {
        let mut count = 0;
        let mut firing = Some(known);
        while count < COUNT_MAX && firing.is_some_and(|firing| firing <= until) {
            count += 1;
            firing = firing.and_then(|firing| self.next_after(firing));
        }
        count
    }
}
