//! Compiles the protos, and writes for each request what its call is: see `src/call.rs`.

use std::fmt::Write as _;
use std::path::PathBuf;

use prost_reflect::{DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};

/// Another Lightkeep's business: it needs a peer key, and is no part of this crate.
const NOT_FOR_CLIENTS: &str = "lightkeep.v1.ReplicaService";

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script where to write by the environment")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("lightkeep/v1"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    prost_build::Config::new().enable_type_names().compile_fds(compiler.file_descriptor_set())?;
    std::fs::write(out.join("calls.rs"), calls(&compiler.descriptor_pool())?)?;
    Ok(())
}

fn calls(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let http = pool.get_extension_by_name("google.api.http").ok_or("no google.api.http")?;
    let mut code = String::new();
    let mut names = Vec::new();
    for service in pool.services().filter(|service| service.full_name() != NOT_FOR_CLIENTS) {
        for method in service.methods() {
            names.push(format!("/{}/{}", service.full_name(), method.name()));
            call(&mut code, &method, &http)?;
        }
    }
    writeln!(code, "/// The paths of all calls, as the protos have them.\npub const CALLS: &[&str] = &{names:#?};")?;
    Ok(code)
}

fn call(code: &mut String, method: &MethodDescriptor, http: &ExtensionDescriptor) -> std::fmt::Result {
    let (request, answer) = (rust_type(&method.input()), rust_type(&method.output()));
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    if method.is_server_streaming() {
        return writeln!(
            code,
            "impl crate::call::Stream for {request} {{\n    type Answer = {answer};\n    const PATH: &'static str = \"{path}\";\n}}"
        );
    }
    writeln!(code, "impl crate::call::Call for {request} {{\n    type Answer = {answer};")?;
    writeln!(code, "    const PATH: &'static str = \"{path}\";\n    const READS: bool = {};", reads(method, http))?;
    if method.input().get_field_by_name("request_id").is_some() {
        writeln!(code, "    fn request_id(&mut self) -> Option<&mut String> {{ Some(&mut self.request_id) }}")?;
    }
    writeln!(code, "}}")?;
    match listed(&method.output()) {
        Some(items) if method.input().get_field_by_name("page_token").is_some() => page(code, method, &items),
        _ => Ok(()),
    }
}

/// Whether a call only reads: those are GET in REST.
fn reads(method: &MethodDescriptor, http: &ExtensionDescriptor) -> bool {
    let options = method.options();
    let Value::Message(rule) = options.get_extension(http).into_owned() else { return false };
    rule.has_field_by_name("get")
}

/// The list of an answer that comes by pages.
fn listed(answer: &MessageDescriptor) -> Option<FieldDescriptor> {
    answer.get_field_by_name("next_page_token")?;
    // DiffSnapshots has its counts too: what comes by pages is the last list.
    answer.fields().filter(|field| field.is_list() && matches!(field.kind(), Kind::Message(_))).last()
}

fn page(code: &mut String, method: &MethodDescriptor, items: &FieldDescriptor) -> std::fmt::Result {
    let (request, answer) = (rust_type(&method.input()), rust_type(&method.output()));
    let Kind::Message(item) = items.kind() else { return Ok(()) };
    writeln!(code, "impl crate::call::Pages for {request} {{\n    type Item = {};", rust_type(&item))?;
    writeln!(code, "    fn ask_for(&mut self, page_size: i32) {{ self.page_size = page_size; }}")?;
    writeln!(code, "    fn turn_to(&mut self, page_token: String) {{ self.page_token = page_token; }}")?;
    writeln!(code, "    fn take(answer: {answer}) -> (Vec<Self::Item>, String) {{ (answer.{}, answer.next_page_token) }}\n}}", items.name())
}

/// The name of a message in the generated code; prost writes acronyms as words, and these protos have none.
fn rust_type(message: &MessageDescriptor) -> String {
    let module = if message.package_name() == "google.api" { "google::api" } else { "v1" };
    format!("crate::{module}::{}", message.name())
}
