//! Extended attributes in trees.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};

/// One extended attribute of a file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Attribute {
    /// Name with its namespace: `user.comment`.
    pub(crate) name: String,
    /// Value, any bytes.
    #[serde(default, deserialize_with = "base64_bytes")]
    pub(crate) value: Vec<u8>,
}

/// Reads base64; Go writes `null` for no bytes.
pub(crate) fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text.unwrap_or_default()).map_err(serde::de::Error::custom)
}

/// Writes base64 in quotes.
pub(crate) fn write_base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    BASE64_STANDARD.encode_string(bytes, out);
    out.push('"');
}
