//! What can go wrong with a LightRAG graph.

use std::io;
use std::path::PathBuf;

use crate::base::control::Cancelled;
use crate::domain::difference::Side;

/// A failed piece of work on a LightRAG graph or its server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no source directory.
    #[error("source directory `{path}` does not exist: check the graph's path", path = path.display())]
    SourceNotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The source is something else than a directory.
    #[error("source `{path}` is not a directory: give the directory that holds the stores", path = path.display())]
    SourceNotDirectory {
        /// What it is called.
        path: PathBuf,
    },
    /// The source, or something in it, cannot be read.
    #[error("reading source `{path}` failed: check its permissions", path = path.display())]
    SourceUnreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A staging directory cannot be swept away.
    #[error("removing staging directory `{path}` failed: remove it by hand", path = path.display())]
    Staging {
        /// The staging directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that the audit has to read cannot be read.
    #[error("auditing `{path}` failed: the file cannot be read", path = path.display())]
    AuditRead {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file changed while the audit read it, so it is written in place: another capture may meet it at rest.
    #[error("auditing `{path}` failed: the file changed while it was read", path = path.display())]
    AuditChanged {
        /// The file, below the workspace.
        path: PathBuf,
    },
    /// A store file of one of two states that are compared cannot be read.
    #[error("comparing failed: `{path}` of the state {side} cannot be read", path = path.display())]
    CompareRead {
        /// Which of the two.
        side: Side,
        /// The file, below the workspace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A store file of one of two states that are compared is damaged.
    #[error("comparing failed: `{path}` of the state {side} is damaged at byte {at_byte}: {problem}: compare with another state", path = path.display())]
    CompareDamaged {
        /// Which of the two.
        side: Side,
        /// The file, below the workspace.
        path: PathBuf,
        /// How many bytes from its beginning on are good, or nearly so many.
        at_byte: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A store file that probes ask cannot be read.
    #[error("asking the probes failed: `{path}` cannot be read", path = path.display())]
    ProbeRead {
        /// The file, below the workspace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A store file that probes ask is damaged.
    #[error("asking the probes failed: `{path}` is damaged at byte {at_byte}: {problem}", path = path.display())]
    ProbeDamaged {
        /// The file, below the workspace.
        path: PathBuf,
        /// How many bytes from its beginning on are good, or nearly so many.
        at_byte: u64,
        /// What is wrong there.
        problem: String,
    },
    /// A store file changed while probes asked it, so it is written in place.
    #[error("asking the probes failed: `{path}` changed while it was read", path = path.display())]
    ProbeChanged {
        /// The file, below the workspace.
        path: PathBuf,
    },
    /// A probe's vector cannot be compared with those of the workspace.
    #[error("probe `{probe}` has vectors of dimension {given}, `{path}` has {stored}: give probes of the graph's embedding model", path = path.display())]
    ProbeDimension {
        /// Its name.
        probe: String,
        /// Its dimension.
        given: u64,
        /// The file with the workspace's vectors, below the workspace.
        path: PathBuf,
        /// Their dimension.
        stored: u64,
    },
    /// The target of a restore is something else than a directory.
    #[error("restore target `{path}` is not a directory: give a directory, or a name that is free", path = path.display())]
    TargetNotDirectory {
        /// What it is called.
        path: PathBuf,
    },
    /// The target of a restore has no parent directory or no name of its own.
    #[error("restore target `{path}` has no name of its own: give a directory below another", path = path.display())]
    TargetNameless {
        /// What it is called.
        path: PathBuf,
    },
    /// The target of a restore, or the directory beside it, does not let itself be written.
    #[error("writing beside restore target `{path}` failed: check the permissions of its parent directory", path = path.display())]
    TargetUnwritable {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is too little room for the restored files.
    #[error("restore target `{path}` has too little room: {free_bytes} bytes free, {needed_bytes} bytes needed", path = path.display())]
    TargetFull {
        /// The directory.
        path: PathBuf,
        /// Free bytes on its file system.
        free_bytes: u64,
        /// Bytes of the files to restore.
        needed_bytes: u64,
    },
    /// The restored graph has an entry of the name of another workspace's live directory.
    #[error("restore target `{path}` holds another workspace of the same name as a restored entry: {name}: restore to another directory", path = path.display())]
    TargetConflict {
        /// The target directory.
        path: PathBuf,
        /// The name that is taken.
        name: String,
    },
    /// The name under which the old directory is to be kept is taken.
    #[error("keeping the old directory as `{path}` failed: the name is taken, give another", path = path.display())]
    KeepTaken {
        /// The name.
        path: PathBuf,
    },
    /// A step of putting a restored graph in place failed. The next start completes or undoes it.
    #[error("putting the restored graph in place failed: {step} `{path}`", path = path.display())]
    Apply {
        /// What was being done, such as `renaming`.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A journal of an interrupted restore cannot be understood.
    #[error("journal `{path}` of an interrupted restore cannot be read: put the target right by hand, then remove the journal", path = path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The address of a LightRAG server is none.
    #[error("address of the LightRAG server is not an HTTP address: {url}: give it as `http://host:9621`")]
    ServerAddress {
        /// The address as it was given, without a password in it.
        url: String,
    },
    /// A LightRAG server cannot be asked.
    #[error("asking LightRAG server `{url}` failed: check that it runs and can be reached")]
    ServerUnreachable {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A LightRAG server refuses the key.
    #[error("LightRAG server `{url}` refused the request: status {status}: give its API key")]
    ServerDenied {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A LightRAG server's answer is no answer.
    #[error("LightRAG server `{url}` gave an unusable answer: status {status}, {problem}: check that the address is LightRAG's")]
    ServerAnswer {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The work was stopped from outside.
    #[error("work on a LightRAG graph was stopped")]
    Cancelled(#[from] Cancelled),
}
