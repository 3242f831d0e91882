//! Traces: spans as they go out.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Error;
use super::outlet::resource;

/// Makes traces of spans, and exports them where somebody wants them.
#[derive(Debug)]
pub struct Tracing {
    provider: SdkTracerProvider,
}

impl Tracing {
    /// Sets traces up. With an export this must be called within the async runtime.
    ///
    /// # Errors
    /// The exporter cannot be set up.
    pub fn new(instance_name: &str, otlp_endpoint: Option<&str>) -> Result<Self, Error> {
        let mut provider = SdkTracerProvider::builder().with_resource(resource(instance_name));
        if let Some(endpoint) = otlp_endpoint {
            let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(Error::Otlp)?;
            provider = provider.with_batch_exporter(exporter);
        }
        Ok(Self { provider: provider.build() })
    }

    /// What makes traces of the spans of a subscriber.
    pub fn layer<S: Subscriber + for<'span> LookupSpan<'span>>(&self) -> impl Layer<S> {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("lightkeep"))
    }

    /// Sends what is still to be sent.
    pub fn shut_down(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last traces could not be exported");
        }
    }
}
