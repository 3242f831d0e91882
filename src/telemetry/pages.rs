//! Pages of metrics, in the formats of Prometheus.

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric as ProtoMetric, MetricFamily, MetricType as ProtoType};
use prometheus::{Encoder as _, TextEncoder};

use super::{Telemetry, openmetrics};
use crate::domain::metric::{HistogramCounts, names};

/// A format of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The one that a caller prefers, by its `Accept` header.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// What it is.
    pub content_type: &'static str,
    /// Its bytes.
    pub text: Vec<u8>,
}

impl Telemetry {
    /// All metrics as a page. This takes some milliseconds for each thousand graphs: not for the async threads.
    pub fn page(&self, format: Format) -> Page {
        let mut families = self.registry.gather();
        self.add_empty_histograms(&mut families);
        let mut text = Vec::new();
        match format {
            Format::Text => {
                if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
                    tracing::error!(%error, "the page of metrics cannot be written");
                }
            }
            Format::OpenMetrics => openmetrics::encode(&families, &mut text),
        }
        Page { content_type: format.content_type(), text }
    }

    /// Histograms that have counted nothing yet are shown as that.
    fn add_empty_histograms(&self, families: &mut Vec<MetricFamily>) {
        let collected = self.collected();
        for histogram in collected.histograms.iter().filter(|one| one.buckets.iter().all(|(count, _)| *count == 0)) {
            if !families.iter().any(|family| family.name() == histogram.metric.name) {
                families.push(empty(histogram));
            }
        }
        let place = |family: &MetricFamily| names::ALL.iter().position(|metric| metric.name == family.name()).unwrap_or(usize::MAX);
        families.sort_by_key(place);
    }
}

fn empty(histogram: &HistogramCounts) -> MetricFamily {
    let mut counts = Histogram::default();
    let buckets = histogram.metric.bounds().iter().map(|bound| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket
    });
    counts.set_bucket(buckets.collect());
    let labels = histogram.metric.labels.iter().zip(&histogram.labels).map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value(value.clone());
        label
    });
    let mut series = ProtoMetric::default();
    series.set_label(labels.collect());
    series.set_histogram(counts);
    let mut family = MetricFamily::default();
    family.set_name(histogram.metric.name.to_owned());
    family.set_help(histogram.metric.help.to_owned());
    family.set_field_type(ProtoType::HISTOGRAM);
    family.set_metric(vec![series]);
    family
}
