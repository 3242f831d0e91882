//! Probes of graphs: set, and looked at with what snapshots retrieve for them.

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::looking::Opened;
use super::operations::to_json;
use super::retrievals::probes_of;
use super::snapshot_files::SnapshotFiles;
use crate::base::ids::{ProbeSetId, SnapshotId};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::probe::{Probe, Retrieved};
use crate::lightrag::probes::{retrieve, sample};
use crate::store::entity::{probe_set, retrieval, snapshot};
use crate::store::{self, probes, snapshots};

/// The probes that a graph is to have.
#[derive(Debug, Clone)]
pub struct NewProbes {
    /// The graph.
    pub graph_id: GraphId,
    /// Where they come from.
    pub wanted: Wanted,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// Where probes come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// The caller gives them, checked; none takes the graph's away.
    Given(Vec<Probe>),
    /// So many are made of the newest good snapshot.
    Sampled(usize),
}

/// The probes of a graph, and what a snapshot retrieves for them.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphProbes {
    /// The graph.
    pub graph_id: GraphId,
    /// When they were set; none where they never were.
    pub set_at: Option<Timestamp>,
    /// In the order in which they were set.
    pub probes: Vec<Probe>,
    /// The snapshot that was asked.
    pub snapshot_id: Option<SnapshotId>,
    /// What it retrieves, in the order of the probes; none where no snapshot was asked, or could be.
    pub retrieved: Option<Vec<Retrieved>>,
    /// Why it could not be asked.
    pub error_message: Option<String>,
}

impl Services {
    /// Replaces the probes of a graph. Its newest good snapshot is asked them at once: so vectors of another embedding model are found
    /// now, and that snapshot can be drilled with them.
    ///
    /// # Errors
    /// There is no such graph; no good snapshot, or nothing in it, to make probes of; vectors of another dimension; the snapshot cannot be
    /// read.
    pub async fn set_probes(&self, caller: &Caller, new: &NewProbes) -> Result<GraphProbes, Error> {
        let wanted = match &new.wanted {
            Wanted::Given(probes) => to_json(probes)?,
            Wanted::Sampled(count) => count.to_string(),
        };
        let body = [new.graph_id.as_str(), wanted.as_str()];
        let request = Request { request_id: new.request_id.as_deref(), action: "SetProbes", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.probes_set_before(&new.graph_id, &first).await;
        }
        self.find_graph(self.store().read(), &new.graph_id).await?;
        let snapshot = snapshots::find_newest_good(self.store().read(), &new.graph_id, self.now()).await?;
        let (probes, asked) = match (&snapshot, &new.wanted) {
            (None, Wanted::Sampled(_)) => return Err(no_good_snapshot(&new.graph_id)),
            (None, Wanted::Given(probes)) => (probes.clone(), None),
            (Some(_), Wanted::Given(probes)) if probes.is_empty() => (Vec::new(), None),
            (Some(snapshot), wanted) => {
                let (probes, retrieved) = self.make_and_ask(snapshot, wanted.clone()).await?;
                (probes, Some((snapshot.snapshot_id, retrieved)))
            }
        };
        let now = self.now();
        let set = probe_set::Model {
            probe_set_id: ProbeSetId::new(self.ids(), now),
            graph_id: new.graph_id.clone(),
            probes: to_json(&probes)?,
            created_at: now,
        };
        let transaction = self.store().begin().await?;
        self.find_graph_to_update(&transaction, &new.graph_id).await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            drop(transaction);
            return self.probes_set_before(&new.graph_id, &first).await;
        }
        let set = probes::replace(&*transaction, set).await?;
        let mut retrieval = None;
        // It may have been deleted while it was asked.
        if let Some((snapshot_id, retrieved)) = asked
            && snapshots::find(&*transaction, &new.graph_id, snapshot_id).await?.is_some()
        {
            let (probe_set_id, retrieved) = (set.probe_set_id, Some(to_json(&retrieved)?));
            let row = retrieval::Model { snapshot_id, probe_set_id, retrieved, error_message: None, created_at: now };
            probes::upsert_retrieval(&*transaction, row.clone()).await?;
            retrieval = Some(row);
        }
        request.remember(self, &*transaction, set.probe_set_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, &new.graph_id, None).await?;
        store::commit(transaction).await?;
        told(&new.graph_id, Some(&set), retrieval)
    }

    /// Makes probes of a snapshot, or takes those that are given, and asks them of it.
    async fn make_and_ask(&self, snapshot: &snapshot::Model, wanted: Wanted) -> Result<(Vec<Probe>, Vec<Retrieved>), Error> {
        let turn = self.turn_to_read().await?;
        let Opened { repository, root, lock } = self.open_snapshot(snapshot).await?;
        let id = snapshot.snapshot_id;
        let ask = move |control: &_| {
            let files = SnapshotFiles::new(repository, root, lock);
            let probes = match wanted {
                Wanted::Given(probes) => probes,
                Wanted::Sampled(count) => match sample(&files, count, control)? {
                    none if none.is_empty() => return Err(nothing_to_sample(id)),
                    some => some,
                },
            };
            let retrieved = retrieve(&files, &probes, control)?;
            Ok((probes, retrieved))
        };
        self.read_in_turn(turn, ask).await
    }

    /// What a request set when it came first.
    async fn probes_set_before(&self, graph_id: &GraphId, set_id: &str) -> Result<GraphProbes, Error> {
        let set = match ProbeSetId::parse(set_id) {
            Some(id) => probes::find(self.store().read(), id).await?,
            None => None,
        };
        // Replaced since, by another request: then the present ones are the answer.
        match set {
            Some(set) => told(graph_id, Some(&set), None),
            None => self.get_probes(graph_id, None).await,
        }
    }

    /// The present probes of a graph; with a snapshot those that it was asked, and what it retrieves.
    ///
    /// # Errors
    /// There is no such graph, or no such snapshot of it.
    pub async fn get_probes(&self, graph_id: &GraphId, snapshot_id: Option<&str>) -> Result<GraphProbes, Error> {
        let Some(id) = snapshot_id else {
            self.find_graph(self.store().read(), graph_id).await?;
            let set = probes::find_newest(self.store().read(), graph_id).await?;
            return told(graph_id, set.as_ref(), None);
        };
        let snapshot = self.get_snapshot(graph_id, id).await?;
        let asked = probes::find_retrieval(self.store().read(), snapshot.snapshot_id).await?;
        let Some(asked) = asked else { return told(graph_id, None, None) };
        let set = probes::find(self.store().read(), asked.probe_set_id).await?;
        told(graph_id, set.as_ref(), Some(asked))
    }
}

fn told(graph_id: &GraphId, set: Option<&probe_set::Model>, asked: Option<retrieval::Model>) -> Result<GraphProbes, Error> {
    let (snapshot_id, retrieved, error_message) = match asked {
        Some(asked) => (Some(asked.snapshot_id), asked.retrieved, asked.error_message),
        None => (None, None, None),
    };
    let retrieved = retrieved.as_deref().map(serde_json::from_str).transpose();
    Ok(GraphProbes {
        graph_id: graph_id.clone(),
        set_at: set.map(|set| set.created_at),
        probes: set.map(probes_of).transpose()?.unwrap_or_default(),
        snapshot_id,
        retrieved: retrieved.map_err(|error| Error::internal("read what a snapshot retrieved", error))?,
        error_message,
    })
}

/// What needs a good snapshot of a graph that has none.
pub(super) fn no_good_snapshot(graph_id: &GraphId) -> Error {
    let message = format!("graph `{graph_id}` has no good snapshot, take one first");
    Error::refused(ErrorKind::FailedPrecondition, "NO_GOOD_SNAPSHOT", message)
}

fn nothing_to_sample(id: SnapshotId) -> Error {
    let message = format!("snapshot `{id}` has neither questions nor chunks to make probes of, give probes instead");
    Error::refused(ErrorKind::FailedPrecondition, "NOTHING_TO_SAMPLE", message)
}
