//! Snapshot records.

use std::fmt::Write as _;

use serde::Deserialize;

use super::id::{BlobId, RecordId};
use super::time::{self, Time};
use super::{FormatError, json};

/// restic's counts of a backup, written since 0.17 and ignored by older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that the parent had otherwise.
    pub files_changed: u64,
    /// Files taken over from the parent without reading.
    pub files_unmodified: u64,
    /// Directories that the parent did not have.
    pub dirs_new: u64,
    /// Directories that the parent had otherwise.
    pub dirs_changed: u64,
    /// Directories that are as the parent had them.
    pub dirs_unmodified: u64,
    /// Pieces of content written.
    pub data_blobs: u64,
    /// Trees written.
    pub tree_blobs: u64,
    /// Plain bytes of the blobs written.
    pub data_added: u64,
    /// Sealed bytes of the blobs written.
    pub data_added_packed: u64,
    /// All files.
    pub total_files_processed: u64,
    /// Sum of the sizes of all files.
    pub total_bytes_processed: u64,
}

/// The contents of a snapshot record.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Snapshot {
    time: String,
    pub(crate) parent: Option<RecordId>,
    /// The record that restic made this one of, as `restic tag` does.
    pub(crate) original: Option<RecordId>,
    pub(crate) tree: BlobId,
    pub(crate) paths: Vec<String>,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) summary: Option<Summary>,
}

impl Snapshot {
    /// Reads a snapshot record.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// When it was made.
    pub(crate) fn time(&self) -> Result<Time, FormatError> {
        time::parse(&self.time)
    }
}

/// A record with another tree; all else that it says stays, also what its writer knows and we do not.
pub(crate) fn with_tree(record: &[u8], tree: &BlobId) -> Result<Vec<u8>, FormatError> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(record)?;
    fields.insert("tree".into(), tree.to_string().into());
    Ok(serde_json::to_vec(&fields)?)
}

/// What a snapshot record is written from.
pub(crate) struct SnapshotText<'a> {
    pub(crate) time: Time,
    pub(crate) parent: Option<RecordId>,
    pub(crate) tree: BlobId,
    pub(crate) paths: &'a [String],
    pub(crate) hostname: &'a str,
    pub(crate) username: &'a str,
    pub(crate) tags: &'a [String],
    pub(crate) summary: Summary,
}

impl SnapshotText<'_> {
    /// The record's JSON in the order of restic's `Snapshot` structure.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let at = time::to_text(self.time);
        let mut out = format!("{{\"time\":\"{at}\"");
        if let Some(parent) = &self.parent {
            let _infallible = write!(out, ",\"parent\":\"{parent}\"");
        }
        let _infallible = write!(out, ",\"tree\":\"{}\",\"paths\":", self.tree);
        write_texts(&mut out, self.paths);
        for (field, value) in [("hostname", self.hostname), ("username", self.username)] {
            if !value.is_empty() {
                let _infallible = write!(out, ",\"{field}\":");
                json::write_string(&mut out, value);
            }
        }
        if !self.tags.is_empty() {
            out.push_str(",\"tags\":");
            write_texts(&mut out, self.tags);
        }
        // the engine has no clock of its own: both ends of the backup are the record's time
        let _infallible = write!(out, ",\"summary\":{{\"backup_start\":\"{at}\",\"backup_end\":\"{at}\"");
        let s = &self.summary;
        for (field, value) in [
            ("files_new", s.files_new),
            ("files_changed", s.files_changed),
            ("files_unmodified", s.files_unmodified),
            ("dirs_new", s.dirs_new),
            ("dirs_changed", s.dirs_changed),
            ("dirs_unmodified", s.dirs_unmodified),
            ("data_blobs", s.data_blobs),
            ("tree_blobs", s.tree_blobs),
            ("data_added", s.data_added),
            ("data_added_packed", s.data_added_packed),
            ("total_files_processed", s.total_files_processed),
            ("total_bytes_processed", s.total_bytes_processed),
        ] {
            let _infallible = write!(out, ",\"{field}\":{value}");
        }
        out.push_str("}}");
        out.into_bytes()
    }
}

fn write_texts(out: &mut String, texts: &[String]) {
    out.push('[');
    for (position, text) in texts.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        json::write_string(out, text);
    }
    out.push(']');
}
