//! Small pieces of pages: a status by shape, word and colour; a size, a time, with the exact value behind it. What they write is ours, so
//! templates take it as it is.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;

use crate::base::timestamp::Timestamp;
use crate::base::words;
use crate::domain::checkpoint::CheckpointState;
use crate::domain::drill::DrillState;
use crate::domain::failover::{FailoverState, StepOutcome};
use crate::domain::health::HealthStatus;
use crate::domain::operation::OperationState;
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::target::TargetStatus;

/// How something is. Each has a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// All is well.
    Good,
    /// Something should be mended.
    Fair,
    /// Something is broken.
    Bad,
    /// Nobody knows, or nothing is to be said.
    Quiet,
    /// It is being done.
    Busy,
}

impl Tone {
    /// The class, which gives the colour.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
            Self::Busy => "busy",
        }
    }

    /// The outline, in a square of 12.
    pub(super) fn shape(self) -> &'static str {
        match self {
            Self::Good => r#"<path d="M6 0a6 6 0 1 0 0 12A6 6 0 0 0 6 0ZM5.2 8.9 2.4 6.1l1.1-1.1 1.7 1.7 3.3-3.3 1.1 1.1Z"/>"#,
            Self::Fair => r#"<path d="M6 .6 12 11.4H0ZM5.3 4.2v3.6h1.4V4.2Zm0 4.6v1.3h1.4V8.8Z"/>"#,
            Self::Bad => {
                r#"<path d="M0 0h12v12H0ZM3.5 2.4 2.4 3.5 4.9 6 2.4 8.5l1.1 1.1L6 7.1l2.5 2.5 1.1-1.1L7.1 6l2.5-2.5-1.1-1.1L6 4.9Z"/>"#
            }
            Self::Quiet => r#"<path d="M6 0a6 6 0 1 0 0 12A6 6 0 0 0 6 0Zm0 1.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4Z"/>"#,
            Self::Busy => r#"<path d="M6 0 12 6 6 12 0 6Zm0 3.2L3.2 6 6 8.8 8.8 6Z"/>"#,
        }
    }
}

/// A status: shape, word and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its class and shape.
    pub(super) tone: Tone,
    /// One of our own words.
    pub(super) word: &'static str,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, shape) = (self.tone.class(), self.tone.shape());
        let word = self.word.replace('_', " ");
        write!(f, r#"<span class="mark {class}"><svg viewBox="0 0 12 12" aria-hidden="true">{shape}</svg>{word}</span>"#)
    }
}

impl HtmlSafe for Mark {}

/// Makes a mark.
pub(super) const fn mark(tone: Tone, word: &'static str) -> Mark {
    Mark { tone, word }
}

/// Of a graph, in words of what it means for whoever needs it back.
pub(super) fn protection(status: HealthStatus) -> Mark {
    match status {
        HealthStatus::Healthy => mark(Tone::Good, "protected"),
        HealthStatus::Degraded => mark(Tone::Fair, "needs care"),
        HealthStatus::Critical => mark(Tone::Bad, "not protected"),
        HealthStatus::Offline => mark(Tone::Bad, "not reachable"),
        HealthStatus::Unknown => mark(Tone::Quiet, "not checked"),
    }
}

impl From<HealthStatus> for Mark {
    fn from(status: HealthStatus) -> Self {
        let tone = match status {
            HealthStatus::Healthy => Tone::Good,
            HealthStatus::Degraded => Tone::Fair,
            HealthStatus::Critical | HealthStatus::Offline => Tone::Bad,
            HealthStatus::Unknown => Tone::Quiet,
        };
        mark(tone, status.as_str())
    }
}

impl From<SnapshotStatus> for Mark {
    fn from(status: SnapshotStatus) -> Self {
        let tone = match status {
            SnapshotStatus::Completed | SnapshotStatus::Restored => Tone::Good,
            SnapshotStatus::Pending | SnapshotStatus::InProgress => Tone::Busy,
            SnapshotStatus::Failed => Tone::Bad,
            SnapshotStatus::Archived => Tone::Quiet,
        };
        mark(tone, status.as_str())
    }
}

impl From<OperationState> for Mark {
    fn from(state: OperationState) -> Self {
        let tone = match state {
            OperationState::Queued => Tone::Quiet,
            OperationState::Running => Tone::Busy,
            OperationState::Succeeded => Tone::Good,
            OperationState::Failed => Tone::Bad,
            OperationState::Cancelled => Tone::Fair,
        };
        mark(tone, state.as_str())
    }
}

impl From<DrillState> for Mark {
    fn from(state: DrillState) -> Self {
        let tone = match state {
            DrillState::Running => Tone::Busy,
            DrillState::Passed => Tone::Good,
            DrillState::Failed => Tone::Bad,
        };
        mark(tone, state.as_str())
    }
}

impl From<CheckpointState> for Mark {
    fn from(state: CheckpointState) -> Self {
        let tone = match state {
            CheckpointState::Capturing => Tone::Busy,
            CheckpointState::Completed => Tone::Good,
            CheckpointState::Failed => Tone::Bad,
        };
        mark(tone, state.as_str())
    }
}

impl From<FailoverState> for Mark {
    fn from(state: FailoverState) -> Self {
        let tone = match state {
            FailoverState::Capturing | FailoverState::Running | FailoverState::RollingBack => Tone::Busy,
            FailoverState::Succeeded => Tone::Good,
            FailoverState::Switched | FailoverState::RolledBack => Tone::Fair,
            FailoverState::Failed | FailoverState::Incomplete => Tone::Bad,
        };
        mark(tone, state.as_str())
    }
}

impl From<StepOutcome> for Mark {
    fn from(outcome: StepOutcome) -> Self {
        let tone = match outcome {
            StepOutcome::Running => Tone::Busy,
            StepOutcome::Done => Tone::Good,
            StepOutcome::Skipped => Tone::Quiet,
            StepOutcome::Interrupted => Tone::Fair,
            StepOutcome::Failed | StepOutcome::TimedOut => Tone::Bad,
        };
        mark(tone, outcome.as_str())
    }
}

impl From<TargetStatus> for Mark {
    fn from(status: TargetStatus) -> Self {
        let tone = match status {
            TargetStatus::Healthy => Tone::Good,
            TargetStatus::Degraded => Tone::Fair,
            TargetStatus::Unreachable => Tone::Bad,
            TargetStatus::Unknown => Tone::Quiet,
        };
        mark(tone, status.as_str())
    }
}

/// A number of bytes, with the exact one behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes(pub(super) i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<data value="{}" title="{} bytes">{}</data>"#, self.0, words::count(self.0), words::size(self.0))
    }
}

impl HtmlSafe for Bytes {}

/// A number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count(pub(super) i64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::count(self.0))
    }
}

impl HtmlSafe for Count {}

/// An instant, told from now, with the exact one behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// At this instant, seen now.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, exact, told) = (self.at, words::instant(self.at), words::from_now(self.at, self.now));
        write!(f, r#"<time datetime="{at}" title="{exact}">{told}</time>"#)
    }
}

impl HtmlSafe for Moment {}

/// A length of time, with the exact one behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length(f64);

impl Length {
    /// So many seconds.
    pub(super) fn seconds(seconds: f64) -> Self {
        Self(seconds)
    }
}

impl From<Duration> for Length {
    fn from(length: Duration) -> Self {
        Self(length.as_secs_f64())
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"<span title="{} s">{}</span>"#, self.0, words::length(self.0))
    }
}

impl HtmlSafe for Length {}

/// How far an operation is; without an end as long as nobody knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Bytes done in this stage.
    pub(super) done: i64,
    /// Bytes to do in it; 0 when unknown.
    pub(super) total: i64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, total) = (self.done, self.total);
        let told = words::progress(done, total);
        let value = if total > 0 { format!(r#" value="{}" max="{total}""#, done.clamp(0, total)) } else { String::new() };
        write!(f, r#"<progress aria-label="Progress"{value}>{told}</progress> <span class="told" data-told>{told}</span>"#)
    }
}

impl HtmlSafe for Progress {}
