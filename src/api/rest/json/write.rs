//! Messages become JSON.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::well_known::{Form, duration_text, form, timestamp_text};
use super::words::word;
use crate::api::rest::dialect::Dialect;
use crate::api::rest::status::code_word;

/// A message in our dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageJson<'a> {
    /// The annotations.
    pub dialect: &'a Dialect,
    /// The message.
    pub message: &'a DynamicMessage,
}

/// One field's value in our dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldJson<'a> {
    /// The annotations.
    pub dialect: &'a Dialect,
    /// The field.
    pub field: &'a FieldDescriptor,
    /// Its value.
    pub value: &'a Value,
}

/// One value of a list or a map, or a field's only one.
struct ItemJson<'a> {
    dialect: &'a Dialect,
    kind: &'a Kind,
    value: &'a Value,
}

impl Serialize for MessageJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match form(self.message.descriptor().full_name()) {
            Form::Object => self.object(serializer),
            Form::Timestamp => timestamp_text(self.message).serialize(serializer),
            Form::Duration => serializer.serialize_str(&duration_text(self.message)),
            Form::Struct => self.only_field(1, serializer),
            Form::List => self.only_field(1, serializer),
            Form::Wrapper => self.only_field(1, serializer),
            Form::Value => self.any(serializer),
            Form::FieldMask => serializer.serialize_str(&self.mask()),
            Form::Status => self.status(serializer),
        }
    }
}

impl MessageJson<'_> {
    fn object<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        for field in self.message.descriptor().fields() {
            let traits = self.dialect.traits(&field);
            let is_set = self.message.has_field(&field);
            if traits.input_only || (traits.omit_unset && !is_set) {
                continue;
            }
            if field.supports_presence() && !is_set {
                members.serialize_entry(field.name(), &())?;
            } else {
                let value: Cow<'_, Value> = self.message.get_field(&field);
                members.serialize_entry(field.name(), &FieldJson { dialect: self.dialect, field: &field, value: &value })?;
            }
        }
        members.end()
    }

    fn only_field<S: Serializer>(&self, number: u32, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(field) = self.message.descriptor().get_field(number) else { return serializer.serialize_unit() };
        let value = self.message.get_field(&field);
        FieldJson { dialect: self.dialect, field: &field, value: &value }.serialize(serializer)
    }

    /// google.protobuf.Value: whichever of its fields is set. Whole numbers are written without a point.
    fn any<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((field, value)) = self.message.fields().next() else { return serializer.serialize_unit() };
        match (field.number(), value) {
            (1, _) => serializer.serialize_unit(),
            (2, Value::F64(number)) if number.fract() == 0.0 && number.abs() < 9.0e18 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of i64: checked above")]
                serializer.serialize_i64(*number as i64)
            }
            _ => FieldJson { dialect: self.dialect, field: &field, value }.serialize(serializer),
        }
    }

    fn mask(&self) -> String {
        let paths = self.message.get_field_by_number(1);
        let paths = paths.as_deref().and_then(Value::as_list).unwrap_or_default();
        paths.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    }

    fn status<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let code = self.message.get_field_by_number(1).and_then(|value| value.as_i32()).unwrap_or(0);
        let message = self.message.get_field_by_number(2).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let mut members = serializer.serialize_map(Some(2))?;
        members.serialize_entry("code", code_word(tonic::Code::from(code)))?;
        members.serialize_entry("message", &message)?;
        members.end()
    }
}

impl Serialize for FieldJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.field.kind();
        match self.value {
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&ItemJson { dialect: self.dialect, kind: &kind, value })?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let kind = kind.as_message().map_or(kind.clone(), |entry| entry.map_entry_value_field().kind());
                // Sorted, so that the same answer looks the same each time.
                let mut sorted: Vec<(&MapKey, &Value)> = entries.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                let mut members = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    members.serialize_entry(&key_text(key), &ItemJson { dialect: self.dialect, kind: &kind, value })?;
                }
                members.end()
            }
            value => ItemJson { dialect: self.dialect, kind: &kind, value }.serialize(serializer),
        }
    }
}

impl Serialize for ItemJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::U64(value) => serializer.serialize_u64(*value),
            Value::F32(value) => serializer.serialize_f32(*value),
            Value::F64(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&STANDARD.encode(value)),
            Value::EnumNumber(number) => self.enum_value(*number, serializer),
            Value::Message(message) => MessageJson { dialect: self.dialect, message }.serialize(serializer),
            // Lists and maps do not stand directly in each other.
            Value::List(_) | Value::Map(_) => serializer.serialize_unit(),
        }
    }
}

impl ItemJson<'_> {
    fn enum_value<S: Serializer>(&self, number: i32, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(descriptor) = self.kind.as_enum() else { return serializer.serialize_i32(number) };
        match word(descriptor, number) {
            Some(word) => serializer.serialize_str(&word),
            None if number == 0 => serializer.serialize_unit(),
            None => serializer.serialize_i32(number),
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
        MapKey::String(value) => value.clone(),
    }
}
