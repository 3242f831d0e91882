//! Fake services behind the real layers: they give answers that the real ones give rarely or never.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use lightkeep::api::auth::Auth;
use lightkeep::api::door::{GrpcService, door};
use lightkeep::api::rest::router;
use lightkeep::base::clock::SystemClock;
use lightkeep::base::ids::IdSource;
use lightkeep::base::secret::Secret;
use lightkeep::proto::google::api::HttpBody;
use lightkeep::proto::v1::backup_service_server::{BackupService, BackupServiceServer};
use lightkeep::proto::v1::operation_service_server::{OperationService, OperationServiceServer};

use lightkeep::proto::v1::*;
use serde_json::Value as Json;
use tonic::{Code, Response as Answer, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) created: Mutex<Vec<CreateSnapshotRequest>>,
    pub(crate) registered: Mutex<Vec<RegisterGraphRequest>>,
}

fn fail(code: Code, reason: &str, message: &str) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, "lightkeep", HashMap::<String, String>::new()))
}

fn snapshot(graph_id: &str) -> Snapshot {
    Snapshot {
        graph_id: graph_id.into(),
        status: SnapshotStatus::InProgress.into(),
        size_bytes: 9_007_199_254_740_993,
        timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
        ..Snapshot::default()
    }
}

type Reply<T> = Result<Answer<T>, Status>;

#[tonic::async_trait]
impl BackupService for Fake {
    async fn register_graph(&self, request: tonic::Request<RegisterGraphRequest>) -> Reply<Graph> {
        let asked = request.into_inner();
        self.registered.lock().unwrap().push(asked.clone());
        Ok(Answer::new(Graph { graph_id: asked.graph_id, server: asked.server, ..Graph::default() }))
    }
    async fn get_graph(&self, request: tonic::Request<GetGraphRequest>) -> Reply<Graph> {
        match request.into_inner().graph_id.as_str() {
            "busy" => {
                let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(2500)));
                details.set_error_info("TOO_MANY_WAITING", "lightkeep", HashMap::<String, String>::new());
                Err(Status::with_error_details(Code::ResourceExhausted, "too many wait", details))
            }
            "slow" => std::future::pending().await,
            "failed" => Err(fail(Code::FailedPrecondition, "SNAPSHOT_PINNED", "snapshot is pinned")),
            id => Err(fail(Code::NotFound, "GRAPH_NOT_FOUND", &format!("Graph {id} not found"))),
        }
    }
    async fn list_graphs(&self, _: tonic::Request<ListGraphsRequest>) -> Reply<ListGraphsResponse> {
        Ok(Answer::new(ListGraphsResponse::default()))
    }
    async fn create_snapshot(&self, request: tonic::Request<CreateSnapshotRequest>) -> Reply<Snapshot> {
        let asked = request.into_inner();
        self.created.lock().unwrap().push(asked.clone());
        if asked.graph_id == "new" {
            let mut details = ErrorDetails::with_bad_request_violation("source_dir", "is needed");
            details.set_error_info("REQUIRED_FIELD_MISSING", "lightkeep", HashMap::<String, String>::new());
            return Err(Status::with_error_details(Code::InvalidArgument, "`source_dir` is needed", details));
        }
        Ok(Answer::new(Snapshot { metadata: asked.metadata, ..snapshot(&asked.graph_id) }))
    }
    async fn list_snapshots(&self, request: tonic::Request<ListSnapshotsRequest>) -> Reply<ListSnapshotsResponse> {
        let asked = request.into_inner();
        let from: i32 = asked.page_token.parse().unwrap_or(0);
        let to = (from + asked.page_size).min(2500);
        let snapshots = (from..to).map(|count| Snapshot { documents: count.into(), ..snapshot(&asked.graph_id) }).collect();
        let next_page_token = if to < 2500 { to.to_string() } else { String::new() };
        Ok(Answer::new(ListSnapshotsResponse { snapshots, next_page_token }))
    }
    async fn get_snapshot(&self, request: tonic::Request<GetSnapshotRequest>) -> Reply<Snapshot> {
        let asked = request.into_inner();
        Ok(Answer::new(Snapshot { status: 77, backup_id: asked.snapshot_id, ..snapshot(&asked.graph_id) }))
    }
    async fn restore_snapshot(&self, request: tonic::Request<RestoreSnapshotRequest>) -> Reply<RestoreSnapshotResponse> {
        let operation = (request.into_inner().wait == Some(false)).then(Operation::default);
        Ok(Answer::new(RestoreSnapshotResponse { status: "success".into(), message: "Restored".into(), operation, plan: None }))
    }
    async fn delete_snapshot(&self, _: tonic::Request<DeleteSnapshotRequest>) -> Reply<DeleteSnapshotResponse> {
        Ok(Answer::new(DeleteSnapshotResponse { status: "success".into(), message: "Deleted snapshot S".into() }))
    }
    async fn update_graph(&self, request: tonic::Request<UpdateGraphRequest>) -> Reply<Graph> {
        let asked = request.into_inner();
        // The mask comes back as the source, so that a test sees what the shim made of the body.
        let source_dir = asked.update_mask.unwrap_or_default().paths.join(",");
        Ok(Answer::new(Graph { graph_id: asked.graph_id, source_dir, ..Graph::default() }))
    }
    async fn unregister_graph(&self, _: tonic::Request<UnregisterGraphRequest>) -> Reply<UnregisterGraphResponse> {
        Err(fail(Code::Aborted, "ETAG_MISMATCH", "changed meanwhile"))
    }
    async fn pin_snapshot(&self, request: tonic::Request<PinSnapshotRequest>) -> Reply<Snapshot> {
        let asked = request.into_inner();
        Ok(Answer::new(Snapshot { pin_reason: Some(asked.reason), pinned_until: asked.until, ..snapshot(&asked.graph_id) }))
    }
    async fn unpin_snapshot(&self, request: tonic::Request<UnpinSnapshotRequest>) -> Reply<Snapshot> {
        Ok(Answer::new(snapshot(&request.into_inner().graph_id)))
    }
    async fn cleanup_snapshots(&self, _: tonic::Request<CleanupSnapshotsRequest>) -> Reply<CleanupSnapshotsResponse> {
        Ok(Answer::new(CleanupSnapshotsResponse { deleted_snapshots: 3, ..CleanupSnapshotsResponse::default() }))
    }
    async fn browse_snapshot(&self, _: tonic::Request<BrowseSnapshotRequest>) -> Reply<BrowseSnapshotResponse> {
        Ok(Answer::new(BrowseSnapshotResponse::default()))
    }
    async fn diff_snapshots(&self, _: tonic::Request<DiffSnapshotsRequest>) -> Reply<DiffSnapshotsResponse> {
        Ok(Answer::new(DiffSnapshotsResponse::default()))
    }
    type ReadSnapshotFileStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<HttpBody, Status>> + Send>>;
    async fn read_snapshot_file(&self, request: tonic::Request<ReadSnapshotFileRequest>) -> Reply<Self::ReadSnapshotFileStream> {
        let data = request.into_inner().path.into_bytes();
        let broken = fail(Code::DataLoss, "REPOSITORY_DAMAGED", "damaged");
        Ok(Answer::new(Box::pin(tokio_stream::iter([Ok(HttpBody { data, ..HttpBody::default() }), Err(broken)]))))
    }
    async fn verify_snapshot(&self, _: tonic::Request<VerifySnapshotRequest>) -> Reply<VerifySnapshotResponse> {
        Ok(Answer::new(VerifySnapshotResponse { verification: None, operation: Some(Operation::default()) }))
    }
    async fn list_verifications(&self, _: tonic::Request<ListVerificationsRequest>) -> Reply<ListVerificationsResponse> {
        Ok(Answer::new(ListVerificationsResponse::default()))
    }
    async fn get_backup_stats(&self, _: tonic::Request<GetBackupStatsRequest>) -> Reply<BackupStats> {
        Ok(Answer::new(BackupStats { graphs: vec![GraphStats::default()], ..BackupStats::default() }))
    }
}

#[tonic::async_trait]
impl OperationService for Fake {
    type WatchOperationStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Operation, Status>> + Send>>;

    async fn get_operation(&self, _: tonic::Request<GetOperationRequest>) -> Reply<Operation> {
        let error = Some(lightkeep::proto::rpc::Status { code: 5, message: "gone".into(), details: Vec::new() });
        Ok(Answer::new(Operation { error, state: OperationState::Failed.into(), ..Operation::default() }))
    }
    async fn list_operations(&self, request: tonic::Request<ListOperationsRequest>) -> Reply<ListOperationsResponse> {
        let asked = request.into_inner();
        let operation = Operation { state: asked.state, attempt: asked.page_size, ..Operation::default() };
        Ok(Answer::new(ListOperationsResponse { operations: vec![operation], next_page_token: "t".into() }))
    }
    async fn cancel_operation(&self, _: tonic::Request<CancelOperationRequest>) -> Reply<Operation> {
        Ok(Answer::new(Operation::default()))
    }
    async fn watch_operation(&self, request: tonic::Request<WatchOperationRequest>) -> Reply<Self::WatchOperationStream> {
        match request.into_inner().operation_id.as_str() {
            "none" => Err(fail(Code::NotFound, "OPERATION_NOT_FOUND", "Operation none not found")),
            "endless" => Ok(Answer::new(Box::pin(tokio_stream::pending()))),
            _ => {
                let items = vec![
                    Ok(Operation { attempt: 1, ..Operation::default() }),
                    Ok(Operation { attempt: 2, ..Operation::default() }),
                    Err(fail(Code::Unavailable, "DRAINING", "the server stops")),
                ];
                Ok(Answer::new(Box::pin(tokio_stream::iter(items))))
            }
        }
    }
}

pub(crate) struct App {
    pub(crate) fake: Arc<Fake>,
    pub(crate) door: GrpcService,
    pub(crate) router: axum::Router,
}

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Json,
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with(None, true)
    }

    pub(crate) fn with(key: Option<&str>, ready: bool) -> Self {
        let fake = Arc::new(Fake::default());
        let routes = tonic::service::Routes::new(BackupServiceServer::from_arc(fake.clone()))
            .add_service(OperationServiceServer::from_arc(fake.clone()));
        let auth = Auth::new(key.map(|key| Secret::new(key.into())), vec![]);
        let door = door(routes, auth, None, Arc::new(IdSource::counted(1)), Arc::new(SystemClock));
        let services = ["lightkeep.v1.BackupService", "lightkeep.v1.OperationService"];
        let router =
            router(lightkeep::proto::FILE_DESCRIPTOR_SET, &services, door.clone(), key.is_some(), move || async move { ready }).unwrap();
        Self { fake, door, router }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Got { status: parts.status, headers: parts.headers, text, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Got {
        self.send("POST", path, &[("content-type", "application/x-www-form-urlencoded")], body.to_owned()).await
    }
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}
