//! Drills by themselves: the newest good snapshot of each graph, so long after its last drill. One at a time: they need room and work.

use std::collections::HashSet;

use super::Services;
use super::drills::NewDrill;
use super::error::{Error, ErrorKind};
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::store::{drills, fences, graphs, operations, snapshots};

/// Whose doing they are.
const HOUSEKEEPING: Caller = Caller { name: "housekeeping", request_id: None };

impl Services {
    /// Queues the drill of the graph that has waited longest for one, where it is time and none waits or works. One that cannot be drilled
    /// keeps no other from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn drill_next(&self) -> Result<(), Error> {
        let interval = self.settings().drill.interval;
        if interval.is_zero() {
            return Ok(());
        }
        if self.has_open_work(OperationKind::Drill).await? {
            return Ok(());
        }
        for graph_id in self.graphs_to_drill(self.now().minus(interval)).await? {
            let new = NewDrill { graph_id, snapshot_id: None, request_id: None };
            match self.drill_snapshot(&HOUSEKEEPING, &new).await {
                Ok(_) => break,
                // Deleted since it was looked at, or too many operations wait for the graph.
                Err(error) if error.kind() != ErrorKind::Internal => {
                    tracing::warn!(graph_id = new.graph_id.as_str(), error = error.chain(), "cannot drill a graph");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether an operation of a kind of which one is done at a time waits or works; one of a graph that a failover holds may wait for
    /// long.
    pub(super) async fn has_open_work(&self, kind: OperationKind) -> Result<bool, Error> {
        let open = operations::list_open_of(self.store().read(), kind).await?;
        let held = self.held_graphs().await?;
        Ok(open.iter().any(|operation| !held.contains(&operation.graph_id)))
    }

    async fn held_graphs(&self) -> Result<HashSet<GraphId>, Error> {
        Ok(fences::list(self.store().read()).await?.into_iter().map(|fence| fence.graph_id).collect())
    }

    /// The graphs with a good snapshot and without a drill since then, those first that have waited longest.
    async fn graphs_to_drill(&self, since: Timestamp) -> Result<Vec<GraphId>, Error> {
        let (mut waiting, held): (Vec<(Option<Timestamp>, GraphId)>, _) = (Vec::new(), self.held_graphs().await?);
        for graph in graphs::list_all(self.store().read()).await? {
            let last = drills::find_newest(self.store().read(), &graph.graph_id, self.now()).await?.map(|drill| drill.created_at);
            if held.contains(&graph.graph_id) {
                continue;
            }
            if last.is_none_or(|last| last <= since)
                && snapshots::find_newest_good(self.store().read(), &graph.graph_id, self.now()).await?.is_some()
            {
                waiting.push((last, graph.graph_id));
            }
        }
        waiting.sort();
        Ok(waiting.into_iter().map(|(_, graph_id)| graph_id).collect())
    }
}
