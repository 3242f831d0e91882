//! What an import would do: copies, what the old server knew of them, and what is here already.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use sea_orm::ConnectionTrait;

use super::details::{Details, is_whole};
use super::tree::{self, Found, Tree};
use super::{LeftOut, LegacyCopy, Plan, PlannedGraph, Wanted, resolved};
use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::service::Error;
use crate::store::entity::{graph, snapshot};
use crate::store::{graphs, legacy, snapshots};

/// What is here already.
#[derive(Default)]
struct Known {
    graphs: HashMap<GraphId, graph::Model>,
    snapshots: HashMap<SnapshotId, snapshot::Model>,
}

impl Plan {
    /// Looks at the old storage and at our rows; `tables` are those of the old server. Without a connection there are none of ours yet.
    /// Blocks while it looks at files.
    ///
    /// # Errors
    /// The old storage cannot be listed; the database's.
    pub async fn make(wanted: &Wanted, tables: Vec<legacy::Table>, ours: Option<&impl ConnectionTrait>) -> Result<Self, Error> {
        let tree = tree::look(&wanted.directory, &wanted.only).map_err(|error| Error::internal("list the old server's storage", error))?;
        let known = match ours {
            Some(connection) => Known::load(connection, &tree).await?,
            None => Known::default(),
        };
        Ok(plan(wanted, tree, Noted::new(tables), &known))
    }
}

impl Known {
    async fn load(connection: &impl ConnectionTrait, tree: &Tree) -> Result<Self, Error> {
        let ids: Vec<SnapshotId> = tree.copies.iter().map(|copy| copy.snapshot_id).collect();
        let found = snapshots::list_by_ids(connection, &ids).await?;
        let mut known = Self { snapshots: found.into_iter().map(|row| (row.snapshot_id, row)).collect(), ..Self::default() };
        for copy in &tree.copies {
            if !known.graphs.contains_key(&copy.graph_id)
                && let Some(graph) = graphs::find(connection, &copy.graph_id).await?
            {
                known.graphs.insert(copy.graph_id.clone(), graph);
            }
        }
        Ok(known)
    }
}

/// What the old server's rows say.
#[derive(Default)]
struct Noted {
    /// By graph and copy. Of several rows about one copy, each tells what those before it do not.
    copies: BTreeMap<(String, SnapshotId), Details>,
    rows: usize,
    rows_without_id: usize,
}

impl Noted {
    fn new(mut tables: Vec<legacy::Table>) -> Self {
        let mut noted = Self::default();
        // A table in which an id stands twice is about what was done with copies: it counts after those that are about copies.
        tables.sort_by_key(has_id_twice);
        for details in tables.into_iter().flat_map(|table| table.rows).map(Details::new) {
            noted.rows += 1;
            let key = details.text("graph_id").map(str::to_owned).zip(details.text("backup_id").and_then(SnapshotId::parse));
            if let Some(key) = key {
                let before = noted.copies.remove(&key).unwrap_or_default();
                noted.copies.insert(key, before.or(details));
            } else {
                noted.rows_without_id += 1;
            }
        }
        noted
    }
}

fn has_id_twice(table: &legacy::Table) -> bool {
    let mut seen = HashSet::new();
    table.rows.iter().filter_map(|row| row.get("backup_id")).any(|id| !seen.insert(id))
}

fn plan(wanted: &Wanted, tree: Tree, noted: Noted, known: &Known) -> Plan {
    let Tree { copies: found, mut left_out } = tree;
    let mut copies: BTreeMap<GraphId, Vec<LegacyCopy>> = BTreeMap::new();
    // A name that is written otherwise, or another graph, may have an id too.
    let mut taken: HashMap<SnapshotId, PathBuf> = HashMap::new();
    let keys: HashSet<_> = found.iter().map(|found| (found.graph_id.to_string(), found.snapshot_id)).collect();
    for found in found {
        let (graph_id, directory) = (found.graph_id.clone(), found.directory.clone());
        let row = noted.copies.get(&(graph_id.to_string(), found.snapshot_id)).cloned();
        match judge(found, row, known, wanted.now) {
            Ok(copy) => match taken.get(&copy.snapshot_id) {
                Some(other) => left_out.push(LeftOut::failed(&directory, format!("the copy `{}` has its id too", other.display()))),
                None => {
                    taken.insert(copy.snapshot_id, directory);
                    copies.entry(graph_id).or_default().push(copy);
                }
            },
            Err((why, is_failure)) => left_out.push(LeftOut { path: directory, why, is_failure }),
        }
    }
    for ((graph_id, id), details) in noted.copies.into_iter().filter(|(key, _)| !keys.contains(key)) {
        let path = wanted.directory.join(&graph_id).join(id.to_string());
        let is_wanted = wanted.only.is_empty() || wanted.only.iter().any(|only| only.as_str() == graph_id);
        let is_told = left_out.iter().any(|one| one.path == path || path.parent() == Some(&one.path));
        if is_wanted && !is_told && details.status().is_none_or(is_whole) {
            left_out.push(LeftOut::failed(&path, "the old server's database knows it, but it is not there"));
        }
    }
    let named = wanted.only.iter().chain(wanted.sources.keys());
    for graph_id in named.filter(|graph_id| !wanted.directory.join(graph_id.as_str()).exists()) {
        let path = wanted.directory.join(graph_id.as_str());
        if !left_out.iter().any(|one| one.path == path) {
            left_out.push(LeftOut::failed(&path, "there is no such graph"));
        }
    }
    let graphs = copies.into_iter().map(|(graph_id, mut copies)| {
        copies.sort_by_key(|copy| (copy.made_at, copy.snapshot_id));
        planned(wanted, graph_id, copies, known)
    });
    Plan { graphs: graphs.collect(), left_out, rows: noted.rows, rows_without_id: noted.rows_without_id }
}

/// What is to become of a copy; else why it is left out, and whether somebody may miss it.
fn judge(found: Found, row: Option<Details>, known: &Known, now: Timestamp) -> Result<LegacyCopy, (String, bool)> {
    let Found { graph_id, snapshot_id, directory, note, modified_at, figures } = found;
    let row = row.unwrap_or_default();
    let mut remarks = Vec::new();
    let mut noted = None;
    for (details, time_from) in [(&row, "database"), (&note, "file")] {
        match details.time(now) {
            Ok(Some(time)) => {
                noted = Some((time, time_from));
                break;
            }
            Ok(None) => {}
            Err(remark) => remarks.push(remark),
        }
    }
    let (told_at, time_from) = noted.unwrap_or((modified_at, "directory"));
    let made_at = told_at.clamp(Timestamp::default(), now);
    if made_at != told_at {
        remarks.push(format!("its time {told_at} lies before 1970 or in the future"));
    }
    let details = row.or(note);
    let is_there = match known.snapshots.get(&snapshot_id) {
        Some(row) if row.graph_id != graph_id => {
            return Err((format!("there is a snapshot with its id of graph `{}`", row.graph_id), true));
        }
        // One whose record is lost comes back by its copy.
        Some(row) => {
            if row.status.is_restorable() && made_at == told_at && row.created_at != made_at {
                remarks.push(format!("its snapshot has the time {}, delete that to import it with this one", row.created_at));
            }
            row.status.is_restorable()
        }
        None => false,
    };
    if let Some(status) = details.status().filter(|status| !is_there && !is_whole(*status)) {
        return Err((format!("the old server calls it {status}"), false));
    }
    if let Some(size_bytes) = details.size_bytes().filter(|noted| *noted != figures.size_bytes) {
        remarks.push(format!("the old server noted {size_bytes} bytes"));
    }
    let counted = [(figures.links_out, "links lead out of it and are kept as links"), (figures.others, "pipes, sockets or devices in it")];
    remarks.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    Ok(LegacyCopy {
        snapshot_id,
        directory,
        made_at,
        time_from,
        files: figures.files,
        size_bytes: figures.size_bytes,
        is_there,
        remarks,
        details,
    })
}

fn planned(wanted: &Wanted, graph_id: GraphId, copies: Vec<LegacyCopy>, known: &Known) -> PlannedGraph {
    // A graph must not live in what the old server has kept: a restore in place would replace that.
    let is_fit = |directory: &String| resolved(Path::new(directory)).is_some_and(|real| !real.starts_with(&wanted.directory));
    let noted = || copies.iter().rev().find_map(|copy| copy.details.source_dir().filter(is_fit));
    let registered = known.graphs.get(&graph_id);
    let (source_dir, source_from) = match (registered, wanted.sources.get(&graph_id)) {
        (Some(graph), _) => (Some(graph.source_dir.clone()), "registered"),
        (None, Some(named)) => (Some(named.clone()), "--source"),
        (None, None) => (noted(), "old server"),
    };
    let has_policy = registered.is_some_and(|graph| graph.retention_policy.is_some());
    PlannedGraph { graph_id, source_dir, source_from, has_policy, copies }
}
