//! Whether rows and records still say the same, asked from time to time: an operator's restic tells nobody what it does.

use std::collections::BTreeSet;

use super::Services;
use super::error::Error;
use super::repositories::{ReconcileWish, RepositoryWish};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationState;
use crate::repository::{RecordId, Repository};
use crate::store::entity::snapshot::Model;
use crate::store::{graphs, operations, snapshots};

impl Services {
    /// Compares the names of each graph's records with its rows, without opening a repository, and queues a reconciliation where they
    /// differ. A graph that is being worked on is left out: its rows and records change.
    ///
    /// # Errors
    /// The database's. A repository that cannot be listed is logged.
    pub async fn sweep_records(&self) -> Result<(), Error> {
        for graph_id in graphs::list_ids(self.store().read()).await? {
            if operations::exists(self.store().read(), &graph_id, None, &OperationState::OPEN).await? {
                continue;
            }
            if let Err(error) = self.sweep_graph(&graph_id).await {
                tracing::warn!(graph_id = graph_id.as_str(), error = error.chain(), "cannot compare a graph's snapshots with its records");
            }
        }
        Ok(())
    }

    async fn sweep_graph(&self, graph_id: &GraphId) -> Result<(), Error> {
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let root = self.repository_root(graph_id);
        // One whose disk is not mounted has not lost its records.
        let names = self.blocking(move || if Repository::exists(&root)? { Repository::record_names(&root).map(Some) } else { Ok(None) });
        let Some(names) = names.await? else {
            if rows.iter().any(|row| row.record_id.is_some()) {
                tracing::warn!(graph_id = graph_id.as_str(), "a graph's repository is gone, is its disk mounted?");
            }
            return Ok(());
        };
        let (unknown, missing) = differences(&rows, &names);
        // What has begun meanwhile may be what differs.
        if unknown + missing == 0 || operations::exists(self.store().read(), graph_id, None, &OperationState::OPEN).await? {
            return Ok(());
        }
        tracing::warn!(
            graph_id = graph_id.as_str(),
            unknown,
            missing,
            "records were added or removed outside Lightkeep, the graph is reconciled"
        );
        let caller = Caller { name: "housekeeping", request_id: None };
        self.work_on_repository(&caller, graph_id, RepositoryWish::Reconcile(ReconcileWish {}), None).await?;
        Ok(())
    }
}

/// How many records no row names, and how many snapshots have no record.
fn differences(rows: &[Model], names: &BTreeSet<RecordId>) -> (usize, usize) {
    let named: BTreeSet<RecordId> = rows.iter().filter_map(|row| RecordId::parse(row.record_id.as_deref()?)).collect();
    let restorable = rows.iter().filter(|row| row.status.is_restorable());
    let is_missing = |row: &&Model| row.record_id.as_deref().and_then(RecordId::parse).is_none_or(|id| !names.contains(&id));
    (names.difference(&named).count(), restorable.filter(is_missing).count())
}
