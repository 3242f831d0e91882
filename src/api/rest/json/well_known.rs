//! Messages that look like something simpler in JSON.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use prost_reflect::{DynamicMessage, Value};

/// The forms that a message can take in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object with a member for each field.
    Object,
    /// RFC 3339.
    Timestamp,
    /// Seconds with the letter `s`.
    Duration,
    /// Any JSON object.
    Struct,
    /// Any JSON.
    Value,
    /// Any JSON list.
    List,
    /// The one field `value`, or null.
    Wrapper,
    /// Names with commas between them.
    FieldMask,
    /// `code` as a word, and `message`.
    Status,
}

/// The form of the message type of that name.
pub(crate) fn form(full_name: &str) -> Form {
    match full_name {
        "google.rpc.Status" => return Form::Status,
        "google.protobuf.Timestamp" => return Form::Timestamp,
        "google.protobuf.Duration" => return Form::Duration,
        "google.protobuf.Struct" => return Form::Struct,
        "google.protobuf.Value" => return Form::Value,
        "google.protobuf.ListValue" => return Form::List,
        "google.protobuf.FieldMask" => return Form::FieldMask,
        _ => {}
    }
    if full_name.starts_with("google.protobuf.") && full_name.ends_with("Value") { Form::Wrapper } else { Form::Object }
}

/// The parts of a timestamp or a duration.
pub(super) fn seconds_and_nanos(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_number(1).and_then(|value| value.as_i64()).unwrap_or(0);
    let nanos = message.get_field_by_number(2).and_then(|value| value.as_i32()).unwrap_or(0);
    (seconds, nanos)
}

/// Fills a timestamp or a duration.
pub(super) fn set_seconds_and_nanos(message: &mut DynamicMessage, seconds: i64, nanos: i32) {
    // The two fields are those types' only ones, with these types.
    let _seconds = message.try_set_field_by_number(1, Value::I64(seconds));
    let _nanos = message.try_set_field_by_number(2, Value::I32(nanos));
}

/// RFC 3339 with `Z`, or `None` for an instant that no calendar has.
pub(super) fn timestamp_text(message: &DynamicMessage) -> Option<String> {
    let (seconds, nanos) = seconds_and_nanos(message);
    jiff::Timestamp::new(seconds, nanos).ok().map(|instant| instant.to_string())
}

/// An instant with `Z` or an offset, or a naive one, which is UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let instant: jiff::Timestamp = match text.parse() {
        Ok(instant) => instant,
        Err(_) => Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
    };
    // Proto wants the fraction to count forward, also before 1970.
    let (seconds, nanos) = (instant.as_second(), instant.subsec_nanosecond());
    if nanos < 0 { Some((seconds - 1, nanos + 1_000_000_000)) } else { Some((seconds, nanos)) }
}

/// `3.5s`.
pub(super) fn duration_text(message: &DynamicMessage) -> String {
    let (seconds, nanos) = seconds_and_nanos(message);
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let fraction = format!("{:09}", nanos.unsigned_abs());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}s", seconds.unsigned_abs())
}

/// Seconds, with or without a fraction and the letter `s`.
pub(super) fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let text = text.strip_suffix('s').unwrap_or(text);
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds <= 315_576_000_000)?;
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    if negative { Some((-seconds, -nanos)) } else { Some((seconds, nanos)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let at = |text| parse_timestamp(text);
        assert_eq!(at("1970-01-01T00:00:01Z"), Some((1, 0)));
        assert_eq!(at("1970-01-01T02:00:01.5+02:00"), Some((1, 500_000_000)));
        assert_eq!(at("1970-01-01T00:00:01"), Some((1, 0)));
        assert_eq!(at("1969-12-31T23:59:59.5Z"), Some((-1, 500_000_000)));
        assert_eq!(at("yesterday"), None);
        assert_eq!(at(""), None);
    }

    #[test]
    fn reads_durations() {
        assert_eq!(parse_duration("3.5s"), Some((3, 500_000_000)));
        assert_eq!(parse_duration("-0.000000001s"), Some((0, -1)));
        assert_eq!(parse_duration("7"), Some((7, 0)));
        for bad in ["", "s", "1.s", ".5s", "1h", "99999999999999999999s", "1.0000000001s", "--1s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
