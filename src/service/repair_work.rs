//! Repairing a repository: what can be read is kept, what is damaged is set aside, what is lost is looked for in the source, and
//! snapshots that lack content are named and marked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Services;
use super::error::Error;
use super::lost_records::{self, Root};
use super::operations::{payload, to_json};
use super::repositories::RepairWish;
use super::repository_lock::HeldLock;
use super::snapshot_work::snapshot_tag;
use crate::base::control::Control;
use crate::base::ids::SnapshotId;
use crate::domain::report::{LostContent, RepairReport};
use crate::lightrag::capture::{Capture, capture};
use crate::lightrag::workspace::Layout;
use crate::repository::{BackupRequest, LockKind, Loss, Repaired, Repository, Source};
use crate::store::entity::operation;
use crate::store::entity::snapshot::Model;
use crate::store::{operations, snapshots};

/// Why a snapshot has failed whose record could not be found again.
const RECORD_LOST: &str = "its record is damaged or gone, and nothing else in the repository tells what it held";

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
        let (now, instance_name) = (self.now(), self.settings().instance_name.clone());
        let host = instance_name.clone();
        let repository = self.blocking(move || services.repositories().open_for_repair(&root, now, &host)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Exclusive, control).await?;
        let sources = if with_source { self.sources(&graph.source_dir, &rows).await } else { Vec::new() };
        let work = Repair {
            repository,
            lock: lock.clone(),
            sources,
            rows,
            instance_name,
            operation_id: operation.operation_id.to_string(),
            control: Arc::clone(control),
        };
        let Done { repaired, restored_bytes, losses, rows, recorded, recovered } = self.blocking(move || work.run()).await?;
        lock.release(self).await;
        // Whoever has it open knows the index as it was.
        self.repositories().forget(&self.repository_root(&operation.graph_id));
        operations::confirm(self.store().read(), operation).await?;
        for row in rows.iter().filter(|row| recorded.contains(&row.snapshot_id)) {
            snapshots::update(self.store().read(), row.clone()).await?;
        }
        let mut report = RepairReport {
            index_rebuilt: repaired.index_rebuilt,
            saved_blobs: i64::try_from(repaired.blobs_saved).unwrap_or(i64::MAX),
            restored_bytes: i64::try_from(restored_bytes).unwrap_or(i64::MAX),
            recovered_snapshot_ids: recovered.iter().map(ToString::to_string).collect(),
            written_anew: repaired.written_anew,
            ..RepairReport::default()
        };
        let Repaired { packs_set_aside, index_files_set_aside, records_set_aside, others_set_aside, .. } = repaired;
        let set_aside = [packs_set_aside, index_files_set_aside, records_set_aside, others_set_aside];
        report.set_aside = set_aside.into_iter().flatten().collect();
        self.mark_losses(&rows, &losses, &mut report).await?;
        for row in rows.iter().filter(|row| row.status.is_restorable() && row.record_id.is_none()) {
            snapshots::update_record_lost(self.store().read(), row.snapshot_id, RECORD_LOST).await?;
            report.lost_snapshot_ids.push(row.snapshot_id.to_string());
        }
        self.finish_with(operation, &report, control).await
    }

    /// The directories that lost content may be found in: those that are there and may be read.
    async fn sources(&self, registered: &str, rows: &[Model]) -> Vec<PathBuf> {
        let known: BTreeSet<&str> = rows.iter().map(|row| row.source_dir.as_str()).chain([registered]).collect();
        let mut sources = Vec::new();
        for source in known {
            if let Ok(resolved) = self.resolve_source(source.to_owned()).await {
                sources.push(PathBuf::from(resolved));
            }
        }
        sources
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

/// What the blocking part has done.
struct Done {
    repaired: Repaired,
    restored_bytes: u64,
    losses: Vec<Loss>,
    /// The rows with the records that they have now; without one if it is lost.
    rows: Vec<Model>,
    /// Those with another record than before.
    recorded: BTreeSet<SnapshotId>,
    /// Those of them whose record was lost.
    recovered: BTreeSet<SnapshotId>,
}

/// The blocking part.
struct Repair {
    repository: Arc<Repository>,
    lock: HeldLock,
    sources: Vec<PathBuf>,
    rows: Vec<Model>,
    instance_name: String,
    operation_id: String,
    control: Arc<Control>,
}

impl Repair {
    fn run(mut self) -> Result<Done, Error> {
        let repaired = self.repository.repair(&self.control, self.lock.lock())?;
        let mut roots = lost_records::roots(&self.repository, &self.control, self.lock.lock())?;
        let mut recovered = self.find_records(&roots)?;
        let mut losses = self.repository.find_losses(&self.control, self.lock.lock())?;
        let mut restored_bytes = 0;
        for source in &self.sources {
            if losses.is_empty() {
                break;
            }
            match self.store_again(source) {
                Ok((bytes, root)) => {
                    restored_bytes += bytes;
                    roots.push(root);
                }
                Err(error) => {
                    self.control.go_on()?;
                    // The repair is whole without it: the source may be gone, or be written to all the time.
                    tracing::warn!(source = %source.display(), error = error.chain(), "lost content is not looked for in a source");
                }
            }
            losses = self.repository.find_losses(&self.control, self.lock.lock())?;
        }
        let replaced = self.replace_trees(&losses, &roots)?;
        if !replaced.is_empty() {
            losses = self.repository.find_losses(&self.control, self.lock.lock())?;
            recovered.extend(replaced);
        }
        let mut recorded = recovered.clone();
        let (manifests, losses): (Vec<Loss>, Vec<Loss>) = losses.into_iter().partition(Loss::is_manifest_only);
        for loss in manifests {
            let record = self.repository.drop_manifest(&loss.record, self.lock.lock())?;
            for row in self.rows.iter_mut().filter(|row| is_record_of(row, &loss)) {
                row.record_id = Some(record.to_string());
                recorded.insert(row.snapshot_id);
            }
        }
        Ok(Done { repaired, restored_bytes, losses, rows: self.rows, recorded, recovered })
    }

    /// Finds lost records again: one that bears the snapshot's tag, as an earlier attempt or restic wrote it, or a root that holds the
    /// same. Takes from the rows those that cannot be found. Gives the snapshots of the others.
    fn find_records(&mut self, roots: &[Root]) -> Result<BTreeSet<SnapshotId>, Error> {
        let lost: BTreeSet<SnapshotId> =
            lost_records::without_record(&self.repository, &self.rows)?.into_iter().map(|row| row.snapshot_id).collect();
        let mut found = BTreeSet::new();
        for row in self.rows.iter_mut().filter(|row| lost.contains(&row.snapshot_id)) {
            let mut record = self.repository.find_record_by_tag(&snapshot_tag(row))?.map(|record| record.id);
            if record.is_none() {
                record = lost_records::record_again(&self.repository, row, roots, &self.instance_name, self.lock.lock())?;
            }
            row.record_id = record.map(|record| record.to_string());
            found.extend(record.is_some().then_some(row.snapshot_id));
        }
        Ok(found)
    }

    /// Records snapshots of which directories are lost by another root that holds the same and is whole: that of their unchanged source,
    /// or of another snapshot.
    fn replace_trees(&mut self, losses: &[Loss], roots: &[Root]) -> Result<Vec<SnapshotId>, Error> {
        let mut lost_trees = BTreeSet::new();
        for loss in losses {
            lost_trees.insert(self.repository.record(&loss.record)?.tree.to_string());
        }
        let whole: Vec<Root> = roots.iter().filter(|root| !lost_trees.contains(&root.tree.to_string())).cloned().collect();
        let mut replaced = Vec::new();
        for loss in losses.iter().filter(|loss| loss.whole_trees > 0 && !loss.is_manifest_only()) {
            for row in self.rows.iter_mut().filter(|row| is_record_of(row, loss)) {
                let record = lost_records::record_again(&self.repository, row, &whole, &self.instance_name, self.lock.lock())?;
                let Some(record) = record else { continue };
                self.repository.remove_record(&loss.record, self.lock.lock())?;
                row.record_id = Some(record.to_string());
                replaced.push(row.snapshot_id);
            }
        }
        Ok(replaced)
    }

    /// Stores a source without a record: whatever of it the repository has lost is there again. Gives the bytes, and the root that it has.
    fn store_again(&self, source: &Path) -> Result<(u64, Root), Error> {
        self.control.begin_stage("capture", 0);
        let captured = capture(source, &self.operation_id, &self.control)?;
        let skip = |path: &Path| Capture::skips(path);
        let from = match captured.layout() {
            Layout::Plain => Source::Directory { root: source, skip: &skip },
            Layout::LightRag { .. } => Source::Listed(captured.entries()),
        };
        let request =
            BackupRequest { source: from, recorded_path: source, parent: None, tap: &|_| None, manifest: None, control: &self.control };
        let stored = self.repository.back_up(&request, self.lock.lock())?;
        captured.finish()?;
        let source_dir = source.to_string_lossy().into_owned();
        Ok((stored.added_bytes, Root { tree: stored.tree, data_hash: hex::encode(stored.data_hash), source_dir, metadata: None }))
    }
}
