//! Single values from JSON and from text, with pydantic's words for what does not fit.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DynamicMessage, Kind, Value};
use serde_json::Value as Json;

use super::well_known::{Form, form, parse_duration, parse_timestamp, set_seconds_and_nanos};
use super::words::{expected, number};

/// Callers leave the padding out as often as not.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Why a value does not fit: pydantic's type and message, and its `ctx.expected` where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) expected: Option<String>,
}

impl Misfit {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), expected: None }
    }

    fn out_of_range() -> Self {
        Self::new("value_error", "Value error, the number is out of range")
    }
}

/// A single value from JSON. Text is taken for numbers and truth values too, as pydantic does.
pub(super) fn from_json(kind: &Kind, json: &Json) -> Result<Value, Misfit> {
    match kind {
        Kind::Bool => boolean(json).map(Value::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json, i32::try_from).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json, i64::try_from).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(json, u32::try_from).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(json, u64::try_from).map(Value::U64),
        #[expect(clippy::cast_possible_truncation, reason = "a float field keeps what a float can keep")]
        Kind::Float => float(json).map(|number| Value::F32(number as f32)),
        Kind::Double => float(json).map(Value::F64),
        Kind::String => match json {
            Json::String(text) => Ok(Value::String(text.clone())),
            _ => Err(Misfit::new("string_type", "Input should be a valid string")),
        },
        Kind::Bytes => match json {
            Json::String(text) => BASE64
                .decode(text)
                .map(|bytes| Value::Bytes(bytes.into()))
                .map_err(|_| Misfit::new("value_error", "Value error, the text is not base64")),
            _ => Err(Misfit::new("string_type", "Input should be a valid string")),
        },
        Kind::Enum(descriptor) => json.as_str().and_then(|text| number(descriptor, text)).map(Value::EnumNumber).ok_or_else(|| {
            let expected = expected(descriptor);
            Misfit { kind: "enum", message: format!("Input should be {expected}"), expected: Some(expected) }
        }),
        Kind::Message(descriptor) => {
            let mut message = DynamicMessage::new(descriptor.clone());
            let (seconds, nanos) = match form(descriptor.full_name()) {
                Form::Timestamp => instant(json)?,
                Form::Duration => duration(json)?,
                Form::FieldMask => {
                    let text = json.as_str().ok_or_else(|| Misfit::new("string_type", "Input should be a valid string"))?;
                    let paths = text.split(',').map(str::trim).filter(|path| !path.is_empty());
                    let _paths =
                        message.try_set_field_by_number(1, Value::List(paths.map(|path| Value::String(path.to_owned())).collect()));
                    return Ok(Value::Message(message));
                }
                _ => return Err(Misfit::new("dict_type", "Input should be a valid dictionary")),
            };
            set_seconds_and_nanos(&mut message, seconds, nanos);
            Ok(Value::Message(message))
        }
    }
}

/// A single value from a query or a path, or what it should have been: `a whole number`.
///
/// # Errors
/// What was expected instead.
pub(crate) fn from_text(kind: &Kind, text: &str) -> Result<Value, String> {
    // Text is taken for numbers by the JSON reader already.
    from_json(kind, &Json::String(text.to_owned())).map_err(|misfit| match (kind, misfit.expected) {
        (_, Some(expected)) => format!("expected {expected}"),
        (Kind::Bool, None) => "expected `true` or `false`".to_owned(),
        (Kind::Float | Kind::Double, None) => "expected a number".to_owned(),
        (Kind::Message(descriptor), None) => match form(descriptor.full_name()) {
            Form::Timestamp => "expected a time as `2026-01-31T12:00:00Z`".to_owned(),
            Form::Duration => "expected seconds as `3.5s`".to_owned(),
            _ => "cannot be given as a parameter".to_owned(),
        },
        (Kind::Bytes, None) => "expected base64".to_owned(),
        _ => "expected a whole number within the range of the field".to_owned(),
    })
}

fn boolean(json: &Json) -> Result<bool, Misfit> {
    let unclear = || Misfit::new("bool_parsing", "Input should be a valid boolean, unable to interpret input");
    match json {
        Json::Bool(value) => Ok(*value),
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
            _ => Err(unclear()),
        },
        Json::Number(number) => match number.as_f64() {
            Some(1.0) => Ok(true),
            Some(0.0) => Ok(false),
            _ => Err(unclear()),
        },
        _ => Err(Misfit::new("bool_type", "Input should be a valid boolean")),
    }
}

fn integer<T, E>(json: &Json, narrow: impl Fn(i128) -> Result<T, E>) -> Result<T, Misfit> {
    let wide: i128 = match json {
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => value.into(),
            (None, Some(value), _) => value.into(),
            (None, None, Some(value)) if value.fract() != 0.0 => {
                return Err(Misfit::new("int_from_float", "Input should be a valid integer, got a number with a fractional part"));
            }
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of i128: checked beside")]
            (None, None, Some(value)) if value.abs() < 1.0e19 => value as i128,
            _ => return Err(Misfit::out_of_range()),
        },
        Json::String(text) => text
            .trim()
            .parse()
            .map_err(|_| Misfit::new("int_parsing", "Input should be a valid integer, unable to parse string as an integer"))?,
        _ => return Err(Misfit::new("int_type", "Input should be a valid integer")),
    };
    narrow(wide).map_err(|_| Misfit::out_of_range())
}

fn float(json: &Json) -> Result<f64, Misfit> {
    match json {
        Json::Number(number) => number.as_f64().ok_or_else(Misfit::out_of_range),
        Json::String(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| Misfit::new("float_parsing", "Input should be a valid number, unable to parse string as a number")),
        _ => Err(Misfit::new("float_type", "Input should be a valid number")),
    }
}

fn instant(json: &Json) -> Result<(i64, i32), Misfit> {
    let text = json.as_str().ok_or_else(|| Misfit::new("datetime_type", "Input should be a valid datetime"))?;
    parse_timestamp(text)
        .ok_or_else(|| Misfit::new("datetime_parsing", "Input should be a valid datetime, expected a form as `2026-01-31T12:00:00Z`"))
}

fn duration(json: &Json) -> Result<(i64, i32), Misfit> {
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => return Err(Misfit::new("time_delta_type", "Input should be a valid timedelta")),
    };
    parse_duration(&text).ok_or_else(|| Misfit::new("time_delta_parsing", "Input should be a valid timedelta, expected a form as `3.5s`"))
}
