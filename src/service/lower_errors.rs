//! What errors of the floors below mean to a caller.

use std::io;

use super::error::{Error, ErrorKind};
use crate::base::chain::chain;
use crate::{lightrag, peer, repository};

/// A file of the source changed while it was read: worth another try.
pub(super) const SOURCE_CHANGED: &str = "SOURCE_CHANGED";

/// What kept a snapshot's file from being read, where that is what was read.
fn of_repository(source: &io::Error) -> Option<&repository::Error> {
    source.get_ref()?.downcast_ref()
}

impl From<lightrag::Error> for Error {
    fn from(error: lightrag::Error) -> Self {
        use lightrag::Error as E;
        let (kind, reason) = match &error {
            E::Cancelled(cancelled) => return (*cancelled).into(),
            E::SourceNotFound { .. } => (ErrorKind::FailedPrecondition, "SOURCE_NOT_FOUND"),
            E::SourceNotDirectory { .. } => (ErrorKind::FailedPrecondition, "SOURCE_NOT_DIRECTORY"),
            E::SourceUnreadable { source, .. }
            | E::AuditRead { source, .. }
            | E::CompareRead { source, .. }
            | E::ProbeRead { source, .. } => match of_repository(source) {
                Some(repository::Error::Cancelled(cancelled)) => return (*cancelled).into(),
                Some(inner) => match meaning(inner) {
                    Some(meaning) => meaning,
                    None => return Self::internal("read a file of a snapshot", error),
                },
                None => (ErrorKind::FailedPrecondition, "SOURCE_UNREADABLE"),
            },
            E::AuditChanged { .. } | E::ProbeChanged { .. } => (ErrorKind::FailedPrecondition, SOURCE_CHANGED),
            E::CompareDamaged { .. } | E::ProbeDamaged { .. } => (ErrorKind::FailedPrecondition, "STORE_DAMAGED"),
            E::ProbeDimension { .. } => (ErrorKind::FailedPrecondition, "PROBE_DIMENSION"),
            E::TargetNotDirectory { .. } | E::TargetNameless { .. } => (ErrorKind::InvalidArgument, "TARGET_NOT_DIRECTORY"),
            E::TargetUnwritable { .. } => (ErrorKind::PermissionDenied, "TARGET_FORBIDDEN"),
            E::TargetFull { .. } => (ErrorKind::FailedPrecondition, "TARGET_FULL"),
            E::TargetConflict { .. } | E::KeepTaken { .. } => (ErrorKind::FailedPrecondition, "TARGET_CONFLICT"),
            E::ServerAddress { .. } => (ErrorKind::InvalidArgument, "SERVER_ADDRESS"),
            E::ServerUnreachable { .. } | E::ServerDenied { .. } | E::ServerAnswer { .. } => {
                (ErrorKind::FailedPrecondition, "SERVER_UNUSABLE")
            }
            E::Staging { .. } | E::Apply { .. } | E::Journal { .. } => return Self::internal("work on a LightRAG graph", error),
        };
        Self::refused(kind, reason, chain(&error))
    }
}

impl From<repository::Error> for Error {
    fn from(error: repository::Error) -> Self {
        if let repository::Error::Cancelled(cancelled) = error {
            return cancelled.into();
        }
        match meaning(&error) {
            Some((kind, reason)) => Self::refused(kind, reason, chain(&error)),
            None => Self::internal("work on a repository", error),
        }
    }
}

impl From<peer::Error> for Error {
    fn from(error: peer::Error) -> Self {
        use peer::Error as E;
        let (kind, reason) = match &error {
            E::Unreachable { .. } => (ErrorKind::Unavailable, "TARGET_UNREACHABLE"),
            E::Broken(_) => (ErrorKind::Unavailable, "TARGET_CONNECTION_BROKEN"),
            E::Unauthenticated | E::Key => (ErrorKind::FailedPrecondition, "TARGET_KEY_INVALID"),
            E::NotLightkeep(_) => (ErrorKind::FailedPrecondition, "TARGET_NO_LIGHTKEEP"),
            E::Protocol { .. } => (ErrorKind::FailedPrecondition, "TARGET_PROTOCOL"),
            E::Answer(_) => (ErrorKind::FailedPrecondition, "TARGET_ANSWER"),
            E::Refused { reason, .. } => match reason.as_str() {
                "TARGET_FULL" => (ErrorKind::FailedPrecondition, "TARGET_FULL"),
                "REPOSITORY_LOCKED" => (ErrorKind::FailedPrecondition, "REPOSITORY_LOCKED"),
                "REPLICA_OF_ANOTHER_REPOSITORY" => (ErrorKind::FailedPrecondition, "REPLICA_OF_ANOTHER_REPOSITORY"),
                "REPLICA_INCOMPLETE" => (ErrorKind::FailedPrecondition, "REPLICA_INCOMPLETE"),
                "FILE_MISMATCH" => (ErrorKind::DataLoss, "FILE_MISMATCH"),
                "REPOSITORY_DAMAGED" => (ErrorKind::DataLoss, "REPOSITORY_DAMAGED"),
                _ => (ErrorKind::FailedPrecondition, "TARGET_REFUSED"),
            },
        };
        Self::refused(kind, reason, error.to_string())
    }
}

/// What an error of a repository means; nothing to a caller where it is none of his doing.
fn meaning(error: &repository::Error) -> Option<(ErrorKind, &'static str)> {
    use repository::Error as E;
    Some(match error {
        E::NotFound { .. } => (ErrorKind::FailedPrecondition, "REPOSITORY_NOT_FOUND"),
        E::WrongPassword { .. } => (ErrorKind::FailedPrecondition, "REPOSITORY_PASSWORD_WRONG"),
        E::UnsupportedVersion { .. } => (ErrorKind::FailedPrecondition, "REPOSITORY_VERSION_UNSUPPORTED"),
        E::Locked { .. } | E::LockLost { .. } => (ErrorKind::FailedPrecondition, "REPOSITORY_LOCKED"),
        E::RecordNotFound { .. } => (ErrorKind::FailedPrecondition, "RECORD_NOT_FOUND"),
        E::Damaged { .. } | E::MissingBlob { .. } | E::PathNotRecorded { .. } => (ErrorKind::DataLoss, "REPOSITORY_DAMAGED"),
        E::SourceChanged { .. } => (ErrorKind::FailedPrecondition, SOURCE_CHANGED),
        E::SourceUnreadable { .. } | E::UnusablePath { .. } => (ErrorKind::FailedPrecondition, "SOURCE_UNREADABLE"),
        E::TargetNotEmpty { .. } => (ErrorKind::FailedPrecondition, "TARGET_CONFLICT"),
        E::OtherRepository { .. } => (ErrorKind::FailedPrecondition, "REPLICA_OF_ANOTHER_REPOSITORY"),
        E::Mismatch { .. } => (ErrorKind::DataLoss, "FILE_MISMATCH"),
        E::TooLarge { .. } => (ErrorKind::InvalidArgument, "FILE_TOO_LARGE"),
        E::Lacking { .. } => (ErrorKind::FailedPrecondition, "REPLICA_INCOMPLETE"),
        // A full disk, a missing permission: the operator's to mend, so the text goes out.
        E::Io { .. } => (ErrorKind::FailedPrecondition, "FILE_SYSTEM"),
        E::Cancelled(_)
        | E::AlreadyExists { .. }
        | E::ManifestNotMade { .. }
        | E::Encode { .. }
        | E::WrongLock { .. }
        | E::WorkerStopped => {
            return None;
        }
    })
}
