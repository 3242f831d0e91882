//! The OpenAPI 3.1 document of the REST interface, made from the same descriptors and rules that serve it.

mod comments;
mod errors;
mod operation;
mod schema;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value as Json, json};

use self::comments::Comments;
use self::schema::Schemas;
use super::dialect::Dialect;
use super::routes::Routes;

/// Where the document is served.
pub(super) const PATH: &str = "/openapi.json";

/// What all parts of the document are made from.
struct Sources<'a> {
    dialect: &'a Dialect,
    comments: Comments,
    /// A key is set: each call needs it.
    needs_key: bool,
}

/// Makes the document of these routes, whose services are in `pool`. With `needs_key` it says that each call needs the API key.
pub(super) fn document(pool: &DescriptorPool, routes: &Routes, dialect: &Dialect, needs_key: bool) -> Json {
    let sources = Sources { dialect, comments: Comments::of(pool), needs_key };
    let mut schemas = Schemas::new(&sources);
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for service in pool.services() {
        let mut serves = false;
        for rpc in service.methods() {
            let name = format!("/{}/{}", service.full_name(), rpc.name());
            for (place, route) in routes.of_rpc(&name).enumerate() {
                serves = true;
                // Ids are unique: an additional binding of an RPC bears its number.
                let id = if place == 0 { rpc.name().to_owned() } else { format!("{}{}", rpc.name(), place + 1) };
                let operation = operation::operation(&sources, &mut schemas, &rpc, route, &id);
                insert(&mut paths, &route.template.to_string(), route.method.as_str(), operation);
            }
        }
        if serves {
            let description = sources.comments.of_place(&service.parent_file(), service.path());
            tags.push(json!({ "name": service.name(), "description": description }));
        }
    }
    for (path, operation) in own_endpoints() {
        insert(&mut paths, path, "GET", operation);
    }
    tags.push(json!({ "name": "Server", "description": "The server itself. Open to everybody." }));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lightkeep",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Backups of LightRAG graphs. The same services are served by gRPC. `/api/v1/backup-replication/` and \
                `/api/backup/api/v1/backup-replication/` mean `/api/backup/`; a path with a slash at its end is redirected (307).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "parameters": operation::shared_parameters(),
            "headers": operation::shared_headers(),
            "responses": errors::responses(),
            "securitySchemes": {
                "ApiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "Bearer": { "type": "http", "scheme": "bearer" },
            },
        },
    });
    if needs_key {
        document["security"] = json!([{ "ApiKey": [] }, { "Bearer": [] }]);
    }
    document
}

fn insert(paths: &mut Map<String, Json>, path: &str, method: &str, operation: Json) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[method.to_ascii_lowercase()] = operation;
}

/// What is served beside the services.
fn own_endpoints() -> [(&'static str, Json); 4] {
    let endpoint = |id: &str, summary: &str, schema: Json| {
        let answer = json!({ "description": "It does.", "content": { "application/json": { "schema": schema } } });
        json!({ "operationId": id, "summary": summary, "tags": ["Server"], "security": [], "responses": { "200": answer } })
    };
    let well = json!({ "type": "object", "properties": { "status": { "const": "ok" } }, "required": ["status"] });
    let mut ready = endpoint("Ready", "Whether the server can do its work: the database answers.", well.clone());
    ready["responses"]["503"] = json!({ "$ref": errors::reference(503) });
    [
        ("/health", endpoint("Health", "Whether the process answers.", well.clone())),
        ("/healthz", endpoint("Healthz", "Whether the process answers.", well)),
        ("/readyz", ready),
        (PATH, endpoint("OpenApi", "This document.", json!({ "type": "object" }))),
    ]
}
