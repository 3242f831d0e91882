//! Errors by meaning. Each has a kind, which decides the code on every door, a stable reason for programs, and a text for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::chain::chain;
use crate::base::control::Cancelled;
use crate::domain::validate::Violations;
use crate::domain::words::words;
use crate::store;

words! {
    /// What an error means, whatever it is about.
    pub enum ErrorKind {
        /// The request is wrong whatever the state.
        InvalidArgument = "invalid_argument",
        /// There is no such thing.
        NotFound = "not_found",
        /// There is such a thing already.
        AlreadyExists = "already_exists",
        /// Behind the end of what there is.
        OutOfRange = "out_of_range",
        /// Somebody else was faster.
        Aborted = "aborted",
        /// The state does not allow it.
        FailedPrecondition = "failed_precondition",
        /// The caller may not.
        PermissionDenied = "permission_denied",
        /// Too much at once.
        Exhausted = "resource_exhausted",
        /// Not now.
        Unavailable = "unavailable",
        /// A caller stopped it.
        Cancelled = "cancelled",
        /// Stored data is damaged.
        DataLoss = "data_loss",
        /// Ours; the text stays inside.
        Internal = "internal",
    }
}

/// An error of a use-case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields with values that are never right.
    #[error("{0}")]
    Invalid(Violations),
    /// A field that this request needs is not there.
    #[error("{0}")]
    Required(Violations),
    /// No row of this kind has this id.
    #[error("{kind} {id} not found")]
    NotFound {
        /// `Graph`, `Snapshot`, `Operation`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// A file has no byte there.
    #[error("`offset` lies behind the last byte of the file, which has {size_bytes} bytes: {offset}")]
    OutOfRange {
        /// The file's size, bytes.
        size_bytes: u64,
        /// What was asked for.
        offset: u64,
    },
    /// Any other error with a meaning for the caller.
    #[error("{message}")]
    Refused {
        /// Its meaning.
        kind: ErrorKind,
        /// Stable, for programs: `SCREAMING_SNAKE`.
        reason: &'static str,
        /// What is wrong and what to do.
        message: String,
        /// When to try again, where that may help.
        retry_after: Option<Duration>,
    },
    /// What an operation ended with, read back from its row.
    #[error("{}", .0.message)]
    Recorded(RecordedError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A bug, or a failure of the machine.
    #[error("cannot {operation}")]
    Internal {
        /// What was to be done.
        operation: &'static str,
        /// Why it was not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// An error as it stands in an operation's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedError {
    /// The word of its [`ErrorKind`].
    pub kind: String,
    /// Stable, for programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Error {
    /// One field with a wrong value.
    pub fn invalid(field: &str, description: impl std::fmt::Display) -> Self {
        Self::Invalid(Violations::one(field, description))
    }

    /// An error with a meaning of its own.
    pub fn refused(kind: ErrorKind, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { kind, reason, message: message.into(), retry_after: None }
    }

    /// A failure that is none of the caller's doing.
    pub fn internal(operation: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal { operation, source: source.into() }
    }

    /// What it means.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Required(_) => ErrorKind::InvalidArgument,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::OutOfRange { .. } => ErrorKind::OutOfRange,
            Self::Refused { kind, .. } => *kind,
            Self::Recorded(error) => ErrorKind::parse(&error.kind).unwrap_or(ErrorKind::Internal),
            Self::Store(error) if error.is_unavailable() => ErrorKind::Unavailable,
            Self::Store(_) | Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Its stable name.
    pub fn reason(&self) -> String {
        match self {
            Self::Invalid(_) => "INVALID_ARGUMENT".to_owned(),
            Self::Required(_) => "REQUIRED_FIELD_MISSING".to_owned(),
            Self::NotFound { kind, .. } => format!("{}_NOT_FOUND", kind.to_uppercase()),
            Self::OutOfRange { .. } => "OFFSET_OUT_OF_RANGE".to_owned(),
            Self::Refused { reason, .. } => (*reason).to_owned(),
            Self::Recorded(error) => error.reason.clone(),
            Self::Store(error) if error.is_unavailable() => "DATABASE_UNAVAILABLE".to_owned(),
            Self::Store(_) | Self::Internal { .. } => "INTERNAL".to_owned(),
        }
    }

    /// What is written into the row of the operation that ended with it.
    pub fn record(&self) -> RecordedError {
        let message = if self.is_hidden() { "internal error, the server's log tells more".to_owned() } else { self.to_string() };
        RecordedError { kind: self.kind().to_string(), reason: self.reason(), message }
    }

    /// Whether another request made the same row in the meantime: done once more, the use-case finds it.
    pub(super) fn is_race(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unique_violation())
    }

    /// Whether the text is for the log only.
    pub fn is_hidden(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Internal { .. })
    }

    /// The error and all that caused it, for the log.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Self::refused(ErrorKind::Cancelled, "OPERATION_CANCELLED", "the operation was cancelled")
    }
}
