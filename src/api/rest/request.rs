//! An HTTP request becomes the RPC's request: from the path, the query, the body and the `Idempotency-Key`.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::{Value as Json, json};

use super::dialect::Dialect;
use super::json::{Reader, Violation, from_text};
use super::range::Part;
use super::routes::{BodyRule, Route, field_at, set_at};
use super::status::Refusal;

/// The field that the header `Idempotency-Key` fills.
const REQUEST_ID: &str = "request_id";

/// The parts of an HTTP request.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The fields in the path.
    pub path: &'a [(String, String)],
    /// What stands behind the question mark.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

/// What the parts amount to.
#[derive(Debug)]
pub(super) struct Asked {
    /// The RPC's request.
    pub message: DynamicMessage,
    /// The body, which lists of violations quote.
    pub body: Option<Json>,
    /// The query names `page_size`: one page is wanted, not everything.
    pub one_page: bool,
    /// Which part of a document is wanted, where that can be said.
    pub part: Option<Part>,
}

/// Puts the parts together. The path is above the body, the body above the query.
///
/// # Errors
/// 422 with all violations of the body's form, 400 for anything else that does not fit.
pub(super) fn read(route: &Route, dialect: &Dialect, parts: &Parts<'_>) -> Result<Asked, Refusal> {
    let mut message = DynamicMessage::new(route.input.clone());
    let one_page = query(route, dialect, parts, &mut message)?;
    let body = body(route, dialect, parts, &mut message)?;
    for (path, text) in parts.path {
        let kind = field_at(&route.input, path).map(|field| field.kind());
        let value = kind.map(|kind| from_text(&kind, text)).transpose().map_err(|what| parameter(path, &what))?;
        if let Some(value) = value {
            set_at(&mut message, path, value);
        }
    }
    idempotency_key(parts.headers, &mut message)?;
    let part = Part::take(parts.headers, &mut message);
    Ok(Asked { message, body, one_page, part })
}

fn parameter(name: &str, what: &str) -> Refusal {
    Refusal::bad_argument("PARAMETER_INVALID", format!("parameter `{name}` does not fit: {what}"))
}

fn query(route: &Route, dialect: &Dialect, parts: &Parts<'_>, message: &mut DynamicMessage) -> Result<bool, Refusal> {
    let mut one_page = false;
    for pair in parts.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        // Parameters that are no fields are ignored, whatever they look like.
        let Some(name) = decode(name) else { continue };
        let Some(field) = field_at(&route.input, &name).filter(|field| fits_query(dialect, field)) else { continue };
        if parts.path.iter().any(|(path, _)| *path == name) || in_body(route, &name) {
            continue;
        }
        let text = decode(text).ok_or_else(|| parameter(&name, "expected UTF-8"))?;
        let value = from_text(&field.kind(), &text).map_err(|what| parameter(&name, &what))?;
        one_page |= name == "page_size";
        set_at(message, &name, value);
    }
    Ok(one_page)
}

/// Secrets do not belong in addresses, which are logged everywhere; maps have no form there.
pub(super) fn fits_query(dialect: &Dialect, field: &FieldDescriptor) -> bool {
    let traits = dialect.traits(field);
    !traits.input_only && !traits.output_only && !field.is_map()
}

fn in_body(route: &Route, name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    matches!(&route.body, BodyRule::Field(field) if field.name() == first)
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(String::from)
}

fn body(route: &Route, dialect: &Dialect, parts: &Parts<'_>, message: &mut DynamicMessage) -> Result<Option<Json>, Refusal> {
    if matches!(route.body, BodyRule::None) {
        return Ok(None);
    }
    let json = if parts.body.trim_ascii().is_empty() { json!({}) } else { parse(parts.body)? };
    // A client without a body may send null in its place.
    let json = if json.is_null() { json!({}) } else { json };
    let mut reader = Reader::new(dialect);
    match &route.body {
        BodyRule::None => {}
        BodyRule::Whole => {
            let bound: Vec<&str> = parts.path.iter().map(|(path, _)| path.as_str()).collect();
            reader.message(message, &json, &bound);
        }
        BodyRule::Field(field) => body_field(&mut reader, parts, message, field, &json),
    }
    let violations = reader.into_violations();
    if violations.is_empty() { Ok(Some(json)) } else { Err(Refusal::bad_form(&violations)) }
}

fn body_field(reader: &mut Reader<'_>, parts: &Parts<'_>, message: &mut DynamicMessage, field: &FieldDescriptor, json: &Json) {
    let prefix = format!("{}.", field.name());
    let bound: Vec<&str> = parts.path.iter().filter_map(|(path, _)| path.strip_prefix(&prefix)).collect();
    if let Some(value) = reader.value(field, json, &bound) {
        let _fits = message.try_set_field(field, value);
    }
    fill_mask(message, field, json);
}

/// An update that does not say what it changes changes what its body names.
fn fill_mask(message: &mut DynamicMessage, body: &FieldDescriptor, json: &Json) {
    let Some(mask) = message.descriptor().get_field_by_name("update_mask") else { return };
    let (Some(mask_type), Some(body_type)) = (mask.kind().as_message().cloned(), body.kind().as_message().cloned()) else { return };
    if message.has_field(&mask) || mask_type.full_name() != "google.protobuf.FieldMask" {
        return;
    }
    let names = json.as_object().into_iter().flat_map(|members| members.keys());
    let paths = names.filter(|name| body_type.get_field_by_name(name).is_some()).map(|name| Value::String(name.clone()));
    let mut filled = DynamicMessage::new(mask_type);
    let _paths = filled.try_set_field_by_number(1, Value::List(paths.collect()));
    let _fits = message.try_set_field(&mask, Value::Message(filled));
}

fn parse(body: &Bytes) -> Result<Json, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let lines_before = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
        let offset = lines_before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
        let violation = Violation {
            kind: "json_invalid",
            loc: vec!["body".into(), offset.into()],
            msg: "JSON decode error".to_owned(),
            input: json!({}),
            ctx: Some(json!({ "error": error.to_string() })),
        };
        Refusal::bad_form(&[violation])
    })
}

/// The field of a request that the header `Idempotency-Key` fills.
pub(super) fn idempotency_field(request: &MessageDescriptor) -> Option<FieldDescriptor> {
    request.get_field_by_name(REQUEST_ID).filter(|field| field.kind() == Kind::String && !field.is_list())
}

fn idempotency_key(headers: &HeaderMap, message: &mut DynamicMessage) -> Result<(), Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(()) };
    let Some(field) = idempotency_field(&message.descriptor()) else { return Ok(()) };
    let key = key.to_str().map_err(|_| parameter("Idempotency-Key", "expected a UUID"))?.trim();
    let given = message.get_field(&field).as_str().unwrap_or_default().to_owned();
    if !given.is_empty() && given != key {
        let detail = "`Idempotency-Key` and `request_id` differ: send one of them";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, tonic::Code::InvalidArgument, "IDEMPOTENCY_KEY_CONFLICT", detail));
    }
    set_at(message, REQUEST_ID, Value::String(key.to_owned()));
    Ok(())
}
