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

    /// With colours, where they are wanted.
    pub(super) fn styled(&self) -> String {
        style(self.mood).apply_to(&self.text).to_string()
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

/// A field's value in words.
pub(super) fn cell(name: &str, value: &Value, now: Timestamp) -> Cell {
    let name = name.rsplit('.').next().unwrap_or(name);
    match value {
        Value::Null => Cell::plain("-"),
        Value::Bool(yes) => Cell::plain(if *yes { "yes" } else { "no" }),
        Value::Number(number) => Cell { is_number: true, ..Cell::plain(number_text(name, number)) },
        Value::String(text) => text_cell(name, text, now),
        Value::Array(items) => Cell::plain(items.iter().map(|item| cell(name, item, now).text).collect::<Vec<_>>().join(", ")),
        Value::Object(_) => Cell::plain(inline(value, now)),
    }
}

/// The fields of something in something, in one line.
fn inline(value: &Value, now: Timestamp) -> String {
    let Some(members) = value.as_object() else { return cell("", value, now).text };
    let is_set = |value: &Value| !value.is_null() && value != "" && value.as_array().is_none_or(|items| !items.is_empty());
    let shown = members.iter().filter(|(_, value)| is_set(value));
    shown.map(|(name, value)| format!("{name}={}", cell(name, value, now).text)).collect::<Vec<_>>().join(" ")
}

fn number_text(name: &str, number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(bytes), _) if name.ends_with("_bytes") || name == "bytes_per_second" => words::size(bytes),
        (_, Some(seconds)) if name.ends_with("_seconds") => words::length(seconds),
        (Some(count), _) => words::count(count).replace('\u{202f}', " "),
        (None, Some(number)) => format!("{number:.3}"),
        (None, None) => number.to_string(),
    }
}

fn text_cell(name: &str, text: &str, now: Timestamp) -> Cell {
    let is_time = ["_at", "_until", "_time", "timestamp", "last_check", "_from", "next_runs"].iter().any(|end| name.ends_with(end));
    match text.parse::<Timestamp>() {
        Ok(at) if is_time => Cell::plain(format!("{} ({})", words::instant(at), words::from_now(at, now))),
        _ if text.is_empty() => Cell::plain("-"),
        _ if ["status", "state", "consistency", "result", "verdict", "severity", "outcome"].iter().any(|end| name.ends_with(end)) => {
            Cell::word(text)
        }
        _ => Cell::plain(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(name: &str, value: &Value) -> String {
        cell(name, value, Timestamp::from_micros(60_000_000)).text
    }

    #[test]
    fn the_name_says_what_a_value_means() {
        assert_eq!(told("size_bytes", &json!(2048)), "2.00 KiB");
        assert_eq!(told("duration_seconds", &json!(61)), "1 min 1 s");
        assert_eq!(told("created_at", &json!("1970-01-01T00:00:00Z")), "1970-01-01 00:00:00 UTC (1 min ago)");
        assert_eq!(told("documents", &json!(12345)), "12 345");
        assert_eq!(told("pin_reason", &json!(null)), "-");
        assert_eq!(told("labels", &json!({"env": "prod", "team": ""})), "env=prod");
        assert_eq!(told("graphs", &json!(["a", "b"])), "a, b");
    }

    #[test]
    fn words_have_moods() {
        assert_eq!(cell("status", &json!("in_progress"), Timestamp::default()), Cell::plain("in progress"));
        assert_eq!(cell("condition.status", &json!("unreachable"), Timestamp::default()).mood, Mood::Bad);
        // Whatever people have written is no word of ours.
        assert_eq!(cell("message", &json!("failed"), Timestamp::default()).mood, Mood::Plain);
    }
}
