//! THE table: from an error's meaning to a gRPC status with typed details. REST follows from the status, see `rest::status`.

use std::collections::HashMap;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::auth::DOMAIN;
use crate::domain::validate::Violations;
use crate::service::{Error, ErrorKind, RecordedError};

/// Tells with `OUT_OF_RANGE` how many bytes there are.
pub(super) const SIZE_BYTES: &str = "size_bytes";

/// The code of a meaning.
pub fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::OutOfRange => Code::OutOfRange,
        ErrorKind::Aborted => Code::Aborted,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::DataLoss => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = code(error.kind());
        let mut details = ErrorDetails::with_error_info(error.reason(), DOMAIN, metadata(&error));
        if error.is_hidden() {
            tracing::error!(error = error.chain(), "request has failed");
            let text = if code == Code::Unavailable { "the metadata database does not answer, try again later" } else { "internal error" };
            return Self::with_error_details(code, text, details);
        }
        match &error {
            Error::Invalid(violations) | Error::Required(violations) => add_violations(&mut details, violations),
            Error::NotFound { kind, id } => {
                details.set_resource_info(*kind, id.as_str(), "", error.to_string());
            }
            Error::Refused { kind: ErrorKind::FailedPrecondition, reason, message, .. } => {
                details.add_precondition_failure_violation(*reason, "", message.as_str());
            }
            Error::Refused { retry_after: Some(retry_after), .. } => {
                details.set_retry_info(Some(*retry_after));
            }
            Error::OutOfRange { .. } | Error::Refused { .. } | Error::Recorded(_) | Error::Store(_) | Error::Internal { .. } => {}
        }
        Self::with_error_details(code, error.to_string(), details)
    }
}

/// What programs need beside the reason.
fn metadata(error: &Error) -> HashMap<String, String> {
    match error {
        Error::OutOfRange { size_bytes, .. } => HashMap::from([(SIZE_BYTES.to_owned(), size_bytes.to_string())]),
        _ => HashMap::new(),
    }
}

fn add_violations(details: &mut ErrorDetails, violations: &Violations) {
    for violation in violations.iter() {
        details.add_bad_request_violation(&violation.field, &violation.description);
    }
}

/// The status of a recorded error, as an operation carries it.
pub fn recorded(error: &RecordedError) -> crate::proto::rpc::Status {
    let code = code(ErrorKind::parse(&error.kind).unwrap_or(ErrorKind::Internal));
    let details = ErrorDetails::with_error_info(error.reason.as_str(), DOMAIN, HashMap::new());
    let status = Status::with_error_details(code, error.message.as_str(), details);
    // The details of a status are a `google.rpc.Status` of their own, in bytes.
    crate::proto::rpc::Status::decode(status.details()).unwrap_or_default()
}
