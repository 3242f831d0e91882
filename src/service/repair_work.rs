//! Repairing a repository: what can be read is kept, what is damaged is set aside, what is lost is looked for in the source, and
//! snapshots that lack content are named and marked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::inputs::Inputs;
use super::operations::{payload, to_json};
use super::repositories::RepairWish;
use super::repository_lock::HeldLock;
use super::snapshot_work::snapshot_tag;
use crate::base::control::Control;
use crate::domain::entry::Entry;
use crate::domain::report::{LostContent, RepairReport};
use crate::lightrag::capture::{Capture, capture};
use crate::lightrag::workspace::Layout;
use crate::repository::{BackupRequest, LockKind, Loss, RecordId, Repaired, Repository, Source};
use crate::store::entity::snapshot::Model;
use crate::store::entity::{graph, operation};
use crate::store::{operations, snapshots};

/// What a snapshot has lost whose record is damaged.
const RECORD_DAMAGED: &str = "its record is damaged and was set aside";

impl Services {
    /// Repairs the repository of an operation.
    ///
    /// # Errors
    /// It cannot be opened at all, as without its config or keys; what is lost otherwise is in the report.
    pub async fn run_repair(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let RepairWish { with_source } = payload(operation)?;
        let rows = snapshots::list_all(self.store().read(), &operation.graph_id).await?;
        let graph = self.find_graph(self.store().read(), &operation.graph_id).await?;
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let repository = self.blocking(move || services.repositories().open_damaged(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
        let sources = if with_source { self.sources(&graph, &rows).await? } else { Vec::new() };
        let work = Repair {
            repository,
            lock: lock.clone(),
            sources,
            operation_id: operation.operation_id.to_string(),
            control: Arc::clone(control),
        };
        let Done { repaired, restored_bytes, losses, renamed } = self.blocking(move || work.run()).await?;
        lock.release(self).await;
        // Whoever has it open knows the index as it was.
        self.repositories().forget(&self.repository_root(&operation.graph_id));
        operations::confirm(self.store().read(), operation).await?;
        for (old, new) in renamed {
            if let Some(row) = rows.iter().find(|row| row.record_id.as_deref() == Some(&old.to_string())) {
                snapshots::update(self.store().read(), Model { record_id: Some(new.to_string()), ..row.clone() }).await?;
            }
        }
        let mut report = RepairReport {
            index_rebuilt: repaired.index_rebuilt,
            saved_blobs: i64::try_from(repaired.blobs_saved).unwrap_or(i64::MAX),
            restored_bytes: i64::try_from(restored_bytes).unwrap_or(i64::MAX),
            ..RepairReport::default()
        };
        let set_aside = [repaired.packs_set_aside, repaired.index_files_set_aside, repaired.records_set_aside.clone()];
        report.set_aside = set_aside.into_iter().flatten().collect();
        self.mark_losses(&rows, &losses, &mut report).await?;
        for row in rows.iter().filter(|row| row.status.is_restorable()) {
            if row.record_id.as_ref().is_some_and(|record| repaired.records_set_aside.contains(record)) {
                snapshots::update_record_lost(self.store().read(), row.snapshot_id, RECORD_DAMAGED).await?;
                report.lost_snapshot_ids.push(row.snapshot_id.to_string());
            }
        }
        self.finish_with(operation, &report, control).await
    }

    /// The directories that lost content may be found in: those that are there and may be read.
    async fn sources(&self, graph: &graph::Model, rows: &[Model]) -> Result<Vec<Live>, Error> {
        let known: BTreeSet<&String> = rows.iter().map(|row| &row.source_dir).chain([&graph.source_dir]).collect();
        let mut sources = Vec::new();
        for source in known {
            if let Ok(resolved) = self.resolve_source(source.clone()).await {
                sources.push(Live::Source(PathBuf::from(resolved)));
            }
        }
        let known: BTreeSet<&String> = rows.iter().flat_map(|row| &row.inputs_dir).chain(&graph.inputs_dir).collect();
        for directory in known {
            let (places, inputs) = (self.settings().places.clone(), self.inputs_at(Path::new(directory)).await?);
            let checked = inputs.directory.clone();
            if self.blocking(move || places.check_inputs_again(&checked)).await.is_ok() {
                sources.push(Live::Inputs(inputs));
            }
        }
        Ok(sources)
    }

    /// Marks the snapshots that lack content now, and takes the mark from those that are whole again.
    async fn mark_losses(&self, rows: &[Model], losses: &[Loss], report: &mut RepairReport) -> Result<(), Error> {
        let named = |row: &Model| losses.iter().find(|loss| loss.tags.contains(&snapshot_tag(row)) || is_record_of(row, loss));
        for row in rows.iter().filter(|row| row.record_id.is_some()) {
            let lines = match named(row) {
                Some(loss) => Some(to_json(&lines(loss))?),
                None => None,
            };
            if lines != row.losses {
                snapshots::update_losses(self.store().read(), row.snapshot_id, lines).await?;
            }
        }
        report.lost = losses
            .iter()
            .map(|loss| LostContent {
                snapshot_id: rows.iter().find(|row| is_record_of(row, loss)).map(|row| row.snapshot_id.to_string()).unwrap_or_default(),
                record_id: loss.record.to_string(),
                files: i64::try_from(loss.files).unwrap_or(i64::MAX),
                examples: loss.examples.clone(),
            })
            .collect();
        Ok(())
    }
}

fn is_record_of(row: &Model, loss: &Loss) -> bool {
    row.record_id.as_deref() == Some(&loss.record.to_string())
}

fn lines(loss: &Loss) -> Vec<String> {
    let mut lines = Vec::new();
    if loss.whole_trees > 0 {
        lines.push(format!("{} directories cannot be read", loss.whole_trees));
    }
    if loss.files > 0 {
        lines.push(format!("{} files lack content", loss.files));
    }
    lines.extend(loss.examples.iter().cloned());
    lines
}

/// A directory that lost content may be found in.
enum Live {
    Source(PathBuf),
    Inputs(Inputs),
}

impl Live {
    fn directory(&self) -> &Path {
        match self {
            Self::Source(directory) => directory,
            Self::Inputs(inputs) => &inputs.directory,
        }
    }
}

/// What the blocking part has done.
struct Done {
    repaired: Repaired,
    restored_bytes: u64,
    losses: Vec<Loss>,
    /// Records that were written anew without their manifests.
    renamed: Vec<(RecordId, RecordId)>,
}

/// The blocking part.
struct Repair {
    repository: Arc<Repository>,
    lock: HeldLock,
    sources: Vec<Live>,
    operation_id: String,
    control: Arc<Control>,
}

impl Repair {
    fn run(&self) -> Result<Done, Error> {
        let repaired = self.repository.repair(&self.control, self.lock.lock())?;
        let mut losses = self.repository.find_losses(&self.control, self.lock.lock())?;
        let mut restored_bytes = 0;
        for source in &self.sources {
            if losses.is_empty() {
                break;
            }
            match self.store_again(source) {
                Ok(bytes) => restored_bytes += bytes,
                Err(error) => {
                    self.control.go_on()?;
                    // The repair is whole without it: the source may be gone, or be written to all the time.
                    tracing::warn!(source = %source.directory().display(), error = error.chain(), "lost content is not looked for in a source");
                }
            }
            losses = self.repository.find_losses(&self.control, self.lock.lock())?;
        }
        let (manifests, losses): (Vec<Loss>, Vec<Loss>) = losses.into_iter().partition(Loss::is_manifest_only);
        let mut renamed = Vec::new();
        for loss in manifests {
            renamed.push((loss.record, self.repository.drop_manifest(&loss.record, self.lock.lock())?));
        }
        Ok(Done { repaired, restored_bytes, losses, renamed })
    }

    /// Stores a source without a record: whatever of it the repository has lost is there again.
    fn store_again(&self, source: &Live) -> Result<u64, Error> {
        self.control.begin_stage("capture", 0);
        let source = match source {
            Live::Source(source) => source,
            Live::Inputs(inputs) => {
                let skip = |path: &Path| inputs.skips(path);
                return self.store(Source::Directory { root: &inputs.directory, skip: &skip }, &inputs.directory);
            }
        };
        let captured = capture(source, &self.operation_id, &self.control)?;
        let skip = |path: &Path| Capture::skips(path);
        let from = match captured.layout() {
            Layout::Plain => Source::Directory { root: source, skip: &skip },
            Layout::LightRag { .. } => Source::Listed(captured.entries()),
        };
        let added_bytes = self.store(from, source)?;
        captured.finish()?;
        Ok(added_bytes)
    }

    fn store(&self, source: Source<'_>, recorded_path: &Path) -> Result<u64, Error> {
        let (tap, control) = (&|_: &Entry| None, self.control.as_ref());
        let request = BackupRequest { source, recorded_path, beside: None, parent: None, tap, manifest: None, control };
        Ok(self.repository.back_up(&request, self.lock.lock())?.added_bytes)
    }
}
