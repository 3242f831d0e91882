//! Drills: a snapshot is restored into a scratch place, audited, started and asked; what was measured, and whether the graph is recovered.

use serde::{Deserialize, Serialize};

use super::finding::{Consistency, Severity, Verdict};
use super::probe::{Comparison, Index};
use super::words::words;

/// How many ids a reason names of those that are missing.
const EXAMPLES_MAX: usize = 5;

words! {
    /// Where a drill stands.
    pub enum DrillState {
        /// It waits, or is being done.
        Running = "running",
        /// The graph was recovered, and answers as it did.
        Passed = "passed",
        /// It was not, or the drill could not be done.
        Failed = "failed",
    }
}

/// How long each stage took, seconds; none for one that was not done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stages {
    /// Until all files were restored and verified.
    pub restore: Option<f64>,
    /// Until they were audited.
    pub audit: Option<f64>,
    /// Until the configured command answered that it is healthy.
    pub start: Option<f64>,
    /// Until all probes were asked.
    pub probes: Option<f64>,
}

/// What a probe retrieves from the restored graph, compared with what the snapshot retrieved when it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The probe.
    pub name: String,
    /// Before and after.
    pub comparison: Comparison,
}

/// What a drill measured and found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillReport {
    /// Regular files that were restored, inputs too.
    pub files: u64,
    /// Sum of their sizes, bytes.
    pub size_bytes: u64,
    /// How long each stage took.
    pub stages: Stages,
    /// How much younger than the snapshot the newest change of the graph's source is, seconds: what a recovery now would lose. None where
    /// the source could not be looked at.
    pub rpo_seconds: Option<f64>,
    /// Why the snapshot cannot be restored whole.
    pub damage: Option<String>,
    /// What the audit says of the restored graph.
    pub verdict: Option<Verdict>,
    /// Why the configured command did not become healthy.
    pub unhealthy: Option<String>,
    /// Why the restored graph could not be asked the probes.
    pub not_asked: Option<String>,
    /// What came out for each probe.
    pub probes: Vec<ProbeResult>,
    /// What was left out, and why.
    pub remarks: Vec<String>,
}

impl DrillReport {
    /// How long it took to recover the graph, seconds: all stages together. None where it was not restored, or not to its end.
    pub fn rto_seconds(&self) -> Option<f64> {
        if self.unhealthy.is_some() || self.not_asked.is_some() {
            return None;
        }
        let Stages { restore, audit, start, probes } = &self.stages;
        Some(restore.as_ref()? + [audit, start, probes].into_iter().flatten().sum::<f64>())
    }

    /// How fast files were restored; none where that took no time.
    pub fn bytes_per_second(&self) -> Option<f64> {
        self.stages.restore.filter(|seconds| *seconds > 0.0).map(|seconds| self.size_bytes as f64 / seconds)
    }

    /// The lowest recall of any probe; none where none was asked.
    pub fn recall(&self) -> Option<f64> {
        self.probes.iter().map(|probe| probe.comparison.recall.overall).reduce(f64::min)
    }

    /// Why the graph does not count as recovered; nothing where it does. Each probe must retrieve at least this share of what it did.
    pub fn failures(&self, minimum_recall: f64) -> Vec<String> {
        let mut failures = Vec::new();
        failures.extend(self.damage.as_ref().map(|damage| format!("it cannot be restored: {damage}")));
        if let Some(verdict) = self.verdict.as_ref().filter(|verdict| verdict.consistency == Consistency::Inconsistent) {
            let broken = verdict.findings.iter().filter(|finding| finding.severity == Severity::Broken);
            let broken: Vec<String> = broken.map(ToString::to_string).collect();
            failures.push(format!("the restored graph contradicts itself: {}", broken.join("; ")));
        }
        failures.extend(self.unhealthy.clone());
        failures.extend(self.not_asked.as_ref().map(|why| format!("the restored graph cannot be asked the probes: {why}")));
        failures.extend(self.probes.iter().filter_map(|probe| probe.failure(minimum_recall)));
        failures
    }
}

impl ProbeResult {
    fn failure(&self, minimum_recall: f64) -> Option<String> {
        let Comparison { recall, missing, .. } = &self.comparison;
        if recall.overall >= minimum_recall {
            return None;
        }
        let missing: Vec<&String> = Index::ALL.iter().flat_map(|index| missing.of(*index)).collect();
        let examples: Vec<String> = missing.iter().take(EXAMPLES_MAX).map(|id| format!("`{id}`")).collect();
        let more = missing.len().saturating_sub(EXAMPLES_MAX);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        Some(format!("probe `{}` has a recall of {:.3}: {}{more} are missing", self.name, recall.overall, examples.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::census::Census;
    use crate::domain::finding::{Finding, Rule};
    use crate::domain::probe::{Retrieved, compare};

    fn result(name: &str, before: &[&str], after: &[&str]) -> ProbeResult {
        let of = |ids: &[&str]| Retrieved { entities: ids.iter().map(|id| (*id).to_owned()).collect(), ..Retrieved::default() };
        ProbeResult { name: name.to_owned(), comparison: compare(&of(before), &of(after)) }
    }

    #[test]
    fn the_time_to_recover_is_that_of_all_stages_that_were_done() {
        let stages = Stages { restore: Some(2.0), audit: Some(0.5), start: None, probes: Some(0.25) };
        let report = DrillReport { size_bytes: 3_000_000, stages, ..DrillReport::default() };
        assert_eq!((report.rto_seconds(), report.bytes_per_second()), (Some(2.75), Some(1_500_000.0)));
        assert_eq!(report.failures(1.0), Vec::<String>::new());
        let nothing = DrillReport::default();
        assert_eq!((nothing.rto_seconds(), nothing.bytes_per_second(), nothing.recall()), (None, None, None));
        let at_once = DrillReport { stages: Stages { restore: Some(0.0), ..Stages::default() }, ..DrillReport::default() };
        assert_eq!((at_once.rto_seconds(), at_once.bytes_per_second()), (Some(0.0), None));
        let stopped = DrillReport { unhealthy: Some("the command ended".to_owned()), ..at_once };
        assert_eq!(stopped.rto_seconds(), None, "no time in which the graph was recovered");
    }

    #[test]
    fn each_probe_is_held_against_the_minimum_and_named() {
        let worse = result("worse", &["a", "b", "c", "d", "e", "f", "g", "h"], &["h", "z"]);
        let report = DrillReport { probes: vec![result("same", &["a"], &["a"]), worse], ..DrillReport::default() };
        assert_eq!(report.recall(), Some(0.125));
        let expected = "probe `worse` has a recall of 0.125: `a`, `b`, `c`, `d`, `e` and 2 more are missing";
        assert_eq!(report.failures(1.0), [expected]);
        assert_eq!(report.failures(0.125), Vec::<String>::new());
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let finding = |severity| Finding { rule: Rule::R16, severity, count: 1, examples: vec!["Ellmouth".into()] };
        let findings = vec![finding(Severity::Broken), finding(Severity::Warning)];
        let report = DrillReport {
            damage: Some("a blob is missing".to_owned()),
            verdict: Some(Verdict::of(Census::default(), findings)),
            unhealthy: Some("the command ended".to_owned()),
            not_asked: Some("a store is damaged".to_owned()),
            ..DrillReport::default()
        };
        let failures = report.failures(0.0);
        assert_eq!(failures.len(), 4, "{failures:?}");
        assert!(failures[1].starts_with("the restored graph contradicts itself: ") && failures[1].matches("Ellmouth").count() == 1);
    }
}
