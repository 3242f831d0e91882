//! The snapshots of a graph on a line of time: what the audit said of each by its shape.

use std::fmt;

use askama::filters::HtmlSafe;

use super::marks::{Mark, Tone, mark};
use crate::base::timestamp::Timestamp;
use crate::base::words::{instant, many};
use crate::domain::finding::Consistency;
use crate::domain::snapshot::SnapshotStatus;
use crate::store::entity::snapshot::Model;

const WIDTH: f64 = 960.0;

/// Snapshots on a line.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    stops: Vec<(Timestamp, Mark)>,
}

/// What the audit said of a snapshot, or what became of it before that.
pub(super) fn consistency(row: &Model) -> Mark {
    let said = row.consistency.as_deref().unwrap_or_default();
    match row.status {
        SnapshotStatus::Failed => mark(Tone::Bad, "failed"),
        SnapshotStatus::Pending | SnapshotStatus::InProgress => mark(Tone::Busy, "in progress"),
        _ if said == Consistency::Inconsistent.as_str() => mark(Tone::Fair, "inconsistent"),
        _ if said == Consistency::Consistent.as_str() => mark(Tone::Good, "consistent"),
        _ => mark(Tone::Quiet, "not audited"),
    }
}

impl Timeline {
    /// Of these, newest first.
    pub(super) fn of(rows: &[Model]) -> Self {
        Self { stops: rows.iter().rev().map(|row| (row.created_at, consistency(row))).collect() }
    }

    /// Whether there is anything to show.
    pub(super) fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// What the shapes mean, of those that are there.
    pub(super) fn legend(&self) -> Vec<(Mark, usize)> {
        let mut found: Vec<(Mark, usize)> = Vec::new();
        for (_, mark) in &self.stops {
            match found.iter_mut().find(|(known, _)| known == mark) {
                Some((_, count)) => *count += 1,
                None => found.push((*mark, 1)),
            }
        }
        found
    }

    fn told(&self) -> String {
        let kinds: Vec<String> = self.legend().iter().map(|(mark, count)| format!("{count} {}", mark.word)).collect();
        format!("{}: {}", many(self.stops.len(), "snapshot"), kinds.join(", "))
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some((from, _)), Some((until, _))) = (self.stops.first(), self.stops.last()) else { return Ok(()) };
        let span = (until.micros() - from.micros()).max(1) as f64;
        let told = self.told();
        write!(
            f,
            r#"<svg class="timeline" viewBox="0 0 {WIDTH} 48" role="img" aria-label="{told}"><path class="axis" d="M8 14H{}"/>"#,
            WIDTH - 8.0
        )?;
        for (at, mark) in &self.stops {
            // A single one stands at the end: now.
            let share = if self.stops.len() == 1 { 1.0 } else { (at.micros() - from.micros()) as f64 / span };
            let (x, class) = (2.0 + share * (WIDTH - 16.0), mark.tone.class());
            let (when, word, shape) = (instant(*at), mark.word, mark.tone.shape());
            write!(f, r#"<g class="{class}" transform="translate({x:.1} 8)"><title>{when}: {word}</title>{shape}</g>"#)?;
        }
        write!(
            f,
            r#"<text x="2" y="44">{}</text><text class="end" x="{}" y="44">{}</text></svg>"#,
            instant(*from),
            WIDTH - 2.0,
            instant(*until)
        )
    }
}

impl HtmlSafe for Timeline {}
