//! The rules of a policy, with the meaning that `restic forget` gives them. From restic 0.16 on it also keeps the oldest snapshot as long
//! as a rule has places left; here, as before, the oldest stays only if it begins a span.

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::{DateTime, Time};

use super::policy::RetentionPolicy;
use super::verdict::Reason;
use crate::base::timestamp::Timestamp;
use crate::domain::words::words;

words! {
    /// A rule that keeps the newest snapshot of each of the last so many spans of time.
    pub enum Rule {
        /// Each snapshot is counted.
        Last = "last",
        /// By minutes.
        Minutely = "minutely",
        /// By hours. The hour that comes twice when clocks are put back is one.
        Hourly = "hourly",
        /// By days.
        Daily = "daily",
        /// By ISO weeks, which begin on Monday.
        Weekly = "weekly",
        /// By months.
        Monthly = "monthly",
        /// By years.
        Yearly = "yearly",
    }
}

impl Rule {
    /// All of them, in the order of their spans.
    pub const ALL: [Self; 7] = [Self::Last, Self::Minutely, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// When the span of a wall time begins; none where each snapshot is a span of its own.
    fn begin(self, wall: DateTime) -> Option<DateTime> {
        let (date, midnight) = (wall.date(), Time::midnight());
        match self {
            Self::Last => None,
            Self::Minutely => Some(date.at(wall.hour(), wall.minute(), 0, 0)),
            Self::Hourly => Some(date.at(wall.hour(), 0, 0, 0)),
            Self::Daily => Some(date.to_datetime(midnight)),
            Self::Weekly => Some(date.saturating_sub(date.weekday().to_monday_zero_offset().days()).to_datetime(midnight)),
            Self::Monthly => Some(date.first_of_month().to_datetime(midnight)),
            Self::Yearly => Some(date.first_of_year().to_datetime(midnight)),
        }
    }
}

impl RetentionPolicy {
    /// Why snapshots stay that were taken at these times, the newest first: the rules that count each of them.
    pub(super) fn count(&self, newest_first: &[Timestamp]) -> Vec<Vec<Reason>> {
        let walls: Vec<DateTime> = newest_first.iter().map(|time| self.time_zone().wall(*time)).collect();
        let mut reasons = vec![Vec::new(); walls.len()];
        for (rule, of) in Rule::ALL.into_iter().map(|rule| (rule, self.keeps_last(rule))) {
            let (mut nth, mut previous) = (0, None);
            for (wall, reasons) in walls.iter().zip(&mut reasons) {
                let begin = rule.begin(*wall);
                if nth < of && (begin.is_none() || begin != previous) {
                    nth += 1;
                    previous = begin;
                    reasons.push(Reason::Counted { rule, nth, of });
                }
            }
        }
        reasons
    }

    /// Why a snapshot stays that was taken not long before the newest. Without a newest one none was taken before now, and all stay.
    pub(super) fn keeps_within(&self, taken_at: Timestamp, newest: Option<Timestamp>) -> Option<Reason> {
        let seconds = self.within_seconds();
        let is_within = newest.is_none_or(|newest| taken_at.plus(Duration::from_secs(seconds)) > newest);
        (seconds > 0 && is_within).then_some(Reason::Within { seconds })
    }
}
