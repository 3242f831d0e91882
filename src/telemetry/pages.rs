//! Pages of metrics, in the formats of Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::proto::{Bucket, Histogram, LabelPair, Metric as ProtoMetric, MetricFamily, MetricType as ProtoType};
use prometheus::{Encoder as _, TextEncoder};

use super::{Telemetry, openmetrics};
use crate::domain::metric::{Collected, HistogramCounts, MetricType, names};

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

/// The part of the last page that is the same until the next collection, of each format.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<[Option<Part>; 2]>);

/// A part of a page, and the collection that it is of.
#[derive(Debug)]
struct Part {
    of: Arc<Collected>,
    text: Arc<[u8]>,
}

impl Telemetry {
    /// All metrics as a page. After a collection this takes some milliseconds for each thousand series: not for the async threads.
    pub fn page(&self, format: Format) -> Page {
        let mut text = self.written_fleet(format).to_vec();
        encode(&self.process.gather(), format, &mut text);
        if format == Format::OpenMetrics {
            text.extend_from_slice(openmetrics::END);
        }
        Page { content_type: format.content_type(), text }
    }

    fn written_fleet(&self, format: Format) -> Arc<[u8]> {
        // Whoever comes while it is written waits for it.
        let mut written = self.written.0.lock().unwrap_or_else(PoisonError::into_inner);
        let collected = self.collected();
        let place = &mut written[usize::from(format == Format::OpenMetrics)];
        if let Some(part) = place.as_ref().filter(|part| Arc::ptr_eq(&part.of, &collected)) {
            return Arc::clone(&part.text);
        }
        let mut families = self.fleet.gather();
        put_histograms(&collected, &mut families);
        let mut text = Vec::new();
        encode(&families, format, &mut text);
        let text: Arc<[u8]> = text.into();
        *place = Some(Part { of: collected, text: Arc::clone(&text) });
        text
    }
}

fn encode(families: &[MetricFamily], format: Format, text: &mut Vec<u8>) {
    match format {
        Format::Text => {
            if let Err(error) = TextEncoder::new().encode(families, text) {
                tracing::error!(%error, "the page of metrics cannot be written");
            }
        }
        Format::OpenMetrics => openmetrics::encode(families, text),
    }
}

/// Histograms as they were counted, in the place of what their instruments record for OTLP.
fn put_histograms(collected: &Collected, families: &mut Vec<MetricFamily>) {
    families.retain(|family| !is_counted(family.name()));
    for histogram in &collected.histograms {
        match families.iter_mut().find(|family| family.name() == histogram.metric.name) {
            Some(family) => family.mut_metric().push(series(histogram)),
            None => families.push(family(histogram)),
        }
    }
    let place = |family: &MetricFamily| names::ALL.iter().position(|metric| metric.name == family.name()).unwrap_or(usize::MAX);
    families.sort_by_key(place);
}

fn is_counted(name: &str) -> bool {
    names::find(name).is_some_and(|metric| metric.metric_type == MetricType::Histogram)
}

fn family(histogram: &HistogramCounts) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(histogram.metric.name.to_owned());
    family.set_help(histogram.metric.help.to_owned());
    family.set_field_type(ProtoType::HISTOGRAM);
    family.set_metric(vec![series(histogram)]);
    family
}

fn series(histogram: &HistogramCounts) -> ProtoMetric {
    let (mut counts, mut count, mut sum) = (Histogram::default(), 0, 0.0);
    let mut buckets = Vec::new();
    for (place, (in_bucket, measured)) in histogram.buckets.iter().enumerate() {
        (count, sum) = (count + in_bucket, sum + measured);
        if let Some(bound) = histogram.metric.bounds().get(place) {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
    }
    counts.set_bucket(buckets);
    counts.set_sample_count(count);
    counts.set_sample_sum(sum);
    let labels = histogram.metric.labels.iter().zip(&histogram.labels).map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value(value.clone());
        label
    });
    let mut series = ProtoMetric::default();
    series.set_label(labels.collect());
    series.set_histogram(counts);
    series
}
