//! REST from the proto alone: the google.api.http rules become routes, JSON becomes the same messages, and the same services
//! are called through the same door as by gRPC. A new RPC needs no code here.

mod answer;
mod call;
mod dialect;
mod json;
mod openapi;
mod range;
mod request;
mod routes;
mod status;
mod template;
mod text;

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost_reflect::DescriptorPool;
use serde_json::json;
use tonic::Code;
use tower::ServiceExt as _;

use self::dialect::Dialect;
use self::routes::{BodyRule, Found, Route, Routes};
use self::status::{Refusal, json_bytes, json_response};
pub(in crate::api) use self::status::{error_answer, http_status};
pub use self::text::{JsonText, UnknownMessage};
use super::door::GrpcService;
use super::origin::comes_from_elsewhere;

/// The longest body that is read.
const BODY_LIMIT: usize = 1024 * 1024;

/// What the old documents called `/api/backup`. The longer one first: it begins with what the other stands for.
const OLD_PREFIXES: [&str; 2] = ["/api/backup/api/v1/backup-replication/", "/api/v1/backup-replication/"];

/// What the old prefixes stand for.
const PREFIX: &str = "/api/backup/";

/// The protos cannot be served over REST.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The descriptor set cannot be read.
    #[error("the descriptor set cannot be read")]
    Descriptors(#[source] prost_reflect::DescriptorError),
    /// An HTTP rule asks for something that has no meaning here.
    #[error("the HTTP rule of `{rpc}` cannot be served: {what}")]
    Rule {
        /// The RPC's full name.
        rpc: String,
        /// What is wrong with it.
        what: String,
    },
}

/// What the handlers share.
#[derive(Debug)]
struct Shim {
    dialect: Dialect,
    routes: Routes,
    door: GrpcService,
    openapi: Openapi,
}

/// What the OpenAPI document is made from when it is first asked for, and the document then.
#[derive(Debug)]
struct Openapi {
    pool: DescriptorPool,
    needs_key: bool,
    document: OnceLock<Bytes>,
}

/// The REST interface: all routes of these services in `descriptors`, their old aliases, `/health`, `/healthz`, `/readyz`, and
/// `/openapi.json`, which describes them; `needs_key` tells it that calls need the API key. `ready` tells whether the server can do its
/// work. Other routers may be merged in: this one has the fallback.
///
/// # Errors
/// [`RouterError`] when the protos cannot be served.
pub fn router<R, F>(
    descriptors: &[u8],
    services: &[&str],
    grpc: GrpcService,
    needs_key: bool,
    ready: R,
) -> Result<axum::Router, RouterError>
where
    R: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let pool = DescriptorPool::decode(descriptors).map_err(RouterError::Descriptors)?;
    let (dialect, routes) = (Dialect::new(&pool), Routes::new(&pool, services)?);
    let openapi = Openapi { pool, needs_key, document: OnceLock::new() };
    let shim = Arc::new(Shim { dialect, routes, door: grpc, openapi });
    let (fallback, described) = (shim.clone(), shim.clone());
    let alive = || async { json_response(StatusCode::OK, &json!({ "status": "ok" }), None) };
    Ok(axum::Router::new()
        .route("/health", get(alive))
        .route("/healthz", get(alive))
        .route("/readyz", get(move || readiness(ready())))
        .route(openapi::PATH, get(move || async move { described.openapi() }))
        .method_not_allowed_fallback(move |request: Request<Body>| async move {
            shim.refuse(request.headers(), Refusal::wrong_method("GET, HEAD")).await
        })
        .fallback(move |request: Request<Body>| async move {
            if is_grpc(&request) { pass_on(&fallback.door, request).await } else { fallback.handle(request).await }
        }))
}

/// Whether a call is gRPC: another Lightkeep knows this address only.
fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|content_type| content_type.starts_with(b"application/grpc"))
}

async fn pass_on(door: &GrpcService, request: Request<Body>) -> Response<Body> {
    match door.clone().oneshot(request.map(tonic::body::Body::new)).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

async fn readiness(ready: impl Future<Output = bool>) -> Response<Body> {
    if ready.await {
        json_response(StatusCode::OK, &json!({ "status": "ok" }), None)
    } else {
        let detail = "the server is not ready yet: ask again";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "NOT_READY", detail).answer(None)
    }
}

impl Shim {
    fn openapi(&self) -> Response<Body> {
        let Openapi { pool, needs_key, document } = &self.openapi;
        let document = document.get_or_init(|| openapi::document(pool, &self.routes, &self.dialect, *needs_key).to_string().into());
        json_bytes(StatusCode::OK, document.clone(), None)
    }

    async fn handle(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let response = self.answer(request).await;
        if is_head { without_body(response) } else { response }
    }

    async fn answer(self: &Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::HEAD {
            // Parts are there for GET only.
            parts.headers.remove(header::RANGE);
        }
        let headers = call::passed_on(&parts.headers);
        // Where a key is needed no browser sends it for another site. Answers to reads are kept from other sites by browsers themselves.
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !self.openapi.needs_key
            && !is_read
            && let Some(why) = comes_from_elsewhere(&parts.headers)
        {
            let detail = format!("this was sent by a page of another site, nothing was done: {why}");
            return self.refuse(&headers, Refusal::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "CROSS_SITE", detail)).await;
        }
        let path = parts.uri.path();
        let found = match self.find(&parts.method, path) {
            Ok(found) => found,
            Err(refusal) => return self.refuse_caller(&headers, *refusal).await,
        };
        let (route, values) = match found {
            Found::Route(route, values) => (route, values),
            Found::OtherMethods(methods) => return self.refuse(&headers, Refusal::wrong_method(&allowed(&methods))).await,
            Found::Nothing => match self.without_slash(&parts.method, path, parts.uri.query()) {
                Some(redirect) => return redirect,
                None => return self.refuse(&headers, Refusal::unknown_path()).await,
            },
        };
        match self.read(&route, &values, parts.uri.query(), &parts.headers, body).await {
            Ok(asked) => answer::answer(self, &route, &headers, asked).await,
            Err(refusal) => self.refuse_caller(&headers, *refusal).await,
        }
    }

    fn find(&self, method: &Method, path: &str) -> Result<Found, Box<Refusal>> {
        let path = canonical(path);
        let segments = template::segments(&path)
            .map_err(|_| Box::new(Refusal::bad_argument("PATH_INVALID", "the path is not UTF-8: percent-encode its UTF-8 bytes")))?;
        if segments.last().is_some_and(String::is_empty) { Ok(Found::Nothing) } else { Ok(self.routes.find(method, &segments)) }
    }

    /// Where a path with slashes at its end leads, if there is something.
    fn without_slash(&self, method: &Method, path: &str, query: Option<&str>) -> Option<Response<Body>> {
        let shorter = path.strip_suffix('/')?;
        let is_endpoint = ["/health", "/healthz", "/readyz", openapi::PATH].contains(&shorter);
        if !is_endpoint && matches!(self.find(method, shorter), Err(_) | Ok(Found::Nothing)) {
            return None;
        }
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&format!("{shorter}{query}")).ok()?);
        Some(response)
    }

    async fn read(
        &self,
        route: &Route,
        values: &[(String, String)],
        query: Option<&str>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<request::Asked, Box<Refusal>> {
        // What has no meaning is not read at all.
        let body = if matches!(route.body, BodyRule::None) { Bytes::new() } else { collect(body).await? };
        request::read(route, &self.dialect, &request::Parts { path: values, query, headers, body: &body }).map_err(Box::new)
    }

    /// Refuses what nobody could ask for.
    async fn refuse(&self, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        let name = match call::knock(&self.door, &call::passed_on(headers)).await {
            Ok(name) => name,
            Err(failure) => failure.request_id,
        };
        refusal.answer(name.as_ref())
    }

    /// Refuses a call that a caller who may call got wrong; to others only that they may not call.
    async fn refuse_caller(&self, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        match call::knock(&self.door, headers).await {
            Ok(name) => refusal.answer(name.as_ref()),
            Err(failure) => error_answer(&failure.status, None, failure.request_id.as_ref()),
        }
    }
}

/// The path with an old prefix replaced.
fn canonical(path: &str) -> String {
    let rest = OLD_PREFIXES.iter().find_map(|old| path.strip_prefix(old));
    rest.map_or_else(|| path.to_owned(), |rest| format!("{PREFIX}{rest}"))
}

fn allowed(methods: &[Method]) -> String {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.join(", ")
}

async fn collect(body: Body) -> Result<Bytes, Box<Refusal>> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is larger than {BODY_LIMIT} bytes");
            Err(Box::new(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, "BODY_TOO_LARGE", detail)))
        }
        Err(_) => Err(Box::new(Refusal::bad_argument("BODY_INCOMPLETE", "the body broke off: send it again"))),
    }
}

/// The answer to HEAD: that to GET, its length included, without the body.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact();
    if let Some(length) = length.filter(|_| !parts.headers.contains_key(header::CONTENT_LENGTH)) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}
