//! How far the targets of a graph are behind, and how many copies it has.

use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use super::super::graphs::check_own;
use super::super::idempotency::Request;
use super::queue::selected;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::health::Copies;
use crate::domain::replication::{Due, Lag};
use crate::domain::target::ReplicationState;
use crate::store::entity::{graph, replica, snapshot, standby, target};
use crate::store::{self, graphs, replicas, replications, snapshots, targets};

/// How long a snapshot may take to reach its targets before that is a finding.
pub(in crate::service) const COPIES_GRACE: Duration = Duration::from_secs(3600);

/// What a target has of a graph.
#[derive(Debug, Clone)]
pub struct ReplicaStatus {
    /// The target.
    pub target: target::Model,
    /// How far it is behind.
    pub lag: Lag,
    /// Snapshots that were brought there and are still here.
    pub replicated: usize,
    /// The newest of them.
    pub newest: Option<String>,
    /// What else is known.
    pub replica: replica::Model,
}

/// How far the targets of a graph are behind.
#[derive(Debug, Clone)]
pub struct ReplicationStatus {
    /// The graph.
    pub graph: graph::Model,
    /// Of each target that takes it, oldest first.
    pub replicas: Vec<ReplicaStatus>,
    /// Of a copy: its standby, and why that could not be refreshed last.
    pub standby: Option<(standby::Model, Option<String>)>,
}

impl Services {
    /// How far the targets of a graph are behind. Nothing is asked of them: it follows from what was brought there.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn replication_status(&self, graph_id: &GraphId) -> Result<ReplicationStatus, Error> {
        let graph = self.find_graph(self.store().read(), graph_id).await?;
        let mut all = snapshots::list_all(self.store().read(), graph_id).await?;
        all.retain(|snapshot| snapshot.status.is_restorable() && snapshot.record_id.is_some());
        let mut found = Vec::new();
        for target in targets::list_all(self.store().read()).await? {
            if !selected(&target, std::slice::from_ref(&graph)).is_empty() {
                found.push(self.replica_status(target, graph_id, &all).await?);
            }
        }
        let standby = self.standby_of(graph_id).await?;
        Ok(ReplicationStatus { graph, replicas: found, standby })
    }

    /// `all` are the snapshots of the graph, newest first.
    async fn replica_status(&self, target: target::Model, graph_id: &GraphId, all: &[snapshot::Model]) -> Result<ReplicaStatus, Error> {
        let done = replications::list_done(self.store().read(), target.target_id, graph_id).await?;
        let is_there = |snapshot: &snapshot::Model| done.contains(&snapshot.snapshot_id);
        let due: Vec<Due> = all
            .iter()
            .map(|snapshot| Due {
                completed_at: completed_at(snapshot),
                stored_bytes: u64::try_from(snapshot.stored_bytes).unwrap_or(0),
                is_there: is_there(snapshot),
            })
            .collect();
        Ok(ReplicaStatus {
            lag: Lag::of(&due, self.now()),
            replicated: due.iter().filter(|due| due.is_there).count(),
            newest: all.iter().find(|snapshot| is_there(snapshot)).map(|snapshot| snapshot.snapshot_id.to_string()),
            replica: replicas::find(self.store().read(), target.target_id, graph_id).await?,
            // How it was long ago says nothing.
            target: self.aged_target(target),
        })
    }

    /// Says how many targets must hold the newest good snapshot of a graph.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn set_copies_policy(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        (copies, off_site): (i32, i32),
        request_id: Option<&str>,
    ) -> Result<graph::Model, Error> {
        let numbers = format!("{copies} {off_site}");
        let request = Request { request_id, action: "SetCopiesPolicy", body: &[graph_id.as_str(), &numbers] };
        check_own(graph_id)?;
        let transaction = self.store().begin().await?;
        let graph = self.find_graph_to_update(&transaction, graph_id).await?;
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(graph);
        }
        request.remember(self, &*transaction, graph_id.to_string()).await?;
        let graph = graph::Model { copies, off_site_copies: off_site, revision: graph.revision + 1, ..graph };
        graphs::update(&*transaction, graph.clone()).await?;
        self.record_audit(&*transaction, caller, "SetCopiesPolicy", graph_id, None).await?;
        store::commit(transaction).await?;
        Ok(graph)
    }

    /// How many copies the newest good snapshot of a graph has that had time to get some; none where nobody says how many it must have,
    /// and before the first.
    ///
    /// # Errors
    /// The database's.
    pub(in crate::service) async fn copies_of_graph(&self, graph: &graph::Model) -> Result<Option<Copies>, Error> {
        let (read, had_time) = (self.store().read(), self.now().minus(COPIES_GRACE));
        if graph.copies == 0 {
            return Ok(None);
        }
        let Some(snapshot) = snapshots::find_newest_good(read, &graph.graph_id, had_time).await? else { return Ok(None) };
        let (there, off_site) = self.count_copies(&snapshot).await?;
        let snapshot_id = snapshot.snapshot_id.to_string();
        Ok(Some(Copies { snapshot_id, there, wanted: graph.copies, off_site, off_site_wanted: graph.off_site_copies }))
    }

    async fn count_copies(&self, snapshot: &snapshot::Model) -> Result<(i32, i32), Error> {
        let (mut copies, mut off_site) = (0, 0);
        for target in targets::list_all(self.store().read()).await?.into_iter().filter(|target| target.enabled) {
            let rows = replications::list_of(self.store().read(), target.target_id, &[snapshot.snapshot_id]).await?;
            if rows.iter().any(|row| row.state == ReplicationState::Done) {
                copies += 1;
                off_site += i32::from(target.off_site);
            }
        }
        Ok((copies, off_site))
    }
}

fn completed_at(snapshot: &snapshot::Model) -> Timestamp {
    snapshot.completed_at.unwrap_or(snapshot.created_at)
}
