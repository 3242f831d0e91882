//! Curves, drawn by the server: they need no script. What they show stands in a table, or in words, beside them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use askama::filters::HtmlSafe;

use crate::base::timestamp::Timestamp;
use crate::base::words::{self, instant};

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 84.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 70.0;

/// Up to this length times are shown, and days from then on.
const SHORT: Duration = Duration::from_secs(2 * 24 * 3600);

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Sizes.
    Bytes,
    /// Lengths of time.
    Seconds,
    /// Numbers of things.
    Number,
    /// So many of them in a second.
    Rate,
    /// So many bytes in a second.
    BytesRate,
}

impl Unit {
    fn tell(self, value: f64) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "what does not fit is largest")]
        match self {
            Self::Bytes => words::size(value as i64),
            Self::Seconds => words::length(value),
            Self::BytesRate => format!("{}/s", words::size(value as i64)),
            Self::Rate => format!("{value:.3}/s"),
            Self::Number if value.fract() == 0.0 => words::count(value as i64),
            Self::Number => format!("{value:.2}"),
        }
    }
}

/// How one value went.
#[derive(Debug, Clone)]
pub(super) struct Trend {
    /// What it is.
    pub(super) name: String,
    /// Its last value, for people.
    pub(super) last: String,
    points: Vec<(Timestamp, f64)>,
    unit: Unit,
}

impl Trend {
    /// Of values in the order of their times; none where there are not two.
    pub(super) fn of(name: &str, unit: Unit, points: Vec<(Timestamp, f64)>) -> Option<Self> {
        let last = unit.tell(points.last().filter(|_| points.len() > 1)?.1);
        Some(Self { name: name.to_owned(), last, points, unit })
    }

    fn bounds(&self) -> (f64, f64) {
        let values = || self.points.iter().map(|(_, value)| *value);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }

    fn place(&self, (at, value): (Timestamp, f64), (low, high): (f64, f64)) -> (f64, f64) {
        let ends = [self.points.first(), self.points.last()].map(|end| end.map_or(0, |(at, _)| at.micros()));
        let span = (ends[1] - ends[0]).max(1) as f64;
        let x = 2.0 + (at.micros() - ends[0]) as f64 / span * (WIDTH - 4.0);
        // A value that stays the same runs through the middle.
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        (x, BOTTOM - share * (BOTTOM - TOP))
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = self.bounds();
        let mut line = String::new();
        for (index, point) in self.points.iter().enumerate() {
            let (x, y) = self.place(*point, bounds);
            write!(line, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" })?;
        }
        let (low, high) = (self.unit.tell(bounds.0), self.unit.tell(bounds.1));
        let ends = [self.points.first(), self.points.last()].map(|end| end.map(|(at, _)| instant(*at)).unwrap_or_default());
        let (name, last, [from, until]) = (escaped(&self.name), &self.last, &ends);
        write!(f, r#"<svg class="trend" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} from {from} to {until}: "#)?;
        write!(f, r#"lowest {low}, highest {high}, last {last}"><path class="area" d="{line}L{} {BOTTOM}L2 {BOTTOM}Z"/>"#, WIDTH - 2.0)?;
        write!(f, r#"<path class="axis" d="M2 {BOTTOM}H{}"/><path class="line" d="{line}"/>"#, WIDTH - 2.0)?;
        if let Some(end) = self.points.last() {
            let (x, y) = self.place(*end, bounds);
            write!(f, r#"<circle class="dot" cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#)?;
        }
        // Within two days the time says more than the day.
        let is_short = self.points.last().zip(self.points.first()).is_some_and(|(last, first)| last.0.since(first.0) < SHORT);
        let day = |text: &str| text.get(if is_short { 5..16 } else { 0..10 }).unwrap_or_default().to_owned();
        write!(f, r#"<text x="2" y="82">{}</text><text class="end" x="{}" y="82">{}</text></svg>"#, day(from), WIDTH - 2.0, day(until))
    }
}

impl HtmlSafe for Trend {}

/// A text as it stands in an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How much of what is allowed is used, from 0 to 1 and more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gauge(pub(super) f64);

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, width) = (if self.0 > 1.0 { "bad" } else { "good" }, self.0.clamp(0.0, 1.0) * 60.0);
        write!(
            f,
            r#"<svg class="gauge {class}" viewBox="0 0 60 6" aria-hidden="true"><rect class="all" width="60" height="6" rx="3"/><rect width="{width:.1}" height="6" rx="3"/></svg>"#
        )
    }
}

impl HtmlSafe for Gauge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_within_its_frame_and_is_told_in_words() {
        let at = |day: i64| Timestamp::from_micros(day * 86_400_000_000);
        let trend = Trend::of("Size", Unit::Bytes, vec![(at(0), 1024.0), (at(1), 4096.0), (at(2), 2048.0)]).unwrap();
        let svg = trend.to_string();
        assert!(svg.contains(r#"d="M2.0 70.0L160.0 10.0L318.0 50.0""#), "{svg}");
        assert!(svg.contains("lowest 1.00 KiB, highest 4.00 KiB, last 2.00 KiB"), "{svg}");
        let named = Trend::of("<\"&", Unit::Number, vec![(at(0), 1.0), (at(1), 2.0)]).unwrap().to_string();
        assert!(named.contains("aria-label=\"&lt;&quot;&amp; from"), "{named}");
        assert!(Trend::of("Size", Unit::Bytes, vec![(at(0), 1.0)]).is_none());
        let flat = Trend::of("Files", Unit::Number, vec![(at(1), 7.0), (at(1), 7.0)]).unwrap().to_string();
        assert!(flat.contains("M2.0 40.0L2.0 40.0") && !flat.contains("NaN"), "{flat}");
    }
}
