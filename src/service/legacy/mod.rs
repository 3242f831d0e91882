//! Snapshots of the old Python server become ours: their ids, times, metadata and bytes. What is the old server's is only read.
//!
//! Its storage holds plain copies, `<graph_id>/<backup_id>/`; its database, if it kept any, a row about each. A [`Plan`] says what would
//! be done, and changes nothing. The work stores each copy in the repository of its graph and writes a record of it; rows then follow
//! the records, as after any adoption. So what was interrupted goes on by itself when it is begun again.

mod details;
mod plan;
mod tree;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use details::Details;

pub use work::Imported;

/// What is to be imported.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The old server's storage, absolute, links resolved.
    pub directory: PathBuf,
    /// Only these graphs; all where none is named.
    pub only: BTreeSet<GraphId>,
    /// Where graphs live that are not registered, absolute.
    pub sources: BTreeMap<GraphId, String>,
    /// The present instant: no copy is younger.
    pub now: Timestamp,
}

/// What would be done.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The graphs that have copies, in the order of their ids.
    pub graphs: Vec<PlannedGraph>,
    /// What is no copy, or cannot become a snapshot.
    pub left_out: Vec<LeftOut>,
    /// Rows about copies in the old server's database.
    pub rows: usize,
    /// Those of them that name no copy: without a graph id, or without an id that is a UUID.
    pub rows_without_id: usize,
}

/// A graph of the old server.
#[derive(Debug, Clone)]
pub struct PlannedGraph {
    /// Its id.
    pub graph_id: GraphId,
    /// Its source directory; none where nobody knows it, and then nothing of the graph can be imported.
    pub source_dir: Option<String>,
    /// Who says so.
    pub source_from: &'static str,
    /// A retention policy counts for its snapshots.
    pub has_policy: bool,
    /// Its copies that can become snapshots, oldest first.
    pub copies: Vec<LegacyCopy>,
}

/// A copy that can become a snapshot, or has become one.
#[derive(Debug, Clone)]
pub struct LegacyCopy {
    /// Its id.
    pub snapshot_id: SnapshotId,
    /// Where it lies.
    pub directory: PathBuf,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who says so: the database, a file, or the directory's time.
    pub time_from: &'static str,
    /// Regular files.
    pub files: u64,
    /// Sum of their sizes, bytes.
    pub size_bytes: u64,
    /// There is a snapshot with its id already.
    pub is_there: bool,
    /// What is odd about it, and does not keep it from being imported.
    pub remarks: Vec<String>,
    details: Details,
}

/// What is not imported.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// Where it lies.
    pub path: PathBuf,
    /// Why.
    pub why: String,
    /// Somebody may miss it. Else it is no copy, or the old server itself calls it half.
    pub is_failure: bool,
}

/// A path with its links resolved as far as it exists; none where it uses `..` beyond that, and so may lead anywhere.
pub fn resolved(path: &Path) -> Option<PathBuf> {
    let (real, rest) = path.ancestors().find_map(|known| known.canonicalize().ok().zip(path.strip_prefix(known).ok()))?;
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| real.components().chain(rest.components()).collect())
}

impl LeftOut {
    fn failed(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), why: why.into(), is_failure: true }
    }

    fn beside(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_path_buf(), why: why.into(), is_failure: false }
    }
}
