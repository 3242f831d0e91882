//! All that was measured at one time.

use std::collections::HashSet;

use super::{LabelValues, Metric, MetricType, Sample, Samples, names};
use crate::base::timestamp::Timestamp;

/// What a histogram counted.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramCounts {
    /// The metric.
    pub metric: &'static Metric,
    /// The values of its labels.
    pub labels: LabelValues,
    /// How many were counted in each bucket, and the sum of what was measured there; the last is beyond all bounds.
    pub buckets: Vec<(u64, f64)>,
}

impl HistogramCounts {
    /// One that has counted nothing.
    pub fn empty(metric: &'static Metric, labels: LabelValues) -> Self {
        Self { metric, labels, buckets: vec![(0, 0.0); metric.bounds().len() + 1] }
    }
}

/// All that was measured at one time.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// When; none before the first time.
    pub at: Option<Timestamp>,
    /// Counters and gauges.
    pub samples: Samples,
    /// Histograms.
    pub histograms: Vec<HistogramCounts>,
    /// Counters and gauges as a page shows them: with the graphs that are too many as one.
    pub shown: Samples,
    /// The graphs that have a name of their own there, oldest first.
    pub named_graphs: Vec<String>,
}

impl Collected {
    /// The samples of a metric as a page shows them: with the graphs that are too many as one.
    pub fn shown(&self, metric: &Metric) -> &[Sample] {
        self.shown.of(metric.name)
    }

    /// Puts the graphs together that are too many, once for all pages. Those that have a name of their own in a page are named, with their
    /// schedules and all other components.
    pub fn cap(&mut self, named: &HashSet<String>) {
        self.shown = self.samples.capped(|graph| graph.is_empty() || named.contains(graph));
    }

    /// How many series a page shows.
    pub fn count_shown(&self) -> usize {
        names::ALL.iter().map(|metric| self.shown(metric).len()).sum::<usize>() + self.histograms.len()
    }

    /// Gives what has counted nothing yet its zero: metrics of the old server always have a sample, and so have counters without labels.
    pub fn fill_in_zeros(&mut self) {
        for metric in names::ALL {
            let is_old = metric.name.starts_with("lightrag_");
            let is_plain = metric.labels.is_empty() && metric.metric_type == MetricType::Counter;
            if metric.metric_type == MetricType::Histogram {
                let has_counted = self.histograms.iter().any(|histogram| histogram.metric == metric);
                if metric.labels.is_empty() && !has_counted {
                    self.histograms.push(HistogramCounts::empty(metric, Vec::new()));
                }
            } else if (is_old || is_plain) && self.samples.of(metric.name).is_empty() {
                self.samples.add(metric, metric.labels.iter().map(|_| ""), 0.0);
            }
        }
    }

    /// Adds what was counted of a metric: a value, and in a histogram's bucket the sum of what was measured too.
    pub fn add_tally(&mut self, metric: &'static Metric, labels: LabelValues, bucket: i32, (value, total): (f64, f64)) {
        if metric.metric_type != MetricType::Histogram {
            self.samples.add(metric, labels, value);
            return;
        }
        let known = self.histograms.iter().position(|one| one.metric == metric && one.labels == labels);
        let place = known.unwrap_or_else(|| {
            self.histograms.push(HistogramCounts::empty(metric, labels));
            self.histograms.len() - 1
        });
        let buckets = &mut self.histograms[place].buckets;
        // A program with other buckets has counted what is beyond ours.
        let bucket = usize::try_from(bucket).unwrap_or(0).min(buckets.len() - 1);
        buckets[bucket] = (buckets[bucket].0 + value as u64, buckets[bucket].1 + total);
    }
}
