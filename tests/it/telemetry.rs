//! What goes out by OTLP, held against a collector of the test's own; and what logs say of traces.

use std::fs::{self, File};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use serde_json::{Value as Json, json};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::support::process::Process;
use crate::support::rest::client;

/// As in the examples of the W3C's recommendation.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// What came: names of metrics, and trace, parent and name of each span.
#[derive(Debug, Clone, Default)]
struct Collector {
    metrics: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<Vec<(String, String, String)>>>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(&self, request: Request<ExportMetricsServiceRequest>) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        self.metrics.lock().unwrap().extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        let told = spans.map(|span| (hex::encode(span.trace_id), hex::encode(span.parent_span_id), span.name));
        self.spans.lock().unwrap().extend(told);
        Ok(Response::new(Default::default()))
    }
}

impl Collector {
    /// Listens, and gives its address.
    fn start(&self) -> String {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = tonic::transport::Server::builder();
        let server = { server }.add_service(MetricsServiceServer::new(self.clone())).add_service(TraceServiceServer::new(self.clone()));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(server.serve_with_incoming(incoming));
        format!("http://{address}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_go_on_and_go_out() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::default();
    let log = directory.path().join("log");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.start()), ("LIGHTKEEP_LOG_FORMAT", "json".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut server = Process::start_with_log(directory.path(), &environment, File::create(&log).unwrap());
    let targets = format!("http://{}/api/backup/replication/targets", server.http);
    // Nobody listens there, which is told in the log of the call that finds it.
    let target = json!({ "name": "nowhere", "base_url": "http://127.0.0.1:1", "api_key": "k" }).to_string();
    let target: Json = client().post(&targets).body(target).send().await.unwrap().json().await.unwrap();
    let look = format!("{targets}/{}/health", target["target_id"].as_str().unwrap());
    let looked = client().post(look).header("traceparent", format!("00-{TRACE}-{PARENT}-01")).send().await.unwrap();
    assert_eq!(looked.status(), 200);
    // What was not sent yet is sent at the end.
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = fs::read_to_string(&log).unwrap();
    let lines: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["message"] == "a target is another way than before").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&line["span"]["trace_id"], &line["target_name"]), (&json!(TRACE), &json!("nowhere")), "{line}");
    let spans = collector.spans.lock().unwrap();
    let ours = spans.iter().find(|(trace, ..)| trace == TRACE).unwrap_or_else(|| panic!("{spans:?}"));
    assert_eq!((ours.1.as_str(), ours.2.as_str()), (PARENT, "call"));
    // Whoever names no trace begins one.
    assert!(spans.iter().any(|(trace, parent, _)| trace != TRACE && parent.is_empty()), "{spans:?}");
    let metrics = collector.metrics.lock().unwrap();
    for name in ["lightrag_graphs_total", "lightkeep_build_info", "lightkeep_requests_total"] {
        assert!(metrics.iter().any(|metric| metric == name), "{name}: {metrics:?}");
    }
}
