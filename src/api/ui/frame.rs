//! Around every page: its session, the database that must be there, error pages, and headers that keep a browser from doing anything that
//! we have not written.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Ui;
use super::failure::Failure;
use super::page::error_page;
use super::session::Session;
use crate::api::request_id::CallName;
use crate::service::Services;

/// How long the database has to say that it is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What every answer says to the browser. Pages hold no script and no style of their own, and load nothing from elsewhere.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: then browsers would not say where a form comes from.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Serves a page.
pub(super) async fn frame(State(ui): State<Arc<Ui>>, mut request: Request, next: Next) -> Response {
    // HTTP/2 names the host in the address; we look for it in one place.
    let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let session = ui.sessions.of(request.headers(), ui.services.now());
    let is_https = is_https(request.headers());
    let name = request.extensions().get::<CallName>().map(|name| name.as_str().to_owned()).unwrap_or_default();
    request.extensions_mut().insert(session.clone());
    let mut response = if is_there(&ui.services).await {
        next.run(request).await
    } else {
        axum::response::IntoResponse::into_response(Failure::no_database())
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = explained(&ui, &session, failure, &name).await;
    }
    add_headers(response.headers_mut());
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let wants_session = session.is_new && !response.headers().contains_key(header::SET_COOKIE);
    if let Some(cookie) = ui.sessions.cookie(&session, is_https).filter(|_| wants_session) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The page that says why there is no page.
async fn explained(ui: &Ui, session: &Session, failure: Failure, name: &str) -> Response {
    failure.log();
    let is_gone = failure.is_database && !is_there(&ui.services).await;
    error_page(ui, session, if is_gone { Failure::no_database() } else { failure }, name)
}

async fn is_there(services: &Services) -> bool {
    tokio::time::timeout(ANSWERS_WITHIN, services.store().ping()).await.is_ok_and(|answer| answer.is_ok())
}

/// Adds what every answer says to the browser.
pub(super) fn add_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether the browser speaks to us, or to the proxy before us, in secret.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).unwrap_or_default();
    scheme.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}
