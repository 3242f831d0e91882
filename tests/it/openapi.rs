//! `/openapi.json` says what is served: every route, in the form that is really read and written.

use std::collections::BTreeSet;

use lightkeep::proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use serde_json::{Value as Json, json};

use crate::support::app::{TestApp, finish};
use crate::support::database::Kind;
use crate::support::fake::App;
use crate::support::rest::{GRAPHS, get, post, send, watch};

/// The document, with or without a key set.
async fn document(key: Option<&str>) -> Json {
    let got = App::with(key, true).send("GET", "/openapi.json", &[], "").await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/json"));
    got.json
}

/// What a reference points to.
fn resolved<'d>(document: &'d Json, value: &'d Json) -> &'d Json {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

/// An operation; panics when there is none.
fn operation<'d>(document: &'d Json, method: &str, path: &str) -> &'d Json {
    document["paths"][path].get(method).unwrap_or_else(|| panic!("no {method} {path}"))
}

/// The schema of a successful answer.
fn answer<'d>(document: &'d Json, method: &str, path: &str) -> &'d Json {
    resolved(document, &operation(document, method, path)["responses"]["200"]["content"]["application/json"]["schema"])
}

fn statuses(operation: &Json) -> Vec<&str> {
    operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// The names of an operation's parameters, each with where it stands.
fn parameters(document: &Json, operation: &Json) -> Vec<String> {
    let all = operation["parameters"].as_array().unwrap().iter().map(|parameter| resolved(document, parameter));
    all.map(|parameter| format!("{} {}", parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap())).collect()
}

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// All rules of the protos: service, RPC, method, path.
fn rules() -> Vec<[String; 4]> {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    let extension = pool.get_extension_by_name("google.api.http").unwrap();
    let mut rules = vec![];
    for rpc in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = rpc.options();
        let rule: DynamicMessage = options.get_extension(&extension).as_message().unwrap().clone();
        let more = match rule.get_field_by_name("additional_bindings").map(std::borrow::Cow::into_owned) {
            Some(Value::List(bindings)) => bindings.iter().filter_map(Value::as_message).cloned().collect(),
            _ => vec![],
        };
        for (rule, method) in [rule].iter().chain(&more).flat_map(|rule| METHODS.map(|method| (rule.clone(), method))) {
            if let Some(Value::String(path)) = rule.get_field_by_name(method).map(std::borrow::Cow::into_owned)
                && !path.is_empty()
            {
                let names = [rpc.parent_service().name().to_owned(), rpc.name().to_owned()];
                let [service, name] = names;
                rules.push([service, name, method.to_owned(), path.replace("=**}", "}")]);
            }
        }
    }
    rules
}

fn references<'d>(value: &'d Json, into: &mut BTreeSet<&'d str>) {
    match value {
        Json::Object(members) => {
            into.extend(members.get("$ref").and_then(Json::as_str));
            members.values().for_each(|value| references(value, into));
        }
        Json::Array(values) => values.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn every_rule_is_an_operation_and_every_reference_leads_somewhere() {
    let app = TestApp::start(Kind::Sqlite).await;
    let document = get(&app, "/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some_and(|target| !target.is_null()), "{reference}");
    }
    let (rules, mut ids) = (rules(), BTreeSet::new());
    for [service, name, method, path] in &rules {
        let operation = operation(&document, method, path);
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        assert!(id.strip_prefix(name.as_str()).is_some_and(|rest| ["", "2"].contains(&rest)), "{id}");
        assert_eq!(operation["tags"], json!([service]));
        assert!(operation["description"].as_str().is_some_and(|text| text.len() > 10), "{name} has no comment");
        let in_path: BTreeSet<String> = path.split('{').skip(1).map(|rest| format!("path {}", rest.split('}').next().unwrap())).collect();
        let given = parameters(&document, operation).into_iter().filter(|parameter| parameter.starts_with("path "));
        assert_eq!(given.collect::<BTreeSet<_>>(), in_path, "{name}");
    }
    let count = document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum::<usize>();
    assert_eq!(count, rules.len() + 4, "operations beside the rules and our own endpoints");
    finish(app).await;
}

#[tokio::test]
async fn schemas_are_those_of_our_dialect() {
    let document = document(None).await;
    let schemas = &document["components"]["schemas"];
    let snapshot = &schemas["Snapshot"]["properties"];
    assert_eq!((&snapshot["size_bytes"]["type"], &snapshot["size_bytes"]["format"]), (&json!("integer"), &json!("int64")));
    assert_eq!((&snapshot["timestamp"]["type"], &snapshot["timestamp"]["format"]), (&json!(["string", "null"]), &json!("date-time")));
    assert_eq!(snapshot["data_hash"]["type"], json!(["string", "null"]));
    assert_eq!(snapshot["metadata"]["type"], json!(["object", "null"]));
    assert_eq!(snapshot["source_dir"]["type"], "string");
    assert_eq!(snapshot["findings"], json!({ "type": "array", "items": { "$ref": "#/components/schemas/Finding" } }));
    assert_eq!(snapshot["status"]["anyOf"], json!([{ "$ref": "#/components/schemas/SnapshotStatus" }, { "type": "null" }]));
    let words = ["pending", "in_progress", "completed", "failed", "archived", "restored"];
    assert_eq!(schemas["SnapshotStatus"]["enum"], json!(words));
    assert!(schemas["SnapshotStatus"]["description"].as_str().unwrap().contains("\n\n- `pending`: Waits for its turn.\n- `in_"));
    assert_eq!(snapshot["size_bytes"]["description"], "Sum of its file sizes, bytes.");
    // Nothing is left out of answers but what says so; secrets are not given back, and what only answers have is not read.
    let members = snapshot.as_object().unwrap().len();
    assert_eq!(schemas["Snapshot"]["required"].as_array().unwrap().len(), members);
    assert_eq!(schemas["RestoreSnapshotResponse"]["required"], json!(["status", "message"]));
    assert!(schemas["LightragServer"]["properties"].get("api_key").is_none());
    assert_eq!(schemas["LightragServerInput"]["properties"]["api_key"]["type"], json!(["string", "null"]));
    assert_eq!(schemas["LightragServerInput"]["required"], json!(["url"]));
    let error = &schemas["Operation"]["properties"]["error"];
    assert_eq!((&error["type"], &error["required"]), (&json!(["object", "null"]), &json!(["code", "message"])));
}

#[tokio::test]
async fn operations_take_and_give_what_the_shim_does() {
    let document = document(None).await;
    let list = operation(&document, "get", GRAPHS);
    let query = ["query page_size", "query page_token", "query graph_id_prefix", "query source_dir"];
    assert_eq!(parameters(&document, list), [&query[..], &["header X-Request-Id"]].concat());
    assert_eq!(answer(&document, "get", GRAPHS), &json!({ "type": "array", "items": { "$ref": "#/components/schemas/Graph" } }));
    assert!(list["responses"]["200"]["headers"].get("X-Next-Page-Token").is_some());
    assert_eq!(answer(&document, "get", "/api/operations")["required"], json!(["operations", "next_page_token"]));

    let create = operation(&document, "post", &format!("{GRAPHS}/{{graph_id}}/snapshots"));
    assert_eq!(parameters(&document, create), ["path graph_id", "header Idempotency-Key", "header X-Request-Id"]);
    let body = &create["requestBody"];
    assert_eq!(body["required"], false);
    let members: Vec<_> = body["content"]["application/json"]["schema"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["metadata", "request_id", "source_dir", "tags", "wait"]);
    let restore = operation(&document, "post", &format!("{GRAPHS}/{{graph_id}}/snapshots/{{snapshot_id}}/restore"));
    assert_eq!(restore["requestBody"]["required"], true);
    assert_eq!(restore["requestBody"]["content"]["application/json"]["schema"]["required"], json!(["target_dir"]));

    // A body that is one field leaves the others to the query.
    let update = operation(&document, "patch", &format!("{GRAPHS}/{{graph_id}}"));
    let schema = resolved(&document, &update["requestBody"]["content"]["application/json"]["schema"]);
    assert!(schema["properties"].get("source_dir").is_some() && schema["properties"].get("created_at").is_none());
    assert_eq!(parameters(&document, update)[..2], ["path graph_id", "query update_mask"]);

    let watch = operation(&document, "get", "/api/operations/{operation_id}/watch");
    let event = &watch["responses"]["200"]["content"]["text/event-stream"]["schema"];
    assert_eq!(event["properties"]["data"]["contentSchema"]["anyOf"][0], json!({ "$ref": "#/components/schemas/Operation" }));
    let file = operation(&document, "get", &format!("{GRAPHS}/{{graph_id}}/snapshots/{{snapshot_id}}/files/{{path}}"));
    assert_eq!(file["responses"]["200"]["content"], json!({ "*/*": {} }));
    assert!(file["responses"].get("206").is_some() && parameters(&document, file).contains(&"header Range".to_owned()));
}

#[tokio::test]
async fn refusals_are_described_where_they_are_possible() {
    let (open, guarded) = (document(None).await, document(Some("k")).await);
    assert_eq!(statuses(operation(&open, "get", "/api/backup/backup/stats")), ["200", "500", "503", "504"]);
    assert_eq!(statuses(operation(&guarded, "get", "/api/backup/backup/stats")), ["200", "401", "500", "503", "504"]);
    assert_eq!(statuses(operation(&open, "get", GRAPHS)), ["200", "400", "500", "503", "504"]);
    let all = ["200", "400", "401", "403", "404", "409", "413", "422", "429", "499", "500", "503", "504"];
    assert_eq!(statuses(operation(&guarded, "post", GRAPHS)), all);
    assert_eq!(open.get("security"), None);
    assert_eq!(guarded["security"], json!([{ "ApiKey": [] }, { "Bearer": [] }]));
    assert_eq!(operation(&guarded, "get", "/healthz")["security"], json!([]));
    // Nobody needs the key to read how to call, and a slash at the end leads here too.
    assert!(guarded["components"]["responses"]["Unauthenticated"]["headers"].get("WWW-Authenticate").is_some());
    let slash = App::new().send("GET", "/openapi.json/", &[], "").await;
    assert_eq!((slash.status.as_u16(), slash.header("location")), (307, "/openapi.json"));
}

/// Whether a value has the form of a schema, as far as our document uses schemas.
fn fits(document: &Json, schema: &Json, value: &Json) -> bool {
    let schema = resolved(document, schema);
    let is = |kind: &Json| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        kind => kind == "null" && value.is_null(),
    };
    let type_fits = match &schema["type"] {
        Json::Null => true,
        Json::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    };
    let one_fits = schema["anyOf"].as_array().is_none_or(|schemas| schemas.iter().any(|schema| fits(document, schema, value)));
    let is_word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let required = schema["required"].as_array().into_iter().flatten();
    let is_whole = !value.is_object() || required.map(|name| name.as_str().unwrap()).all(|name| value.get(name).is_some());
    let members = value.as_object().into_iter().flatten();
    // Free objects and refusals aside, nothing is answered that the document does not have.
    let members_fit = schema.get("properties").is_none_or(|properties| {
        members.clone().all(|(name, value)| properties.get(name).is_some_and(|schema| fits(document, schema, value)))
    });
    let items_fit =
        schema.get("items").is_none_or(|items| value.as_array().is_none_or(|all| all.iter().all(|item| fits(document, items, item))));
    type_fits && one_fits && is_word && is_whole && members_fit && items_fit
}

#[tokio::test]
async fn real_answers_have_the_described_form() {
    let app = TestApp::start(Kind::Sqlite).await;
    let document = get(&app, "/openapi.json").await.ok();
    let source = app.sample("graph");
    let snapshots = format!("{GRAPHS}/{{graph_id}}/snapshots");
    let made = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({ "source_dir": source, "metadata": { "a": [1, null] } })).await.ok();
    assert!(fits(&document, answer(&document, "post", &snapshots), &made), "{made}");
    app.clock.advance(std::time::Duration::from_secs(1));
    std::fs::write(source.join("notes"), "new").unwrap();
    let second = post(&app, &format!("{GRAPHS}/g/snapshots"), &json!({})).await.ok();
    let target = app.data("copy");
    for (method, template, body) in [
        ("post", format!("{snapshots}/{{snapshot_id}}/verify"), json!({})),
        ("get", GRAPHS.to_owned(), json!(null)),
        ("get", format!("{GRAPHS}/{{graph_id}}"), json!(null)),
        ("patch", format!("{GRAPHS}/{{graph_id}}"), json!({ "inconsistent_policy": "fail" })),
        ("get", snapshots.clone(), json!(null)),
        ("get", format!("{snapshots}/{{snapshot_id}}"), json!(null)),
        ("get", format!("{snapshots}/{{snapshot_id}}/files"), json!(null)),
        ("get", format!("{snapshots}/{{snapshot_id}}/diff"), json!(null)),
        ("get", format!("{snapshots}/{{snapshot_id}}/verifications"), json!(null)),
        ("post", format!("{snapshots}/{{snapshot_id}}/pin"), json!({ "reason": "audit", "until": "2021-01-01T00:00:00Z" })),
        ("post", format!("{snapshots}/{{snapshot_id}}/unpin"), json!({})),
        ("post", format!("{snapshots}/{{snapshot_id}}/restore"), json!({ "target_dir": target, "validate_only": true })),
        ("post", format!("{snapshots}/{{snapshot_id}}/restore"), json!({ "target_dir": target })),
        ("post", "/api/backup/backup/cleanup".to_owned(), json!({ "validate_only": true })),
        ("post", format!("{GRAPHS}/{{graph_id}}/repository/check"), json!({})),
        ("post", format!("{GRAPHS}/{{graph_id}}/repository/reconcile"), json!({})),
        ("post", format!("{GRAPHS}/{{graph_id}}/repository/repair"), json!({})),
        ("post", format!("{GRAPHS}/{{graph_id}}/repository/repair"), json!({ "wait": false })),
        ("get", "/api/backup/backup/stats".to_owned(), json!(null)),
        ("get", "/api/operations".to_owned(), json!(null)),
        ("get", "/api/operations/{operation_id}".to_owned(), json!(null)),
        ("post", "/api/operations/{operation_id}/cancel".to_owned(), json!({})),
        ("get", "/readyz".to_owned(), json!(null)),
        ("delete", format!("{snapshots}/{{snapshot_id}}"), json!(null)),
        ("post", format!("{GRAPHS}/{{graph_id}}/repository/prune"), json!({})),
        ("delete", format!("{GRAPHS}/{{graph_id}}?repository=keep"), json!(null)),
    ] {
        let id = |name: &str| second[name].as_str().unwrap().to_owned();
        let path = template.replace("{graph_id}", "g").replace("{snapshot_id}", &id("backup_id"));
        let path = path.replace("{operation_id}", &id("operation_id"));
        let got = send(&app, &method.to_uppercase(), &path, &[], if body.is_null() { String::new() } else { body.to_string() }).await.ok();
        let schema = answer(&document, method, template.split('?').next().unwrap());
        assert!(got != json!([]) && fits(&document, schema, &got), "{method} {path}: {got}");
        assert!(!fits(&document, schema, &json!("text")), "{template} fits anything");
    }
    let watched = watch(&app, made["operation_id"].as_str().unwrap()).await;
    assert!(fits(&document, &json!({ "$ref": "#/components/schemas/Operation" }), watched.last().unwrap()), "{watched:?}");
    let mut other = made.clone();
    other["size_bytes"] = json!("12");
    assert!(!fits(&document, answer(&document, "post", &snapshots), &other), "a number as text fits");
    let error = &document["components"]["responses"]["NotFound"]["content"]["application/json"]["schema"];
    for (status, got) in [
        (404, get(&app, &format!("{GRAPHS}/none")).await),
        (400, get(&app, &format!("{GRAPHS}?page_size=-1")).await),
        (422, post(&app, GRAPHS, &json!({ "server": 1 })).await),
    ] {
        assert!(got.status == status && fits(&document, error, &got.json), "{}", got.text);
    }
    finish(app).await;
}

#[tokio::test]
async fn what_is_switched_off_is_not_described() {
    let app = TestApp::start_with(Kind::Sqlite, &[("LIGHTRAG_BACKUP_ENABLED", "false")]).await;
    let document = get(&app, "/openapi.json").await.ok();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    assert!(paths.iter().any(|path| *path == "/api/operations") && !paths.iter().any(|path| path.contains("/backup/graphs")), "{paths:?}");
    finish(app).await;
}
