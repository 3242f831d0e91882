//! Snapshots: asked for, looked at, restored, deleted. The work itself is done by operations, see the `*_work` files.

use std::path::PathBuf;

use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::Services;
use super::error::{Error, ErrorKind};
use super::graphs::check_own;
use super::idempotency::Request;
use super::operations::{Work, subject};
use super::paths::into_text;
use crate::base::ids::SnapshotId;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::tag::Tags;
use crate::domain::validate::Violations;
use crate::repository::{RecordId, SnapshotRoot};
use crate::store::entity::operation::Model as OperationRow;
use crate::store::entity::snapshot::Model;
use crate::store::snapshots::SnapshotFilter;
use crate::store::{self, graphs, snapshots};

/// A snapshot that is to be taken.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// Of this graph.
    pub graph_id: GraphId,
    /// From this directory; else from the registered one.
    pub source_dir: Option<String>,
    /// JSON that is kept with it.
    pub metadata: Option<String>,
    /// Words by which restic and retention policies know it.
    pub tags: Tags,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

impl Services {
    /// Queues a snapshot; registers the graph when it is new and a directory is given.
    ///
    /// # Errors
    /// The graph is unknown and no directory is given; the directory is not fit; too many operations wait.
    pub async fn create_snapshot(&self, caller: &Caller, new: NewSnapshot) -> Result<Model, Error> {
        match self.create_snapshot_once(caller, &new).await {
            Err(error) if error.is_race() => self.create_snapshot_once(caller, &new).await,
            result => result,
        }
    }

    async fn create_snapshot_once(&self, caller: &Caller, new: &NewSnapshot) -> Result<Model, Error> {
        let (graph_text, metadata) = (new.graph_id.to_string(), new.metadata.clone().unwrap_or_default());
        let tags = new.tags.to_json();
        let body = [graph_text.as_str(), new.source_dir.as_deref().unwrap_or_default(), &metadata].into_iter().chain(tags.as_deref());
        let body: Vec<&str> = body.collect();
        let request = Request { request_id: new.request_id.as_deref(), action: "CreateSnapshot", body: &body };
        // Asked again, the directory may have gone: the first answer holds all the same.
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.snapshot_of(self.store().read(), &new.graph_id, &first).await;
        }
        check_own(&new.graph_id)?;
        let known = graphs::find(self.store().read(), &new.graph_id).await?;
        let text = match (&new.source_dir, &known) {
            (Some(text), _) => text.clone(),
            (None, Some(graph)) => graph.source_dir.clone(),
            (None, None) => return Err(Error::Required(Violations::one("source_dir", "is needed for a graph that is not registered yet"))),
        };
        let source = self.resolve_source(text).await?;
        let is_found_again = known.is_none() && self.has_repository(&new.graph_id).await?;
        let inputs = match known.and_then(|graph| graph.inputs_dir) {
            Some(inputs) => Some(self.resolve_inputs(inputs, &source).await?),
            None => None,
        };
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.snapshot_of(&*transaction, &new.graph_id, &first).await;
        }
        if graphs::find(&*transaction, &new.graph_id).await?.is_none() {
            self.insert_graph(&*transaction, self.plain_graph_row(&new.graph_id, source.clone())).await?;
            self.record_audit(&*transaction, caller, "RegisterGraph", &new.graph_id, None).await?;
            if is_found_again {
                self.enqueue_reconcile(&transaction, caller, &new.graph_id).await?;
            }
        }
        let row = self.insert_snapshot(&transaction, new, source, inputs).await?;
        request.remember(self, &*transaction, row.snapshot_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "CreateSnapshot", &new.graph_id, Some(row.snapshot_id.to_string())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(row)
    }

    pub(super) async fn resolve_source(&self, text: String) -> Result<String, Error> {
        let places = self.settings().places.clone();
        into_text("source_dir", self.blocking(move || places.resolve_source(&text)).await?)
    }

    pub(super) async fn snapshot_of(&self, connection: &impl ConnectionTrait, graph_id: &GraphId, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Snapshot", id: id.to_owned() };
        let parsed = SnapshotId::parse(id).ok_or_else(missing)?;
        snapshots::find(connection, graph_id, parsed).await?.ok_or_else(missing)
    }

    pub(super) async fn insert_snapshot(
        &self,
        transaction: &DatabaseTransaction,
        new: &NewSnapshot,
        source_dir: String,
        inputs_dir: Option<String>,
    ) -> Result<Model, Error> {
        check_own(&new.graph_id)?;
        let snapshot_id = SnapshotId::new(self.ids(), self.now());
        let operation = self.new_operation(OperationKind::Snapshot, &new.graph_id, Some(snapshot_id), "{}".to_owned());
        let operation = self.enqueue(transaction, operation).await?;
        let row = Model {
            metadata: new.metadata.clone(),
            inputs_dir,
            tags: new.tags.to_json(),
            ..Model::pending(snapshot_id, new.graph_id.clone(), operation.operation_id, source_dir, operation.created_at)
        };
        Ok(snapshots::insert(transaction, row).await?)
    }

    /// One snapshot of a graph.
    ///
    /// # Errors
    /// There is no such graph, or no such snapshot of it.
    pub async fn get_snapshot(&self, graph_id: &GraphId, id: &str) -> Result<Model, Error> {
        self.find_graph(self.store().read(), graph_id).await?;
        self.snapshot_of(self.store().read(), graph_id, id).await
    }

    /// Snapshots, newest first, of one graph or of all.
    ///
    /// # Errors
    /// There is no such graph.
    pub async fn list_snapshots(&self, wanted: &SnapshotFilter, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        if let Some(graph_id) = &wanted.graph_id {
            self.find_graph(self.store().read(), graph_id).await?;
        }
        Ok(snapshots::list(self.store().read(), wanted, page).await?)
    }

    /// Queues the deletion of a snapshot.
    ///
    /// # Errors
    /// No such snapshot; it is still being taken, pinned or held.
    pub async fn delete_snapshot(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        snapshot_id: &str,
        request_id: Option<&str>,
    ) -> Result<OperationRow, Error> {
        let body = [graph_id.as_str(), snapshot_id];
        let request = Request { request_id, action: "DeleteSnapshot", body: &body };
        // Asked again, the snapshot is gone already: then the first request's operation is the answer.
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operation_of(self.store().read(), &first).await;
        }
        let snapshot = self.get_snapshot(graph_id, snapshot_id).await?;
        if !snapshot.status.is_settled() {
            let message = format!("snapshot `{snapshot_id}` is still being taken, cancel operation `{}` first", snapshot.operation_id);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_IN_PROGRESS", message));
        }
        self.check_unprotected(&snapshot)?;
        self.queue_on_snapshot(caller, &snapshot, OperationKind::Delete, "{}".to_owned(), &request).await
    }

    async fn queue_on_snapshot(
        &self,
        caller: &Caller,
        snapshot: &Model,
        kind: OperationKind,
        payload: String,
        request: &Request<'_>,
    ) -> Result<OperationRow, Error> {
        let work = Work { kind, graph_id: &snapshot.graph_id, snapshot_id: Some(snapshot.snapshot_id), payload };
        self.queue(caller, &work, request).await
    }

    /// The snapshot that an operation works on.
    ///
    /// # Errors
    /// It is gone.
    pub(super) async fn snapshot_of_operation(&self, operation: &OperationRow) -> Result<Model, Error> {
        let id = subject(operation)?;
        let found = snapshots::find(self.store().read(), &operation.graph_id, id).await?;
        found.ok_or_else(|| Error::NotFound { kind: "Snapshot", id: id.to_string() })
    }
}

/// Refuses a snapshot that cannot be restored.
///
/// # Errors
/// It is not complete.
pub(super) fn check_restorable(snapshot: &Model) -> Result<(), Error> {
    if snapshot.status.is_restorable() {
        return Ok(());
    }
    let message = format!("snapshot `{}` cannot be restored: it is {}", snapshot.snapshot_id, snapshot.status);
    Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_NOT_RESTORABLE", message))
}

/// Where a snapshot lies in its repository; none for one whose row names no record.
pub(super) fn snapshot_root(snapshot: &Model) -> Option<SnapshotRoot> {
    let record = RecordId::parse(snapshot.record_id.as_deref()?)?;
    Some(SnapshotRoot { record, recorded_path: PathBuf::from(&snapshot.source_dir) })
}
