//! Repairing a repository: what can be read is kept, what is damaged is set aside, what is lost is looked for in the source, and
//! snapshots that lack content are named and marked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::inputs::Inputs;
use super::lost_records::{self, Held, Recorder, Replacement, Root};
use super::operations::{payload, to_json};
use super::repositories::RepairWish;
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::entry::Entry;
use crate::domain::page::PageRequest;
use crate::domain::report::{LostContent, RepairReport};
use crate::lightrag::capture::{Capture, capture};
use crate::lightrag::workspace::Layout;
use crate::repository::{BackupRequest, LockKind, Loss, RecordId, Repaired, Repository, Source, Stored};
use crate::store::entity::snapshot::Model;
use crate::store::entity::{graph, operation};
use crate::store::operations::Ending;
use crate::store::verifications::VerificationFilter;
use crate::store::{self, operations, snapshots, verifications};

impl Services {
    /// Repairs the repository of an operation.
    ///
    /// # Errors
    /// It cannot be opened at all, as without its config or keys; what is lost otherwise is in the report.
    pub async fn run_repair(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let RepairWish { with_source, with_removed } = payload(operation)?;
        let known = snapshots::list_all(self.store().read(), &operation.graph_id).await?;
        let graph = self.find_graph(self.store().read(), &operation.graph_id).await?;
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let (now, instance_name) = (self.now(), self.settings().instance_name.clone());
        let host = instance_name.clone();
        let repository = self.blocking(move || services.repositories().open_for_repair(&root, now, &host)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
        let sources = if with_source { self.sources(&graph, &known).await? } else { Vec::new() };
        let work = Repair {
            repository: Arc::clone(&repository),
            lock: lock.clone(),
            sources,
            rows: known.clone(),
            with_removed,
            instance_name,
            operation_id: operation.operation_id.to_string(),
            control: Arc::clone(control),
        };
        let Done { repaired, restored_bytes, losses } = self.blocking(move || work.run()).await?;
        // Whoever has it open knows the index as it was.
        self.repositories().forget(&self.repository_root(&operation.graph_id));
        // What this attempt, or one that was interrupted, has done to records is seen by the records themselves.
        let followed = self.follow_records(operation, &repository, &lock, control).await?;
        let rows = snapshots::list_all(self.store().read(), &operation.graph_id).await?;
        let marked = self.mark_losses(&rows, &losses, &repository, &lock, control).await?;
        lock.release(self).await;
        let is_known =
            |id: &String| known.iter().any(|row| row.snapshot_id.to_string() == *id && row.operation_id != operation.operation_id);
        let recovered =
            followed.renamed_snapshot_ids.into_iter().chain(followed.adopted_snapshot_ids.into_iter().filter(is_known)).collect();
        let Repaired { packs_set_aside, index_files_set_aside, records_set_aside, others_set_aside, .. } = repaired;
        let set_aside = [packs_set_aside, index_files_set_aside, records_set_aside, others_set_aside];
        let report = RepairReport {
            index_rebuilt: repaired.index_rebuilt,
            saved_blobs: i64::try_from(repaired.blobs_saved).unwrap_or(i64::MAX),
            restored_bytes: i64::try_from(restored_bytes).unwrap_or(i64::MAX),
            lost: losses.iter().map(|loss| lost_content(loss, &rows)).collect(),
            set_aside: set_aside.into_iter().flatten().collect(),
            lost_snapshot_ids: followed.lost_snapshot_ids,
            recovered_snapshot_ids: recovered,
            written_anew: repaired.written_anew,
        };
        let ending = Ending { result: Some(to_json(&report)?), ..Ending::succeeded() };
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        for row in marked {
            snapshots::update(&*transaction, row).await?;
        }
        Ok(store::commit(transaction).await?)
    }

    /// The directories that lost content may be found in: those that are there and may be read.
    async fn sources(&self, graph: &graph::Model, rows: &[Model]) -> Result<Vec<Live>, Error> {
        let known: BTreeSet<&String> = rows.iter().map(|row| &row.source_dir).chain([&graph.source_dir]).collect();
        let mut sources = Vec::new();
        for source in known.into_iter().filter(|source| !source.is_empty()) {
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

    /// The rows that are to change: of the snapshots that lack content now, and of those that are whole again.
    async fn mark_losses(
        &self,
        rows: &[Model],
        losses: &[Loss],
        repository: &Arc<Repository>,
        lock: &HeldLock,
        control: &Arc<Control>,
    ) -> Result<Vec<Model>, Error> {
        let mut marked = Vec::new();
        for row in rows.iter().filter(|row| row.status.is_restorable()) {
            let mut row = row.clone();
            match losses.iter().find(|loss| is_record_of(&row, loss)) {
                Some(loss) => row.losses = Some(to_json(&lines(loss))?),
                None if row.losses.is_some() || row.verified_passed == Some(false) => {
                    self.mark_healed(&mut row, repository, lock, control).await?;
                }
                None => continue,
            }
            marked.push(row);
        }
        Ok(marked)
    }

    /// Takes the marks from a snapshot that lacks nothing. A repair reads everything, so damage that a verification found before it is
    /// no more; whether all else is as it must be, the next verification says. One that failed for what the stores say of each other,
    /// or whose content is other than what was saved, has failed still.
    async fn mark_healed(
        &self,
        row: &mut Model,
        repository: &Arc<Repository>,
        lock: &HeldLock,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        let Some(id) = row.record_id.as_deref().and_then(RecordId::parse) else { return Ok(()) };
        let reader = Arc::clone(repository);
        let record = self.blocking(move || reader.record(&id)).await?;
        let (_, looked) = self.look_at(repository, lock, record, control).await?;
        let is_as_saved = row.data_hash.is_none() || looked.agrees_with(row);
        looked.fill_in(row)?;
        if row.verified_passed == Some(false) && row.losses.is_none() && is_as_saved && self.was_damaged(row).await? {
            (row.verified_at, row.verified_level, row.verified_passed) = (None, None, None);
        }
        Ok(())
    }

    /// Whether the last verification of a snapshot that failed named damage.
    async fn was_damaged(&self, row: &Model) -> Result<bool, Error> {
        let (failed, one) = (VerificationFilter { passed: Some(false), level: None }, PageRequest { size: 1, after: None });
        let last = verifications::list(self.store().read(), row.snapshot_id, failed, &one).await?;
        let problems = last.items.first().and_then(|last| serde_json::from_str::<Vec<String>>(&last.problems).ok());
        Ok(problems.is_none_or(|problems| !problems.is_empty()))
    }
}

fn lost_content(loss: &Loss, rows: &[Model]) -> LostContent {
    LostContent {
        snapshot_id: rows.iter().find(|row| is_record_of(row, loss)).map(|row| row.snapshot_id.to_string()).unwrap_or_default(),
        record_id: loss.record.to_string(),
        files: i64::try_from(loss.files).unwrap_or(i64::MAX),
        examples: loss.examples.clone(),
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
}

/// The blocking part.
struct Repair {
    repository: Arc<Repository>,
    lock: HeldLock,
    sources: Vec<Live>,
    rows: Vec<Model>,
    with_removed: bool,
    instance_name: String,
    operation_id: String,
    control: Arc<Control>,
}

impl Repair {
    fn run(&self) -> Result<Done, Error> {
        let lock = self.lock.lock();
        let repaired = self.repository.repair(&self.control, lock)?;
        let recorder = Recorder {
            repository: &self.repository,
            rows: &self.rows,
            with_removed: self.with_removed,
            instance_name: &self.instance_name,
            control: &self.control,
            lock,
        };
        let mut roots = lost_records::roots(&self.repository, &self.control, lock)?;
        let mut is_complete = recorder.record_lost(&roots)?;
        let mut losses = self.repository.find_losses(&self.control, lock)?;
        let mut restored_bytes = 0;
        for source in &self.sources {
            if is_complete && losses.is_empty() {
                break;
            }
            match self.store_again(source) {
                Ok((bytes, root)) => {
                    restored_bytes += bytes;
                    roots.extend(root);
                }
                Err(error) => {
                    self.control.go_on()?;
                    // The repair is whole without it: the source may be gone, or be written to all the time.
                    tracing::warn!(source = %source.directory().display(), error = error.chain(), "lost content is not looked for in a source");
                }
            }
            is_complete = recorder.record_lost(&roots)?;
            losses = self.repository.find_losses(&self.control, lock)?;
        }
        let losses = self.replace_trees(recorder, losses, &roots)?;
        let (manifests, losses): (Vec<Loss>, Vec<Loss>) = losses.into_iter().partition(Loss::is_manifest_only);
        for loss in manifests {
            self.repository.drop_manifest(&loss.record, lock)?;
            failpoint::reach("repair.manifest_dropped");
        }
        Ok(Done { repaired, restored_bytes, losses })
    }

    /// Has snapshots of which directories are lost recorded by other trees, where these are whole. Gives what is lost then.
    fn replace_trees(&self, recorder: Recorder<'_>, losses: Vec<Loss>, roots: &[Root]) -> Result<Vec<Loss>, Error> {
        let replacements = recorder.replace_trees(&losses, roots)?;
        if replacements.is_empty() {
            return Ok(losses);
        }
        failpoint::reach("repair.trees_replaced");
        let mut losses = self.repository.find_losses(&self.control, self.lock.lock())?;
        for Replacement { old, new } in replacements {
            let is_worse = losses.iter().any(|loss| loss.record == new);
            let removed = if is_worse { new } else { old };
            self.repository.remove_record(&removed, self.lock.lock())?;
            losses.retain(|loss| loss.record != removed);
        }
        Ok(losses)
    }

    /// Stores a source without a record: whatever of it the repository has lost is there again. Gives the bytes, and the root that a
    /// source has now.
    fn store_again(&self, source: &Live) -> Result<(u64, Option<Root>), Error> {
        self.control.begin_stage("capture", 0);
        let source = match source {
            Live::Source(source) => source,
            Live::Inputs(inputs) => {
                let skip = |path: &Path| inputs.skips(path);
                let stored = self.store(Source::Directory { root: &inputs.directory, skip: &skip }, &inputs.directory)?;
                return Ok((stored.added_bytes, None));
            }
        };
        let captured = capture(source, &self.operation_id, &self.control)?;
        let skip = |path: &Path| Capture::skips(path);
        let from = match captured.layout() {
            Layout::Plain => Source::Directory { root: source, skip: &skip },
            Layout::LightRag { .. } => Source::Listed(captured.entries()),
        };
        let stored = self.store(from, source)?;
        captured.finish()?;
        let held = Held { directory: source.to_string_lossy().into_owned(), data_hash: hex::encode(stored.data_hash) };
        Ok((stored.added_bytes, Some(Root { tree: stored.tree, source: held, inputs: None, metadata: None })))
    }

    fn store(&self, source: Source<'_>, recorded_path: &Path) -> Result<Stored, Error> {
        let (tap, control) = (&|_: &Entry| None, self.control.as_ref());
        let request = BackupRequest { source, recorded_path, beside: None, parent: None, tap, manifest: None, control };
        Ok(self.repository.back_up(&request, self.lock.lock())?)
    }
}
