//! Taking repositories into care that the database does not know: after it was lost, or when restic or rustic made them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::{Error, ErrorKind};
use super::operations::to_json;
use super::recorded::{read_manifest, recorded_directories};
use super::repositories::{ReconcileWish, RepositoryWish};
use super::repository_lock::HeldLock;
use super::{COPIES, Services};
use crate::base::control::Control;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::repository::{FoundRecords, LockKind, Repository};
use crate::store::entity::graph;
use crate::store::entity::operation::Model;
use crate::store::{self, Transaction, graphs};

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
            found.extend(find_copies(&storage.join(COPIES))?);
            found.sort_unstable();
            Ok::<_, Error>(found)
        })
        .await
    }

    /// The repositories in the storage whose graphs the database does not know: it was lost, or somebody has put them there.
    ///
    /// # Errors
    /// The storage cannot be listed; the database's.
    pub async fn find_unknown_repositories(&self) -> Result<Vec<GraphId>, Error> {
        let known: HashSet<GraphId> = graphs::list_ids(self.store().read()).await?.into_iter().collect();
        Ok(self.find_repositories().await?.into_iter().filter(|graph_id| !known.contains(graph_id)).collect())
    }

    /// Registers the graph of a repository, if it is not known, by the directory that its newest snapshot was taken from, and queues
    /// the comparison that adds its snapshots.
    ///
    /// # Errors
    /// There is no such repository, or it has another password.
    pub async fn adopt_repository(&self, caller: &Caller, graph_id: &GraphId) -> Result<Model, Error> {
        if graphs::find(self.store().read(), graph_id).await?.is_none() {
            match self.register_found(caller, graph_id).await {
                Err(error) if error.is_race() => {}
                result => return result,
            }
        }
        self.work_on_repository(caller, graph_id, RepositoryWish::Reconcile(ReconcileWish {}), None).await
    }

    async fn register_found(&self, caller: &Caller, graph_id: &GraphId) -> Result<Model, Error> {
        let (source, inputs_dir) = if graph_id.is_copy() { (String::new(), None) } else { self.newest_directories(graph_id).await? };
        let row = graph::Model { inputs_dir, ..self.plain_graph_row(graph_id, source) };
        let transaction = self.store().begin().await?;
        self.insert_graph(&*transaction, row).await?;
        self.record_audit(&*transaction, caller, "AdoptRepository", graph_id, None).await?;
        let operation = self.enqueue_reconcile(&transaction, caller, graph_id).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(operation)
    }

    /// What the newest snapshot was taken from: source and inputs, links resolved where they are still there.
    pub(super) async fn newest_directories(&self, graph_id: &GraphId) -> Result<(String, Option<String>), Error> {
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, &Control::default()).await?;
        let found = self.blocking(move || {
            let FoundRecords { mut readable, unreadable } = repository.find_records()?;
            let Some(newest) = readable.pop() else {
                return unreadable.into_iter().next().map_or(Ok(None), |(_, error)| Err(error.into()));
            };
            let own = recorded_directories(&newest, read_manifest(&repository, &lock, &newest.id)?.as_ref());
            Ok::<_, Error>(own.or_else(|| Some((newest.paths.into_iter().next()?, None))))
        });
        let (source, inputs) = found.await?.ok_or_else(|| {
            let message = format!("the repository of graph `{graph_id}` holds no snapshot: register the graph with its directory");
            Error::refused(ErrorKind::FailedPrecondition, "REPOSITORY_EMPTY", message)
        })?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let source = text(source);
        let source = self.resolve_source(source.clone()).await.unwrap_or(source);
        let inputs = match inputs.map(text) {
            Some(inputs) => Some(self.resolve_inputs(inputs.clone(), &source).await.unwrap_or(inputs)),
            None => None,
        };
        Ok((source, inputs))
    }

    /// Whether the storage holds a repository of this graph.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub(super) async fn has_repository(&self, graph_id: &GraphId) -> Result<bool, Error> {
        let root = self.repository_root(graph_id);
        self.blocking(move || Repository::exists(&root)).await
    }

    /// Queues, in the transaction that registers a graph, the comparison that adds the snapshots of a repository that is there already.
    /// Announce the work after the commit.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn enqueue_reconcile(&self, transaction: &Transaction, caller: &Caller, graph_id: &GraphId) -> Result<Model, Error> {
        let mut operation = self.new_operation(OperationKind::Reconcile, graph_id, None, to_json(&ReconcileWish {})?);
        // Before a first snapshot that is asked for in the same moment: it builds on those that are there.
        operation.created_at = Timestamp::from_micros(operation.created_at.micros() - 1);
        let operation = self.enqueue(&**transaction, operation).await?;
        self.record_audit(&**transaction, caller, "ReconcileRepository", graph_id, None).await?;
        Ok(operation)
    }
}

/// The copies below the directory of all of them, by the places that they come from.
fn find_copies(directory: &Path) -> Result<Vec<GraphId>, Error> {
    let mut found = Vec::new();
    for place in names_in(directory)? {
        for name in names_in(&directory.join(&place))? {
            let Some(copy) = GraphId::parse(&name).ok().and_then(|graph_id| GraphId::copy_at(&graph_id, &place)) else { continue };
            if Repository::exists(&directory.join(&place).join(&name))? {
                found.push(copy);
            }
        }
    }
    Ok(found)
}

/// The names in a directory that are text; none where there is no such directory, as where a target's disk is not mounted.
fn names_in(directory: &Path) -> Result<Vec<String>, Error> {
    let unreadable = |error: std::io::Error| Error::internal("list the copies", error);
    let entries = match std::fs::read_dir(directory) {
        Err(error) if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&error.kind()) => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let names = entries.map(|entry| Ok(entry.map_err(unreadable)?.file_name().into_string().ok()));
    Ok(names.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect())
}
