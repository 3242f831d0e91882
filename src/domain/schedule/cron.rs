//! Cron expressions of five fields. `croner` reads their fields and knows which days they name; which instants these days and times
//! are is decided here: its own search takes a list of times of the day for a rhythm, and leaves them out where clocks are put forward.

use std::time::Duration;

use croner::parser::CronParser;
use croner::{CronPattern, Weekday};
use jiff::civil::{Date, DateTime, Time, date};
use jiff::{SignedDuration, ToSpan as _};

pub use super::fields::CronError;
use super::fields::split;
use crate::base::timestamp::Timestamp;
use crate::domain::time_zone::TimeZone;

/// How far a search goes. A day that comes at all comes again within this time: at the latest 29 February on a given day of the week,
/// after the 40 years around a century without a leap day.
const SEARCH_YEARS: i16 = 41;

/// Each kind of year, by its length and its first day of the week, is among the 28 that begin here.
const ANY_DAY: Date = date(2000, 1, 1);
const CALENDAR_YEARS: i16 = 28;

/// A valid expression, which fires at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    pattern: CronPattern,
    /// Times of the day, ascending.
    times: Vec<Time>,
    by_elapsed_time: bool,
}

impl Cron {
    /// Reads an expression: minute, hour, day of month, month, day of week. Each is `*`, or a list of values, ranges `a-b` and steps
    /// `*/n` or `a-b/n`. Months and days of the week have their English names too (`JAN`, `MON`); Sunday is 0 or 7. Days of the month can
    /// be `L` (the last), `LW` (the last from Monday to Friday) and `15W` (the nearest from Monday to Friday), days of the week `FRIL` (the
    /// last Friday of the month) and `MON#1` (the first Monday). Where both days are given, either is enough.
    ///
    /// # Errors
    /// All that is wrong with it: each bad item with its field and column, or days that no year has.
    pub fn parse(text: &str) -> Result<Self, Vec<CronError>> {
        let fields = split(text)?;
        // A wildcard or a step makes a rhythm, values are times of the day.
        let by_elapsed_time = fields[..2].iter().any(|field| field.contains(['*', '/']));
        let pattern = CronParser::new().parse(text).map_err(|error| vec![CronError::Unreadable(error.to_string())])?.pattern;
        let minutes = pattern.minutes.values();
        let at = |hour: u16, minute: u16| Time::midnight().saturating_add(SignedDuration::from_mins(i64::from(hour * 60 + minute)));
        let times = pattern.hours.values().into_iter().flat_map(|hour| minutes.iter().map(move |minute| at(hour, *minute))).collect();
        let cron = Self { text: fields.join(" "), pattern, times, by_elapsed_time };
        let fires = cron.days_from(ANY_DAY, None).next().is_some();
        if fires { Ok(cron) } else { Err(vec![CronError::Never]) }
    }

    /// The expression, with one space between its fields.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant strictly after this one at which it fires in a zone; the module above says what happens where clocks are
    /// changed. None at the end of representable time.
    pub fn next_after(&self, instant: Timestamp, time_zone: &TimeZone) -> Option<Timestamp> {
        if self.by_elapsed_time { self.next_by_elapsed_time(instant, time_zone) } else { self.next_by_wall_time(instant, time_zone) }
    }

    /// The least time between two firings by a clock that is not changed; the greatest there is for one that never fires twice.
    pub fn shortest_gap(&self) -> Duration {
        let within_days = self.times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        let day_length = self.times.first().zip(self.times.last()).map(|(first, last)| last.duration_since(*first)).unwrap_or_default();
        let days: Vec<Date> = self.days_from(ANY_DAY, Some(ANY_DAY.saturating_add(CALENDAR_YEARS.years()))).collect();
        let overnight = days.windows(2).map(|pair| pair[1].duration_since(pair[0]) - day_length);
        within_days.chain(overnight).min().map_or(Duration::MAX, SignedDuration::unsigned_abs)
    }

    /// The first named wall time whose instant lies ahead. Later wall times have no earlier instants, so the search begins at the wall
    /// clock's next minute.
    fn next_by_wall_time(&self, instant: Timestamp, time_zone: &TimeZone) -> Option<Timestamp> {
        let mut from = next_minute(time_zone.wall(instant))?;
        loop {
            let wall = self.wall_from(from, None)?;
            let fires_at = time_zone.first_instant(wall)?;
            if fires_at > instant {
                return Some(fires_at);
            }
            // The clock shows this for the second time.
            from = next_minute(wall)?;
        }
    }

    /// The first instant at which the wall clock shows a named time. Each steady span is searched by itself: what clocks show twice is
    /// passed twice, and what they leave out not at all.
    fn next_by_elapsed_time(&self, instant: Timestamp, time_zone: &TimeZone) -> Option<Timestamp> {
        let mut span = time_zone.steady_at(instant);
        let mut from = next_minute(time_zone.wall(instant))?;
        let last_year = from.year().saturating_add(SEARCH_YEARS);
        while from.year() <= last_year {
            if let Some(wall) = self.wall_from(from, span.last_wall()) {
                return span.instant(wall);
            }
            let end = span.end?;
            span = time_zone.steady_at(end);
            from = whole_minute(time_zone.wall(end))?;
        }
        None
    }

    /// The first named wall time from this whole minute on, and before `until`.
    fn wall_from(&self, from: DateTime, until: Option<DateTime>) -> Option<DateTime> {
        for day in self.days_from(from.date(), until.map(DateTime::date)) {
            let passed = if day == from.date() { self.times.partition_point(|time| *time < from.time()) } else { 0 };
            if let Some(time) = self.times.get(passed) {
                let wall = day.to_datetime(*time);
                return until.is_none_or(|until| wall < until).then_some(wall);
            }
        }
        None
    }

    /// The days that it names, from one on, to the other or as far as a search goes.
    fn days_from(&self, first: Date, last: Option<Date>) -> impl Iterator<Item = Date> {
        let last = last.unwrap_or_else(|| first.saturating_add(SEARCH_YEARS.years()));
        let mut next = Some(first);
        std::iter::from_fn(move || {
            while let Some(day) = next.filter(|day| *day <= last) {
                if !self.is_month(day) {
                    next = day.last_of_month().tomorrow().ok();
                    continue;
                }
                next = day.tomorrow().ok();
                if self.is_day(day) {
                    return Some(day);
                }
            }
            None
        })
    }

    fn is_month(&self, day: Date) -> bool {
        self.pattern.month_match(day.month().unsigned_abs().into()).is_ok_and(|matches| matches)
    }

    fn is_day(&self, day: Date) -> bool {
        let weekday = Weekday::from_days_from_sunday(day.weekday().to_sunday_zero_offset().unsigned_abs().into());
        let (month, day_of_month) = (day.month().unsigned_abs().into(), day.day().unsigned_abs().into());
        self.pattern.day_match(day.year().into(), month, day_of_month, weekday).is_ok_and(|matches| matches)
    }
}

/// The next whole minute.
fn next_minute(wall: DateTime) -> Option<DateTime> {
    wall.date().at(wall.hour(), wall.minute(), 0, 0).checked_add(SignedDuration::from_mins(1)).ok()
}

/// This instant if it is a whole minute, or the next one that is.
fn whole_minute(wall: DateTime) -> Option<DateTime> {
    if wall.second() == 0 && wall.subsec_nanosecond() == 0 { Some(wall) } else { next_minute(wall) }
}
