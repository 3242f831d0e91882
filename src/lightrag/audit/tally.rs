//! Findings while they are counted.

use std::collections::BTreeMap;

use super::extract::readable;
use crate::domain::finding::{EXAMPLES_MAX, Finding, Rule, Severity};

/// Findings while they are counted.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<(Rule, Severity), (u64, Vec<String>)>);

impl Tally {
    /// Counts one; `names` are joined for people.
    pub(super) fn count(&mut self, rule: Rule, severity: Severity, names: &[&[u8]]) {
        let (count, examples) = self.0.entry((rule, severity)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(names.iter().map(|name| readable(name)).collect::<Vec<_>>().join(" - "));
        }
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, other: Self) {
        for (key, (more, more_examples)) in other.0 {
            let (count, examples) = self.0.entry(key).or_default();
            *count += more;
            let room = EXAMPLES_MAX.saturating_sub(examples.len());
            examples.extend(more_examples.into_iter().take(room));
        }
    }

    /// The worst severity in which a rule was found broken.
    pub(super) fn worst(&self, rule: Rule) -> Option<Severity> {
        self.0.keys().filter(|(broken, _)| *broken == rule).map(|(_, severity)| *severity).max()
    }

    /// What was counted.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        let finding = |((rule, severity), (count, examples))| Finding { rule, severity, count, examples };
        self.0.into_iter().map(finding).collect()
    }
}
