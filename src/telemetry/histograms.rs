//! Histograms that are counted in the database. OpenTelemetry has none that can be observed, so ours follow the counts: what has come since
//! is recorded, for each bucket as often as it was counted, each time the mean of what was measured there. So counts and sums are exact,
//! also after a restart and with several instances.

use std::collections::HashMap;

use opentelemetry::metrics::{Histogram, Meter};

use super::instruments::attributes;
use crate::domain::metric::{HistogramCounts, LabelValues, Metric, MetricType, names};

/// Follows the counts.
#[derive(Debug)]
pub(super) struct Feed {
    histograms: HashMap<&'static str, Histogram<f64>>,
    recorded: HashMap<(&'static str, LabelValues), Vec<(u64, f64)>>,
}

impl Feed {
    pub(super) fn new(meter: &Meter) -> Self {
        let ours = names::ALL.iter().filter(|metric| metric.metric_type == MetricType::Histogram);
        let histograms = ours.map(|metric| {
            let histogram = meter.f64_histogram(metric.name).with_description(metric.help).with_boundaries(metric.bounds().to_vec());
            (metric.name, histogram.build())
        });
        Self { histograms: histograms.collect(), recorded: HashMap::new() }
    }

    /// Records what has come since the last time.
    pub(super) fn follow(&mut self, counted: &[HistogramCounts]) {
        for HistogramCounts { metric, labels, buckets } in counted {
            let Some(histogram) = self.histograms.get(metric.name) else { continue };
            let recorded = self.recorded.entry((metric.name, labels.clone())).or_insert_with(|| vec![(0, 0.0); buckets.len()]);
            let attributes = attributes(metric, labels);
            for (bucket, (now, before)) in buckets.iter().zip(recorded.iter_mut()).enumerate() {
                let new = now.0.saturating_sub(before.0);
                if new == 0 {
                    continue;
                }
                let mean = within(metric, bucket, (now.1 - before.1) / new as f64);
                for _ in 0..new {
                    histogram.record(mean, &attributes);
                }
                *before = *now;
            }
        }
    }
}

/// A mean lies within its bucket; what rounding has made of it may not.
fn within(metric: &Metric, bucket: usize, mean: f64) -> f64 {
    let bounds = metric.bounds();
    let upper = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
    let above = bucket.checked_sub(1).and_then(|below| bounds.get(below)).map_or(0.0, |bound| bound.next_up());
    if mean.is_finite() { mean.clamp(above, upper.min(f64::MAX)) } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_stay_in_their_bucket() {
        let metric = &names::BACKUP_DURATION;
        assert_eq!(within(metric, 0, 0.1 + 1e-12), 0.1);
        assert!(within(metric, 1, 0.1) > 0.1);
        assert_eq!(within(metric, metric.bounds().len(), 1e6), 1e6);
    }
}
