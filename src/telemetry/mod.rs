//! Floor 2: what is measured goes out. Meter providers of OpenTelemetry hold all instruments; Prometheus reads them as pages, and OTLP carries
//! them to a collector where one is named.

mod histograms;
mod instruments;
mod openmetrics;
mod outlet;
mod pages;
mod process;
mod requests;
mod traces;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::domain::metric::Collected;
use histograms::Feed;
use outlet::Outlet;
use pages::Written;
pub use pages::{Format, Page};
pub use requests::Request;
use requests::Requests;
pub use traces::Tracing;

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
    /// Where metrics are exported to by OTLP, if anywhere.
    pub otlp_endpoint: Option<String>,
}

/// All instruments, and what they show.
#[derive(Debug)]
pub struct Telemetry {
    /// What was collected: it is another after each collection only.
    fleet: Outlet,
    /// What this process knows of itself: it is another at each moment.
    process: Outlet,
    latest: Latest,
    /// Only where somebody wants them by OTLP.
    feed: Option<Mutex<Feed>>,
    requests: Requests,
    written: Written,
}

impl Telemetry {
    /// Sets up all instruments. With an export this must be called within the async runtime.
    ///
    /// # Errors
    /// An exporter cannot be set up.
    pub fn new(settings: &TelemetrySettings, database: impl Fn() -> (u32, u32) + Send + Sync + 'static) -> Result<Self, Error> {
        let (fleet, process) = (Outlet::new(settings)?, Outlet::new(settings)?);
        let latest = Latest::default();
        instruments::register(&fleet.meter(), &latest);
        process::register(&process.meter(), database);
        let feed = settings.otlp_endpoint.as_ref().map(|_| Mutex::new(Feed::new(&fleet.meter())));
        let requests = Requests::new(&process.meter());
        Ok(Self { fleet, process, latest, feed, requests, written: Written::default() })
    }

    /// What was measured last; empty before the first time.
    pub fn collected(&self) -> Arc<Collected> {
        Arc::clone(&self.latest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows what was measured from now on.
    pub fn update(&self, collected: Arc<Collected>) {
        if let Some(feed) = &self.feed {
            feed.lock().unwrap_or_else(PoisonError::into_inner).follow(&collected.histograms);
        }
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = collected;
    }

    /// Counts a call that was answered.
    pub fn count_request(&self, request: &Request<'_>) {
        self.requests.count(request);
    }

    /// Sends what is still to be sent.
    pub fn shut_down(&self) {
        self.fleet.shut_down();
        self.process.shut_down();
    }
}
