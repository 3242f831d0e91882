//! With an API key set, nobody gets anything without it, but for health checks.

use lightkeep::proto::v1;
use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
use lightkeep::proto::v1::operation_service_client::OperationServiceClient;
use serde_json::json;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_types::StatusExt as _;

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::rest::{GRAPHS, get, send};

const KEY: &str = "correct horse battery staple";

type Headers = &'static [(&'static str, &'static str)];

/// Headers, and the reason for which they are refused.
const CALLERS: [(Headers, Option<&str>); 8] = [
    (&[], Some("API_KEY_REQUIRED")),
    (&[("authorization", "Basic correct horse battery staple")], Some("API_KEY_REQUIRED")),
    (&[("x-api-key", "wrong")], Some("API_KEY_INVALID")),
    (&[("x-api-key", "correct horse battery stapl")], Some("API_KEY_INVALID")),
    (&[("authorization", "Bearer wrong")], Some("API_KEY_INVALID")),
    (&[("x-api-key", KEY)], None),
    (&[("authorization", "Bearer correct horse battery staple")], None),
    (&[("authorization", "Bearer wrong"), ("x-api-key", KEY)], None),
];

async fn start() -> TestApp {
    TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_API_KEY", KEY)]).await
}

fn with<T>(message: T, headers: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rest_path_needs_the_key_in_either_header() {
    let app = start().await;
    let source = app.sample("rag");
    let body = json!({ "source_dir": source }).to_string();
    let snapshots = format!("{GRAPHS}/g/snapshots");
    let asked = [
        ("GET", GRAPHS, "", 200),
        ("GET", "/api/operations", "", 200),
        ("GET", "/api/backup/backup/stats", "", 200),
        ("POST", &snapshots, &body, 200),
    ];
    for (headers, refused) in CALLERS {
        for (method, path, body, status) in asked {
            let answer = send(&app, method, path, headers, body.to_owned()).await;
            match refused {
                None => assert_eq!(answer.status, status, "{method} {path} {headers:?}: {}", answer.text),
                Some(reason) => {
                    assert_eq!((answer.refusal().0, &answer.json["reason"]), (401, &json!(reason)), "{method} {path} {headers:?}");
                    assert_eq!(answer.header("www-authenticate"), "Bearer");
                }
            }
        }
        if refused.is_some() {
            let graphs = send(&app, "GET", GRAPHS, &[("x-api-key", KEY)], "").await;
            assert_eq!(graphs.ok(), json!([]));
        }
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_key_nobody_learns_what_exists_or_what_is_wrong_with_a_request() {
    let app = start().await;
    for (method, path, body) in [
        ("GET", format!("{GRAPHS}/none"), ""),
        ("POST", format!("{GRAPHS}/g/snapshots"), "{"),
        ("POST", GRAPHS.to_owned(), "{}"),
        ("GET", "/api/operations?page_size=x".to_owned(), ""),
        ("GET", "/api/operations/none/watch".to_owned(), ""),
    ] {
        let answer = send(&app, method, &path, &[], body).await;
        assert_eq!((answer.refusal().0, &answer.json["reason"]), (401, &json!("API_KEY_REQUIRED")), "{method} {path}");
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_grpc_service_needs_the_key_in_either_header() {
    let app = start().await;
    let mut backup = BackupServiceClient::new(app.channel().await);
    let mut operations = OperationServiceClient::new(app.channel().await);
    for (headers, refused) in CALLERS {
        let results = [
            backup.list_graphs(with(v1::ListGraphsRequest::default(), headers)).await.map(|_| ()),
            backup.get_graph(with(v1::GetGraphRequest { graph_id: "g".to_owned() }, headers)).await.map(|_| ()),
            operations.list_operations(with(v1::ListOperationsRequest::default(), headers)).await.map(|_| ()),
            operations.watch_operation(with(v1::WatchOperationRequest::default(), headers)).await.map(|_| ()),
        ];
        for result in results {
            match (refused, result) {
                (None, Ok(())) => {}
                // Whoever may call learns what does not exist.
                (None, Err(status)) => assert_eq!(status.code(), Code::NotFound, "{headers:?}: {status}"),
                (Some(expected), Ok(())) => panic!("{headers:?} are let in, {expected} was expected"),
                (Some(expected), Err(status)) => {
                    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, expected), "{headers:?}");
                }
            }
        }
    }
    finish(app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_to_everybody() {
    let app = start().await;
    for path in ["/health", "/healthz", "/readyz"] {
        assert_eq!(get(&app, path).await.ok(), json!({ "status": "ok" }));
    }
    let mut health = HealthClient::new(app.channel().await);
    for service in ["", "lightkeep.v1.BackupService", "lightkeep.v1.OperationService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    finish(app).await;
}

async fn reflect(app: &TestApp, headers: &[(&'static str, &str)]) -> Result<Option<ServerReflectionResponse>, Status> {
    let list = ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
    let request = with(tokio_stream::once(list), headers);
    let mut client = ServerReflectionClient::new(app.channel().await);
    client.server_reflection_info(request).await?.into_inner().message().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_needs_the_key_and_lists_the_services() {
    let app = start().await;
    let refused = reflect(&app, &[]).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "API_KEY_REQUIRED"));
    let refused = reflect(&app, &[("x-api-key", "wrong")]).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "API_KEY_INVALID"));
    let answer = reflect(&app, &[("x-api-key", KEY)]).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["lightkeep.v1.BackupService", "lightkeep.v1.OperationService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == service), "{service} is not in {names:?}");
    }
    finish(app).await;
}
