//! Floor 2: what is measured goes out. One meter provider of OpenTelemetry holds all instruments; Prometheus reads them as pages, and OTLP
//! carries them to a collector where one is named.

mod histograms;
mod instruments;
mod openmetrics;
mod pages;
mod process;
mod requests;
mod traces;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use prometheus::Registry;

use crate::domain::metric::Collected;
use histograms::Feed;
pub use pages::{Format, Page};
pub use requests::Request;
use requests::Requests;
pub use traces::Tracing;

/// How many series a metric has for each graph at most, by the labels beside it.
const SERIES_PER_GRAPH: usize = 16;

/// How many series a metric without graphs has at most.
const OTHER_SERIES: usize = 1000;

/// What was measured last, shared with the callbacks of the instruments.
type Latest = Arc<RwLock<Arc<Collected>>>;

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter of Prometheus.
    #[error("cannot set up the page of metrics")]
    Prometheus(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// The exporter of OTLP.
    #[error("cannot set up the export by OTLP, check `OTEL_EXPORTER_OTLP_ENDPOINT`")]
    Otlp(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// How telemetry goes out.
#[derive(Debug, Clone, Default)]
pub struct TelemetrySettings {
    /// This instance's name.
    pub instance_name: String,
    /// How many graphs have a name of their own in a page.
    pub graph_limit: usize,
    /// Whether metrics are exported by OTLP too.
    pub exports: bool,
}

/// All instruments, and what they show.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkMeterProvider,
    registry: Registry,
    latest: Latest,
    feed: Mutex<Feed>,
    requests: Requests,
}

impl Telemetry {
    /// Sets up all instruments. With an export this must be called within the async runtime.
    ///
    /// # Errors
    /// An exporter cannot be set up.
    pub fn new(settings: &TelemetrySettings, database: impl Fn() -> (u32, u32) + Send + Sync + 'static) -> Result<Self, Error> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        // Names are whole already; the target has one label too many for whoever scrapes it.
        let exporter = exporter.without_units().without_counter_suffixes().scope_info_enabled(false).without_target_info();
        let cardinality = (settings.graph_limit + 1).saturating_mul(SERIES_PER_GRAPH).max(OTHER_SERIES);
        let mut provider = SdkMeterProvider::builder()
            .with_resource(resource(&settings.instance_name))
            .with_reader(exporter.build().map_err(Error::Prometheus)?)
            .with_view(move |instrument: &Instrument| limited(instrument, cardinality));
        if settings.exports {
            let exporter = MetricExporter::builder().with_tonic().build().map_err(Error::Otlp)?;
            provider = provider.with_reader(PeriodicReader::builder(exporter).build());
        }
        let provider = provider.build();
        let meter = provider.meter("lightkeep");
        let latest = Latest::default();
        instruments::register(&meter, &latest);
        process::register(&meter, database);
        let (feed, requests) = (Mutex::new(Feed::new(&meter)), Requests::new(&meter));
        Ok(Self { provider, registry, latest, feed, requests })
    }

    /// What was measured last; empty before the first time.
    pub fn collected(&self) -> Arc<Collected> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows what was measured from now on.
    pub fn update(&self, collected: Arc<Collected>) {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).follow(&collected.histograms);
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = collected;
    }

    /// Counts a call that was answered.
    pub fn count_request(&self, request: &Request<'_>) {
        self.requests.count(request);
    }

    /// Sends what is still to be sent.
    pub fn shut_down(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last metrics could not be exported");
        }
    }
}

/// Who tells all this.
fn resource(instance_name: &str) -> Resource {
    let name = KeyValue::new("service.instance.id", instance_name.to_owned());
    Resource::builder()
        .with_service_name("lightkeep")
        .with_attributes([name, KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
        .build()
}

fn limited(instrument: &Instrument, cardinality: usize) -> Option<Stream> {
    let has_graphs =
        crate::domain::metric::names::ALL.iter().any(|metric| metric.name == instrument.name() && metric.many_label().is_some());
    Stream::builder().with_cardinality_limit(if has_graphs { cardinality } else { OTHER_SERIES }).build().ok()
}
