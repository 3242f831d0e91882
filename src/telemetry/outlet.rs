//! A meter provider with its ways out: what Prometheus gathers, and OTLP where it is wanted.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use prometheus::Registry;
use prometheus::proto::MetricFamily;

use super::{Error, TelemetrySettings};
use crate::domain::metric::{Metric, names};

/// How many schedules, by how many results, and how many targets a graph has among the metrics at most.
const SERIES_BY_SCHEDULE: usize = 40;
const SERIES_BY_TARGET: usize = 16;
const SERIES_BY_KIND: usize = 5;

/// How many series a metric without graphs has at most.
const OTHER_SERIES: usize = 1000;

/// A meter provider with its ways out.
#[derive(Debug)]
pub(super) struct Outlet {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl Outlet {
    /// Sets it up.
    ///
    /// # Errors
    /// An exporter cannot be set up.
    pub(super) fn new(settings: &TelemetrySettings) -> Result<Self, Error> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        // Names are whole already; the target has one label too many for whoever scrapes it.
        let exporter = exporter.without_units().without_counter_suffixes().scope_info_enabled(false).without_target_info();
        let graphs = settings.graph_limit + 1;
        let mut provider = SdkMeterProvider::builder()
            .with_resource(resource(&settings.instance_name))
            .with_reader(exporter.build().map_err(Error::Prometheus)?)
            .with_view(move |instrument: &Instrument| limited(instrument, graphs));
        if let Some(endpoint) = &settings.otlp_endpoint {
            let exporter = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(Error::Otlp)?;
            provider = provider.with_reader(PeriodicReader::builder(exporter).build());
        }
        Ok(Self { provider: provider.build(), registry })
    }

    /// Where instruments are made.
    pub(super) fn meter(&self) -> Meter {
        self.provider.meter("lightkeep")
    }

    /// What all instruments show now.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// Sends what is still to be sent.
    pub(super) fn shut_down(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last metrics could not be exported");
        }
    }
}

/// Who tells all this.
pub(super) fn resource(instance_name: &str) -> Resource {
    let name = KeyValue::new("service.instance.id", instance_name.to_owned());
    Resource::builder()
        .with_service_name("lightkeep")
        .with_attributes([name, KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
        .build()
}

/// How many series an instrument may have: the SDK makes room for all of them, and puts what is beyond them together.
fn limited(instrument: &Instrument, graphs: usize) -> Option<Stream> {
    let metric = names::find(instrument.name());
    let each = |metric: &Metric| match () {
        () if metric.labels.contains(&"schedule") => SERIES_BY_SCHEDULE,
        () if metric.labels.contains(&"target") => SERIES_BY_TARGET,
        () if metric.labels.contains(&"kind") => SERIES_BY_KIND,
        () => 2,
    };
    let of_graphs = metric.filter(|metric| metric.many_label().is_some()).map_or(0, |metric| graphs.saturating_mul(each(metric)));
    Stream::builder().with_cardinality_limit(of_graphs.max(OTHER_SERIES)).build().ok()
}
