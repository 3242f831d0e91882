//! Taking a snapshot: quiet, capture, back up with the audit beside it, judge, record.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Services;
use super::error::{Error, ErrorKind};
use super::inputs::Inputs;
use super::lower_errors::SOURCE_CHANGED;
use super::manifest::Manifest;
use super::paths::Places;
use super::repository_lock::HeldLock;
use super::snapshot_record::new_record;
use crate::base::clock::Clock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::tap::Tap;
use crate::base::timestamp::Timestamp;
use crate::domain::entry::Entry;
use crate::domain::finding::{Consistency, Verdict};
use crate::domain::metric::fact::{Fact, FactKind};
use crate::domain::policy::{BusyPolicy, InconsistentPolicy};
use crate::lightrag;
use crate::lightrag::audit::{Audit, AuditCache};
use crate::lightrag::capture::{Capture, capture, wait_until_still};
use crate::lightrag::server::{Quiescence, Server, Waited};
use crate::lightrag::workspace::{Layout, Store};
use crate::repository::{self, BackupRequest, Beside, Figures, LockKind, MakeManifest, RecordId, Repository, Source, Stored};
use crate::store::entity::{graph, operation, snapshot};
use crate::store::{self, facts, operations, snapshots};

/// How often a LightRAG server is asked whether it has come to rest.
const QUIET_POLL: Duration = Duration::from_millis(500);

/// How often a source is captured anew when what was captured is broken and the source has moved on.
const CAPTURES_MAX: u32 = 5;

/// What is needed on the blocking side, and what has been made there.
struct Taken {
    stored: Stored,
    verdict: Verdict,
    captured_at: Timestamp,
}

impl Services {
    /// Takes the snapshot of an operation.
    ///
    /// # Errors
    /// Whatever keeps it from being whole; then there is no record of it.
    pub async fn run_snapshot(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let graph = self.find_graph(self.store().read(), &operation.graph_id).await?;
        let mut row = self.snapshot_of_operation(operation).await?;
        let root = self.repository_root(&operation.graph_id);
        let (services, now) = (self.clone(), self.now());
        let instance = self.settings().instance_name.clone();
        // Where there are snapshots there must be a repository: a new one would hide that its disk is not mounted.
        let parent = snapshots::find_latest(self.store().read(), &row.graph_id, &row.source_dir).await?;
        let is_known = parent.is_some() || snapshots::has_record(self.store().read(), &operation.graph_id).await?;
        let repository = self
            .blocking(move || match is_known {
                true => services.repositories().get_or_open(&root),
                false => services.repositories().get_or_init(&root, now, &instance),
            })
            .await?;
        if operation.attempt > 1 && row.data_hash.is_some() && self.adopt_record(operation, &mut row, &repository, control).await? {
            return Ok(());
        }
        let asked = Instant::now();
        let server = self.wait_until_quiet(&graph, control).await?;
        if graph.server_url.is_some() {
            let waited = Fact { amount: asked.elapsed().as_secs_f64(), ..Fact::new(FactKind::Quiesce, self.now()) };
            facts::insert(self.store().read(), waited).await?;
        }
        let parent = parent.and_then(|parent| parent.record_id).and_then(|id| RecordId::parse(&id));
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let inputs = match &row.inputs_dir {
            Some(directory) => Some(self.inputs_at(Path::new(directory)).await?),
            None => None,
        };

        let work = TakeSnapshot {
            places: self.settings().places.clone(),
            source: PathBuf::from(&row.source_dir),
            inputs,
            operation_id: operation.operation_id.to_string(),
            cache: self.audit_cache(&row.graph_id),
            repository: Arc::clone(&repository),
            lock: lock.clone(),
            parent,
            control: Arc::clone(control),
            patience: quiet_wait(&graph),
            clock: Arc::clone(self.clock()),
            manifest: Manifest {
                graph_id: row.graph_id.to_string(),
                source_dir: row.source_dir.clone(),
                inputs_dir: row.inputs_dir.clone(),
                metadata: row.metadata.clone(),
                lightrag_version: server.as_ref().and_then(|server| server.core_version.clone()),
                embedding_model: server.and_then(|server| server.embedding_model),
                ..Manifest::default()
            },
        };
        let taken = self.blocking(move || work.run()).await?;
        check_policy(&graph, &taken.verdict)?;
        fill_in(&mut row, &taken)?;
        failpoint::reach("snapshot.stored");
        self.save_figures(operation, &row).await?;
        failpoint::reach("snapshot.figures_saved");

        let record = new_record(&row, &self.settings().instance_name, parent);
        let (held, store_into) = (lock.clone(), Arc::clone(&repository));
        let record_id = self.blocking(move || store_into.write_record(&taken.stored, &record, held.lock())).await?;
        failpoint::reach("snapshot.recorded");
        row.record_id = Some(record_id.to_string());
        let retrieved = self.retrieve_from(&row, &repository, Some(lock.clone()), control).await?;
        lock.release(self).await;
        self.complete_snapshot(operation, row, retrieved, control).await
    }

    /// What the graph's server says of itself, if it has one that answers.
    async fn wait_until_quiet(&self, graph: &graph::Model, control: &Control) -> Result<Option<Quiescence>, Error> {
        let Some(url) = &graph.server_url else { return Ok(None) };
        control.begin_stage("wait", 0);
        let server = Server::new(url, self.server_api_key(graph).await?)?;
        let (error, told) = match server.wait_until_quiet(quiet_wait(graph), QUIET_POLL, control).await {
            Ok(Waited::Quiet(told)) => return Ok(Some(told)),
            Ok(Waited::StillBusy { why, last }) => {
                let message = format!("the LightRAG server of graph `{}` is still busy: {why}", graph.graph_id);
                (Error::refused(ErrorKind::FailedPrecondition, "SERVER_BUSY", message), Some(last))
            }
            Err(error) => (Error::from(error), None),
        };
        if graph.busy_policy == BusyPolicy::Fail || error.kind() == ErrorKind::Cancelled {
            return Err(error);
        }
        tracing::warn!(graph_id = graph.graph_id.as_str(), why = error.chain(), "the snapshot does not wait any longer");
        Ok(told)
    }

    /// Confirms the lease, since who has lost it writes no record, and keeps what is known of the content: an operation that is
    /// interrupted right after the record needs no second reading.
    async fn save_figures(&self, operation: &operation::Model, row: &snapshot::Model) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        operations::confirm(&*transaction, operation).await?;
        snapshots::update(&*transaction, row.clone()).await?;
        Ok(store::commit(transaction).await?)
    }
}

/// How long a snapshot waits for LightRAG to come to rest.
fn quiet_wait(graph: &graph::Model) -> Duration {
    Duration::from_secs(u64::try_from(graph.quiet_wait_seconds).unwrap_or(0))
}

fn check_policy(graph: &graph::Model, verdict: &Verdict) -> Result<(), Error> {
    if verdict.consistency != Consistency::Inconsistent || graph.inconsistent_policy == InconsistentPolicy::Keep {
        return Ok(());
    }
    let findings: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    let message = format!("the source contradicts itself and the graph's policy is to fail: {}", findings.join("; "));
    Err(Error::refused(ErrorKind::FailedPrecondition, "SOURCE_INCONSISTENT", message))
}

fn fill_in(row: &mut snapshot::Model, taken: &Taken) -> Result<(), Error> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let json = |error| Error::internal("write an audit's findings", error);
    let (stored, census) = (&taken.stored, &taken.verdict.census);
    row.captured_at = Some(taken.captured_at);
    row.data_hash = Some(hex::encode(stored.data_hash));
    row.files = count(stored.files);
    row.size_bytes = count(stored.size_bytes);
    row.stored_bytes = count(stored.added_bytes);
    row.inputs_files = stored.beside.map(|inputs| count(inputs.files));
    row.inputs_size_bytes = stored.beside.map(|inputs| count(inputs.size_bytes));
    row.inputs_data_hash = stored.beside.map(|inputs| hex::encode(inputs.data_hash));
    row.consistency = Some(taken.verdict.consistency.as_str().to_owned());
    row.findings = Some(serde_json::to_string(&taken.verdict.findings).map_err(json)?);
    row.documents = count(census.documents);
    row.chunks = count(census.chunks);
    row.entities = count(census.entities);
    row.relations = count(census.relations);
    row.vectors = count(census.vectors);
    row.documents_in_flight = count(taken.verdict.documents_in_flight);
    row.lightrag_layout = taken.verdict.layout.map(|layout| layout.as_str().to_owned());
    Ok(())
}

/// The blocking part: from the source to stored blobs and a verdict.
struct TakeSnapshot {
    places: Places,
    source: PathBuf,
    inputs: Option<Inputs>,
    operation_id: String,
    cache: AuditCache,
    repository: Arc<Repository>,
    lock: HeldLock,
    parent: Option<RecordId>,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    /// How long all captures together wait for a source that is written in place.
    patience: Duration,
    /// What is known before the capture.
    manifest: Manifest,
}

impl TakeSnapshot {
    fn run(&self) -> Result<Taken, Error> {
        let (mut captures, mut patience) = (0, self.patience);
        loop {
            captures += 1;
            if captures > 1 {
                self.control.begin_stage("wait", 0);
                wait_until_still(&self.source, &mut patience, &self.control)?;
            }
            self.control.begin_stage("capture", 0);
            self.places.check_source_again(&self.source)?;
            if let Some(inputs) = &self.inputs {
                self.places.check_inputs_again(&inputs.directory)?;
            }
            let captured_at = self.clock.now();
            let captured = capture(&self.source, &self.operation_id, &self.control)?;
            failpoint::reach("snapshot.captured");
            if !captured.settled() {
                tracing::warn!(source = %self.source.display(), "the source never stood still, its documents in flight are captured as they were seen");
            }
            let taken = match self.back_up(&captured, captured_at) {
                // A file that is written in place: a moment later it stands still, and what is stored is not stored again.
                Err(error) if error.reason() == SOURCE_CHANGED && captures < CAPTURES_MAX => continue,
                result => result?,
            };
            let broken = taken.verdict.consistency == Consistency::Inconsistent;
            let again = broken && captures < CAPTURES_MAX && captured.source_has_changed()?;
            captured.finish()?;
            if !again {
                return Ok(taken);
            }
        }
    }

    fn back_up(&self, captured: &Capture, captured_at: Timestamp) -> Result<Taken, Error> {
        if *captured.layout() == Layout::Plain {
            let skip = |path: &Path| Capture::skips(path);
            let source = Source::Directory { root: &self.source, skip: &skip };
            let verdict = Verdict::not_applicable();
            let manifest = |source: &Figures, inputs: Option<&Figures>| self.manifest(source, inputs, captured, &verdict).map(Some);
            let stored = self.store(source, &|_| None, &manifest)?;
            return Ok(Taken { stored, verdict, captured_at });
        }
        let audit = Audit::new(Some(&self.cache));
        let judged = Mutex::new(None);
        // Asked when everything is stored and the audit has seen it all: the verdict becomes part of the snapshot.
        let manifest = |source: &Figures, inputs: Option<&Figures>| {
            self.control.begin_stage("audit", 0);
            let verdict = audit.finish(captured.entries(), &self.control).map_err(not_made)?;
            let bytes = self.manifest(source, inputs, captured, &verdict)?;
            *judged.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
            Ok(Some(bytes))
        };
        let stored = self.store(Source::Listed(captured.entries()), &|entry| audit.tap(entry), &manifest);
        let stored = stored.map_err(|error| made_again(name_in_source(error, captured)))?;
        let verdict = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdict.ok_or_else(|| Error::internal("judge a capture", "the engine has not asked for its manifest"))?;
        Ok(Taken { stored, verdict, captured_at })
    }

    fn manifest(
        &self,
        source: &Figures,
        inputs: Option<&Figures>,
        captured: &Capture,
        verdict: &Verdict,
    ) -> Result<Vec<u8>, repository::Error> {
        let store_files = captured.entries().iter().filter(|entry| Store::of_path(&entry.path).is_some());
        let manifest = Manifest {
            files: source.files,
            size_bytes: source.size_bytes,
            data_hash: hex::encode(source.data_hash),
            inputs_files: inputs.map(|inputs| inputs.files),
            inputs_size_bytes: inputs.map(|inputs| inputs.size_bytes),
            inputs_data_hash: inputs.map(|inputs| hex::encode(inputs.data_hash)),
            lightrag_layout: verdict.layout.map(|layout| layout.as_str().to_owned()),
            embedding_dimension: verdict.embedding_dimension,
            storages: store_files.map(|entry| entry.path.display().to_string()).collect(),
            verdict: Some(verdict.clone()),
            ..self.manifest.clone()
        };
        manifest.to_bytes().map_err(not_made)
    }

    fn store(
        &self,
        source: Source<'_>,
        tap: &(dyn Fn(&Entry) -> Option<Tap> + Sync),
        manifest: MakeManifest<'_>,
    ) -> Result<Stored, repository::Error> {
        // They are read after the capture of the stores, whatever the order of paths: a document of the capture has its upload.
        let skip = |path: &Path| self.inputs.as_ref().is_some_and(|inputs| inputs.skips(path));
        let beside = self
            .inputs
            .as_ref()
            .map(|inputs| Beside { source: Source::Directory { root: &inputs.directory, skip: &skip }, recorded_path: &inputs.directory });
        let (recorded_path, parent, manifest) = (self.source.as_path(), self.parent, Some(manifest));
        let request = BackupRequest { source, recorded_path, beside, parent, tap, manifest, control: &self.control };
        match self.repository.back_up(&request, self.lock.lock()) {
            // It went away since its directory was listed: LightRAG moves an upload when it has parsed it.
            Err(repository::Error::SourceUnreadable { path, source }) if source.kind() == NotFound => {
                Err(repository::Error::SourceChanged { path })
            }
            result => result,
        }
    }
}

/// What keeps the manifest from being made, on its way through the engine.
fn not_made(error: impl std::error::Error + Send + Sync + 'static) -> repository::Error {
    repository::Error::ManifestNotMade { source: Box::new(error) }
}

/// The audit's own error, which came through the engine.
fn made_again(error: repository::Error) -> Error {
    match error {
        repository::Error::ManifestNotMade { source } => match source.downcast::<lightrag::Error>() {
            Ok(error) => (*error).into(),
            Err(source) => Error::internal("make a snapshot's manifest", source),
        },
        error => error.into(),
    }
}

/// Names a file as its owner knows it: the engine read it in the staging directory.
fn name_in_source(mut error: repository::Error, captured: &Capture) -> repository::Error {
    if let repository::Error::SourceChanged { path } | repository::Error::SourceUnreadable { path, .. } = &mut error
        && let Some(entry) = captured.entries().iter().find(|entry| entry.read_from == *path)
    {
        *path = captured.source().join(&entry.path);
    }
    error
}
