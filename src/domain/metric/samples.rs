//! A set of samples: what was measured at one time.

use std::collections::{HashMap, HashSet};

use super::{Fold, LabelValues, Metric, OTHER, names};

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The values of the metric's labels, in the order of their names.
    pub labels: LabelValues,
    /// What was measured.
    pub value: f64,
}

/// What was measured at one time, by metric. Histograms are not among it.
#[derive(Debug, Clone, Default)]
pub struct Samples(HashMap<&'static str, Vec<Sample>>);

impl Samples {
    /// Adds what was measured of a series that is not among it yet.
    pub fn add(&mut self, metric: &Metric, labels: impl IntoIterator<Item = impl Into<String>>, value: f64) {
        let labels: LabelValues = labels.into_iter().map(Into::into).collect();
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        self.0.entry(metric.name).or_default().push(Sample { labels, value });
    }

    /// Adds what was measured of a metric without labels.
    pub fn add_one(&mut self, metric: &Metric, value: f64) {
        self.add(metric, [""; 0], value);
    }

    /// Adds zeros for the series of which nothing was counted yet.
    pub fn add_zeros(&mut self, metric: &Metric, all: impl IntoIterator<Item = LabelValues>) {
        let series = self.0.entry(metric.name).or_default();
        let known: HashSet<LabelValues> = series.iter().map(|sample| sample.labels.clone()).collect();
        let missing = all.into_iter().filter(|labels| !known.contains(labels));
        series.extend(missing.map(|labels| Sample { labels, value: 0.0 }));
    }

    /// The samples of a metric.
    pub fn of(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// All samples, with the graphs, components and schedules that `is_named` knows by their names, and all others as one, [`OTHER`].
    pub fn capped(&self, is_named: impl Fn(&str) -> bool) -> Self {
        let those = names::ALL.iter().filter(|metric| self.0.contains_key(metric.name));
        Self(those.map(|metric| (metric.name, self.capped_of(metric, &is_named))).collect())
    }

    fn capped_of(&self, metric: &Metric, is_named: impl Fn(&str) -> bool) -> Vec<Sample> {
        let Some(place) = metric.many_label() else { return self.of(metric.name).to_vec() };
        let mut named = Vec::new();
        let mut others: HashMap<LabelValues, f64> = HashMap::new();
        // With a schedule of its own for each graph, its label would be as many.
        let schedule = metric.labels.iter().position(|label| *label == "schedule");
        for sample in self.of(metric.name) {
            if is_named(&sample.labels[place]) {
                named.push(sample.clone());
                continue;
            }
            let mut labels = sample.labels.clone();
            for place in [Some(place), schedule].into_iter().flatten() {
                OTHER.clone_into(&mut labels[place]);
            }
            others.entry(labels).and_modify(|value| *value = fold(metric.fold, *value, sample.value)).or_insert(sample.value);
        }
        named.extend(others.into_iter().map(|(labels, value)| Sample { labels, value }));
        named
    }
}

fn fold(fold: Fold, one: f64, other: f64) -> f64 {
    match fold {
        Fold::Sum => one + other,
        Fold::Min => one.min(other),
        Fold::Max => one.max(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_without_a_name_are_one() {
        let mut samples = Samples::default();
        for (graph, lag) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
            samples.add(&names::REPLICATION_LAG, [graph, "disk"], lag);
            samples.add(&names::GRAPH_SIZE, [graph], lag);
            samples.add(&names::PROTECTED_UNTIL, [graph], lag);
        }
        let capped = samples.capped(|graph| graph == "a");
        let capped = |metric: &Metric| {
            let mut capped: Vec<(String, f64)> = capped.of(metric.name).iter().map(|one| (one.labels.join(" "), one.value)).collect();
            capped.sort_by(|one, other| one.0.cmp(&other.0));
            capped
        };
        assert_eq!(capped(&names::REPLICATION_LAG), [("a disk".to_owned(), 1.0), ("other disk".to_owned(), 3.0)]);
        assert_eq!(capped(&names::GRAPH_SIZE), [("a".to_owned(), 1.0), ("other".to_owned(), 5.0)]);
        assert_eq!(capped(&names::PROTECTED_UNTIL), [("a".to_owned(), 1.0), ("other".to_owned(), 2.0)]);
    }
}
