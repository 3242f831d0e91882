//! One way to call an RPC: what goes in and what comes out.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value as Json, json};

use super::schema::{Schemas, Way, described};
use super::{Sources, errors};
use crate::api::rest::json::{Form, form};
use crate::api::rest::request::{fits_query, idempotency_field};
use crate::api::rest::routes::{BodyRule, Route, field_at};

/// The operation of a route of this RPC.
pub(super) fn operation(sources: &Sources<'_>, schemas: &mut Schemas<'_>, rpc: &MethodDescriptor, route: &Route, id: &str) -> Json {
    let comment = sources.comments.of_place(&rpc.parent_service().parent_file(), rpc.path());
    let summary = comment.split_once(". ").map_or(comment, |(first, _)| first).trim_end_matches('.');
    let mut responses = success(schemas, route);
    for status in errors::statuses(route, sources.needs_key) {
        responses.insert(status.to_string(), json!({ "$ref": errors::reference(status) }));
    }
    let mut operation = json!({
        "operationId": id,
        "tags": [rpc.parent_service().name()],
        "parameters": parameters(sources, schemas, route),
        "responses": responses,
    });
    if !comment.is_empty() {
        operation["summary"] = summary.into();
        operation["description"] = comment.into();
    }
    if let Some(body) = request_body(schemas, route) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameters(sources: &Sources<'_>, schemas: &mut Schemas<'_>, route: &Route) -> Vec<Json> {
    let mut parameters = Vec::new();
    for path in route.template.fields() {
        let Some(field) = field_at(&route.input, path) else { continue };
        let mut schema = schemas.field(&field, Way::In);
        if field.kind() == Kind::String {
            schema["minLength"] = 1.into();
        }
        let parameter = json!({ "name": path, "in": "path", "required": true, "schema": schema });
        parameters.push(described(parameter, schemas.comment_of(&field)));
    }
    // A whole body says it all.
    if !matches!(route.body, BodyRule::Whole) {
        let mut query = Query { sources, schemas, route, parameters: Vec::new() };
        query.collect(&route.input, "", &mut Vec::new());
        parameters.append(&mut query.parameters);
    }
    let shared = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    if idempotency_field(&route.input).is_some() {
        parameters.push(shared("IdempotencyKey"));
    }
    if route.is_ranged() {
        parameters.push(shared("Range"));
    }
    parameters.push(shared("RequestName"));
    parameters
}

struct Query<'q, 's> {
    sources: &'q Sources<'q>,
    schemas: &'q mut Schemas<'s>,
    route: &'q Route,
    parameters: Vec<Json>,
}

impl Query<'_, '_> {
    /// The fields of a message that can stand in the query. `above` are the messages that it is in, so that none is entered twice.
    fn collect(&mut self, message: &MessageDescriptor, prefix: &str, above: &mut Vec<String>) {
        above.push(message.full_name().to_owned());
        for field in message.fields() {
            let name = format!("{prefix}{}", field.name());
            let in_body = matches!(&self.route.body, BodyRule::Field(body) if prefix.is_empty() && body.name() == field.name());
            if in_body || self.route.template.fields().any(|path| path == name) || !fits_query(self.sources.dialect, &field) {
                continue;
            }
            match field.kind().as_message().map(|inner| (inner, form(inner.full_name()))) {
                None | Some((_, Form::Timestamp | Form::Duration | Form::FieldMask)) => self.add(&field, &name),
                Some((inner, Form::Object)) if !field.is_list() && !above.iter().any(|name| name == inner.full_name()) => {
                    self.collect(inner, &format!("{name}."), above);
                }
                Some(_) => {}
            }
        }
        above.pop();
    }

    fn add(&mut self, field: &FieldDescriptor, name: &str) {
        let mut parameter = json!({ "name": name, "in": "query", "schema": self.schemas.field(field, Way::In) });
        // What a message in the query needs is needed only if the message is there.
        if !name.contains('.') && self.sources.dialect.traits(field).required {
            parameter["required"] = true.into();
        }
        self.parameters.push(described(parameter, self.schemas.comment_of(field)));
    }
}

fn request_body(schemas: &mut Schemas<'_>, route: &Route) -> Option<Json> {
    let (schema, required) = match &route.body {
        BodyRule::None => return None,
        BodyRule::Whole => {
            let bound: Vec<&str> = route.template.fields().collect();
            (schemas.object(&route.input, Way::In, &bound), schemas.needs_any(&route.input, &bound))
        }
        BodyRule::Field(field) => {
            let prefix = format!("{}.", field.name());
            let bound: Vec<&str> = route.template.fields().filter_map(|path| path.strip_prefix(&prefix)).collect();
            match field.kind().as_message() {
                Some(message) if !bound.is_empty() => (schemas.object(message, Way::In, &bound), schemas.needs_any(message, &bound)),
                Some(message) if !field.is_list() && !field.is_map() => (schemas.field(field, Way::In), schemas.needs_any(message, &[])),
                _ => (schemas.field(field, Way::In), true),
            }
        }
    };
    // No body stands for an empty object: it is needed only if that is not enough.
    Some(json!({ "required": required, "content": { "application/json": { "schema": schema } } }))
}

fn success(schemas: &mut Schemas<'_>, route: &Route) -> Map<String, Json> {
    let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestName" } });
    let mut responses = Map::new();
    if route.is_document() {
        // Whatever it is, JSON too: without a schema, it is bytes.
        let content = json!({ "*/*": {} });
        if route.is_ranged() {
            headers["Accept-Ranges"] = json!({ "schema": { "type": "string" } });
            headers["Content-Length"] = json!({ "schema": { "type": "integer", "minimum": 0 } });
            let mut part = headers.clone();
            part["Content-Range"] = json!({ "schema": { "type": "string" } });
            let answer = json!({ "description": "The part that `Range` asks for.", "headers": part, "content": content });
            responses.insert("206".to_owned(), answer);
        }
        responses.insert("200".to_owned(), json!({ "description": "The document.", "headers": headers, "content": content }));
        return responses;
    }
    let schema = match &route.answer {
        Some(field) => schemas.field(field, Way::Out),
        None => schemas.message(&route.output, Way::Out),
    };
    if route.streams {
        let description = "Server-sent events; the schema is that of each event. An error is an event named `error`, the last.";
        let data = json!({ "anyOf": [schema, { "$ref": "#/components/schemas/Error" }] });
        let event = json!({
            "type": "object",
            "properties": {
                "event": { "type": "string" },
                "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": data },
            },
            "required": ["data"],
        });
        let content = json!({ "text/event-stream": { "schema": event } });
        responses.insert("200".to_owned(), json!({ "description": description, "headers": headers, "content": content }));
        return responses;
    }
    let mut description = "Done.";
    if route.is_paged() && route.answer.is_some() {
        headers["X-Next-Page-Token"] = json!({ "$ref": "#/components/headers/NextPageToken" });
        description = "The whole list; one page of it if `page_size` is given.";
    }
    let content = json!({ "application/json": { "schema": schema } });
    responses.insert("200".to_owned(), json!({ "description": description, "headers": headers, "content": content }));
    responses
}

/// Parameters that several operations have.
pub(super) fn shared_parameters() -> Json {
    let header =
        |name: &str, description: &str, schema: Json| json!({ "name": name, "in": "header", "description": description, "schema": schema });
    json!({
        "IdempotencyKey": header(
            "Idempotency-Key",
            "The same as `request_id`: the same key with the same request gives the first answer again.",
            json!({ "type": "string", "format": "uuid" }),
        ),
        "Range": header("Range", "One part, such as `bytes=0-1023` or `bytes=1024-`; other forms are ignored.", json!({ "type": "string" })),
        "RequestName": header(
            "X-Request-Id",
            "A name for this call, up to 64 visible ASCII characters; the answer and the log bear it.",
            json!({ "type": "string" }),
        ),
    })
}

/// Headers that several answers have.
pub(super) fn shared_headers() -> Json {
    let header = |description: &str, schema: Json| json!({ "description": description, "schema": schema });
    json!({
        "RequestName": header("The call's name.", json!({ "type": "string" })),
        "NextPageToken": header("The `page_token` of the next page; missing after the last.", json!({ "type": "string" })),
        "RetryAfter": header("In how many seconds it is worth trying again.", json!({ "type": "integer", "minimum": 1 })),
    })
}
