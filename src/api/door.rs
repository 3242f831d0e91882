//! The one door: all gRPC services with the layers around them. The gRPC port and the REST shim call the same object.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::IntoResponse as _;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use super::auth::{Auth, AuthLayer};
use super::deadline::DeadlineLayer;
use super::metrics::MetricsLayer;
use super::request_id::RequestIdLayer;
use crate::base::clock::Clock;
use crate::base::ids::IdSource;

/// The gRPC services behind their layers.
pub type GrpcService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// Puts the layers around the services; from outside to inside: request id and span, metrics, deadline, key.
pub fn door(routes: Routes, auth: Auth, metrics: Option<MetricsLayer>, ids: Arc<IdSource>, clock: Arc<dyn Clock>) -> GrpcService {
    let layers = tower::ServiceBuilder::new()
        .layer(RequestIdLayer::new(ids, clock))
        .option_layer(metrics)
        .layer(DeadlineLayer)
        .layer(AuthLayer::new(auth))
        .service(routes);
    BoxCloneSyncService::new(layers)
}

/// The door in the form that tonic's server takes: `Server::builder().add_routes(for_tonic(door))`.
pub fn for_tonic(door: GrpcService) -> Routes {
    let service = door
        .map_request(|request: http::Request<axum::body::Body>| request.map(Body::new))
        .map_response(|response: http::Response<Body>| response.map(axum::body::Body::new).into_response());
    Routes::from(axum::Router::new().fallback_service(service))
}
