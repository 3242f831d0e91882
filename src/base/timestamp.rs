//! Instants in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An instant: microseconds since 1970-01-01T00:00:00 UTC, the precision of the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This instant moved forward, at most to the end of representable time.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This instant moved back, at most to the beginning of representable time.
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant in compact form for names of files, to the microsecond: `20261122T213624.000123Z`.
    pub fn for_file_name(self) -> String {
        let text = self.to_string();
        let (seconds, _) = text.split_once(['.', 'Z']).unwrap_or((&text, ""));
        let compact: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        format!("{compact}.{:06}Z", self.0.rem_euclid(1_000_000))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotAnInstant;

    /// From RFC 3339; what is finer than a microsecond is cut off.
    fn from_str(text: &str) -> Result<Self, NotAnInstant> {
        text.parse::<jiff::Timestamp>().map(|instant| Self(instant.as_microsecond())).map_err(|_| NotAnInstant)
    }
}

/// A text that is no instant in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instant, such as 2026-11-30T12:00:00Z")]
pub struct NotAnInstant;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_and_sortable_file_names() {
        let instant = Timestamp::from_micros(1_419_256_799_000_120);
        assert_eq!(instant.to_string(), "2014-12-22T13:59:59.00012Z");
        assert_eq!(instant.for_file_name(), "20141222T135959.000120Z");
        assert_eq!(Timestamp::from_micros(0).for_file_name(), "19700101T000000.000000Z");
        assert_eq!(instant.to_string().parse(), Ok(instant));
        assert_eq!("2014-12-22".parse::<Timestamp>(), Err(NotAnInstant));
    }
}
