//! What the descriptors say of services and messages, with the comments of the protos.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::google::api::http_rule::Pattern;
use crate::proto::google::api::{FieldBehavior, HttpRule};

/// The package that is documented.
const PACKAGE: &str = "lightkeep.v1";

/// All descriptors.
pub(super) struct Api {
    pool: DescriptorPool,
    http: ExtensionDescriptor,
    behavior: ExtensionDescriptor,
    omit_unset: ExtensionDescriptor,
    comments: HashMap<(String, Vec<i32>), String>,
    used_once: HashSet<String>,
}

impl Api {
    /// Reads the descriptors that are compiled in.
    pub(super) fn new() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET)?;
        let extension = |name: &str| pool.get_extension_by_name(name).with_context(|| format!("{name} is not there"));
        let (http, behavior) = (extension("google.api.http")?, extension("google.api.field_behavior")?);
        let omit_unset = extension("lightkeep.v1.omit_unset")?;
        let (comments, used_once) = (comments(&pool), used_once(&pool));
        Ok(Self { pool, http, behavior, omit_unset, comments, used_once })
    }

    /// The files that have services.
    pub(super) fn files(&self) -> impl Iterator<Item = FileDescriptor> {
        self.pool.files().filter(|file| file.package_name() == PACKAGE && file.services().len() > 0)
    }

    /// The comment above what stands there in a file, as paragraphs; empty without one.
    pub(super) fn comment(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.comments.get(&(file.name().to_owned(), path.to_vec())).map_or("", String::as_str)
    }

    /// Whether a message is the request or the answer of one RPC, and nothing else: it is described there.
    pub(super) fn is_of_one_rpc(&self, message: &MessageDescriptor) -> bool {
        self.used_once.contains(message.full_name())
    }

    /// How an RPC is called by REST; nothing for one that is served by gRPC only.
    pub(super) fn rules(&self, rpc: &MethodDescriptor) -> Vec<HttpRule> {
        let options = rpc.options();
        let value = options.get_extension(&self.http);
        let rule = value.as_message().filter(|_| options.has_extension(&self.http));
        let Some(mut rule) = rule.and_then(|rule| rule.transcode_to::<HttpRule>().ok()) else { return vec![] };
        let others = std::mem::take(&mut rule.additional_bindings);
        std::iter::once(rule).chain(others).collect()
    }

    /// What is asked of a field, in words; empty for one that may be set.
    pub(super) fn behavior(&self, field: &FieldDescriptor) -> String {
        let options = field.options();
        let value = options.get_extension(&self.behavior);
        let numbers = value.as_list().into_iter().flatten().filter_map(Value::as_enum_number);
        let words = numbers.filter_map(|number| match FieldBehavior::try_from(number) {
            Ok(FieldBehavior::Required) => Some("required"),
            Ok(FieldBehavior::OutputOnly) => Some("output only"),
            Ok(FieldBehavior::InputOnly) => Some("input only"),
            Ok(FieldBehavior::Immutable) => Some("immutable"),
            _ => None,
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Whether JSON leaves the field out where it is not set.
    pub(super) fn is_left_out(&self, field: &FieldDescriptor) -> bool {
        field.options().get_extension(&self.omit_unset).as_bool() == Some(true)
    }
}

/// The method and the path of a rule, as `GET /api/operations`.
pub(super) fn route(rule: &HttpRule) -> String {
    match &rule.pattern {
        Some(Pattern::Get(path)) => format!("GET {path}"),
        Some(Pattern::Put(path)) => format!("PUT {path}"),
        Some(Pattern::Post(path)) => format!("POST {path}"),
        Some(Pattern::Delete(path)) => format!("DELETE {path}"),
        Some(Pattern::Patch(path)) => format!("PATCH {path}"),
        Some(Pattern::Custom(custom)) => format!("{} {}", custom.kind, custom.path),
        None => String::new(),
    }
}

fn comments(pool: &DescriptorPool) -> HashMap<(String, Vec<i32>), String> {
    let locations = pool.files().flat_map(|file| {
        let info = file.file_descriptor_proto().source_code_info.clone();
        info.into_iter().flat_map(|info| info.location).map(move |location| (file.name().to_owned(), location))
    });
    locations.map(|(file, location)| ((file, location.path.clone()), paragraphs(location.leading_comments()))).collect()
}

/// Lines become paragraphs.
fn paragraphs(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(|lines| lines.join(" ")).collect::<Vec<_>>().join("\n\n")
}

/// The messages that are the request or the answer of one RPC, and nothing else.
fn used_once(pool: &DescriptorPool) -> HashSet<String> {
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let ends = rpcs.flat_map(|rpc| [rpc.input(), rpc.output()]);
    let mut uses: HashMap<String, usize> = HashMap::new();
    for message in ends {
        *uses.entry(message.full_name().to_owned()).or_default() += 1;
    }
    for field in pool.all_messages().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        if let Kind::Message(message) = field.kind() {
            uses.remove(message.full_name());
        }
    }
    uses.into_iter().filter(|(_, uses)| *uses == 1).map(|(name, _)| name).collect()
}
