//! What a service answered becomes an HTTP response.

use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, Value};
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::Shim;
use super::call::{Answer, Failure, call, call_unary};
use super::json::{FieldJson, MessageJson};
use super::range::describe;
use super::request::Asked;
use super::routes::{Route, set_at};
use super::status::{error_answer, error_event, json_bytes};
use crate::api::request_id;

/// Says in a one-page answer where the next page begins.
const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page-token");

/// The page size with which whole lists are fetched: the largest that the services take.
const WHOLE_PAGE: i32 = 1000;

/// Calls the route's RPC and answers.
pub(super) async fn answer(shim: &Arc<Shim>, route: &Arc<Route>, headers: &HeaderMap, mut asked: Asked) -> Response<Body> {
    let list = route.answer.as_ref().filter(|field| field.is_list());
    let result = match list {
        _ if route.streams => stream(shim, route, headers, &asked).await,
        Some(field) if !asked.one_page && route.is_paged() => whole_list(shim, route, field, headers, &mut asked.message).await,
        _ => single(shim, route, headers, &asked.message).await,
    };
    result.unwrap_or_else(|failure| error_answer(&failure.status, asked.body.as_ref(), failure.request_id.as_ref()))
}

async fn single(shim: &Shim, route: &Route, headers: &HeaderMap, message: &DynamicMessage) -> Result<Response<Body>, Failure> {
    let (bytes, request_id) = call_unary(&shim.door, &route.rpc, headers, message).await?;
    let fail = |status: Status| Failure { request_id: request_id.clone(), status: Box::new(status) };
    let message = decode(&route.output, bytes).map_err(fail)?;
    if route.is_document() {
        return Ok(document(&message, request_id));
    }
    let json = match &route.answer {
        Some(field) => serde_json::to_vec(&FieldJson { dialect: &shim.dialect, field, value: &message.get_field(field) }),
        None => serde_json::to_vec(&MessageJson { dialect: &shim.dialect, message: &message }),
    };
    let json = json.map_err(|error| fail(unwritable(&error)))?;
    let mut response = json_bytes(StatusCode::OK, json, request_id.as_ref());
    if route.answer.is_some()
        && let Ok(token) = HeaderValue::from_str(&next_page(&message))
        && !token.is_empty()
    {
        response.headers_mut().insert(NEXT_PAGE, token);
    }
    Ok(response)
}

/// Fetches page after page, so that scripts which know no pages get everything.
async fn whole_list(
    shim: &Shim,
    route: &Route,
    field: &FieldDescriptor,
    headers: &HeaderMap,
    request: &mut DynamicMessage,
) -> Result<Response<Body>, Failure> {
    set_at(request, "page_size", Value::I32(WHOLE_PAGE));
    let mut headers = headers.clone();
    let mut json = b"[".to_vec();
    let mut last_token = String::new();
    loop {
        let (bytes, request_id) = call_unary(&shim.door, &route.rpc, &headers, request).await?;
        let fail = |status: Status| Failure { request_id: request_id.clone(), status: Box::new(status) };
        let message = decode(&route.output, bytes).map_err(fail)?;
        let page = serde_json::to_vec(&FieldJson { dialect: &shim.dialect, field, value: &message.get_field(field) });
        let page = page.map_err(|error| fail(unwritable(&error)))?;
        let items = page.strip_prefix(b"[").and_then(|items| items.strip_suffix(b"]")).unwrap_or_default();
        if json.len() > 1 && !items.is_empty() {
            json.push(b',');
        }
        json.extend_from_slice(items);
        let token = next_page(&message);
        if token.is_empty() {
            json.push(b']');
            return Ok(json_bytes(StatusCode::OK, json, request_id.as_ref()));
        }
        if token == last_token {
            return Err(fail(Status::internal("the service's list does not end")));
        }
        // All pages are one call to the caller: they bear one name.
        if let Some(name) = request_id {
            headers.insert(request_id::HEADER, name);
        }
        set_at(request, "page_token", Value::String(token.clone()));
        last_token = token;
    }
}

async fn stream(shim: &Arc<Shim>, route: &Arc<Route>, headers: &HeaderMap, asked: &Asked) -> Result<Response<Body>, Failure> {
    let mut answer = call(&shim.door, &route.rpc, headers, &asked.message).await?;
    let request_id = answer.request_id.clone();
    if route.is_document() {
        // The first message says what the document is; a failure before it is an error answer.
        let fail = |status: Status| Failure { request_id: request_id.clone(), status: Box::new(status) };
        let first = answer.next().await.transpose().map_err(fail)?.unwrap_or_default();
        let first = decode(&route.output, first).map_err(fail)?;
        let described = answer.headers.clone();
        let mut response = streamed_document(&first, route, answer);
        describe(&mut response, asked.part, &described);
        return Ok(response);
    }
    let (shim, route, name) = (shim.clone(), route.clone(), request_id.clone());
    let events = answer.map(move |message| -> Result<Event, std::convert::Infallible> {
        let json = message.and_then(|bytes| decode(&route.output, bytes)).and_then(|message| {
            let written = match &route.answer {
                Some(field) => serde_json::to_string(&FieldJson { dialect: &shim.dialect, field, value: &message.get_field(field) }),
                None => serde_json::to_string(&MessageJson { dialect: &shim.dialect, message: &message }),
            };
            written.map_err(|error| unwritable(&error))
        });
        Ok(match json {
            Ok(json) => Event::default().data(json),
            Err(status) => Event::default().event("error").data(error_event(&status, name.as_ref()).to_string()),
        })
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    name_it(&mut response, request_id);
    Ok(response)
}

fn streamed_document(first: &DynamicMessage, route: &Arc<Route>, rest: Answer) -> Response<Body> {
    let request_id = rest.request_id.clone();
    let mut response = document(first, request_id);
    let output = route.output.clone();
    let rest = rest.map(move |message| message.and_then(|bytes| decode(&output, bytes)).map(|message| data(&message)));
    let start = tokio_stream::once(Ok(data(first)));
    *response.body_mut() = Body::from_stream(start.chain(rest));
    response
}

fn document(message: &DynamicMessage, request_id: Option<HeaderValue>) -> Response<Body> {
    let content_type = message.get_field_by_name("content_type").and_then(|value| HeaderValue::from_str(value.as_str()?).ok());
    let content_type = content_type.filter(|value| !value.is_empty());
    let mut response = Response::new(Body::from(data(message)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream")));
    name_it(&mut response, request_id);
    response
}

fn data(message: &DynamicMessage) -> Bytes {
    message.get_field_by_name("data").and_then(|value| value.as_bytes().cloned()).unwrap_or_default()
}

fn name_it(response: &mut Response<Body>, request_id: Option<HeaderValue>) {
    if let Some(request_id) = request_id {
        response.headers_mut().insert(request_id::HEADER, request_id);
    }
}

fn next_page(message: &DynamicMessage) -> String {
    message.get_field_by_name("next_page_token").and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn decode(descriptor: &MessageDescriptor, bytes: Bytes) -> Result<DynamicMessage, Status> {
    DynamicMessage::decode(descriptor.clone(), bytes).map_err(|error| {
        tracing::error!(answer = descriptor.full_name(), %error, "the service's answer cannot be decoded");
        Status::internal("internal error")
    })
}

fn unwritable(error: &serde_json::Error) -> Status {
    tracing::error!(%error, "the service's answer cannot be written as JSON");
    Status::internal("internal error")
}
