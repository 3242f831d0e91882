//! What can go wrong between two Lightkeeps.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why another Lightkeep has not done what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What the network says.
        why: String,
    },
    /// The connection broke, or the answer took too long.
    #[error("the connection to the target broke: {0}")]
    Broken(String),
    /// The key is none of its peer keys.
    #[error("the target does not accept the key: give one of its `LIGHTKEEP_PEER_KEYS` as `api_key`")]
    Unauthenticated,
    /// The key cannot be sent.
    #[error("the key holds characters that cannot be sent: give one of the target's `LIGHTKEEP_PEER_KEYS` as `api_key`")]
    Key,
    /// Something else answers there: an old server, or a proxy that does not pass gRPC on.
    #[error("what answers there is no Lightkeep that takes copies: an old server, or a proxy that does not pass gRPC on ({0})")]
    NotLightkeep(String),
    /// Another protocol is spoken there.
    #[error("the target runs Lightkeep {version}, which speaks replication protocol {theirs} and not {ours}: bring both to the same version", ours = super::PROTOCOL)]
    Protocol {
        /// The number of its protocol.
        theirs: i32,
        /// Its version.
        version: String,
    },
    /// It refused, and says why.
    #[error("the target says: {message}")]
    Refused {
        /// Its reason, for programs.
        reason: String,
        /// For people.
        message: String,
    },
    /// It answered something that makes no sense.
    #[error("the target's answer makes no sense: {0}")]
    Answer(&'static str),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let message = || status.message().to_owned();
        match (status.code(), reason) {
            (Code::Unauthenticated, _) => Self::Unauthenticated,
            (_, Some(reason)) => Self::Refused { reason, message: message() },
            // What a Lightkeep says of its own has a reason.
            (Code::Unimplemented | Code::NotFound | Code::PermissionDenied, None) => Self::NotLightkeep(message()),
            (Code::Unknown | Code::Internal, None) if message().contains("content-type") => Self::NotLightkeep(message()),
            (code, None) => Self::Broken(format!("{code:?}: {}", message())),
        }
    }
}
