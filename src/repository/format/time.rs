//! Times as Go writes them: RFC 3339 in UTC, nanoseconds without trailing zeros.

use std::fmt::Write as _;

use super::FormatError;
use crate::base::timestamp::Timestamp;

/// Seconds since the epoch, and nanoseconds from there on.
pub(crate) type Time = (i64, u32);

/// The time of a timestamp.
pub(crate) fn from_timestamp(timestamp: Timestamp) -> Time {
    let micros = timestamp.micros();
    (micros.div_euclid(1_000_000), u32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0))
}

/// The timestamp of a time, cut to the microsecond.
pub(crate) fn to_timestamp((seconds, nanos): Time) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1000)))
}

// Go's year range in JSON is 0 to 9999; times outside are moved to its ends, as restic does.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// Appends a time as JSON text without quotes.
pub(crate) fn write(out: &mut String, (seconds, nanos): Time) {
    let seconds = seconds.clamp(FIRST, LAST);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // written out by hand: trees hold three times for each file
    let mut field = |mark: Option<char>, value: i64| {
        out.extend(mark);
        for digit in [value / 10 % 10, value % 10] {
            out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
        }
    };
    field(None, year / 100);
    field(None, year % 100);
    for (mark, value) in [('-', month), ('-', day), ('T', hour), (':', minute), (':', second)] {
        field(Some(mark), value);
    }
    if nanos > 0 {
        let start = out.len();
        let _infallible = write!(out, ".{nanos:09}");
        let kept = out[start..].trim_end_matches('0').len();
        out.truncate(start + kept);
    }
    out.push('Z');
}

/// A time as text.
pub(crate) fn to_text(time: Time) -> String {
    let mut out = String::with_capacity(30);
    write(&mut out, time);
    out
}

/// Reads RFC 3339 with any offset.
pub(crate) fn parse(text: &str) -> Result<Time, FormatError> {
    parse_option(text).ok_or_else(|| FormatError::new(format!("`{text}` is not a time")))
}

fn parse_option(text: &str) -> Option<Time> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let mut zone = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = zone.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        nanos = format!("{:0<9}", fraction.get(..end)?).get(..9)?.parse().ok()?;
        zone = fraction.get(end..)?;
    }
    if zone != "Z" {
        let at = text.len() - zone.len();
        let offset = number(at + 1, at + 3)? * 3600 + number(at + 4, at + 6)? * 60;
        seconds -= match zone.as_bytes() {
            [b'+', _, _, b':', _, _] => offset,
            [b'-', _, _, b':', _, _] => -offset,
            _ => return None,
        };
    }
    Some((seconds, nanos))
}

/// Days since 1970-01-01 to year, month and day (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_and_reads_as_go_does() {
        assert_eq!(to_text((951_782_400, 120_000_000)), "2000-02-29T00:00:00.12Z");
        assert_eq!(to_text((0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(to_text((i64::MAX, 0)), "9999-12-31T23:59:59Z");
        assert_eq!(parse("2015-01-02T18:10:50.5+01:00"), parse("2015-01-02T17:10:50.5Z"));
        assert_eq!(parse("2015-01-02T11:10:50.895208559-08:00"), Ok((1_420_225_850, 895_208_559)));
        for bad in ["", "2015-01-02", "2015-13-02T18:10:50Z", "2015-01-02T18:10:50", "2015-01-02T18:10:50.5", "2015-01-02T18:10:50+1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in FIRST..LAST, nanos in 0_u32..1_000_000_000) {
            prop_assert_eq!(parse(&to_text((seconds, nanos))), Ok((seconds, nanos)));
        }

        #[test]
        fn garbage_never_panics(text in ".{0,40}") {
            let _whatever = parse(&text);
        }
    }
}
