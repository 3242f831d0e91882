//! Restores: asked for and checked here, done by `restore_work`.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::operations::{report, to_json};
use super::restore_work::RestorePayload;
use super::snapshots::{NewSnapshot, check_restorable};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::page::PageRequest;
use crate::domain::report::RestoreReport;
use crate::domain::validate::Violations;
use crate::store::entity::operation::Model as OperationRow;
use crate::store::entity::snapshot::Model;
use crate::store::operations::OperationFilter;
use crate::store::{self, graphs, operations};

/// How many of the last restores say how fast the next will be.
const RESTORES_MEASURED: u64 = 10;

/// A snapshot that is to be put in a directory.
#[derive(Debug, Clone)]
pub struct NewRestore {
    /// Of this graph.
    pub graph_id: GraphId,
    /// This snapshot.
    pub snapshot_id: String,
    /// The directory, as the caller wrote it.
    pub target_dir: String,
    /// Even where a running LightRAG server uses it.
    pub force: bool,
    /// Only these paths below the source; all of it when empty.
    pub paths: Vec<PathBuf>,
    /// Whether the graph is saved before it is replaced in its own place.
    pub safety_snapshot: bool,
    /// What is restored becomes a graph of its own under this id.
    pub fork_graph_id: Option<GraphId>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// A restore that may be done.
pub(super) struct Prepared {
    pub(super) snapshot: Model,
    pub(super) payload: RestorePayload,
    /// Whether a snapshot of what stands at the target comes first.
    pub(super) with_safety_snapshot: bool,
}

impl Services {
    /// Queues a restore.
    ///
    /// # Errors
    /// No such snapshot; it cannot be restored; the target is not fit.
    pub async fn restore_snapshot(&self, caller: &Caller, new: NewRestore) -> Result<OperationRow, Error> {
        let force = if new.force { "force" } else { "" };
        let paths = new.paths.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join("\0");
        let safety = if new.safety_snapshot { "" } else { "without safety snapshot" };
        let fork = new.fork_graph_id.as_ref().map(GraphId::as_str).unwrap_or_default();
        let body = [new.graph_id.as_str(), &new.snapshot_id, &new.target_dir, force, &paths, safety, fork];
        let request = Request { request_id: new.request_id.as_deref(), action: "RestoreSnapshot", body: &body };
        // Asked again, the snapshot may have gone: the first answer holds all the same.
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operation_of(self.store().read(), &first).await;
        }
        let prepared = self.prepare_restore(&new).await?;
        match self.queue_restore(caller, &prepared, &request).await {
            Err(error) if error.is_race() => self.queue_restore(caller, &prepared, &request).await,
            result => result,
        }
    }

    /// Checks a restore as far as that can be done before it is its turn.
    ///
    /// # Errors
    /// As [`Services::restore_snapshot`].
    pub(super) async fn prepare_restore(&self, new: &NewRestore) -> Result<Prepared, Error> {
        let places = self.settings().places.clone();
        let text = new.target_dir.clone();
        let target = self.blocking(move || places.resolve_target(&text)).await?;
        let Some(target_text) = target.to_str() else {
            return Err(Error::invalid("target_dir", format_args!("is not valid UTF-8: {}", target.display())));
        };
        let snapshot = self.get_snapshot(&new.graph_id, &new.snapshot_id).await?;
        check_restorable(&snapshot)?;
        check_paths(&new.paths)?;
        let graph = self.find_graph(self.store().read(), &new.graph_id).await?;
        let is_in_place = graph.source_dir == target_text;
        if let Some(fork) = &new.fork_graph_id {
            self.check_fork(fork, &target).await?;
        }
        let looked_at = target.clone();
        let is_empty = self.blocking(move || Ok::<_, Error>(is_empty(&looked_at))).await?;
        if !is_empty && (!new.paths.is_empty() || new.fork_graph_id.is_some()) {
            let message = format_args!("must be new or empty for chosen files and forks, name another: {}", new.target_dir);
            return Err(Error::invalid("target_dir", message));
        }
        let payload = RestorePayload {
            target_dir: target,
            force: new.force,
            paths: new.paths.clone(),
            fork_graph_id: new.fork_graph_id.as_ref().map(ToString::to_string),
        };
        Ok(Prepared { snapshot, payload, with_safety_snapshot: new.safety_snapshot && is_in_place && !is_empty })
    }

    async fn check_fork(&self, fork: &GraphId, target: &Path) -> Result<(), Error> {
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let message = format_args!("must end in a name of letters, digits and `_`, as LightRAG workspaces have: {}", target.display());
            return Err(Error::invalid("target_dir", message));
        }
        if graphs::find(self.store().read(), fork).await?.is_some() {
            let message = format!("graph `{fork}` is registered already");
            return Err(Error::refused(ErrorKind::AlreadyExists, "GRAPH_EXISTS", message));
        }
        Ok(())
    }

    async fn queue_restore(&self, caller: &Caller, prepared: &Prepared, request: &Request<'_>) -> Result<OperationRow, Error> {
        let (snapshot, graph_id) = (&prepared.snapshot, &prepared.snapshot.graph_id);
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.operation_of(&*transaction, &first).await;
        }
        let mut after = self.now();
        if prepared.with_safety_snapshot {
            let metadata = serde_json::json!({ "safety_snapshot_before_restore_of": snapshot.snapshot_id.to_string() });
            let new = NewSnapshot { graph_id: graph_id.clone(), source_dir: None, metadata: Some(metadata.to_string()), request_id: None };
            let source = prepared.payload.target_dir.to_string_lossy().into_owned();
            let safety = self.insert_snapshot(&transaction, &new, source).await?;
            self.record_audit(&*transaction, caller, "CreateSnapshot", graph_id, Some(safety.snapshot_id.to_string())).await?;
            // Operations of a graph run one after the other, in the order of their times.
            after = safety.created_at.plus(Duration::from_micros(1));
        }
        let payload = to_json(&prepared.payload)?;
        let mut operation = self.new_operation(OperationKind::Restore, graph_id, Some(snapshot.snapshot_id), payload);
        operation.created_at = operation.created_at.max(after);
        let operation = self.enqueue(&*transaction, operation).await?;
        request.remember(self, &*transaction, operation.operation_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, graph_id, Some(snapshot.snapshot_id.to_string())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(operation)
    }

    /// Registers what a fork has restored, in the transaction that ends it.
    ///
    /// # Errors
    /// The id was taken meanwhile.
    pub(super) async fn register_fork(
        &self,
        transaction: &store::Transaction,
        operation: &OperationRow,
        payload: &RestorePayload,
    ) -> Result<(), Error> {
        let Some(fork) = payload.fork_graph_id.as_deref().and_then(|id| GraphId::parse(id).ok()) else { return Ok(()) };
        let caller = Caller { name: "operation", request_id: Some(operation.operation_id.to_string()) };
        if graphs::find(&**transaction, &fork).await?.is_some() {
            let target = payload.target_dir.display();
            let message =
                format!("graph `{fork}` was registered meanwhile; the files are restored, register them under another id: {target}");
            return Err(Error::refused(ErrorKind::AlreadyExists, "GRAPH_EXISTS", message));
        }
        let original = graphs::find(&**transaction, &operation.graph_id).await?;
        let mut row = self.plain_graph_row(&fork, payload.target_dir.to_string_lossy().into_owned());
        if let Some(original) = original {
            row.inconsistent_policy = original.inconsistent_policy;
        }
        self.insert_graph(&**transaction, row).await?;
        self.record_audit(&**transaction, &caller, "RegisterGraph", &fork, None).await
    }

    /// How many bytes a second the last restores have made; none before the first.
    pub(super) async fn measured_restore_rate(&self) -> Result<Option<f64>, Error> {
        let done = OperationFilter { kind: Some(OperationKind::Restore), state: Some(OperationState::Succeeded), graph_id: None };
        let page = PageRequest { size: RESTORES_MEASURED, after: None };
        let (mut bytes, mut seconds) = (0.0, 0.0);
        for row in operations::list(self.store().read(), &done, &page).await?.items {
            if let (Some(report), Some((from, to))) = (report::<RestoreReport>(&row), row.started_at.zip(row.ended_at)) {
                bytes += report.size_bytes as f64;
                seconds += to.since(from).as_secs_f64();
            }
        }
        Ok((bytes > 0.0 && seconds > 0.0).then(|| bytes / seconds))
    }
}

fn check_paths(paths: &[PathBuf]) -> Result<(), Error> {
    let mut violations = Violations::default();
    for (number, path) in paths.iter().enumerate() {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if path.as_os_str().is_empty() || !plain {
            let message = format_args!("must be relative to the snapshot's source, without `.` and `..`: {}", path.display());
            violations.add(&format!("paths[{number}]"), message);
        }
    }
    Ok(violations.finish()?)
}

/// Whether nothing stands at a path, or an empty directory.
fn is_empty(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
