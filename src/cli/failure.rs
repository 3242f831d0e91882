//! Why a command did not do what was asked, in one line, and what to do about it.

use std::path::Path;
use std::process::ExitCode;

use lightkeep_client::Error;
use tonic::Code;

use super::cells::harmless;

/// The server refused, or what was asked has failed.
const FAILED: u8 = 1;
/// The server cannot be reached or does not let us in, so nothing is known.
const UNKNOWN: u8 = 3;
/// As shells say it of SIGINT.
const INTERRUPTED: u8 = 130;

/// Why a command ended without success.
#[derive(Debug)]
pub(super) enum Failure {
    /// The call has failed.
    Call(Error),
    /// Something here: a file, an argument, an answer to a question. In one line.
    Here(String),
    /// What was asked was done, and it says no: a verification that has not passed. It has been told already.
    Negative,
    /// Whoever read the output has gone.
    NoReader,
    /// Whoever waited has gone; what is left behind, in one line.
    Left(Option<String>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Failure {
    /// Something that a file did not allow.
    pub(super) fn file(what: &str, file: &Path, error: &std::io::Error) -> Self {
        Self::Here(format!("{what} {}: {error}", file.display()))
    }

    /// Says it on standard error, and gives the exit code; of `status`, that nothing is known.
    pub(super) fn tell(&self, address: &str, is_status: bool) -> ExitCode {
        let failed = if is_status { UNKNOWN } else { FAILED };
        match self {
            Self::Call(error) => {
                eprintln!("lightkeep: {}", line(error, address));
                ExitCode::from(if is_unknown(error) { UNKNOWN } else { failed })
            }
            Self::Here(message) => {
                eprintln!("lightkeep: {message}");
                ExitCode::from(failed)
            }
            Self::Negative => ExitCode::from(FAILED),
            Self::NoReader => ExitCode::SUCCESS,
            Self::Left(word) => {
                if let Some(word) = word {
                    eprintln!("\nlightkeep: {word}");
                }
                ExitCode::from(INTERRUPTED)
            }
        }
    }
}

fn is_unknown(error: &Error) -> bool {
    error.is_passing() || matches!(error.code(), Code::Unauthenticated | Code::DeadlineExceeded | Code::Unimplemented)
}

fn line(error: &Error, address: &str) -> String {
    let mut line = error.to_string().trim_end_matches('.').replace('\n', " ");
    if let Error::Refused(refusal) = error {
        for violation in &refusal.violations {
            if !line.contains(&violation.description) {
                line = format!("{line}; {}: {}", violation.field, violation.description);
            }
        }
    }
    if !error.reason().is_empty() {
        line = format!("{line} ({})", error.reason());
    }
    line = harmless(&line);
    match hint(error, address) {
        Some(hint) => format!("{line}. {hint}"),
        None => line,
    }
}

/// What to do.
fn hint(error: &Error, address: &str) -> Option<String> {
    let hint = match (error.code(), error.reason()) {
        (Code::Unavailable, "") if error.to_string().contains("certificate") => "--ca-file names the certificate authorities to trust",
        (Code::Unavailable, "") => {
            return Some(format!("Is the server running, and is {address} its gRPC address? Set --address or LIGHTKEEP_ADDRESS"));
        }
        (Code::Unimplemented, _) => {
            return Some(format!("What answers at {address} is no Lightkeep, an older one, or has this switched off"));
        }
        (Code::Unauthenticated, _) => "Set LIGHTKEEP_TOKEN or --token-file to the server's LIGHTRAG_API_KEY",
        (_, "GRAPH_NOT_FOUND") => "`lightkeep graph list` shows the graphs",
        (_, "SNAPSHOT_NOT_FOUND") => "`lightkeep snapshot list GRAPH` shows the snapshots",
        (_, "TARGET_NOT_FOUND") => "`lightkeep target list` shows the targets",
        (_, "CHECKPOINT_NOT_FOUND") => "`lightkeep checkpoint list` shows the checkpoints",
        (_, "TARGET_IN_USE") => "Stop the LightRAG server of this graph, or say --force",
        (_, "ETAG_MISMATCH") => "Look at it again, then repeat the change",
        (_, "PATH_FORBIDDEN") => "The server's --allowed-root says which directories it may use",
        _ => return None,
    };
    Some(hint.to_owned())
}
