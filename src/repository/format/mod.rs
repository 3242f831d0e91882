//! The restic repository format, version 2: bytes to values and back, no IO.
//!
//! The source of every rule here is restic's `doc/design.rst`; where trees and snapshots have to come out byte for byte as restic's
//! own encoder writes them, the rule is Go's `encoding/json` and `strconv.Quote`.

pub(crate) mod attribute;
pub(crate) mod config;
pub(crate) mod crypto;
pub(crate) mod id;
pub(crate) mod index;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod lock;
pub(crate) mod mode;
pub(crate) mod node;
pub(crate) mod pack;
pub(crate) mod polynomial;
pub(crate) mod quote;
pub(crate) mod snapshot;
pub(crate) mod time;
pub(crate) mod tree;
pub(crate) mod unpacked;

/// Why bytes of a repository could not be understood: the reason alone, its caller names the subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub(crate) String);

impl FormatError {
    /// A reason that is known when the program is written.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<serde_json::Error> for FormatError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}
