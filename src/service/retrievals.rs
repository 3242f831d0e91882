//! What snapshots retrieve for the probes of their graphs, told from their own files.

use std::sync::Arc;

use super::Services;
use super::error::{Error, ErrorKind};
use super::operations::to_json;
use super::repository_lock::HeldLock;
use super::snapshot_files::SnapshotFiles;
use super::snapshots::snapshot_root;
use crate::base::control::Control;
use crate::domain::probe::Probe;
use crate::lightrag::probes::retrieve;
use crate::repository::{LockKind, Repository};
use crate::store::entity::{probe_set, retrieval, snapshot};
use crate::store::{Transaction, probes};

/// Why what a snapshot retrieves is not known where its graph got other probes while it was taken.
const REPLACED: &str = "the graph got other probes meanwhile";

impl Services {
    /// Asks a snapshot whose record is written the probes of its graph, under a lock that is held or is taken; nothing where there are
    /// none. What went wrong is told with it, as the snapshot is good without.
    ///
    /// # Errors
    /// The work is to end: whoever goes on asks.
    pub(super) async fn retrieve_from(
        &self,
        row: &snapshot::Model,
        repository: &Arc<Repository>,
        lock: Option<HeldLock>,
        control: &Arc<Control>,
    ) -> Result<Option<retrieval::Model>, Error> {
        let set = match probes::find_newest(self.store().read(), &row.graph_id).await {
            Ok(None) => return Ok(None),
            Ok(Some(set)) => set,
            Err(error) => {
                tracing::warn!(snapshot_id = %row.snapshot_id, error = Error::from(error).chain(), "cannot find a graph's probes");
                return Ok(None);
            }
        };
        let asked = match probes_of(&set) {
            Ok(probes) if probes.is_empty() => return Ok(None),
            Ok(probes) => self.retrieve_probes(row, probes, repository, lock, control).await,
            Err(error) => Err(error),
        };
        if let Err(error) = asked.as_ref().map_err(Error::kind)
            && error == ErrorKind::Cancelled
        {
            return Err(crate::base::control::Cancelled.into());
        }
        if let Err(error) = &asked {
            tracing::warn!(snapshot_id = %row.snapshot_id, error = error.chain(), "cannot tell what a snapshot retrieves");
        }
        let (retrieved, error_message) = match asked {
            Ok(retrieved) => (Some(retrieved), None),
            Err(error) => (None, Some(error.record().message)),
        };
        let (snapshot_id, probe_set_id, created_at) = (row.snapshot_id, set.probe_set_id, self.now());
        Ok(Some(retrieval::Model { snapshot_id, probe_set_id, retrieved, error_message, created_at }))
    }

    async fn retrieve_probes(
        &self,
        row: &snapshot::Model,
        probes: Vec<Probe>,
        repository: &Arc<Repository>,
        lock: Option<HeldLock>,
        control: &Arc<Control>,
    ) -> Result<String, Error> {
        let root = snapshot_root(row).ok_or_else(|| Error::internal("ask a snapshot", "its row names no record"))?;
        let lock = match lock {
            Some(lock) => lock,
            None => HeldLock::take(self, repository, LockKind::Shared, control).await?,
        };
        let files = SnapshotFiles::new(Arc::clone(repository), root, lock);
        let control = Arc::clone(control);
        to_json(&self.blocking(move || retrieve(&files, &probes, &control)).await?)
    }

    /// Writes what a snapshot retrieves, in the transaction that completes it and holds the graph's row.
    pub(super) async fn write_retrieval(&self, transaction: &Transaction, mut asked: retrieval::Model) -> Result<(), Error> {
        if probes::find(&**transaction, asked.probe_set_id).await?.is_none() {
            (asked.retrieved, asked.error_message) = (None, Some(REPLACED.to_owned()));
        }
        Ok(probes::upsert_retrieval(&**transaction, asked).await?)
    }
}

/// The probes of a set.
///
/// # Errors
/// The row holds something else, which is a bug: a graph must not pass for one without probes.
pub(super) fn probes_of(set: &probe_set::Model) -> Result<Vec<Probe>, Error> {
    serde_json::from_str(&set.probes).map_err(|error| Error::internal("read a graph's probes", error))
}
