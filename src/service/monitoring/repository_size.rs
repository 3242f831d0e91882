//! How large repositories are: their files are added up after each operation that may have changed them, one repository after the other.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::super::Services;
use super::super::error::Error;
use crate::domain::graph_id::GraphId;
use crate::domain::metric::fact::{Step, Tally};
use crate::domain::metric::names;
use crate::store::{graphs, tallies};

/// Graphs whose repositories are to be measured. One that changes often stands there once.
#[derive(Debug, Default)]
pub(super) struct Unmeasured {
    graphs: Mutex<BTreeSet<GraphId>>,
    more: Notify,
}

impl Services {
    /// Has the repositories of these graphs measured soon, where anything is.
    pub fn have_measured(&self, graph_ids: impl IntoIterator<Item = GraphId>) {
        if self.settings().monitoring.is_enabled {
            let unmeasured = &self.monitoring().unmeasured;
            unmeasured.graphs.lock().unwrap_or_else(PoisonError::into_inner).extend(graph_ids);
            unmeasured.more.notify_one();
        }
    }

    /// Measures one repository after the other, without end. What cannot be measured is logged: the work that it follows has succeeded all the
    /// same.
    pub async fn measure_repositories(&self) {
        let unmeasured = &self.monitoring().unmeasured;
        loop {
            let next = unmeasured.graphs.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            let Some(graph_id) = next else {
                unmeasured.more.notified().await;
                continue;
            };
            if let Err(error) = self.note_repository_size(&graph_id).await {
                tracing::warn!(graph_id = graph_id.as_str(), error = error.chain(), "cannot measure a repository");
            }
        }
    }

    async fn note_repository_size(&self, graph_id: &GraphId) -> Result<(), Error> {
        let root = self.repository_root(graph_id);
        let bytes = self.blocking(move || Ok::<_, Error>(size_of(&root))).await?;
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Error::internal("add up the files of a repository", error)),
        };
        // It may have been unregistered meanwhile.
        if graphs::find(self.store().read(), graph_id).await?.is_none() {
            return Ok(());
        }
        let tally = Tally {
            metric: names::REPOSITORY_SIZE.name,
            labels: vec![graph_id.to_string()],
            bucket: 0,
            graph_id: Some(graph_id.to_string()),
            owner_id: None,
            step: Step::Set,
            value: bytes as f64,
            total: 0.0,
        };
        Ok(tallies::count(self.store().read(), vec![tally]).await?)
    }

    /// Has those repositories measured that nobody has measured yet, as after an update from a version that did not.
    ///
    /// # Errors
    /// The database's.
    pub async fn have_unmeasured_measured(&self) -> Result<(), Error> {
        self.have_measured(graphs::list_ids_without_tally(self.store().read(), names::REPOSITORY_SIZE.name).await?);
        Ok(())
    }
}

/// The sum of the sizes of all files below a directory, bytes. Blocking.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go while it is looked at: a prune removes some.
        let Ok(metadata) = entry.metadata() else { continue };
        sum += match metadata.is_dir() {
            true => match size_of(&entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                below => below?,
            },
            false => metadata.len(),
        };
    }
    Ok(sum)
}
