//! Lock files.

use serde::Deserialize;

use super::time::{self, Time};
use super::{FormatError, json};

/// What our locks have as their user, to tell them from an operator's restic.
const USERNAME: &str = "lightkeep";

/// The contents of a lock file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LockFile {
    /// When it was written.
    time: String,
    /// Whether it keeps all others off.
    pub(crate) exclusive: bool,
    /// The computer that wrote it.
    #[serde(default)]
    pub(crate) hostname: String,
    /// The user who wrote it.
    #[serde(default)]
    pub(crate) username: String,
    /// The process that wrote it.
    #[serde(default)]
    pub(crate) pid: i32,
}

impl LockFile {
    /// Reads a lock file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Whether we wrote it, this run of the program or another.
    pub(crate) fn is_ours(&self) -> bool {
        self.username == USERNAME
    }

    /// When it was written.
    pub(crate) fn time(&self) -> Result<Time, FormatError> {
        time::parse(&self.time)
    }
}

/// Writes a lock file in the order of restic's `Lock` structure.
pub(crate) fn encode(written: Time, exclusive: bool, host: &str, pid: u32, uid: u32, gid: u32) -> Vec<u8> {
    let mut out = format!("{{\"time\":\"{}\",\"exclusive\":{exclusive},\"hostname\":", time::to_text(written));
    json::write_string(&mut out, host);
    out.push_str(&format!(",\"username\":\"{USERNAME}\",\"pid\":{pid}"));
    for (field, value) in [("uid", uid), ("gid", gid)] {
        if value != 0 {
            out.push_str(&format!(",\"{field}\":{value}"));
        }
    }
    out.push('}');
    out.into_bytes()
}
