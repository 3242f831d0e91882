//! Restores: asked for and checked here, done by `restore_work`.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::operations::{report, to_json};
use super::restore_target::is_empty;
use super::restore_work::RestorePayload;
use super::snapshots::{NewSnapshot, check_restorable};
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::page::PageRequest;
use crate::domain::report::RestoreReport;
use crate::domain::tag::Tags;
use crate::domain::validate::Violations;
use crate::store::entity::graph::Model as Graph;
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
    /// Where its inputs go, as the caller wrote it; else they are not restored.
    pub inputs_target_dir: Option<String>,
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
    /// The source and the inputs of a snapshot that comes first, if there is to be one.
    pub(super) safety: Option<(String, Option<String>)>,
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
        let inputs = new.inputs_target_dir.as_deref().unwrap_or_default();
        let body = [new.graph_id.as_str(), &new.snapshot_id, &new.target_dir, force, &paths, safety, fork, inputs];
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
        let target = self.blocking(move || places.resolve_target("target_dir", &text)).await?;
        if target.to_str().is_none() {
            return Err(Error::invalid("target_dir", format_args!("is not valid UTF-8: {}", target.display())));
        }
        let snapshot = self.get_snapshot(&new.graph_id, &new.snapshot_id).await?;
        check_restorable(&snapshot)?;
        check_paths(&new.paths)?;
        let inputs_target = match &new.inputs_target_dir {
            Some(text) => Some(self.resolve_inputs_target(text, &target, &snapshot).await?),
            None => None,
        };
        let graph = self.find_graph(self.store().read(), &new.graph_id).await?;
        if let Some(fork) = &new.fork_graph_id {
            check_fork_name(&target)?;
            self.check_fork_id(fork).await?;
        }
        let (looked_at, inputs_looked_at) = (target.clone(), inputs_target.clone());
        let (target_is_empty, inputs_are_empty) =
            self.blocking(move || Ok::<_, Error>((is_empty(&looked_at), inputs_looked_at.is_none_or(|inputs| is_empty(&inputs))))).await?;
        let replaces = |own: &str, target: Option<&Path>, is_empty: bool| !is_empty && target == Some(Path::new(own));
        // Of a copy no snapshot can be taken: what stands there is kept beside it, as of any restore.
        let is_in_place = !new.graph_id.is_copy()
            && (replaces(&graph.source_dir, Some(&target), target_is_empty)
                || graph.inputs_dir.as_ref().is_some_and(|own| replaces(own, inputs_target.as_deref(), inputs_are_empty)));
        let payload = RestorePayload {
            target_dir: target,
            force: new.force,
            paths: new.paths.clone(),
            fork_graph_id: new.fork_graph_id.as_ref().map(ToString::to_string),
            inputs_target_dir: inputs_target,
            is_standby: false,
        };
        if !target_is_empty && payload.wants_new_target() {
            let message = format_args!("must be new or empty for chosen files and forks, name another: {}", new.target_dir);
            return Err(Error::invalid("target_dir", message));
        }
        if !inputs_are_empty && payload.wants_new_inputs_target() {
            return Err(Error::invalid("inputs_target_dir", "must be new or empty for forks, name another"));
        }
        self.check_places(&new.graph_id, &payload).await?;
        let safety = if new.safety_snapshot && is_in_place { self.what_is_there(graph).await? } else { None };
        Ok(Prepared { snapshot, payload, safety })
    }

    /// A graph's source and inputs, as far as they are not lost already; none without a source.
    async fn what_is_there(&self, graph: Graph) -> Result<Option<(String, Option<String>)>, Error> {
        let Graph { source_dir, inputs_dir, .. } = graph;
        let look = move || (!is_empty(Path::new(&source_dir))).then(|| (source_dir, inputs_dir.filter(|dir| Path::new(dir).is_dir())));
        self.blocking(move || Ok::<_, Error>(look())).await
    }

    async fn queue_restore(&self, caller: &Caller, prepared: &Prepared, request: &Request<'_>) -> Result<OperationRow, Error> {
        let (snapshot, graph_id) = (&prepared.snapshot, &prepared.snapshot.graph_id);
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.operation_of(&*transaction, &first).await;
        }
        self.check_not_held(&*transaction, std::slice::from_ref(graph_id)).await?;
        self.check_apart_from_failovers(&*transaction, &prepared.payload.targets()).await?;
        let mut after = self.now();
        if let Some((source, inputs)) = prepared.safety.clone() {
            let metadata = serde_json::json!({ "safety_snapshot_before_restore_of": snapshot.snapshot_id.to_string() });
            let new = NewSnapshot {
                graph_id: graph_id.clone(),
                source_dir: None,
                metadata: Some(metadata.to_string()),
                tags: Tags::default(),
                request_id: None,
            };
            let safety = self.insert_snapshot(&transaction, &new, source, inputs).await?;
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

    /// Registers what a fork has restored, in the transaction that ends it. Where the storage holds a repository of that name already,
    /// its snapshots are added.
    ///
    /// # Errors
    /// The id was taken meanwhile.
    pub(super) async fn register_fork(
        &self,
        transaction: &store::Transaction,
        operation: &OperationRow,
        payload: &RestorePayload,
        is_found_again: bool,
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
        let inputs = payload.inputs_target_dir.as_ref().map(|inputs| inputs.to_string_lossy().into_owned());
        let mut row = self.plain_graph_row(&fork, payload.target_dir.to_string_lossy().into_owned());
        row.inputs_dir = inputs;
        if let Some(original) = original {
            row.inconsistent_policy = original.inconsistent_policy;
        }
        self.insert_graph(&**transaction, row).await?;
        self.record_audit(&**transaction, &caller, "RegisterGraph", &fork, None).await?;
        if is_found_again {
            self.enqueue_reconcile(transaction, &caller, &fork).await?;
        }
        Ok(())
    }

    /// Bytes and seconds of the last restores.
    pub(super) async fn measured_restores(&self) -> Result<Vec<(f64, f64)>, Error> {
        let done =
            OperationFilter { kind: Some(OperationKind::Restore), state: Some(OperationState::Succeeded), ..OperationFilter::default() };
        let page = PageRequest { size: RESTORES_MEASURED, after: None };
        // A second attempt may have found most of the work done.
        let first = operations::list(self.store().read(), &done, &page).await?.items.into_iter().filter(|row| row.attempt == 1);
        let measured = first.filter_map(|row| {
            let (from, to) = row.started_at.zip(row.ended_at)?;
            Some((report::<RestoreReport>(&row)?.size_bytes as f64, to.since(from).as_secs_f64()))
        });
        Ok(measured.collect())
    }
}

fn check_fork_name(target: &Path) -> Result<(), Error> {
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    let message = format_args!("must end in a name of letters, digits and `_`, as LightRAG workspaces have: {}", target.display());
    Err(Error::invalid("target_dir", message))
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
