//! Verdicts on snapshots: all the reasons why one stays, or none.

use std::fmt;

use super::Hold;
use super::rules::Rule;
use crate::base::timestamp::Timestamp;
use crate::domain::words::words;

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is still being taken.
    InProgress,
    /// It is pinned.
    Pinned(Hold),
    /// It is under a legal hold.
    Held(Hold),
    /// A restore or a verification of it waits or works, or it was restored lately.
    InUse,
    /// It is in a checkpoint.
    Checkpoint,
    /// It is dated later than now.
    Ahead,
    /// It is one of the newest good ones of its graph.
    Good {
        /// Its place among them, from 1.
        nth: u32,
        /// How many stay at least.
        of: u32,
    },
    /// Its graph has no good one.
    NoGood,
    /// Its graph has plain directories for good ones, and it is one of the newest that is none.
    NotPlain,
    /// It has a tag that the policy keeps.
    Tag(String),
    /// It was taken within a time before the newest one.
    Within {
        /// That time.
        seconds: u64,
    },
    /// A rule counts it.
    Counted {
        /// The rule.
        rule: Rule,
        /// Its place among those that the rule counts, from 1.
        nth: u32,
        /// How many the rule counts.
        of: u32,
    },
    /// Its own retention is not over.
    NotExpired {
        /// When it will be.
        until: Timestamp,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress => f.write_str("still being taken"),
            Self::Pinned(Hold { reason, until: Some(until) }) => write!(f, "pinned until {until}: {reason}"),
            Self::Pinned(Hold { reason, until: None }) => write!(f, "pinned: {reason}"),
            Self::Held(Hold { reason, until: Some(until) }) => write!(f, "held until {until}: {reason}"),
            Self::Held(Hold { reason, until: None }) => write!(f, "held until released: {reason}"),
            Self::InUse => f.write_str("in use: it is restored or verified, or was restored lately"),
            Self::Checkpoint => f.write_str("in a checkpoint"),
            Self::Ahead => f.write_str("dated later than now"),
            Self::Good { nth: 1, .. } => f.write_str("newest good"),
            Self::Good { nth, of } => write!(f, "good {nth} of at least {of}"),
            Self::NoGood => f.write_str("its graph has no good one"),
            Self::NotPlain => f.write_str("newest that is no plain directory"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Within { seconds } => write!(f, "within {} of the newest", Span(*seconds)),
            Self::Counted { rule, nth, of } => write!(f, "{rule} {nth} of {of}"),
            Self::NotExpired { until } => write!(f, "its retention lasts until {until}"),
        }
    }
}

/// Seconds, in the greatest unit that is whole.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
        let (size, unit) = units.into_iter().find(|(size, _)| self.0.is_multiple_of(*size)).unwrap_or((1, "second"));
        let count = self.0 / size;
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// What becomes of a snapshot: it stays for all these reasons, or goes if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    reasons: Vec<Reason>,
}

words! {
    /// A verdict in one word.
    pub enum RetentionVerdict {
        /// Kept: its own retention is not over.
        NotExpired = "not_expired",
        /// Kept: a restore or a verification of it waits or works, or it was restored lately.
        InUse = "in_use",
        /// Kept by a rule of the policy.
        Policy = "policy",
        /// Kept: among the newest good ones of its graph, or the least bad where none is good.
        NewestGood = "newest_good",
        /// Kept: in a checkpoint.
        Checkpoint = "checkpoint",
        /// Kept: pinned.
        Pinned = "pinned",
        /// Kept: under a legal hold.
        Held = "held",
        /// Kept: it is still being taken.
        InProgress = "in_progress",
        /// Deleted: nothing keeps it.
        Expired = "expired",
    }
}

impl Verdict {
    pub(super) fn of(reasons: Vec<Reason>) -> Self {
        Self { reasons }
    }

    /// Why the snapshot stays; empty if it goes.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Whether it goes.
    pub fn is_expired(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The verdict in one word, by the strongest of its reasons.
    pub fn word(&self) -> RetentionVerdict {
        let has = |test: fn(&Reason) -> bool| self.reasons.iter().any(test);
        match () {
            () if self.is_expired() => RetentionVerdict::Expired,
            () if has(|reason| matches!(reason, Reason::InProgress)) => RetentionVerdict::InProgress,
            () if has(|reason| matches!(reason, Reason::Held(_))) => RetentionVerdict::Held,
            () if has(|reason| matches!(reason, Reason::Pinned(_))) => RetentionVerdict::Pinned,
            () if has(|reason| matches!(reason, Reason::Checkpoint)) => RetentionVerdict::Checkpoint,
            () if has(|reason| matches!(reason, Reason::Good { .. } | Reason::NotPlain | Reason::NoGood)) => RetentionVerdict::NewestGood,
            () if has(|reason| matches!(reason, Reason::InUse)) => RetentionVerdict::InUse,
            () if has(|reason| matches!(reason, Reason::NotExpired { .. } | Reason::Ahead)) => RetentionVerdict::NotExpired,
            () => RetentionVerdict::Policy,
        }
    }
}

impl fmt::Display for Verdict {
    /// All reasons on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_expired() {
            return f.write_str("its retention is over");
        }
        for (index, reason) in self.reasons.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{reason}")?;
        }
        Ok(())
    }
}
