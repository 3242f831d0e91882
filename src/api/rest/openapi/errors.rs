//! The answers that are no success: which are possible, and their form.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value as Json, json};

use crate::api::rest::routes::{BodyRule, Route};

/// A status that refuses, and when it does.
struct Failure {
    status: u16,
    name: &'static str,
    when: &'static str,
}

/// All of them.
const FAILURES: [Failure; 13] = [
    Failure { status: 400, name: "BadRequest", when: "A value in the path, the query or the body does not fit." },
    Failure { status: 401, name: "Unauthenticated", when: "The API key is missing or wrong." },
    Failure { status: 403, name: "PermissionDenied", when: "A directory that callers may not name." },
    Failure { status: 404, name: "NotFound", when: "Something that is named does not exist." },
    Failure { status: 409, name: "Conflict", when: "The present state does not allow it, or the name or the `request_id` is in use." },
    Failure { status: 413, name: "BodyTooLarge", when: "The body is larger than 1 MiB." },
    Failure { status: 416, name: "OutOfRange", when: "There is no byte where the part begins." },
    Failure { status: 422, name: "BodyInvalid", when: "The body's form is wrong: `detail` lists what." },
    Failure { status: 429, name: "ResourceExhausted", when: "Too many wait already." },
    Failure { status: 499, name: "Cancelled", when: "The operation that was waited for was cancelled." },
    Failure { status: 500, name: "Internal", when: "The server or a repository is damaged." },
    Failure { status: 503, name: "Unavailable", when: "The server stops, or its database does not answer." },
    Failure {
        status: 504,
        name: "DeadlineExceeded",
        when: "It took longer than the header `grpc-timeout` allows. What was accepted goes on.",
    },
];

/// The statuses that a route can refuse with.
pub(super) fn statuses(route: &Route, needs_key: bool) -> Vec<u16> {
    let takes_any = route.input.fields().len() > 0;
    let has_body = !matches!(route.body, BodyRule::None);
    let changes = route.method != Method::GET;
    // What a query names only filters a list.
    let names_something = route.template.fields().next().is_some() || changes && takes_any;
    let possible = |status: u16| match status {
        400 => takes_any,
        401 => needs_key,
        404 | 429 => names_something,
        // What names nothing, as the test notification, can still be refused by the present state.
        409 => names_something || changes,
        413 | 422 => has_body,
        416 => route.is_ranged(),
        403 | 499 => changes && names_something,
        _ => true,
    };
    FAILURES.iter().map(|failure| failure.status).filter(|status| possible(*status)).collect()
}

/// Where the answer with this status is described.
pub(super) fn reference(status: u16) -> String {
    let name = FAILURES.iter().find(|failure| failure.status == status).map_or("Internal", |failure| failure.name);
    format!("#/components/responses/{name}")
}

/// The answers.
pub(super) fn responses() -> Json {
    let mut responses = Map::new();
    for failure in &FAILURES {
        let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestName" } });
        match failure.status {
            416 => headers["Content-Range"] = json!({ "schema": { "type": "string" } }),
            401 => headers["WWW-Authenticate"] = json!({ "schema": { "const": "Bearer" } }),
            429 | 503 => headers["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" }),
            _ => {}
        }
        let schema = json!({ "$ref": "#/components/schemas/Error" });
        let content = json!({ "application/json": { "schema": schema } });
        responses.insert(failure.name.to_owned(), json!({ "description": failure.when, "headers": headers, "content": content }));
    }
    Json::Object(responses)
}

/// The form of their bodies.
pub(super) fn schemas() -> BTreeMap<String, Json> {
    let error = json!({
        "type": "object",
        "description": "Why a call was refused.",
        "properties": {
            "detail": {
                "description": "A sentence; for a body of the wrong form all that is wrong with it.",
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "$ref": "#/components/schemas/Violation" } }],
            },
            "code": { "type": "string", "description": "The gRPC code, such as `NOT_FOUND`." },
            "reason": { "type": ["string", "null"], "description": "A stable word for programs, such as `GRAPH_NOT_FOUND`." },
            "request_id": { "type": ["string", "null"], "description": "The call's name, as in the header `x-request-id`." },
        },
        "required": ["detail", "code", "reason", "request_id"],
    });
    let violation = json!({
        "type": "object",
        "description": "One thing that is wrong with a body.",
        "properties": {
            "type": { "type": "string", "description": "What kind of fault, such as `missing`." },
            "loc": {
                "type": "array",
                "items": { "type": ["string", "integer"] },
                "description": "Where: `body`, then names of members and places in lists.",
            },
            "msg": { "type": "string" },
            "input": { "description": "What was given there." },
            "ctx": { "type": "object", "description": "What was expected, where that can be listed." },
        },
        "required": ["type", "loc", "msg", "input"],
    });
    BTreeMap::from([("Error".to_owned(), error), ("Violation".to_owned(), violation)])
}
