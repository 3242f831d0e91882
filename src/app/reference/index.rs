//! The first page of the API reference: the services, the types that are not ours, and every RPC with its path.

use super::descriptors::Api;
use super::page::{file_name, routes};
use super::{NOTICE, head, row};

/// Its place in the folder of the documents.
pub(super) const PATH: &str = "REFERENCE.md";

const INTRODUCTION: &str = "Every service, RPC, field and value, as the protos in [`proto/lightkeep/v1`](../proto/lightkeep/v1) have them.
What holds for all calls (authentication, waiting, repeating, pages, JSON) is in [API.md](API.md), with examples; each `reason` of an
error in [ERRORS.md](ERRORS.md).

In the pages a field is *required* in requests, *output only* (only answers have it, and it is ignored in requests), *input only* (no
answer has it) or *immutable* (set once). An `optional` field, a message and an enum can be not set; they are then `null` in JSON.
";

/// How types that are not ours look in JSON.
const FOREIGN_TYPES: [(&str, &str); 6] = [
    ("google.protobuf.Timestamp", "a time in RFC 3339, UTC: `\"2026-11-25T12:57:34.555356Z\"`"),
    ("google.protobuf.Duration", "seconds: `\"3600s\"`"),
    ("google.protobuf.Struct", "any JSON object"),
    ("google.protobuf.FieldMask", "names of fields with commas between: `\"labels,server\"`"),
    ("google.rpc.Status", "`{\"code\", \"message\"}`; by gRPC with the details of an error"),
    ("google.api.HttpBody", "no JSON: the document itself, with its content type"),
];

/// What REST has beside the RPCs.
const OTHER_PATHS: [(&str, &str); 4] = [
    ("GET /openapi.json", "the OpenAPI 3.1 document of all paths that this server serves"),
    ("GET /health", "200: the process answers"),
    ("GET /healthz", "the same"),
    ("GET /readyz", "200: the database answers; else 503 with the reason `NOT_READY`"),
];

/// The page.
pub(super) fn text(api: &Api) -> String {
    let mut services = head(["Service", "What it is for"]);
    let mut rpcs = head(["RPC", "REST", "Fields"]);
    for file in api.files() {
        let page = file_name(&file);
        for service in file.services() {
            let comment = api.comment(&file, service.path()).replace("\n\n", " ");
            services += &row([&format!("[{}](reference/{page})", service.name()), &comment]);
            for rpc in service.methods() {
                let link = format!("[{}](reference/{page}#{})", rpc.name(), rpc.name().to_lowercase());
                rpcs += &row([&format!("{}/{}", service.name(), rpc.name()), &routes(api, &rpc), &link]);
            }
        }
    }
    let types = FOREIGN_TYPES.iter().map(|(name, json)| row([&format!("`{name}`"), json])).collect::<String>();
    let paths = OTHER_PATHS.iter().map(|(path, meaning)| row(["—", &format!("`{path}`"), meaning])).collect::<String>();
    format!(
        "# API reference\n\n{NOTICE}\n\n{INTRODUCTION}\n## Services\n\n{services}\n## Types of Google\n\n{}{types}\n\
         ## All RPCs and their paths\n\n{rpcs}{paths}",
        head(["Type", "In JSON"])
    )
}
