//! What came out of an operation, by its kind. It stands in the operation's row as JSON.

use serde::{Deserialize, Serialize};

/// How many problems a report names; the others are counted.
pub const PROBLEMS_MAX: usize = 100;

/// What a cleanup did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupReport {
    /// Snapshots that were deleted.
    pub deleted_snapshots: i64,
}

/// What a restore has put in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Regular files.
    pub files: i64,
    /// Sum of their sizes, bytes.
    pub size_bytes: i64,
}

/// What came out of a drill; the rest is in its row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOutcome {
    /// Names the row.
    pub drill_id: String,
    /// The graph was recovered, and answers as it did.
    pub passed: bool,
}

/// What came out of a failover or a rollback; the rest is in its row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverOutcome {
    /// Names the row.
    pub failover_id: String,
    /// Where it stands.
    pub state: String,
}

/// What became of a replication that somebody asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateReport {
    /// Snapshots that were brought to a target, for each target.
    pub replicated: u64,
    /// Those that could not be brought there yet.
    pub failed: u64,
    /// Bytes of files that were sent.
    pub sent_bytes: i64,
}

/// What was brought back from a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverReport {
    /// Files that were brought by this attempt.
    pub files: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Files that are missing here and are not there either.
    #[serde(default)]
    pub lacking_files: i64,
    /// Snapshots in the repository now.
    pub snapshots: i64,
}

/// What a prune did, or would do. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Records whose content was kept.
    pub snapshots: i64,
    /// What snapshots use.
    pub used_bytes: i64,
    /// Packs that were removed, with those that were rewritten.
    pub removed_packs: i64,
    /// Packs that were rewritten.
    pub repacked_packs: i64,
    /// Read for that.
    pub repacked_bytes: i64,
    /// Written for that.
    pub written_bytes: i64,
    /// On the disk before minus after.
    pub reclaimed_bytes: i64,
    /// What nobody uses and stays.
    pub unused_bytes: i64,
    /// Whether the limit of a run did not end it.
    pub finished: bool,
    /// The check afterwards.
    pub check: Option<CheckReport>,
}

impl PruneReport {
    /// Whether its time was over before it knew what is used.
    pub fn came_to_nothing(&self) -> bool {
        !self.finished && self.snapshots == 0 && self.used_bytes == 0
    }
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Packs that the index names.
    pub packs: i64,
    /// Blobs that the index names.
    pub blobs: i64,
    /// Snapshot records.
    pub snapshots: i64,
    /// Packs that no index names.
    pub unindexed_packs: i64,
    /// How many things are wrong.
    pub total_problems: i64,
    /// The first [`PROBLEMS_MAX`] of them.
    pub problems: Vec<String>,
}

/// A snapshot that has lost content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostContent {
    /// Empty for a record that is none of our snapshots.
    pub snapshot_id: String,
    /// The name of its record.
    pub record_id: String,
    /// Files that lack content.
    pub files: i64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairReport {
    /// The index was made anew.
    pub index_rebuilt: bool,
    /// Files of the repository that were set aside.
    pub set_aside: Vec<String>,
    /// Blobs of damaged packs that were saved.
    pub saved_blobs: i64,
    /// Bytes that were found in the source and stored again.
    pub restored_bytes: i64,
    /// Snapshots that lack content now.
    pub lost: Vec<LostContent>,
    /// Snapshots whose record is gone or cannot be read, and could not be written anew.
    pub lost_snapshot_ids: Vec<String>,
    /// Snapshots that have another record than before: theirs was gone, damaged, or without its manifest.
    #[serde(default)]
    pub recovered_snapshot_ids: Vec<String>,
    /// The config and key file that were written anew.
    #[serde(default)]
    pub written_anew: Vec<String>,
}

/// How rows and records differed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReconcileReport {
    /// Records in the repository.
    pub records: i64,
    /// Snapshots that were added.
    pub adopted_snapshot_ids: Vec<String>,
    /// Snapshots whose records are gone.
    pub lost_snapshot_ids: Vec<String>,
    /// Snapshots whose records have another name now.
    pub renamed_snapshot_ids: Vec<String>,
    /// Records that cannot be read.
    pub unreadable_record_ids: Vec<String>,
}

/// What a verification found; its row tells more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Names the row.
    pub verification_id: String,
    /// Whether nothing is wrong.
    pub passed: bool,
}
