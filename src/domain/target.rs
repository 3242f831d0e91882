//! Targets: where copies go, and what may be said of them.

use std::path::PathBuf;

use super::label::Selector;
use super::validate::Violations;
use super::words::words;

words! {
    /// Which of the snapshots that a target lacks is sent first.
    pub enum SendOrder {
        /// The oldest.
        OldestFirst = "oldest_first",
        /// The newest.
        NewestFirst = "newest_first",
    }
}

words! {
    /// How a target is.
    pub enum TargetStatus {
        /// It answers, and takes copies.
        Healthy = "healthy",
        /// It answers, but not as it should.
        Degraded = "degraded",
        /// It does not answer.
        Unreachable = "unreachable",
        /// Nobody has looked.
        Unknown = "unknown",
    }
}

words! {
    /// What has happened to a target.
    pub enum EventKind {
        /// A snapshot was brought there.
        Replicated = "replicated",
        /// A snapshot could not be brought there.
        Failed = "failed",
        /// It holds a damaged file.
        Damaged = "damaged",
        /// A damaged file was sent again.
        Repaired = "repaired",
        /// It was found to be another way than before.
        Condition = "condition",
    }
}

words! {
    /// Where a snapshot stands on its way to a target.
    pub enum ReplicationState {
        /// Somebody has asked for it.
        Wanted = "wanted",
        /// It could not be brought there yet.
        Failed = "failed",
        /// It was brought there.
        Done = "done",
    }
}

/// Files that are sent at once where nobody says.
const PARALLELISM: i32 = 4;
/// No more than this.
const MOST_PARALLEL: i32 = 64;
/// How much of a replica is read again each day where nobody says, percent: all of it in a month.
const REREAD_PERCENT_PER_DAY: f64 = 3.0;
/// The longest name, bytes.
const MOST_NAME_BYTES: usize = 64;

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Another Lightkeep.
    Peer {
        /// Where its HTTP is, without a slash at its end.
        base_url: String,
        /// Where its gRPC is, if not there.
        grpc_url: Option<String>,
    },
    /// A directory.
    Directory(PathBuf),
}

/// What can be changed of a target; what is not set stays, or has its default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TargetFields {
    /// Its name.
    pub name: Option<String>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
    /// The graphs that are sent there.
    pub graph_selector: Option<String>,
    /// Nothing is sent by itself.
    pub on_request: Option<bool>,
    /// Files at once.
    pub parallelism: Option<i32>,
    /// Bytes a second; 0 for no limit.
    pub bytes_per_second: Option<i64>,
    /// Which snapshot first.
    pub send_order: Option<SendOrder>,
    /// Whether it is at another site.
    pub off_site: Option<bool>,
    /// How much of it is read again each day, percent.
    pub reread_percent_per_day: Option<f64>,
}

/// What is known of how targets are sent to.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRules {
    /// Its name.
    pub name: String,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// The graphs that are sent there.
    pub graph_selector: Selector,
    /// Nothing is sent by itself.
    pub on_request: bool,
    /// Files at once.
    pub parallelism: i32,
    /// Bytes a second; 0 for no limit.
    pub bytes_per_second: i64,
    /// Which snapshot first.
    pub send_order: SendOrder,
    /// Whether it is at another site.
    pub off_site: bool,
    /// How much of it is read again each day, percent.
    pub reread_percent_per_day: f64,
}

impl TargetFields {
    /// Checks the fields, and fills in defaults.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn parse(self) -> Result<TargetRules, Violations> {
        let mut violations = Violations::default();
        let name = violations.take("name", self.name.ok_or_else(|| "must be given".to_owned()).and_then(parse_name));
        let selector = self.graph_selector.filter(|text| !text.trim().is_empty());
        let graph_selector = violations.take("graph_selector", Selector::parse(selector.as_deref().unwrap_or("*")));
        let parallelism = self.parallelism.filter(|number| *number != 0).unwrap_or(PARALLELISM);
        if !(1..=MOST_PARALLEL).contains(&parallelism) {
            violations.add("parallelism", format_args!("must be from 1 to {MOST_PARALLEL}: {parallelism}"));
        }
        let bytes_per_second = self.bytes_per_second.unwrap_or(0);
        if bytes_per_second != 0 && bytes_per_second < 1024 {
            violations.add("bytes_per_second", format_args!("must be 0 for no limit, or at least 1024: {bytes_per_second}"));
        }
        let reread_percent_per_day = self.reread_percent_per_day.unwrap_or(REREAD_PERCENT_PER_DAY);
        if !(0.0..=100.0).contains(&reread_percent_per_day) {
            violations.add("reread_percent_per_day", format_args!("must be from 0 to 100: {reread_percent_per_day}"));
        }
        match (name, graph_selector) {
            (Some(name), Some(graph_selector)) if violations.is_empty() => Ok(TargetRules {
                name,
                enabled: self.enabled.unwrap_or(true),
                graph_selector,
                on_request: self.on_request.unwrap_or(false),
                parallelism,
                bytes_per_second,
                send_order: self.send_order.unwrap_or(SendOrder::OldestFirst),
                off_site: self.off_site.unwrap_or(false),
                reread_percent_per_day,
            }),
            _ => Err(violations),
        }
    }
}

fn parse_name(name: String) -> Result<String, String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    if name.trim() != name || name.is_empty() || name.len() > MOST_NAME_BYTES || !name.chars().all(allowed) {
        return Err(format!("must be 1 to {MOST_NAME_BYTES} bytes of letters, digits, `.`, `_`, `-` and inner spaces: {name}"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked_all_at_once() {
        let named = TargetFields { name: Some("second site".into()), ..TargetFields::default() };
        let rules = named.clone().parse().unwrap();
        assert_eq!((rules.parallelism, rules.enabled, rules.graph_selector.to_string()), (4, true, "*".to_owned()));
        let wrong = TargetFields {
            name: Some(" x".into()),
            graph_selector: Some("a".into()),
            parallelism: Some(65),
            bytes_per_second: Some(-1),
            reread_percent_per_day: Some(f64::NAN),
            ..named
        };
        assert_eq!(wrong.parse().unwrap_err().iter().count(), 5);
    }
}
