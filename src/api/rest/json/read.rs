//! JSON becomes messages. All that does not fit is collected.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::scalar::{Misfit, from_json};
use super::well_known::{Form, form};
use crate::api::rest::dialect::Dialect;

/// More entries than anybody reads; a body full of bad list elements must not become an answer many times its size.
const MOST_VIOLATIONS: usize = 1000;

/// How deep free JSON may nest: each level takes up to three of the hundred levels that protobuf decoders allow.
const DEEPEST: usize = 28;

/// One thing that does not fit, in the form that pydantic gives it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Violation {
    /// pydantic's type, such as `missing`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: `body`, then names and places in lists.
    pub loc: Vec<Json>,
    /// pydantic's message.
    pub msg: String,
    /// What was given there.
    pub input: Json,
    /// What was expected, for an enum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Json>,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    dialect: &'a Dialect,
    loc: Vec<Json>,
    violations: Vec<Violation>,
}

impl<'a> Reader<'a> {
    /// A reader that has not found anything wrong yet.
    pub(crate) fn new(dialect: &'a Dialect) -> Self {
        Self { dialect, loc: vec!["body".into()], violations: Vec::new() }
    }

    /// What was found.
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// Fills `message` from an object. `bound` names fields that the path has filled: the body does not speak of them.
    pub(crate) fn message(&mut self, message: &mut DynamicMessage, json: &Json, bound: &[&str]) {
        let Json::Object(members) = json else {
            return self.violation(Misfit::new("dict_type", "Input should be a valid dictionary"), json);
        };
        for field in message.descriptor().fields() {
            let traits = self.dialect.traits(&field);
            if traits.output_only || bound.contains(&field.name()) {
                continue;
            }
            match members.get(field.name()) {
                None if traits.required => self.at(field.name(), |reader| reader.violation(Misfit::new("missing", "Field required"), json)),
                None => {}
                Some(Json::Null) if !traits.required && !is_any(&field) => {}
                Some(value) => {
                    if let Some(value) = self.at(field.name(), |reader| reader.field(&field, value)) {
                        let _fits = message.try_set_field(&field, value);
                    }
                }
            }
        }
    }

    /// The value of one field, where the body is only that. `bound` is as for [`Reader::message`].
    pub(crate) fn value(&mut self, field: &FieldDescriptor, json: &Json, bound: &[&str]) -> Option<Value> {
        match field.kind().as_message() {
            Some(descriptor) if !field.is_list() && !field.is_map() && form(descriptor.full_name()) == Form::Object => {
                let mut message = DynamicMessage::new(descriptor.clone());
                self.message(&mut message, json, bound);
                Some(Value::Message(message))
            }
            _ => self.field(field, json),
        }
    }

    fn field(&mut self, field: &FieldDescriptor, json: &Json) -> Option<Value> {
        if field.is_map() {
            let Json::Object(members) = json else {
                return self.refuse(Misfit::new("dict_type", "Input should be a valid dictionary"), json);
            };
            return Some(Value::Map(self.map(field.kind().as_message()?, members)));
        }
        if field.is_list() {
            let Json::Array(items) = json else {
                return self.refuse(Misfit::new("list_type", "Input should be a valid list"), json);
            };
            let kind = field.kind();
            let values = items.iter().enumerate().filter_map(|(place, item)| self.at(place, |reader| reader.item(&kind, item)));
            return Some(Value::List(values.collect()));
        }
        self.item(&field.kind(), json)
    }

    fn map(&mut self, entry: &MessageDescriptor, members: &Map<String, Json>) -> HashMap<MapKey, Value> {
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut values = HashMap::new();
        for (name, item) in members {
            let key = from_json(&key_kind, &Json::String(name.clone())).map(|key| key.into_map_key());
            let value = self.at(name.as_str(), |reader| match key {
                Ok(Some(key)) => reader.item(&value_kind, item).map(|value| (key, value)),
                Ok(None) => None,
                Err(misfit) => reader.refuse(misfit, &Json::String(name.clone())),
            });
            values.extend(value);
        }
        values
    }

    fn item(&mut self, kind: &Kind, json: &Json) -> Option<Value> {
        let Kind::Message(descriptor) = kind else {
            return from_json(kind, json).map_err(|misfit| self.violation(misfit, json)).ok();
        };
        match form(descriptor.full_name()) {
            Form::Object | Form::Status => {
                let mut message = DynamicMessage::new(descriptor.clone());
                self.message(&mut message, json, &[]);
                Some(Value::Message(message))
            }
            Form::Wrapper => {
                let mut message = DynamicMessage::new(descriptor.clone());
                let field = descriptor.get_field(1)?;
                let value = self.item(&field.kind(), json)?;
                message.try_set_field(&field, value).ok()?;
                Some(Value::Message(message))
            }
            wanted @ (Form::Struct | Form::List | Form::Value) => self.free(descriptor, wanted, json),
            Form::Timestamp | Form::Duration | Form::FieldMask => from_json(kind, json).map_err(|misfit| self.violation(misfit, json)).ok(),
        }
    }

    fn free(&mut self, descriptor: &MessageDescriptor, wanted: Form, json: &Json) -> Option<Value> {
        match (wanted, json) {
            (Form::Struct, Json::Object(_)) | (Form::List, Json::Array(_)) | (Form::Value, _) => {}
            (Form::List, _) => return self.refuse(Misfit::new("list_type", "Input should be a valid list"), json),
            _ => return self.refuse(Misfit::new("dict_type", "Input should be a valid dictionary"), json),
        }
        if deeper_than(json, DEEPEST) {
            let message = format!("Value error, nested more than {DEEPEST} levels deep");
            return self.refuse(Misfit::new("value_error", message), json);
        }
        free_message(descriptor, json).map(Value::Message)
    }

    fn at<T>(&mut self, step: impl Into<Json>, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.loc.push(step.into());
        let result = inner(self);
        self.loc.pop();
        result
    }

    fn refuse<T>(&mut self, misfit: Misfit, input: &Json) -> Option<T> {
        self.violation(misfit, input);
        None
    }

    fn violation(&mut self, misfit: Misfit, input: &Json) {
        if self.violations.len() < MOST_VIOLATIONS {
            let ctx = misfit.expected.map(|expected| json!({ "expected": expected }));
            let loc = self.loc.clone();
            self.violations.push(Violation { kind: misfit.kind, loc, msg: misfit.message, input: input.clone(), ctx });
        }
    }
}

/// For google.protobuf.Value null is a value, not the lack of one.
fn is_any(field: &FieldDescriptor) -> bool {
    !field.is_list() && field.kind().as_message().is_some_and(|message| form(message.full_name()) == Form::Value)
}

fn deeper_than(json: &Json, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return matches!(json, Json::Array(_) | Json::Object(_)) };
    match json {
        Json::Array(items) => items.iter().any(|item| deeper_than(item, below)),
        Json::Object(members) => members.values().any(|item| deeper_than(item, below)),
        _ => false,
    }
}

/// Struct, ListValue and Value: the fields' numbers are fixed by their definitions.
fn free_message(descriptor: &MessageDescriptor, json: &Json) -> Option<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let (number, value) = match (form(descriptor.full_name()), json) {
        (Form::Struct, Json::Object(members)) => {
            let field = descriptor.get_field(1)?;
            let value_type = field.kind().as_message()?.map_entry_value_field().kind().as_message()?.clone();
            let entries = members
                .iter()
                .filter_map(|(name, item)| Some((MapKey::String(name.clone()), Value::Message(free_message(&value_type, item)?))));
            (1, Value::Map(entries.collect()))
        }
        (Form::List, Json::Array(items)) => {
            let value_type = descriptor.get_field(1)?.kind().as_message()?.clone();
            (1, Value::List(items.iter().filter_map(|item| free_message(&value_type, item).map(Value::Message)).collect()))
        }
        (Form::Value, Json::Null) => (1, Value::EnumNumber(0)),
        (Form::Value, Json::Number(number)) => (2, Value::F64(number.as_f64()?)),
        (Form::Value, Json::String(text)) => (3, Value::String(text.clone())),
        (Form::Value, Json::Bool(value)) => (4, Value::Bool(*value)),
        (Form::Value, Json::Object(_)) => (5, Value::Message(free_message(descriptor.get_field(5)?.kind().as_message()?, json)?)),
        (Form::Value, Json::Array(_)) => (6, Value::Message(free_message(descriptor.get_field(6)?.kind().as_message()?, json)?)),
        _ => return None,
    };
    message.try_set_field_by_number(number, value).ok()?;
    Some(message)
}
