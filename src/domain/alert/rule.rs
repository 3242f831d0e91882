//! Rules: written, checked, in force.

use std::time::Duration;

use serde::Deserialize;

use super::{AlertCondition, SeriesLabels, Severity, is_plain_text};
use crate::domain::metric::{Metric, MetricType, names};
use crate::domain::validate::Violations;
use crate::domain::words::words;

/// The longest that a rule waits before it fires: 30 days.
const MOST_FOR_SECONDS: i64 = 30 * 24 * 3600;
/// The longest name, value of a label, and summary, bytes.
const MOST_NAME_BYTES: usize = 64;
const MOST_LABEL_BYTES: usize = 256;
const MOST_SUMMARY_BYTES: usize = 500;

/// A rule that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name; no two have the same.
    pub name: String,
    /// How bad what it finds is.
    pub severity: Severity,
    /// What it looks at.
    pub metric: &'static Metric,
    /// Only series with these labels.
    pub labels: SeriesLabels,
    /// The value is an instant, and it looks at the time since then.
    pub is_age: bool,
    /// When it finds a series.
    pub condition: AlertCondition,
    /// The bound of the value.
    pub threshold: f64,
    /// The threshold is multiplied by the value of this metric that has the same labels; of [`AlertCondition::Missing`] what there must be
    /// for the metric to be missed.
    pub relative_to: Option<&'static Metric>,
    /// How long it must be found before it fires.
    pub hold: Duration,
    /// What it means, in a sentence; `{label}` stands for the label's value.
    pub summary: String,
}

words! {
    /// Where a rule comes from.
    pub enum Origin {
        /// It is there by itself.
        Default = "default",
        /// The operator's file has it.
        Configuration = "configuration",
        /// A caller has made or changed it.
        Api = "api",
    }
}

/// A rule as it counts.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInForce {
    /// What it is.
    pub rule: Rule,
    /// Whether it is asked at all.
    pub is_enabled: bool,
    /// Who said so last.
    pub origin: Origin,
}

/// A rule as it was written. Without `metric` it changes the rule of its name that is there: what is not set stays as it is there. With it
/// what is not set has its default.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFields {
    /// Its name.
    pub name: String,
    /// Whether it is asked; it is by default.
    pub enabled: Option<bool>,
    /// A word of [`Severity`]; `warning` by default.
    pub severity: Option<String>,
    /// The name of a metric.
    pub metric: Option<String>,
    /// Labels of that metric.
    pub labels: Option<SeriesLabels>,
    /// Whether the value is an instant.
    pub is_age: Option<bool>,
    /// A word of [`AlertCondition`]; `above` by default.
    pub condition: Option<String>,
    /// 0 by default.
    pub threshold: Option<f64>,
    /// The name of a metric; none by default, and where it is empty.
    pub relative_to: Option<String>,
    /// How long it must be found before it fires, seconds; 0 by default.
    pub for_seconds: Option<i64>,
    /// What it means.
    pub summary: Option<String>,
}

impl Rule {
    /// The names of the labels that each thing has which it finds.
    pub fn found_labels(&self) -> Vec<&str> {
        let shared = |relative: &Metric| self.metric.labels.iter().copied().filter(|label| relative.labels.contains(label)).collect();
        match (self.condition, self.relative_to) {
            (AlertCondition::Above | AlertCondition::Below, _) => self.metric.labels.to_vec(),
            (AlertCondition::Missing, None) => self.labels.keys().map(String::as_str).collect(),
            (AlertCondition::Missing, Some(relative)) => shared(relative),
        }
    }

    /// What it means of the series with these labels, on one line.
    pub fn summary_of(&self, labels: &SeriesLabels) -> String {
        let mut text = self.summary.clone();
        for (name, value) in labels {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text.replace(char::is_control, " ")
    }
}

impl RuleFields {
    /// Checks what was written; `there` is the rule of this name that is there.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn parse(self, there: Option<&RuleInForce>) -> Result<(Rule, bool), Violations> {
        let mut violations = Violations::default();
        if !is_rule_name(&self.name) {
            let must = "must be a letter, and then letters, digits and `_`, of at most 64 bytes in all";
            violations.add("name", format_args!("{must}: {}", self.name.escape_debug()));
        }
        let there = there.filter(|_| self.metric.is_none());
        let old = there.map(|there| &there.rule);
        if self.metric.is_none() && old.is_none() {
            violations.add("metric", "is needed: no rule with this name is there whose metric could stay");
        }
        let named = |violations: &mut Violations, field: &str, name: Option<&String>| {
            let found = name.map(|name| find_metric(name))?;
            violations.take(field, found)
        };
        let metric = named(&mut violations, "metric", self.metric.as_ref()).or(old.map(|old| old.metric));
        let relative_to = match self.relative_to.as_deref() {
            Some("") => None,
            Some(_) => named(&mut violations, "relative_to", self.relative_to.as_ref()),
            None => old.and_then(|old| old.relative_to),
        };
        let severity = word(&mut violations, "severity", self.severity.as_deref(), Severity::parse, "`info`, `warning` or `critical`");
        let condition =
            word(&mut violations, "condition", self.condition.as_deref(), AlertCondition::parse, "`above`, `below` or `missing`");
        let threshold = self.threshold.or(old.map(|old| old.threshold)).unwrap_or(0.0);
        if !threshold.is_finite() {
            violations.add("threshold", "must be a finite number");
        }
        let old_seconds = old.and_then(|old| i64::try_from(old.hold.as_secs()).ok());
        let for_seconds = self.for_seconds.or(old_seconds).unwrap_or(0);
        if !(0..=MOST_FOR_SECONDS).contains(&for_seconds) {
            violations.add("for_seconds", format_args!("must be from 0 to {MOST_FOR_SECONDS} seconds: {for_seconds}"));
        }
        let rule = Rule {
            name: self.name,
            severity: severity.or(old.map(|old| old.severity)).unwrap_or(Severity::Warning),
            metric: metric.unwrap_or(&names::GRAPHS),
            labels: self.labels.or_else(|| old.map(|old| old.labels.clone())).unwrap_or_default(),
            is_age: self.is_age.or(old.map(|old| old.is_age)).unwrap_or(false),
            condition: condition.or(old.map(|old| old.condition)).unwrap_or(AlertCondition::Above),
            threshold,
            relative_to,
            hold: Duration::from_secs(for_seconds.unsigned_abs()),
            summary: self.summary.or_else(|| old.map(|old| old.summary.clone())).unwrap_or_default(),
        };
        let rule = rule.with_summary();
        if metric.is_some() {
            rule.check_labels(&mut violations);
        }
        violations.finish()?;
        Ok((rule, self.enabled.or(there.map(|there| there.is_enabled)).unwrap_or(true)))
    }
}

impl Rule {
    fn with_summary(mut self) -> Self {
        if self.summary.is_empty() {
            let age = if self.is_age { "the age of " } else { "" };
            self.summary = match self.condition {
                AlertCondition::Missing => format!("{} is missing", self.metric.name),
                AlertCondition::Above | AlertCondition::Below => format!("{age}{} is {} its threshold", self.metric.name, self.condition),
            };
        }
        self
    }

    fn check_labels(&self, violations: &mut Violations) {
        for (name, value) in &self.labels {
            if !self.metric.labels.contains(&name.as_str()) {
                let known = if self.metric.labels.is_empty() { "none".to_owned() } else { self.metric.labels.join(", ") };
                violations.add("labels", format_args!("must be labels of `{}` ({known}): {}", self.metric.name, name.escape_debug()));
            }
            if value.len() > MOST_LABEL_BYTES || !is_plain_text(value) {
                let must = "must have values without control characters, of at most";
                violations.add("labels", format_args!("{must} {MOST_LABEL_BYTES} bytes: {}", name.escape_debug()));
            }
        }
        if self.is_age && self.condition == AlertCondition::Missing {
            violations.add("is_age", "has no meaning for `missing`, leave it out");
        }
        if self.summary.len() > MOST_SUMMARY_BYTES || self.summary.contains(char::is_control) {
            violations.add("summary", format_args!("must be one line of at most {MOST_SUMMARY_BYTES} bytes"));
        }
        let known = self.found_labels();
        let named = self.summary.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        for name in named.filter(|name| !known.contains(name)) {
            let labels = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            violations.add("summary", format_args!("must name in braces only labels of what is found ({labels}): {}", name.escape_debug()));
        }
    }
}

/// Whether a rule can have this name.
pub fn is_rule_name(name: &str) -> bool {
    name.len() <= MOST_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn find_metric(name: &str) -> Result<&'static Metric, String> {
    match names::find(name) {
        Some(metric) if metric.metric_type == MetricType::Histogram => Err(format!("must not be a histogram: {name}")),
        Some(metric) => Ok(metric),
        None => Err(format!("must be the whole name of a metric that is served: {}", name.escape_debug())),
    }
}

fn word<T>(violations: &mut Violations, field: &str, text: Option<&str>, parse: fn(&str) -> Option<T>, known: &str) -> Option<T> {
    let text = text?;
    violations.take(field, parse(text).ok_or_else(|| format!("must be {known}: {}", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, metric: &str) -> RuleFields {
        RuleFields { name: name.to_owned(), metric: Some(metric.to_owned()), ..RuleFields::default() }
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let (rule, is_enabled) = written("Many", "lightrag_graphs_total").parse(None).expect("a rule");
        assert_eq!((rule.severity, rule.condition, rule.threshold, is_enabled), (Severity::Warning, AlertCondition::Above, 0.0, true));
        assert_eq!((rule.hold, rule.summary.as_str()), (Duration::ZERO, "lightrag_graphs_total is above its threshold"));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let fields = RuleFields {
            severity: Some("awful".into()),
            labels: Some([("target".to_owned(), "t".to_owned())].into()),
            condition: Some("beside".into()),
            threshold: Some(f64::NAN),
            relative_to: Some("none".into()),
            for_seconds: Some(-1),
            summary: Some("of {target}".into()),
            ..written("9 lives", "lightkeep_backup_size_bytes")
        };
        let violations = fields.parse(None).expect_err("wrong");
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["name", "relative_to", "severity", "condition", "threshold", "for_seconds", "labels", "summary"]);
        for metric in ["lightkeep_backup_duration_seconds", "up"] {
            assert!(written("A", metric).parse(None).expect_err(metric).to_string().starts_with("`metric` must"), "{metric}");
        }
        assert!(
            RuleFields { name: "New".into(), ..RuleFields::default() }.parse(None).expect_err("none").to_string().contains("is needed")
        );
    }

    #[test]
    fn without_a_metric_the_rest_stays() {
        let there = RuleInForce {
            rule: RuleFields {
                threshold: Some(3.0),
                relative_to: Some("lightkeep_objective_rpo_seconds".into()),
                for_seconds: Some(60),
                ..written("Size", "lightkeep_backup_size_bytes")
            }
            .parse(None)
            .expect("a rule")
            .0,
            is_enabled: false,
            origin: Origin::Default,
        };
        let change = RuleFields { name: "Size".into(), threshold: Some(4.0), ..RuleFields::default() };
        let (changed, is_enabled) = change.parse(Some(&there)).expect("a rule");
        assert_eq!((changed, is_enabled), (Rule { threshold: 4.0, ..there.rule.clone() }, false));
        let whole = written("Size", "lightkeep_backup_size_bytes").parse(Some(&there)).expect("a rule");
        assert_eq!((whole.0.relative_to, whole.0.threshold, whole.1), (None, 0.0, true));
        let bare = RuleFields { name: "Size".into(), relative_to: Some(String::new()), ..RuleFields::default() };
        assert_eq!(bare.parse(Some(&there)).expect("a rule").0.relative_to, None);
    }
}
