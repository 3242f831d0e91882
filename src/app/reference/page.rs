//! The page of a proto file: its services, then the messages and enums that are no single RPC's own.

use std::path::PathBuf;

use prost_reflect::{FileDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor};

use super::descriptors::{Api, route};
use super::types::{fields, message_link, values};
use super::{NOTICE, head, row};
use crate::proto::google::api::HttpRule;

/// An answer that is no message but a document of its own type.
const DOCUMENT: &str = "google.api.HttpBody";

/// The page's place in the folder of the documents.
pub(super) fn path(file: &FileDescriptor) -> PathBuf {
    PathBuf::from("reference").join(file_name(file))
}

/// `backup.md` of `lightkeep/v1/backup.proto`.
pub(super) fn file_name(file: &FileDescriptor) -> String {
    let name = file.name().rsplit('/').next().unwrap_or_default();
    format!("{}.md", name.trim_end_matches(".proto"))
}

/// The page.
pub(super) fn text(api: &Api, file: &FileDescriptor) -> String {
    let mut parts: Vec<String> = file.services().map(|service| service_text(api, &service)).collect();
    let messages: Vec<MessageDescriptor> = file.messages().filter(|message| !api.is_of_one_rpc(message)).collect();
    if !messages.is_empty() {
        parts.push("## Messages\n".to_owned());
        parts.extend(messages.iter().map(|message| {
            let comment = paragraph(api.comment(file, message.path()));
            format!("### {}\n{comment}\n{}", message.name(), fields(api, message))
        }));
    }
    if file.enums().len() > 0 {
        parts.push("## Enums\n".to_owned());
        parts.extend(file.enums().map(|words| {
            let comment = paragraph(api.comment(file, words.path()));
            format!("### {}\n{comment}\n{}", words.name(), values(api, &words))
        }));
    }
    parts.join("\n")
}

fn service_text(api: &Api, service: &ServiceDescriptor) -> String {
    let file = service.parent_file();
    let comment = paragraph(api.comment(&file, service.path()));
    let rpcs = service.methods().map(|rpc| {
        let link = format!("[{}](#{})", rpc.name(), rpc.name().to_lowercase());
        row([&link, &routes(api, &rpc)])
    });
    let list = head(["RPC", "REST"]) + &rpcs.collect::<String>();
    let sections = service.methods().map(|rpc| format!("\n{}", rpc_text(api, &rpc, &file))).collect::<String>();
    format!(
        "# {}\n\n{NOTICE}\n{comment}\nPackage `{}`. All services: [REFERENCE.md](../REFERENCE.md). Conventions and examples: \
         [API.md](../API.md).\n\n{list}{sections}",
        service.name(),
        service.package_name(),
    )
}

/// The ways to call an RPC by REST, in a cell of a table.
pub(super) fn routes(api: &Api, rpc: &MethodDescriptor) -> String {
    let routes: Vec<String> = api.rules(rpc).iter().map(|rule| format!("`{}`", route(rule))).collect();
    if routes.is_empty() { "—".to_owned() } else { routes.join(", ") }
}

fn rpc_text(api: &Api, rpc: &MethodDescriptor, file: &FileDescriptor) -> String {
    let rules = api.rules(rpc);
    let rest = if rules.is_empty() {
        "gRPC only.".to_owned()
    } else {
        rules.iter().map(|rule| rule_text(rule, rpc)).collect::<Vec<_>>().join("\n\n")
    };
    let request = end("Request", api, &rpc.input(), rpc.is_client_streaming(), file);
    let answer = end("Answer", api, &rpc.output(), rpc.is_server_streaming(), file);
    let comment = paragraph(api.comment(file, rpc.path()));
    format!("## {}\n{comment}\n{rest}\n\n{request}\n{answer}", rpc.name())
}

/// A rule in words: its path, what the body is, and the form of the answer.
fn rule_text(rule: &HttpRule, rpc: &MethodDescriptor) -> String {
    let route = route(rule);
    let has_others = rpc.input().fields().len() > route.matches('{').count();
    let others = if route.contains('{') { "fields that are not in the path" } else { "the fields" };
    let body = match (rule.body.as_str(), has_others) {
        ("*", true) => format!("; {others} are in the body"),
        ("*", false) => "; the body is empty or an empty object".to_owned(),
        ("", true) => format!("; {others} are in the query"),
        ("", false) => String::new(),
        (field, _) => format!("; the body is `{field}`, other fields that are not in the path are in the query"),
    };
    let answer = match rule.response_body.as_str() {
        _ if rpc.output().full_name() == DOCUMENT => ". It answers with the document itself".to_owned(),
        _ if rpc.is_server_streaming() => ". It answers with server-sent events".to_owned(),
        "" => String::new(),
        field => format!(". It answers with `{field}` alone"),
    };
    format!("REST: `{route}`{body}{answer}.")
}

/// The request or the answer of an RPC.
fn end(what: &str, api: &Api, message: &MessageDescriptor, streams: bool, file: &FileDescriptor) -> String {
    let stream = if streams { "a stream of " } else { "" };
    if api.is_of_one_rpc(message) && message.package_name() == file.package_name() {
        format!("{what}: {stream}`{}`.\n\n{}", message.name(), fields(api, message))
    } else {
        format!("{what}: {stream}{}.\n", message_link(message, file))
    }
}

/// A comment between empty lines; nothing without one.
fn paragraph(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!("\n{comment}\n") }
}
