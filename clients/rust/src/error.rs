//! What can go wrong with a call.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A field of a request that the server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its name in the proto.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// A call that has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that the caller has set cannot be used.
    #[error("{0}")]
    Options(String),
    /// The server, or the way to it, has said no.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// An operation that was waited for was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
}

/// How the server, or the way to it, has said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of gRPC: UNAVAILABLE where there is no connection.
    pub code: Code,
    /// Of the server's list (`docs/ERRORS.md`), such as `GRAPH_NOT_FOUND`; empty where the server did not answer.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// What programs need beside the reason.
    pub metadata: HashMap<String, String>,
    /// The fields that are wrong.
    pub violations: Vec<Violation>,
    /// By this name the server's log knows the call; empty where the server did not answer.
    pub request_id: String,
}

impl Error {
    /// The gRPC code: UNAVAILABLE where there is no connection.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Options(_) => Code::InvalidArgument,
            Self::Refused(refusal) => refusal.code,
            Self::Cancelled => Code::Cancelled,
        }
    }

    /// Whether the server was not there, so that the same call may succeed soon. With another reason, UNAVAILABLE is what came of the work: a
    /// target that cannot be reached, say.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.code() == Code::Unavailable && matches!(self.reason(), "" | "SERVER_STOPPING" | "DATABASE_UNAVAILABLE")
    }

    /// The server's reason, such as `GRAPH_NOT_FOUND`; empty where the server did not answer.
    #[must_use]
    pub fn reason(&self) -> &str {
        if let Self::Refused(refusal) = self { &refusal.reason } else { "" }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // Only a connection that broke has something behind it here: what a server says has not.
        let broke =
            matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled) && std::error::Error::source(&status).is_some();
        let code = if broke { Code::Unavailable } else { status.code() };
        let details = status.get_error_details();
        let (reason, metadata) = details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
        let violation = |violation: &tonic_types::FieldViolation| Violation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        };
        let violations = details.bad_request().map(|request| request.field_violations.iter().map(violation).collect()).unwrap_or_default();
        let request_id = status.metadata().get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Self::Refused(Box::new(Refusal { code, reason, message: sentence(&status), metadata, violations, request_id }))
    }
}

/// What the status says; where the connection broke, that is in what it comes from.
fn sentence(status: &Status) -> String {
    let mut sentence = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        source = error.source();
    }
    sentence
}

/// The error of an operation, as the operation carries it.
impl From<&crate::google::rpc::Status> for Error {
    fn from(status: &crate::google::rpc::Status) -> Self {
        let bytes = prost::Message::encode_to_vec(status);
        Self::from(Status::with_details(Code::from_i32(status.code), status.message.as_str(), bytes.into()))
    }
}
