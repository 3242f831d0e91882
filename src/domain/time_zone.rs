//! Time zones of the IANA database, and the wall clocks that follow them. The rules are built in: instances on different computers agree.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZoneDatabase};

use crate::base::timestamp::Timestamp;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no time zone of the IANA database, such as `Europe/Berlin`: {0}")]
pub struct UnknownTimeZone(String);

/// A span of time in which a zone's clocks are neither put forward nor back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    offset: Offset,
    /// When the next span begins; none for the last one.
    pub(super) end: Option<Timestamp>,
}

impl Steady {
    /// What the wall clock would show at the end, were it not changed then.
    pub(super) fn last_wall(&self) -> Option<DateTime> {
        self.end.map(|end| self.offset.to_datetime(to_jiff(end)))
    }

    /// When the wall clock shows this, if it lies in the span.
    pub(super) fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        self.offset.to_timestamp(wall).ok().map(from_jiff)
    }
}

impl TimeZone {
    /// Universal time.
    pub const UTC: Self = Self(jiff::tz::TimeZone::UTC);

    /// The zone with this IANA name, in upper or lower case.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, UnknownTimeZone> {
        let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
        zone.map(Self).ok_or_else(|| UnknownTimeZone(name.to_owned()))
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What its wall clocks show. Instants outside of the years -9999 to 9999 show the first or the last of them.
    pub(super) fn wall(&self, instant: Timestamp) -> DateTime {
        self.0.to_datetime(to_jiff(instant))
    }

    /// The steady span in which this instant lies.
    pub(super) fn steady_at(&self, instant: Timestamp) -> Steady {
        let instant = to_jiff(instant);
        let end = self.0.following(instant).next().map(|change| from_jiff(change.timestamp()));
        Steady { offset: self.0.to_offset(instant), end }
    }

    /// When wall clocks show this: the first time if they do so twice, and the first instant after the gap if they never do.
    /// None outside of the years -9999 to 9999.
    pub(super) fn first_instant(&self, wall: DateTime) -> Option<Timestamp> {
        let instant = match self.0.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(wall).ok()?,
            AmbiguousOffset::Gap { before, .. } => {
                // Had the clocks not been put forward; so the change lies at or before it.
                let unchanged = before.to_timestamp(wall).ok()?;
                let just_after = unchanged.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
                self.0.preceding(just_after).next()?.timestamp()
            }
        };
        Some(from_jiff(instant))
    }
}

fn to_jiff(instant: Timestamp) -> jiff::Timestamp {
    let nearest = if instant.micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(instant.micros()).unwrap_or(nearest)
}

fn from_jiff(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::from_micros(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn zones_are_found_by_name_in_either_case() {
        assert_eq!(TimeZone::parse("europe/BERLIN").unwrap().name(), "Europe/Berlin");
        assert_eq!(TimeZone::parse("utc").unwrap(), TimeZone::UTC);
        assert_eq!(TimeZone::UTC.name(), "UTC");
        for wrong in ["", "Mars/Olympus", "Etc/Unknown", "+02:00", "CET-1CEST", "../etc/passwd"] {
            let error = TimeZone::parse(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("is no time zone of the IANA database, such as `Europe/Berlin`: {wrong}"));
        }
    }

    #[test]
    fn wall_times_are_resolved_through_gaps_and_repeated_hours() {
        let first = |zone: &str, wall: DateTime| TimeZone::parse(zone).unwrap().first_instant(wall).unwrap().to_string();
        assert_eq!(first("Europe/Berlin", date(2026, 3, 29).at(1, 59, 0, 0)), "2026-03-29T00:59:00Z");
        assert_eq!(first("Europe/Berlin", date(2026, 3, 29).at(2, 0, 0, 0)), "2026-03-29T01:00:00Z");
        assert_eq!(first("Europe/Berlin", date(2026, 3, 29).at(2, 59, 0, 0)), "2026-03-29T01:00:00Z");
        assert_eq!(first("Europe/Berlin", date(2026, 3, 29).at(3, 0, 0, 0)), "2026-03-29T01:00:00Z");
        assert_eq!(first("Europe/Berlin", date(2026, 10, 25).at(2, 0, 0, 0)), "2026-10-25T00:00:00Z");
        assert_eq!(first("Europe/Berlin", date(2026, 10, 25).at(3, 0, 0, 0)), "2026-10-25T02:00:00Z");
        // A whole day that was left out.
        assert_eq!(first("Pacific/Apia", date(2011, 12, 30).at(12, 0, 0, 0)), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn the_ends_of_time_have_a_wall_clock_too() {
        for micros in [i64::MIN, i64::MAX] {
            let instant = Timestamp::from_micros(micros);
            for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
                let zone = TimeZone::parse(zone).unwrap();
                assert!(zone.wall(instant).year().abs() >= 9998);
                assert!(zone.steady_at(instant).end.is_none_or(|end| end.micros() > micros));
            }
        }
    }
}
