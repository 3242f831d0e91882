//! Messages and enums: their tables, and the links to them.

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};

use super::descriptors::Api;
use super::{head, page, row};

/// The fields of a message, as a table.
pub(super) fn fields(api: &Api, message: &MessageDescriptor) -> String {
    let file = message.parent_file();
    // As the proto has them, not by their numbers.
    let fields = message.descriptor_proto().field.iter().filter_map(|field| message.get_field_by_name(field.name()));
    let rows: String = fields.map(|field| field_row(api, &field, &file)).collect();
    if rows.is_empty() { "No fields.\n".to_owned() } else { head(["Field", "Type", "Rule", "Meaning"]) + &rows }
}

fn field_row(api: &Api, field: &FieldDescriptor, file: &FileDescriptor) -> String {
    let comment = api.comment(file, field.path()).replace("\n\n", " ");
    let left_out = if api.is_left_out(field) { "In JSON it is left out where it is not set." } else { "" };
    let meaning = format!("{comment} {left_out}");
    row([&format!("`{}`", field.name()), &field_type(field, file), &api.behavior(field), meaning.trim()])
}

fn field_type(field: &FieldDescriptor, file: &FileDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            format!("map of {} to {}", name(&key, file), name(&value, file))
        }
        kind if field.is_list() => format!("list of {}", name(&kind, file)),
        kind if field.field_descriptor_proto().proto3_optional() => format!("optional {}", name(&kind, file)),
        kind => name(&kind, file),
    }
}

/// A type's name; a link, where it is one of ours.
fn name(kind: &Kind, file: &FileDescriptor) -> String {
    match kind {
        Kind::Message(message) => message_link(message, file),
        Kind::Enum(words) => link(words.name(), &words.parent_file(), file),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// A message's name; a link, where it is one of ours.
pub(super) fn message_link(message: &MessageDescriptor, file: &FileDescriptor) -> String {
    if message.package_name() == file.package_name() {
        link(message.name(), &message.parent_file(), file)
    } else {
        format!("`{}`", message.full_name())
    }
}

fn link(name: &str, to: &FileDescriptor, from: &FileDescriptor) -> String {
    let page = if to == from { String::new() } else { page::file_name(to) };
    format!("[{name}]({page}#{})", name.to_lowercase())
}

/// The values of an enum, as a table.
pub(super) fn values(api: &Api, words: &EnumDescriptor) -> String {
    let file = words.parent_file();
    let unset = words.default_value();
    // Values begin with the name of their enum, as the one for "not set" shows; JSON has the rest.
    let prefix = unset.name().strip_suffix("UNSPECIFIED").unwrap_or_default();
    let rows = words.values().map(|value| {
        let is_unset = value.number() == 0 && !prefix.is_empty();
        let word = value.name().strip_prefix(prefix).unwrap_or(value.name()).to_lowercase();
        let word = if is_unset { "—".to_owned() } else { format!("`{word}`") };
        row([&word, &format!("`{}`", value.name()), &value.number().to_string(), &api.comment(&file, value.path()).replace("\n\n", " ")])
    });
    head(["JSON", "Value", "Number", "Meaning"]) + &rows.collect::<String>()
}
