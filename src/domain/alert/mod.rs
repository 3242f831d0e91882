//! Alerts: rules over metrics, what they find in samples, and what becomes of it.

pub mod defaults;
mod evaluate;
mod life;
mod rule;
mod silence;

use std::collections::BTreeMap;

pub use evaluate::{Found, evaluate};
pub use life::{Change, OpenAlert, follow};
pub use rule::{Origin, Rule, RuleFields, RuleInForce, is_rule_name};
pub use silence::{Silence, silenced_until};

pub use super::event::Severity;
use super::words::words;

/// The labels of a series, by their names.
pub type SeriesLabels = BTreeMap<String, String>;

/// Whether a text can be stored and shown: of control characters it has ends of lines and tabs only.
pub fn is_plain_text(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

words! {
    /// Where an alert stands.
    pub enum AlertState {
        /// It was found, but not for long enough yet.
        Pending = "pending",
        /// It is there.
        Firing = "firing",
        /// It was there.
        Resolved = "resolved",
    }
}

words! {
    /// When a rule finds a series.
    pub enum AlertCondition {
        /// Its value is more than the threshold.
        Above = "above",
        /// Its value is less than the threshold.
        Below = "below",
        /// It has no value.
        Missing = "missing",
    }
}

words! {
    /// How somebody is told.
    pub enum Channel {
        /// By a POST.
        Webhook = "webhook",
        /// By e-mail.
        Email = "email",
    }
}

words! {
    /// What somebody is told of.
    pub enum NotificationEvent {
        /// An alert has begun to fire.
        Firing = "firing",
        /// An alert that was told is over.
        Resolved = "resolved",
        /// Nothing: somebody wants to see whether it arrives.
        Test = "test",
    }
}
