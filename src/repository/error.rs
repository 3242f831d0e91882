//! Everything that can go wrong in a repository.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::format::FormatError;
use super::format::id::{BlobId, RecordId};
use crate::base::control::Cancelled;

/// Why work on a repository failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no repository at this place.
    #[error("no repository at `{}`: check the path, or create one", root.display())]
    NotFound {
        /// Where one was looked for.
        root: PathBuf,
    },
    /// A repository is there already.
    #[error("a repository exists at `{}` already: open it, or choose another path", root.display())]
    AlreadyExists {
        /// Where it is.
        root: PathBuf,
    },
    /// None of the repository's keys opens with this password.
    #[error("wrong password for the repository at `{}`", root.display())]
    WrongPassword {
        /// Where it is.
        root: PathBuf,
    },
    /// The repository has another version of the format.
    #[error("the repository at `{}` has format version {version}: only version 2 is supported; `restic migrate upgrade_repo_v2` upgrades version 1", root.display())]
    UnsupportedVersion {
        /// Where it is.
        root: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The file system refused something in the repository or in a restore's target.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What was tried, a verb.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it was refused.
        #[source]
        source: io::Error,
    },
    /// A file of the repository is not what it must be.
    #[error("{subject} is damaged: check the repository with `restic check --read-data`, and use another snapshot or copy")]
    Damaged {
        /// Which file, pack, blob or tree.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A blob that something refers to is in no pack.
    #[error("blob `{id}` of {needed_by} is missing from the index: check the repository")]
    MissingBlob {
        /// The blob.
        id: BlobId,
        /// What refers to it.
        needed_by: String,
    },
    /// The manifest of a snapshot could not be made.
    #[error("cannot make the snapshot's manifest")]
    ManifestNotMade {
        /// Why: an error of the one who makes it, which may be had back by a downcast.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something could not be prepared for writing.
    #[error("cannot encode {subject}")]
    Encode {
        /// What was to be written.
        subject: String,
        /// Why that failed.
        #[source]
        source: FormatError,
    },
    /// Another process holds the repository.
    #[error("the repository at `{}` is locked by process {pid} on `{host}` (user `{username}`): wait until it has ended", root.display())]
    Locked {
        /// Where the repository is.
        root: PathBuf,
        /// The computer whose process holds the lock.
        host: String,
        /// Its user.
        username: String,
        /// Its process.
        pid: i32,
        /// Whether the lock in the way is exclusive.
        exclusive: bool,
    },
    /// Our lock was removed by somebody else: what we do is no longer protected.
    #[error("the lock on the repository at `{}` was removed by another process: start the work again", root.display())]
    LockLost {
        /// Where the repository is.
        root: PathBuf,
    },
    /// The lock that was given is of another repository or not exclusive.
    #[error("{operation} of the repository at `{}` needs {needed}", root.display())]
    WrongLock {
        /// What was tried.
        operation: &'static str,
        /// Where the repository is.
        root: PathBuf,
        /// The lock that would do.
        needed: &'static str,
    },
    /// A file of the source changed while it was read.
    #[error("`{}` changed while it was read: capture the source again", path.display())]
    SourceChanged {
        /// The file as it was read.
        path: PathBuf,
    },
    /// A file or directory of the source cannot be read or has vanished.
    #[error("cannot read `{}` of the source", path.display())]
    SourceUnreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path that a snapshot is to be recorded under cannot be used.
    #[error("`{}` cannot be recorded: {reason}", path.display())]
    UnusablePath {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// There is no such snapshot record.
    #[error("no snapshot record `{id}` in the repository at `{}`: it was removed from outside, reconcile the repository", root.display())]
    RecordNotFound {
        /// Its id.
        id: RecordId,
        /// Where the repository is.
        root: PathBuf,
    },
    /// The snapshot does not hold this path, or what is there is no directory where one is needed.
    #[error("snapshot record `{id}` does not hold `{}`", path.display())]
    PathNotRecorded {
        /// The record.
        id: RecordId,
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A restore's target holds something already.
    #[error("the restore target `{}` is not empty: choose a new directory", path.display())]
    TargetNotEmpty {
        /// The target.
        path: PathBuf,
    },
    /// A copy of one repository was to be put into another one.
    #[error("the repository at `{}` is another one than that which is copied: remove it, or copy under another name", root.display())]
    OtherRepository {
        /// Where it is.
        root: PathBuf,
    },
    /// What was received is not what its name says, or not all of it came.
    #[error("the {subject} that was received is not what its name says: send it again")]
    Mismatch {
        /// Which file.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A file is too large to be received.
    #[error("the {subject} is larger than the {limit_bytes} bytes that a file of a repository may have")]
    TooLarge {
        /// Which file.
        subject: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// Something that a snapshot needs has not come, or has been pruned meanwhile.
    #[error("the {subject} that the snapshot needs is not there: send it again")]
    Lacking {
        /// Which file.
        subject: String,
    },
    /// The work was stopped from outside.
    #[error("the work on the repository was cancelled")]
    Cancelled(#[from] Cancelled),
    /// A thread of the engine ended without a result.
    #[error("a worker thread of the engine stopped: this is a bug, please report it")]
    WorkerStopped,
}

impl Error {
    /// Names the operation and the file that an IO error belongs to.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// Names what a format error is about.
    pub(crate) fn damaged(subject: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        let subject = subject.into();
        move |source| Self::Damaged { subject, source }
    }

    /// Names what could not be encoded.
    pub(crate) fn encode(subject: impl Into<String>) -> impl FnOnce(FormatError) -> Self {
        let subject = subject.into();
        move |source| Self::Encode { subject, source }
    }

    /// Whether the bytes themselves cannot be had: they are damaged, cut off, or on a bad place of the disk. Any other error of
    /// the system, such as a missing permission or too many open files, says nothing of them: they may be whole.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Io { source, .. } => {
                source.kind() == io::ErrorKind::UnexpectedEof || source.raw_os_error() == Some(Errno::IO.raw_os_error())
            }
            _ => false,
        }
    }

    /// Whether a file was not there.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_bytes_is_damage() {
        let io = |source: io::Error| Error::io("read", "/file")(source).is_damage();
        assert!(io(Errno::IO.into()) && io(io::ErrorKind::UnexpectedEof.into()));
        for errno in [Errno::ACCESS, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::LOOP, Errno::NOENT, Errno::STALE] {
            assert!(!io(errno.into()), "{errno}");
        }
        assert!(Error::damaged("a pack")(FormatError::new("its header is malformed")).is_damage());
        assert!(!Error::from(Cancelled).is_damage());
    }
}
