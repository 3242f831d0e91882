//! The listener that Prometheus scrapes: `/metrics`, and nothing else.

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::routing::get;
use http::{HeaderMap, Response, StatusCode, header};

use crate::service::Services;
use crate::telemetry::Format;

/// The page, without a key: it listens on this computer only, unless its address is set.
pub(super) fn router(services: Services) -> axum::Router {
    axum::Router::new().route("/metrics", get(page)).with_state(services)
}

async fn page(State(services): State<Services>, headers: HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match services.metrics_page(Format::accepted(accept)).await {
        Ok(page) => ([(header::CONTENT_TYPE, page.content_type)], page.text).into_response(),
        Err(error) => {
            tracing::error!(error = error.chain(), "the page of metrics cannot be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
