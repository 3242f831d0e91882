//! Calls that were answered, by this process.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use crate::domain::metric::names::REQUEST_BUCKETS;

/// A call that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `grpc` or `http`.
    pub door: &'static str,
    /// The RPC, or the method of HTTP.
    pub method: &'a str,
    /// The code of the answer.
    pub code: &'a str,
    /// How long it took.
    pub duration: Duration,
}

/// Counts calls.
#[derive(Debug)]
pub(super) struct Requests {
    count: Counter<u64>,
    duration: Histogram<f64>,
}

impl Requests {
    pub(super) fn new(meter: &Meter) -> Self {
        let count = meter
            .u64_counter("lightkeep_requests_total")
            .with_description("Calls that this process has answered, by door, method and code");
        let duration = meter.f64_histogram("lightkeep_request_duration_seconds").with_description("How long calls took, by door");
        Self { count: count.build(), duration: duration.with_boundaries(REQUEST_BUCKETS.to_vec()).build() }
    }

    pub(super) fn count(&self, request: &Request<'_>) {
        let door = KeyValue::new("door", request.door);
        let method = KeyValue::new("method", request.method.to_owned());
        self.count.add(1, &[door.clone(), method, KeyValue::new("code", request.code.to_owned())]);
        self.duration.record(request.duration.as_secs_f64(), &[door]);
    }
}
