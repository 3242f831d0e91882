//! Events: what has happened that an operator may want to know, and how much it matters.

use super::metric::fact::{Fact, FactKind};
use super::words::words;

words! {
    /// How much something matters.
    #[derive(PartialOrd, Ord)]
    pub enum Severity {
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Warning = "warning",
        /// Somebody must look now.
        Critical = "critical",
    }
}

words! {
    /// What an event is about.
    pub enum EventTopic {
        /// A snapshot.
        Snapshot = "snapshot",
        /// A restore, a failover or the way back.
        Recovery = "recovery",
        /// A drill.
        Drill = "drill",
        /// A verification of a snapshot or a checkpoint.
        Verification = "verification",
        /// A schedule.
        Schedule = "schedule",
        /// A target of replication.
        Target = "target",
        /// How a component is.
        Health = "health",
        /// An alert.
        Alert = "alert",
        /// Other work on a repository.
        Maintenance = "maintenance",
    }
}

/// An event as it follows from a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// What it is about.
    pub topic: EventTopic,
    /// How much it matters.
    pub severity: Severity,
    /// For people.
    pub message: String,
}

impl Happening {
    fn new(topic: EventTopic, severity: Severity, message: impl Into<String>) -> Option<Self> {
        Some(Self { topic, severity, message: message.into() })
    }
}

/// What is told of a fact, if anything; `error` is why an operation has failed.
pub fn happening_of(fact: &Fact, error: Option<&str>) -> Option<Happening> {
    let word = fact.word.as_deref().unwrap_or_default();
    let subject = fact.subject_id.as_deref().unwrap_or_default();
    match fact.kind {
        FactKind::Operation => of_operation(word, error),
        FactKind::Snapshot if word == "inconsistent" => Happening::new(
            EventTopic::Snapshot,
            Severity::Warning,
            format!("snapshot `{subject}` was taken of stores that contradict each other"),
        ),
        FactKind::Snapshot => Happening::new(EventTopic::Snapshot, Severity::Info, format!("snapshot `{subject}` was taken")),
        FactKind::Validation if word == "failed" => {
            Happening::new(EventTopic::Verification, Severity::Critical, format!("checkpoint `{subject}` is not valid"))
        }
        FactKind::Drill if word == "failed" => {
            Happening::new(EventTopic::Drill, Severity::Critical, format!("drill `{subject}` has failed"))
        }
        FactKind::Drill => Happening::new(EventTopic::Drill, Severity::Info, format!("drill `{subject}` has passed")),
        FactKind::Verification if fact.count == 0 => {
            Happening::new(EventTopic::Verification, Severity::Critical, format!("snapshot `{subject}` is damaged, a verification found"))
        }
        FactKind::Missed => {
            let message = format!("schedule `{subject}` has missed {} of its runs", fact.count);
            Happening::new(EventTopic::Schedule, Severity::Warning, message)
        }
        FactKind::Target => of_target(word),
        _ => None,
    }
}

fn of_operation(word: &str, error: Option<&str>) -> Option<Happening> {
    let (kind, state) = word.split_once(' ')?;
    let topic = match kind {
        "snapshot" => EventTopic::Snapshot,
        "restore" | "failover" | "rollback" | "recover" => EventTopic::Recovery,
        // A drill tells of itself.
        "drill" => return None,
        "verify" => EventTopic::Verification,
        _ => EventTopic::Maintenance,
    };
    let is_grave = matches!(kind, "failover" | "rollback");
    match state {
        "failed" => {
            let severity = if is_grave { Severity::Critical } else { Severity::Warning };
            Happening::new(topic, severity, format!("{kind} has failed: {}", error.unwrap_or("nobody knows why")))
        }
        "cancelled" => Happening::new(topic, Severity::Info, format!("{kind} was cancelled")),
        _ => matches!(kind, "restore" | "failover" | "rollback" | "recover" | "repair" | "unregister").then(|| Happening {
            topic,
            severity: Severity::Info,
            message: format!("{kind} has succeeded"),
        }),
    }
}

fn of_target(word: &str) -> Option<Happening> {
    let (what, message) = word.split_once(' ')?;
    match what {
        "damaged" => Happening::new(EventTopic::Target, Severity::Critical, message),
        "condition" => Happening::new(EventTopic::Target, Severity::Warning, message),
        "repaired" => Happening::new(EventTopic::Target, Severity::Info, message),
        // What cannot be sent is tried again and again: the lag tells of it.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::timestamp::Timestamp;

    #[test]
    fn failures_say_why() {
        let fact = Fact { word: Some("failover failed".to_owned()), ..Fact::new(FactKind::Operation, Timestamp::default()) };
        let told = happening_of(&fact, Some("the disk is full"));
        assert_eq!(told, Happening::new(EventTopic::Recovery, Severity::Critical, "failover has failed: the disk is full"));
    }
}
