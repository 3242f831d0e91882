//! Taking repositories into care that the database does not know: after it was lost, or when restic or rustic made them.

use std::path::PathBuf;

use super::Services;
use super::error::{Error, ErrorKind};
use super::repositories::{ReconcileWish, RepositoryWish};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::repository::Repository;
use crate::store::entity::operation::Model;
use crate::store::{self, graphs};

impl Services {
    /// The graphs whose repositories lie in the storage, by the names of their directories.
    ///
    /// # Errors
    /// The storage cannot be listed.
    pub async fn find_repositories(&self) -> Result<Vec<GraphId>, Error> {
        let storage = self.settings().places.storage.clone();
        self.blocking(move || {
            let mut found = Vec::new();
            let unreadable = |error: std::io::Error| Error::internal("list the storage", error);
            for entry in std::fs::read_dir(&storage).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name();
                let Some(graph_id) = name.to_str().and_then(|name| GraphId::parse(name).ok()) else { continue };
                // A directory of another form of the name would be another graph's.
                if graph_id.as_str().as_bytes() == name.as_encoded_bytes() && Repository::exists(&storage.join(&name))? {
                    found.push(graph_id);
                }
            }
            found.sort_unstable();
            Ok::<_, Error>(found)
        })
        .await
    }

    /// Registers the graph of a repository, if it is not known, by the directory that its newest snapshot was taken from, and queues
    /// the comparison that adds its snapshots.
    ///
    /// # Errors
    /// There is no such repository, or it has another password.
    pub async fn adopt_repository(&self, caller: &Caller, graph_id: &GraphId) -> Result<Model, Error> {
        if graphs::find(self.store().read(), graph_id).await?.is_none() {
            let source = self.newest_source(graph_id).await?;
            let transaction = self.store().begin().await?;
            self.insert_graph(&*transaction, self.plain_graph_row(graph_id, source.to_string_lossy().into_owned())).await?;
            self.record_audit(&*transaction, caller, "AdoptRepository", graph_id, None).await?;
            store::commit(transaction).await?;
        }
        self.work_on_repository(caller, graph_id, RepositoryWish::Reconcile(ReconcileWish {}), None).await
    }

    async fn newest_source(&self, graph_id: &GraphId) -> Result<PathBuf, Error> {
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let records = self.blocking(move || services.repositories().get_or_open(&root)?.records()).await?;
        let newest = records.into_iter().next_back().and_then(|record| record.paths.into_iter().next());
        newest.ok_or_else(|| {
            let message = format!("the repository of graph `{graph_id}` holds no snapshot: register the graph with its directory");
            Error::refused(ErrorKind::FailedPrecondition, "REPOSITORY_EMPTY", message)
        })
    }

    /// Adds the snapshots of a repository that is there already when its graph is registered.
    pub(super) async fn adopt_if_there(&self, caller: &Caller, graph_id: &GraphId) -> Result<(), Error> {
        let root = self.repository_root(graph_id);
        if self.blocking(move || Repository::exists(&root)).await? {
            self.work_on_repository(caller, graph_id, RepositoryWish::Reconcile(ReconcileWish {}), None).await?;
        }
        Ok(())
    }
}
