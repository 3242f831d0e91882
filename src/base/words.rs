//! Numbers and times as people read them.

use super::timestamp::Timestamp;

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// A number of bytes in three or four digits: `1.23 MiB`.
pub fn size(bytes: i64) -> String {
    let (mut left, mut unit) = (bytes as f64, 0);
    while left.abs() >= 1023.5 && unit + 1 < UNITS.len() {
        left /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || left.abs() >= 99.95 {
        0
    } else if left.abs() >= 9.995 {
        1
    } else {
        2
    };
    format!("{left:.digits$} {}", UNITS[unit])
}

/// How far something is: `1.00 KiB of 4.00 KiB`; what is done alone where the total is not known.
pub fn progress(done: i64, total: i64) -> String {
    if total > 0 { format!("{} of {}", size(done), size(total)) } else { size(done) }
}

/// A number with thin gaps between thousands: `12 345`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let gaps = digits.len().saturating_sub(1) / 3;
    let mut text = String::with_capacity(digits.len() + gaps * 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its two largest units: `3 h 20 min`.
pub fn length(seconds: f64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    if seconds < 0.0005 {
        return "0 s".to_owned();
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 9.995 {
        return format!("{seconds:.2} s").replace(".00", "");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and what is too long is longest")]
    let whole = seconds.round() as u64;
    let at = units.iter().position(|(unit, _)| whole >= *unit).unwrap_or(units.len() - 1);
    let (unit, name) = units[at];
    let first = format!("{} {name}", whole / unit);
    match units.get(at + 1) {
        Some((smaller, smaller_name)) if whole % unit / smaller > 0 && whole / unit < 30 => {
            format!("{first} {} {smaller_name}", whole % unit / smaller)
        }
        _ => first,
    }
}

/// An instant from here: `3 min ago`, `in 2 h`.
pub fn from_now(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.micros().saturating_sub(at.micros())) as f64 / 1e6;
    let length = |seconds: f64| length(seconds.round());
    match seconds {
        seconds if seconds.abs() < 1.0 => "now".to_owned(),
        seconds if seconds > 0.0 => format!("{} ago", length(seconds)),
        seconds => format!("in {}", length(-seconds)),
    }
}

/// An instant to the second: `2026-11-30 17:49:07 UTC`.
pub fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} UTC", seconds.replace('T', " "))
}

/// A word of ours with its first letter large, and gaps for low lines: `In progress`.
pub fn sentence(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str().replace('_', " "))
}

/// How many of a noun: `1 graph`, `3 graphs`.
pub fn many(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(i64::try_from(number).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        let sizes = [0, 999, 1023, 1024, 10_240, 1_048_575, 5_000_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1023 B", "1.00 KiB", "10.0 KiB", "1.00 MiB", "4.66 GiB"]);
    }

    #[test]
    fn lengths_have_two_units() {
        let lengths = [0.0, 0.25, 1.0, 3.456, 59.0, 61.0, 3600.0, 90_000.0, 4_000_000.0].map(length);
        assert_eq!(lengths, ["0 s", "250 ms", "1 s", "3.46 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h", "46 d"]);
    }

    #[test]
    fn instants_are_told_from_now() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!([at(0), at(100), at(160)].map(|then| from_now(then, at(100))), ["1 min 40 s ago", "now", "in 1 min"]);
        assert_eq!(instant(at(0)), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, -1000, 1_234_567].map(count), ["0", "999", "-1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
