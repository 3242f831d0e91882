//! JSON and its form in protobuf.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

pub(super) fn struct_to_json(value: Struct) -> serde_json::Value {
    serde_json::Value::Object(value.fields.into_iter().map(|(key, value)| (key, value_to_json(value))).collect())
}

fn value_to_json(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => number_to_json(value),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::StructValue(value)) => struct_to_json(value),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_to_json).collect(),
    }
}

/// A number without a fraction stays one in JSON.
fn number_to_json(value: f64) -> serde_json::Value {
    match format!("{value}").parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => value.into(),
    }
}

pub(super) fn json_to_struct(json: serde_json::Value) -> Option<Struct> {
    match json {
        serde_json::Value::Object(fields) => {
            Some(Struct { fields: fields.into_iter().map(|(key, value)| (key, json_to_value(value))).collect() })
        }
        _ => None,
    }
}

fn json_to_value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(json_to_value).collect() }),
        object @ serde_json::Value::Object(_) => Kind::StructValue(json_to_struct(object).unwrap_or_default()),
    };
    Value { kind: Some(kind) }
}
