//! Values as people read them: what a field means is in its name, as in the protos.

use console::Style;
use serde_json::Value;

use crate::base::timestamp::Timestamp;
use crate::base::words;

/// A value in words, and how good it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) mood: Mood,
    /// Numbers stand at the right.
    pub(super) is_number: bool,
}

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Plain,
    Doubtful,
    Bad,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), mood: Mood::Plain, is_number: false }
    }

    /// A word of ours, with its mood.
    pub(super) fn word(word: &str) -> Self {
        Self { text: word.replace('_', " "), mood: mood(word), is_number: false }
    }

    /// With colours, where standard output, or standard error, wants them.
    pub(super) fn styled(&self, is_error: bool) -> String {
        let style = if is_error { style(self.mood).for_stderr() } else { style(self.mood) };
        style.apply_to(&self.text).to_string()
    }
}

/// The colour of a mood.
pub(super) fn style(mood: Mood) -> Style {
    match mood {
        Mood::Good => Style::new().green(),
        Mood::Plain => Style::new(),
        Mood::Doubtful => Style::new().yellow(),
        Mood::Bad => Style::new().red().bold(),
    }
}

/// The mood of a word of ours.
pub(super) fn mood(word: &str) -> Mood {
    match word {
        "completed" | "restored" | "consistent" | "healthy" | "passed" | "succeeded" | "resolved" | "done" => Mood::Good,
        "failed" | "inconsistent" | "critical" | "offline" | "unreachable" | "firing" | "incomplete" | "broken" | "timed_out"
        | "expired" => Mood::Bad,
        "degraded" | "unknown" | "cancelled" | "warning" | "pending" | "paused" | "in_flight" | "interrupted" | "missed" => Mood::Doubtful,
        _ => Mood::Plain,
    }
}

/// How instants are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// `2026-11-30 12:00:00 UTC (3 min ago)`: where there is room.
    Whole(Timestamp),
    /// `2026-11-30 12:00:00Z`: in tables.
    Short,
    /// `3 min ago`: where it matters how long.
    Age(Timestamp),
}

impl Times {
    fn told(self, at: Timestamp) -> String {
        match self {
            Self::Whole(now) => format!("{} ({})", words::instant(at), words::from_now(at, now)),
            Self::Short => words::instant(at).replace(" UTC", "Z"),
            Self::Age(now) => words::from_now(at, now),
        }
    }
}

/// A field's value in words.
pub(super) fn cell(name: &str, value: &Value, times: Times) -> Cell {
    let name = name.rsplit('.').next().unwrap_or(name);
    match value {
        Value::Null => Cell::plain("-"),
        Value::Bool(yes) => Cell::plain(if *yes { "yes" } else { "no" }),
        Value::Number(number) => Cell { is_number: true, ..Cell::plain(number_text(name, number)) },
        Value::String(text) => text_cell(name, text, times),
        Value::Array(items) => Cell::plain(items.iter().map(|item| cell(name, item, times).text).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => Cell::plain(inline(value, times)),
    }
}

/// The fields of something in something, in one line.
fn inline(value: &Value, times: Times) -> String {
    let Some(members) = value.as_object() else { return cell("", value, times).text };
    let is_set = |value: &Value| !value.is_null() && value != "" && value.as_array().is_none_or(|items| !items.is_empty());
    let shown = members.iter().filter(|(_, value)| is_set(value));
    shown.map(|(name, value)| format!("{name}={}", cell(name, value, times).text)).collect::<Vec<_>>().join(" ")
}

fn number_text(name: &str, number: &serde_json::Number) -> String {
    let is_bytes = name.ends_with("_bytes") || name == "bytes" || name == "bytes_per_second";
    match (number.as_i64(), number.as_f64()) {
        (Some(bytes), _) if is_bytes => words::size(bytes),
        #[expect(clippy::cast_possible_truncation, reason = "bytes beyond 2^63 are as many as that for people")]
        (None, Some(bytes)) if is_bytes => words::size(bytes as i64),
        (_, Some(seconds)) if name.ends_with("_seconds") => words::length(seconds),
        (Some(count), _) => words::count(count).replace('\u{202f}', " "),
        (None, Some(number)) => format!("{number:.3}"),
        (None, None) => number.to_string(),
    }
}

/// What strangers have named cannot move the cursor or rename the window: control characters are shown, not sent.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn text_cell(name: &str, text: &str, times: Times) -> Cell {
    let is_time = ["_at", "_until", "_time", "timestamp", "last_check", "_from", "next_runs"].iter().any(|end| name.ends_with(end));
    match text.parse::<Timestamp>() {
        Ok(at) if is_time => Cell::plain(times.told(at)),
        _ if text.is_empty() => Cell::plain("-"),
        _ if ["status", "state", "consistency", "result", "verdict", "severity", "outcome"].iter().any(|end| name.ends_with(end)) => {
            Cell::word(text)
        }
        _ => Cell::plain(harmless(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(name: &str, value: &Value) -> String {
        cell(name, value, Times::Whole(Timestamp::from_micros(60_000_000))).text
    }

    #[test]
    fn the_name_says_what_a_value_means() {
        assert_eq!(told("size_bytes", &json!(2048)), "2.00 KiB");
        assert_eq!(told("duration_seconds", &json!(61)), "1 min 1 s");
        assert_eq!(told("created_at", &json!("1970-01-01T00:00:00Z")), "1970-01-01 00:00:00 UTC (1 min ago)");
        assert_eq!(cell("created_at", &json!("1970-01-01T00:00:00Z"), Times::Short).text, "1970-01-01 00:00:00Z");
        assert_eq!(told("documents", &json!(12345)), "12 345");
        assert_eq!(told("pin_reason", &json!(null)), "-");
        assert_eq!(told("labels", &json!({"env": "prod", "team": ""})), "env=prod");
        assert_eq!(told("graphs", &json!(["a", "b"])), "a, b");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(told("path", &json!("a\u{1b}[31m\nb")), "a\\u{1b}[31m\\nb");
        assert_eq!(told("bytes_per_second", &json!(2048.5)), "2.00 KiB");
    }

    #[test]
    fn words_have_moods() {
        assert_eq!(cell("status", &json!("in_progress"), Times::Short), Cell::plain("in progress"));
        assert_eq!(cell("condition.status", &json!("unreachable"), Times::Short).mood, Mood::Bad);
        // Whatever people have written is no word of ours.
        assert_eq!(cell("message", &json!("failed"), Times::Short).mood, Mood::Plain);
    }
}
