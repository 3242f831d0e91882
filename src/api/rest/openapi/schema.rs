//! JSON schemas of messages, as our dialect reads and writes them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json, json};

use super::{Sources, errors};
use crate::api::rest::json::{Form, form, word};

/// The package whose names stand alone.
const OWN_PACKAGE: &str = "lightkeep.v1";

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In a request: what only answers have is not read.
    In,
    /// In an answer: secrets are not given back.
    Out,
}

/// The named schemas of a document, made when they are first referred to.
pub(super) struct Schemas<'a> {
    sources: &'a Sources<'a>,
    named: BTreeMap<String, Json>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(sources: &'a Sources<'a>) -> Self {
        Self { sources, named: errors::schemas() }
    }

    pub(super) fn finish(self) -> Json {
        self.named.into_iter().collect()
    }

    /// A message's schema: a reference, where it is an object of ours.
    pub(super) fn message(&mut self, message: &MessageDescriptor, way: Way) -> Json {
        match form(message.full_name()) {
            Form::Object => {
                let suffix = if way == Way::In { "Input" } else { "" };
                let name = format!("{}{suffix}", short(message.full_name()));
                if !self.named.contains_key(&name) {
                    // First a place for it: a message can hold itself.
                    self.named.insert(name.clone(), Json::Null);
                    let schema = self.object(message, way, &[]);
                    self.named.insert(name.clone(), schema);
                }
                json!({ "$ref": format!("#/components/schemas/{name}") })
            }
            Form::Timestamp => json!({ "type": "string", "format": "date-time" }),
            Form::Duration => json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s?$" }),
            Form::Struct => json!({ "type": "object" }),
            Form::List => json!({ "type": "array" }),
            Form::Value => json!({}),
            Form::Wrapper => message.get_field(1).map_or(json!({}), |field| self.item(&field.kind(), way)),
            Form::FieldMask => json!({ "type": "string", "description": "Names of fields with commas between them." }),
            Form::Status => {
                let text = json!({ "type": "string" });
                json!({ "type": "object", "properties": { "code": text, "message": text }, "required": ["code", "message"] })
            }
        }
    }

    /// The schema of an object with a member for each field, but for those that are `bound` by the path.
    pub(super) fn object(&mut self, message: &MessageDescriptor, way: Way, bound: &[&str]) -> Json {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields() {
            let traits = self.sources.dialect.traits(&field);
            let is_there = match way {
                Way::In => !traits.output_only && !bound.contains(&field.name()),
                Way::Out => !traits.input_only,
            };
            if !is_there {
                continue;
            }
            let always = match way {
                Way::In => traits.required,
                Way::Out => !traits.omit_unset,
            };
            if always {
                required.push(field.name().to_owned());
            }
            let may_be_null = match way {
                Way::In => !traits.required,
                Way::Out => always && field.supports_presence(),
            };
            let schema = self.field(&field, way);
            let schema = if may_be_null { nullable(schema) } else { schema };
            properties.insert(field.name().to_owned(), described(schema, self.comment_of(&field)));
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        described(schema, self.sources.comments.of_place(&message.parent_file(), message.path()))
    }

    /// Whether a request has to carry a member of this message, but for those that are `bound` by the path.
    pub(super) fn needs_any(&self, message: &MessageDescriptor, bound: &[&str]) -> bool {
        message.fields().any(|field| {
            let traits = self.sources.dialect.traits(&field);
            traits.required && !traits.output_only && !bound.contains(&field.name())
        })
    }

    /// The schema of a field that is set.
    pub(super) fn field(&mut self, field: &FieldDescriptor, way: Way) -> Json {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let values = self.item(&entry.map_entry_value_field().kind(), way);
                json!({ "type": "object", "additionalProperties": values })
            }
            kind if field.is_list() => json!({ "type": "array", "items": self.item(&kind, way) }),
            kind => self.item(&kind, way),
        }
    }

    /// What the proto's comment says of a field.
    pub(super) fn comment_of(&self, field: &FieldDescriptor) -> &'a str {
        self.sources.comments.of_place(&field.parent_message().parent_file(), field.path())
    }

    fn item(&mut self, kind: &Kind, way: Way) -> Json {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "integer", "format": "int64" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "integer", "format": "uint64", "minimum": 0 }),
            Kind::Float => json!({ "type": "number", "format": "float" }),
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Message(message) => self.message(message, way),
            Kind::Enum(descriptor) => {
                let reference = self.words(descriptor);
                // The value that means "not set" has no word.
                if way == Way::Out && word(descriptor, 0).is_none() { nullable(reference) } else { reference }
            }
        }
    }

    fn words(&mut self, descriptor: &EnumDescriptor) -> Json {
        let name = short(descriptor.full_name());
        if !self.named.contains_key(name) {
            let file = descriptor.parent_file();
            let comment = |path: &[i32]| self.sources.comments.of_place(&file, path);
            let mut description = comment(descriptor.path()).to_owned();
            let mut words = Vec::new();
            for value in descriptor.values() {
                let Some(word) = word(descriptor, value.number()) else { continue };
                match comment(value.path()) {
                    "" => {}
                    said => {
                        description.push_str(if words.is_empty() { "\n\n" } else { "\n" });
                        description.push_str(&format!("- `{word}`: {said}"));
                    }
                }
                words.push(word);
            }
            let schema = described(json!({ "type": "string", "enum": words }), &description);
            self.named.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// A schema that allows null, too.
fn nullable(mut schema: Json) -> Json {
    if schema.as_object().is_some_and(Map::is_empty) {
        return schema;
    }
    match schema.get_mut("type") {
        Some(kind) => {
            *kind = json!([kind, "null"]);
            schema
        }
        None => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// The schema with a description, where there is one to give.
pub(super) fn described(mut schema: Json, description: &str) -> Json {
    if !description.is_empty() {
        schema["description"] = description.into();
    }
    schema
}

/// A message's or enum's name in the document.
fn short(full_name: &str) -> &str {
    full_name.strip_prefix(OWN_PACKAGE).and_then(|name| name.strip_prefix('.')).unwrap_or(full_name)
}
