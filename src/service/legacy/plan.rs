//! What an import would do: copies, what the old server knew of them, and what is here already.

use std::collections::{BTreeMap, HashMap};

use sea_orm::ConnectionTrait;

use super::details::Details;
use super::tree::{self, Found, Tree};
use super::{LeftOut, LegacyCopy, Plan, PlannedGraph, Wanted};
use crate::base::ids::SnapshotId;
use crate::domain::graph_id::GraphId;
use crate::domain::snapshot::SnapshotStatus;
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
    /// Looks at the old storage and at our rows; `rows` are those of the old server. Without a connection there are none of ours yet.
    /// Blocks while it looks at files.
    ///
    /// # Errors
    /// The old storage cannot be listed; the database's.
    pub async fn make(wanted: &Wanted, rows: Vec<legacy::Row>, ours: Option<&impl ConnectionTrait>) -> Result<Self, Error> {
        let tree = tree::look(&wanted.directory, &wanted.only).map_err(|error| Error::internal("list the old server's storage", error))?;
        let known = match ours {
            Some(connection) => Known::load(connection, &tree).await?,
            None => Known::default(),
        };
        Ok(plan(wanted, tree, noted(rows), &known))
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

/// What the old server's rows say, by graph and copy. Of several rows about one copy, each tells what those before it do not.
fn noted(rows: Vec<legacy::Row>) -> BTreeMap<(String, SnapshotId), Details> {
    let mut noted: BTreeMap<_, Details> = BTreeMap::new();
    for details in rows.into_iter().map(Details::new) {
        let key = details.text("graph_id").map(str::to_owned).zip(details.text("backup_id").and_then(SnapshotId::parse));
        let Some(key) = key else { continue };
        let before = noted.remove(&key).unwrap_or_default();
        noted.insert(key, before.or(details));
    }
    noted
}

fn plan(wanted: &Wanted, tree: Tree, mut noted: BTreeMap<(String, SnapshotId), Details>, known: &Known) -> Plan {
    let Tree { copies: found, mut left_out } = tree;
    let mut copies: BTreeMap<GraphId, Vec<LegacyCopy>> = BTreeMap::new();
    for found in found {
        let (graph_id, directory) = (found.graph_id.clone(), found.directory.clone());
        let row = noted.remove(&(graph_id.to_string(), found.snapshot_id));
        match judge(found, row, known) {
            Ok(copy) => copies.entry(graph_id).or_default().push(copy),
            Err((why, is_failure)) => left_out.push(LeftOut { path: directory, why, is_failure }),
        }
    }
    for ((graph_id, id), details) in noted {
        let path = wanted.directory.join(&graph_id).join(id.to_string());
        let is_wanted = wanted.only.is_empty() || wanted.only.iter().any(|only| only.as_str() == graph_id);
        let is_told = left_out.iter().any(|one| one.path == path || path.parent() == Some(&one.path));
        if is_wanted && !is_told && details.status().is_none_or(SnapshotStatus::is_restorable) {
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
    Plan { graphs: graphs.collect(), left_out }
}

/// What is to become of a copy; else why it is left out, and whether somebody may miss it.
fn judge(found: Found, row: Option<Details>, known: &Known) -> Result<LegacyCopy, (String, bool)> {
    let Found { graph_id, snapshot_id, directory, note, modified_at, figures } = found;
    let row = row.unwrap_or_default();
    let (made_at, time_from) = match (row.time(), note.time()) {
        (Some(time), _) => (time, "database"),
        (None, Some(time)) => (time, "file"),
        (None, None) => (modified_at, "directory"),
    };
    let details = row.or(note);
    let is_there = match known.snapshots.get(&snapshot_id) {
        Some(row) if row.graph_id != graph_id => {
            return Err((format!("there is a snapshot with its id of graph `{}`", row.graph_id), true));
        }
        // One whose record is lost comes back by its copy.
        Some(row) => row.status.is_restorable(),
        None => false,
    };
    if let Some(status) = details.status().filter(|status| !is_there && !is_whole(*status)) {
        return Err((format!("the old server calls it {status}"), false));
    }
    let mut remarks = Vec::new();
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

fn is_whole(status: SnapshotStatus) -> bool {
    status.is_restorable() || status == SnapshotStatus::Archived
}

fn planned(wanted: &Wanted, graph_id: GraphId, copies: Vec<LegacyCopy>, known: &Known) -> PlannedGraph {
    // A graph must not live in what the old server has kept: a restore in place would replace that.
    let is_fit = |directory: &String| !std::path::Path::new(directory).starts_with(&wanted.directory);
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
