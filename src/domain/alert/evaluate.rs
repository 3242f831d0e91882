//! What a rule finds in a set of samples.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{AlertCondition, Rule, SeriesLabels};
use crate::base::timestamp::Timestamp;
use crate::domain::metric::{Metric, Sample, Samples};

/// A series that a rule has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its labels.
    pub labels: SeriesLabels,
    /// Its value; none where it is missing.
    pub value: Option<f64>,
    /// The bound that the value is beyond.
    pub threshold: Option<f64>,
}

/// All that a rule finds, in the order of the labels. What is no finite number is not found.
pub fn evaluate(rule: &Rule, samples: &Samples, now: Timestamp) -> Vec<Found> {
    let mut found = match rule.condition {
        AlertCondition::Above | AlertCondition::Below => beyond(rule, samples, now),
        AlertCondition::Missing => missing(rule, samples),
    };
    found.sort_by(|one, other| one.labels.cmp(&other.labels));
    found
}

fn beyond(rule: &Rule, samples: &Samples, now: Timestamp) -> Vec<Found> {
    let places = rule.relative_to.map(|relative| shared(rule.metric, relative));
    let bounds = rule.relative_to.zip(places.as_ref()).map(|(relative, places)| bounds(rule, relative, places, samples));
    let threshold_of = |sample: &Sample| match (&bounds, &places) {
        (Some(bounds), Some(places)) => bounds.get(&key(sample, places.iter().map(|(here, _)| *here))).map(|bound| rule.threshold * bound),
        _ => Some(rule.threshold),
    };
    let found = |sample: &Sample| {
        let value = if rule.is_age { now.seconds() - sample.value } else { sample.value };
        let threshold = threshold_of(sample)?;
        let is_beyond = if rule.condition == AlertCondition::Below { value < threshold } else { value > threshold };
        let found = || Found { labels: labels_of(rule.metric, sample), value: Some(value), threshold: Some(threshold) };
        (is_beyond && value.is_finite() && threshold.is_finite()).then(found)
    };
    wanted(rule, samples).filter_map(found).collect()
}

/// The bound for each set of shared labels; of several values the one that is crossed first.
fn bounds<'s>(rule: &Rule, relative: &Metric, places: &[(usize, usize)], samples: &'s Samples) -> HashMap<Vec<&'s str>, f64> {
    let first = if rule.condition == AlertCondition::Below { f64::max } else { f64::min };
    let mut bounds = HashMap::new();
    for sample in samples.of(relative.name).iter().filter(|sample| sample.value.is_finite()) {
        let bound = bounds.entry(key(sample, places.iter().map(|(_, there)| *there))).or_insert(sample.value);
        *bound = first(*bound, sample.value);
    }
    bounds
}

fn missing(rule: &Rule, samples: &Samples) -> Vec<Found> {
    let absent = |labels| Found { labels, value: None, threshold: None };
    let Some(relative) = rule.relative_to else {
        return if wanted(rule, samples).next().is_some() { Vec::new() } else { vec![absent(rule.labels.clone())] };
    };
    let places = shared(rule.metric, relative);
    let names: Vec<&str> = places.iter().map(|(here, _)| rule.metric.labels[*here]).collect();
    let there: HashSet<Vec<&str>> = wanted(rule, samples).map(|sample| key(sample, places.iter().map(|(here, _)| *here))).collect();
    let expected: BTreeSet<Vec<&str>> =
        samples.of(relative.name).iter().map(|sample| key(sample, places.iter().map(|(_, there)| *there))).collect();
    let labels = |values: &Vec<&str>| -> SeriesLabels {
        names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let is_wanted = |labels: &SeriesLabels| labels.iter().all(|(name, value)| rule.labels.get(name).is_none_or(|wanted| wanted == value));
    expected.iter().filter(|values| !there.contains(*values)).map(labels).filter(is_wanted).map(absent).collect()
}

/// The samples of the rule's metric that have the rule's labels.
fn wanted<'s>(rule: &'s Rule, samples: &'s Samples) -> impl Iterator<Item = &'s Sample> {
    let places: Vec<(usize, &str)> = rule
        .labels
        .iter()
        .filter_map(|(name, value)| Some((rule.metric.labels.iter().position(|label| label == name)?, value.as_str())))
        .collect();
    samples.of(rule.metric.name).iter().filter(move |sample| places.iter().all(|(place, value)| sample.labels[*place] == *value))
}

/// Where the labels that both metrics have stand in the one and in the other.
fn shared(here: &Metric, there: &Metric) -> Vec<(usize, usize)> {
    let place = |label: &&str| there.labels.iter().position(|other| other == label);
    here.labels.iter().enumerate().filter_map(|(index, label)| Some((index, place(label)?))).collect()
}

fn key(sample: &Sample, places: impl Iterator<Item = usize>) -> Vec<&str> {
    places.map(|place| sample.labels[place].as_str()).collect()
}

fn labels_of(metric: &Metric, sample: &Sample) -> SeriesLabels {
    metric.labels.iter().zip(&sample.labels).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RuleFields, defaults};
    use super::*;
    use crate::domain::metric::names;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);
    const SECOND: f64 = 1_000_000.0;

    fn default(name: &str) -> Rule {
        defaults::rules().into_iter().find(|rule| rule.name == name).expect(name)
    }

    /// What is found, as `label=value value threshold`.
    fn told(rule: &Rule, samples: &Samples) -> Vec<String> {
        let tell = |found: Found| {
            let labels: Vec<String> = found.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {:?} {:?}", labels.join(","), found.value, found.threshold)
        };
        evaluate(rule, samples, NOW).into_iter().map(tell).collect()
    }

    #[test]
    fn an_age_is_held_against_the_shortest_interval() {
        let mut samples = Samples::default();
        for (graph, schedule, interval) in [("a", "hourly", 3600.0), ("a", "daily", 86_400.0), ("b", "daily", 86_400.0)] {
            samples.add(&names::SCHEDULE_INTERVAL, [graph, schedule], interval);
        }
        for graph in ["a", "b", "without"] {
            samples.add(&names::PROTECTED_UNTIL, [graph], SECOND - 7200.0);
        }
        assert_eq!(told(&default("BackupTooOld"), &samples), ["graph=a Some(7200.0) Some(5400.0)"]);
        assert_eq!(told(&default("BackupFarTooOld"), &samples), Vec::<String>::new());
    }

    #[test]
    fn what_is_expected_and_not_there_is_missed_once() {
        let mut samples = Samples::default();
        for (graph, schedule) in [("a", "hourly"), ("b", "hourly"), ("b", "daily")] {
            samples.add(&names::SCHEDULE_INTERVAL, [graph, schedule], 3600.0);
        }
        samples.add(&names::PROTECTED_UNTIL, ["a"], 1.0);
        let fields = RuleFields {
            name: "Unprotected".into(),
            metric: Some(names::PROTECTED_UNTIL.name.into()),
            condition: Some("missing".into()),
            relative_to: Some(names::SCHEDULE_INTERVAL.name.into()),
            ..RuleFields::default()
        };
        let (rule, _) = fields.parse(None).unwrap();
        assert_eq!(told(&rule, &samples), ["graph=b None None"]);
        assert_eq!(told(&Rule { labels: [("graph".to_owned(), "a".to_owned())].into(), ..rule.clone() }, &samples), Vec::<String>::new());
        let alone = Rule { relative_to: None, labels: [("graph".to_owned(), "c".to_owned())].into(), ..rule };
        assert_eq!(told(&alone, &samples), ["graph=c None None"]);
        samples.add(&names::PROTECTED_UNTIL, ["c"], 1.0);
        assert_eq!(told(&alone, &samples), Vec::<String>::new());
    }

    #[test]
    fn a_graph_without_a_snapshot_is_found_when_its_schedule_was_due() {
        let mut samples = Samples::default();
        for (graph, age) in [("new", 3599.0), ("old", 3601.0)] {
            samples.add(&names::SCHEDULE_INTERVAL, [graph, "hourly"], 3600.0);
            samples.add(&names::UNPROTECTED_SINCE, [graph], SECOND - age);
        }
        assert_eq!(told(&default("BackupNeverSucceeded"), &samples), ["graph=old Some(3601.0) Some(3600.0)"]);
    }

    #[test]
    fn labels_choose_and_what_is_below_is_held_against_the_greatest() {
        let mut samples = Samples::default();
        for (lease, held) in [("scheduler", 0.0), ("health", 0.0)] {
            samples.add(&names::LEASE_HELD, [lease], held);
        }
        assert_eq!(told(&default("SchedulerDead"), &samples), ["lease=scheduler Some(0.0) Some(1.0)"]);
        samples.add_one(&names::STORAGE_FREE, 9.0);
        samples.add_one(&names::STORAGE_TOTAL, 100.0);
        assert_eq!(told(&default("StorageFull"), &samples), [" Some(9.0) Some(10.0)"]);
        let fields = RuleFields {
            name: "Slow".into(),
            metric: Some(names::DRILL_RTO.name.into()),
            condition: Some("below".into()),
            threshold: Some(1.0),
            relative_to: Some(names::SCHEDULE_INTERVAL.name.into()),
            ..RuleFields::default()
        };
        let (rule, _) = fields.parse(None).expect("a rule");
        samples.add(&names::DRILL_RTO, ["a"], 50.0);
        for (schedule, interval) in [("one", 10.0), ("other", 60.0)] {
            samples.add(&names::SCHEDULE_INTERVAL, ["a", schedule], interval);
        }
        assert_eq!(told(&rule, &samples), ["graph=a Some(50.0) Some(60.0)"]);
    }

    proptest! {
        #[test]
        fn above_and_below_are_opposites(values in prop::collection::vec(-10.0f64..10.0, 0..8), threshold in -10.0f64..10.0) {
            let mut samples = Samples::default();
            for (index, value) in values.iter().enumerate() {
                samples.add(&names::COPIES_MISSING, [format!("g{index}")], *value);
            }
            let rule = Rule { threshold, ..default("CopiesBelowPolicy") };
            let below = Rule { condition: AlertCondition::Below, ..rule.clone() };
            let (above, below) = (evaluate(&rule, &samples, NOW), evaluate(&below, &samples, NOW));
            prop_assert_eq!(above.len() + below.len(), values.iter().filter(|value| **value != threshold).count());
            prop_assert!(above.iter().all(|found| found.value > Some(threshold)));
            prop_assert!(below.iter().all(|found| found.value < Some(threshold)));
        }

        #[test]
        fn odd_numbers_find_nothing(value in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]), bound in any::<f64>()) {
            let mut samples = Samples::default();
            samples.add(&names::DRILL_RTO, ["a"], value);
            samples.add(&names::OBJECTIVE_RTO, ["a"], bound);
            samples.add(&names::DRILL_RTO, ["b"], 1.0);
            samples.add(&names::OBJECTIVE_RTO, ["b"], f64::NAN);
            prop_assert_eq!(evaluate(&default("RtoBreach"), &samples, NOW), vec![]);
        }
    }
}
