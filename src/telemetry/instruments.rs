//! One observable instrument for each metric that is collected: it shows what was measured last.

use std::sync::{Arc, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::Latest;
use crate::domain::metric::{Metric, MetricType, names};

/// Registers all counters and gauges. Series that are not measured any more are not shown any more.
pub(super) fn register(meter: &Meter, latest: &Latest) {
    for metric in names::ALL {
        let latest = Arc::clone(latest);
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            let collected = Arc::clone(&latest.read().unwrap_or_else(PoisonError::into_inner));
            for sample in collected.shown(metric) {
                observer.observe(sample.value, &attributes(metric, &sample.labels));
            }
        };
        match metric.metric_type {
            // The provider holds on to it by its callback.
            MetricType::Counter => {
                meter.f64_observable_counter(metric.name).with_description(metric.help).with_callback(observe).build();
            }
            MetricType::Gauge => {
                meter.f64_observable_gauge(metric.name).with_description(metric.help).with_callback(observe).build();
            }
            MetricType::Histogram => {}
        }
    }
}

/// Labels without a value are none.
pub(super) fn attributes(metric: &Metric, labels: &[String]) -> Vec<KeyValue> {
    let named = metric.labels.iter().zip(labels).filter(|(_, value)| !value.is_empty());
    named.map(|(name, value)| KeyValue::new(*name, value.clone())).collect()
}
