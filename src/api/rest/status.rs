//! Errors in REST: the one table from gRPC codes to HTTP statuses, and the form of error bodies.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value as Json, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::json::Violation;
use crate::api::request_id;
use crate::api::status::SIZE_BYTES;

/// The reason with which a service says that a field was missing, where only it can know.
const FIELD_MISSING: &str = "REQUIRED_FIELD_MISSING";

/// THE table.
fn row(code: Code) -> (u16, &'static str) {
    match code {
        Code::Ok => (200, "OK"),
        Code::Cancelled => (499, "CANCELLED"),
        Code::Unknown => (500, "UNKNOWN"),
        Code::InvalidArgument => (400, "INVALID_ARGUMENT"),
        Code::DeadlineExceeded => (504, "DEADLINE_EXCEEDED"),
        Code::NotFound => (404, "NOT_FOUND"),
        Code::AlreadyExists => (409, "ALREADY_EXISTS"),
        Code::PermissionDenied => (403, "PERMISSION_DENIED"),
        Code::ResourceExhausted => (429, "RESOURCE_EXHAUSTED"),
        Code::FailedPrecondition => (409, "FAILED_PRECONDITION"),
        Code::Aborted => (409, "ABORTED"),
        Code::OutOfRange => (416, "OUT_OF_RANGE"),
        Code::Unimplemented => (501, "UNIMPLEMENTED"),
        Code::Internal => (500, "INTERNAL"),
        Code::Unavailable => (503, "UNAVAILABLE"),
        Code::DataLoss => (500, "DATA_LOSS"),
        Code::Unauthenticated => (401, "UNAUTHENTICATED"),
    }
}

/// The HTTP status of a code.
pub(in crate::api) fn http_status(code: Code) -> StatusCode {
    StatusCode::from_u16(row(code).0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A code as our clients see it, such as `NOT_FOUND`.
pub(super) fn code_word(code: Code) -> &'static str {
    row(code).1
}

/// A call that the REST side refuses by itself.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The gRPC code that says the same.
    pub code: Code,
    /// A stable reason.
    pub reason: &'static str,
    /// A sentence, or the list of violations.
    pub detail: Json,
    /// The methods that the path does have, for 405.
    pub allow: Option<HeaderValue>,
}

impl Refusal {
    /// A refusal that is one sentence.
    pub(super) fn new(status: StatusCode, code: Code, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, reason, detail: Json::String(detail.into()), allow: None }
    }

    /// A bad value outside the body's form.
    pub(super) fn bad_argument(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, reason, detail)
    }

    /// The path is not known.
    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, "PATH_UNKNOWN", "Not Found")
    }

    /// The path is known, with other methods.
    pub(super) fn wrong_method(allow: &str) -> Self {
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "METHOD_NOT_ALLOWED", "Method Not Allowed");
        Self { allow: HeaderValue::from_str(allow).ok(), ..refusal }
    }

    /// The body's form is wrong.
    pub(super) fn bad_form(violations: &[Violation]) -> Self {
        let detail = serde_json::to_value(violations).unwrap_or_default();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, code: Code::InvalidArgument, reason: "BODY_INVALID", detail, allow: None }
    }

    /// The answer.
    pub(super) fn answer(self, request_id: Option<&HeaderValue>) -> Response<Body> {
        let body = body(self.detail, self.code, Some(self.reason), request_id);
        let mut response = json_response(self.status, &body, request_id);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The answer to a call that a service refused. `input` is the caller's body, which lists of violations quote.
pub(in crate::api) fn error_answer(status: &Status, input: Option<&Json>, request_id: Option<&HeaderValue>) -> Response<Body> {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    let (mut http, _) = row(status.code());
    let mut detail = Json::String(status.message().to_owned());
    if status.code() == Code::InvalidArgument
        && reason == Some(FIELD_MISSING)
        && let Some(list) = missing_fields(&details, input)
    {
        (http, detail) = (422, list);
    }
    let body = body(detail, status.code(), reason, request_id);
    let http = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(http, &body, request_id);
    let headers: &mut HeaderMap = response.headers_mut();
    match status.code() {
        Code::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::OutOfRange => {
            let size = details.error_info().and_then(|info| info.metadata.get(SIZE_BYTES));
            if let Some(range) = size.and_then(|size| HeaderValue::from_str(&format!("bytes */{size}")).ok()) {
                headers.insert(header::CONTENT_RANGE, range);
            }
        }
        Code::ResourceExhausted | Code::Unavailable => {
            let delay = details.retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        _ => {}
    }
    response
}

/// The body of an error in the midst of a stream.
pub(super) fn error_event(status: &Status, request_id: Option<&HeaderValue>) -> Json {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    body(Json::String(status.message().to_owned()), status.code(), reason, request_id)
}

/// An answer in JSON.
pub(super) fn json_response(status: StatusCode, body: &Json, request_id: Option<&HeaderValue>) -> Response<Body> {
    json_bytes(status, body.to_string().into_bytes(), request_id)
}

/// An answer in JSON that is written already.
pub(super) fn json_bytes(status: StatusCode, body: impl Into<Body>, request_id: Option<&HeaderValue>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(request_id) = request_id {
        response.headers_mut().insert(request_id::HEADER, request_id.clone());
    }
    response
}

fn body(detail: Json, code: Code, reason: Option<&str>, request_id: Option<&HeaderValue>) -> Json {
    let request_id = request_id.and_then(|value| value.to_str().ok());
    let reason = reason.filter(|reason| !reason.is_empty());
    json!({ "detail": detail, "code": code_word(code), "reason": reason, "request_id": request_id })
}

fn missing_fields(details: &ErrorDetails, input: Option<&Json>) -> Option<Json> {
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).filter(|list| !list.is_empty())?;
    let entries = violations.iter().map(|violation| {
        let loc = std::iter::once("body").chain(violation.field.split('.')).map(Json::from).collect();
        let input = input.cloned().unwrap_or_default();
        Violation { kind: "missing", loc, msg: "Field required".to_owned(), input, ctx: None }
    });
    serde_json::to_value(entries.collect::<Vec<_>>()).ok()
}
