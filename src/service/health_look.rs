//! What is found out about a graph's source and its backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Services;
use super::drills::{reasons_of, report_of};
use super::error::Error;
use super::manifest::Manifest;
use super::repository_lock::HeldLock;
use super::snapshots::snapshot_root;
use crate::base::chain::chain;
use crate::base::control::Control;
use crate::domain::drill::DrillState;
use crate::domain::failover::FailoverState;
use crate::domain::finding::Consistency;
use crate::domain::health::{BackupFacts, SourceFacts};
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::snapshot::SnapshotStatus;
use crate::lightrag::apply::free_bytes;
use crate::lightrag::server::Server;
use crate::lightrag::watch::look;
use crate::lightrag::workspace::Store;
use crate::repository::{self, LockKind, Repository, SnapshotDepth, SnapshotRoot, VerifyRequest};
use crate::store::entity::{graph, snapshot};
use crate::store::{checkpoints, drills, failovers, fences, operations, snapshots};

/// So much of a file is read of the newest good snapshot, bytes.
const SAMPLE_BYTES: usize = 4 << 20;

/// Work that has the repository for itself.
const ALONE: [OperationKind; 5] =
    [OperationKind::Prune, OperationKind::Repair, OperationKind::Delete, OperationKind::Cleanup, OperationKind::Unregister];

/// What the rows say of a graph's snapshots.
pub(super) struct Known {
    /// The newest from which the graph can be brought back as it should be.
    newest_good: Option<snapshot::Model>,
    /// The newest that could be restored, good or not.
    newest_restorable: Option<snapshot::Model>,
    /// The newest that has ended, well or not.
    newest_ended: Option<snapshot::Model>,
}

impl Services {
    pub(super) async fn known_of(&self, graph: &graph::Model) -> Result<Known, Error> {
        let (read, graph_id) = (self.store().read(), &graph.graph_id);
        Ok(Known {
            newest_good: snapshots::find_newest_good(read, graph_id, self.now()).await?,
            newest_restorable: snapshots::find_newest_of(read, graph_id, &SnapshotStatus::RESTORABLE).await?,
            newest_ended: snapshots::find_newest_of(read, graph_id, &SnapshotStatus::SETTLED).await?,
        })
    }

    /// Looks at a source; `stores` are the store files of its newest good snapshot.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn look_at_source(&self, graph: &graph::Model, known: &Known, stores: Vec<String>) -> Result<SourceFacts, Error> {
        let same_source = known.newest_good.as_ref().filter(|snapshot| snapshot.source_dir == graph.source_dir);
        let mut facts = SourceFacts {
            snapshot_size_bytes: same_source.and_then(|snapshot| u64::try_from(snapshot.size_bytes).ok()),
            last_consistency: known.newest_ended.as_ref().and_then(consistency_of),
            server: self.ask_server(graph).await,
            failover: self.failover_of(graph).await?,
            ..SourceFacts::default()
        };
        let source = PathBuf::from(&graph.source_dir);
        facts.is_compared = same_source.is_some() && !stores.is_empty();
        let stores = if same_source.is_some() { stores } else { Vec::new() };
        let looked = self.blocking(move || {
            let seen = look(&source, &Control::default())?;
            let missing = stores.into_iter().filter(|store| !source.join(store).exists()).collect::<Vec<String>>();
            Ok::<_, Error>((seen, missing))
        });
        match looked.await {
            Ok((seen, missing)) => (facts.files, facts.size_bytes, facts.missing_stores) = (seen.files, seen.size_bytes, missing),
            Err(error) => facts.unreadable = Some(error.record().message),
        }
        Ok(facts)
    }

    /// The failover that holds a graph, and whether it is incomplete.
    async fn failover_of(&self, graph: &graph::Model) -> Result<Option<(String, bool)>, Error> {
        let held = fences::list_of(self.store().read(), std::slice::from_ref(&graph.graph_id)).await?;
        let Some(fence) = held.first() else { return Ok(None) };
        let failover = failovers::find(self.store().read(), fence.failover_id).await?;
        let is_incomplete = failover.is_some_and(|row| row.state == FailoverState::Incomplete);
        Ok(Some((fence.failover_id.to_string(), is_incomplete)))
    }

    /// Whether the graph's LightRAG server answers, where it has one.
    async fn ask_server(&self, graph: &graph::Model) -> Option<Option<String>> {
        let url = graph.server_url.as_deref()?;
        let asked = async {
            let server = Server::new(url, self.server_api_key(graph).await?)?;
            Ok::<_, Error>(server.quiescence().await?)
        };
        Some(asked.await.err().map(|error| error.record().message))
    }

    /// Looks at a graph's snapshots and their repository; gives the store files of the newest good one too.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn look_at_backup(&self, graph: &graph::Model, known: &Known) -> Result<(BackupFacts, Vec<String>), Error> {
        let (now, recovery, read) = (self.now(), self.settings().recovery, self.store().read());
        let age = |row: &snapshot::Model| now.since(row.captured_at.unwrap_or(row.created_at)).as_secs();
        let validated_at = checkpoints::find_last_validated(read, &graph.graph_id).await?;
        let checkpoint = checkpoints::find_newest_of(read, &graph.graph_id).await?;
        let made_at = checkpoint.as_ref().map(|row| row.created_at);
        let newest_good = known.newest_good.as_ref();
        let (storage, size_bytes) =
            (self.repository_place(&graph.graph_id), newest_good.map_or(0, |row| row.size_bytes + row.inputs_size_bytes.unwrap_or(0)));
        let mut facts = BackupFacts {
            newest_good: newest_good.map(|row| (row.snapshot_id.to_string(), age(row))),
            objective_seconds: objective(graph.rpo_objective_seconds)
                .or(Some(recovery.rpo_objective.as_secs()).filter(|seconds| *seconds > 0)),
            last_failure: known.newest_ended.as_ref().and_then(|row| row.error_message.clone()),
            damaged: known.newest_restorable.as_ref().and_then(damage_of),
            invalid_checkpoint: checkpoint.filter(|row| row.validation_passed == Some(false)).map(|row| row.checkpoint_id.to_string()),
            free_bytes: self.blocking(move || free_bytes(&storage)).await.ok(),
            size_bytes: u64::try_from(size_bytes).unwrap_or_default(),
            validated_seconds: validated_at.map(|at| now.since(at).as_secs()),
            unvalidated_seconds: made_at.filter(|_| validated_at.is_none()).map(|at| now.since(at).as_secs()),
            validation_counts_seconds: Some(recovery.validation_max_age.as_secs()),
            rto_objective_seconds: objective(graph.rto_objective_seconds),
            copies: self.copies_of_graph(graph).await?,
            is_copy: graph.graph_id.is_copy(),
            ..BackupFacts::default()
        };
        if newest_good.is_none() && graph.graph_id.is_copy() {
            let (services, root) = (self.clone(), self.repository_root(&graph.graph_id));
            let opened = self.blocking(move || Ok::<_, Error>(services.repositories().get_or_open(&root))).await?;
            match opened {
                Err(repository::Error::WrongPassword { .. }) => facts.is_sealed = true,
                // Nothing has come yet.
                Ok(_) | Err(repository::Error::NotFound { .. }) => {}
                Err(error) => facts.unreadable = Some(chain(&error)),
            }
        }
        self.look_at_drills(graph, newest_good, &mut facts).await?;
        let Some(row) = newest_good else { return Ok((facts, Vec::new())) };
        facts.is_busy = operations::exists(read, &graph.graph_id, Some(&ALONE), &[OperationState::Running]).await?;
        if facts.is_busy {
            return Ok((facts, Vec::new()));
        }
        match self.read_some(row).await {
            Ok((stores, problem)) => {
                facts.unreadable = problem;
                Ok((facts, stores))
            }
            // An operator's restic, or our own work that has begun meanwhile.
            Err(error) if error.reason() == "REPOSITORY_LOCKED" => Ok((BackupFacts { is_busy: true, ..facts }, Vec::new())),
            Err(error) => {
                // Deleted since it was listed, it is not missed.
                let there = snapshots::find(read, &graph.graph_id, row.snapshot_id).await?;
                facts.unreadable = there.filter(|there| there.status.is_restorable()).map(|_| error.record().message);
                Ok((facts, Vec::new()))
            }
        }
    }

    /// What the last drills of a graph say: how long its recovery takes, and whether it can be recovered at all.
    async fn look_at_drills(
        &self,
        graph: &graph::Model,
        newest_good: Option<&snapshot::Model>,
        facts: &mut BackupFacts,
    ) -> Result<(), Error> {
        let (read, ended) = (self.store().read(), [DrillState::Passed, DrillState::Failed]);
        if let Some(drill) = drills::find_newest_in(read, &graph.graph_id, &[DrillState::Passed], self.now()).await? {
            facts.rto = report_of(&drill)?.and_then(|report| report.rto_seconds()).map(Duration::from_secs_f64);
        }
        let last = drills::find_newest_in(read, &graph.graph_id, &ended, self.now()).await?;
        if let Some(drill) = last.filter(|drill| drill.state == DrillState::Failed) {
            let is_newest = newest_good.is_some_and(|snapshot| snapshot.snapshot_id == drill.snapshot_id);
            // One without a report could not be done: that says nothing of the snapshot.
            facts.failed_drill = Some((reasons_of(&drill)?.join("; "), is_newest && drill.report.is_some()));
        }
        Ok(())
    }

    /// Reads a snapshot's record, all its directories, its manifest and a part of its document status, or what else there is to read;
    /// and looks for the packs of all else. Tells its store files, and the first thing that is wrong.
    async fn read_some(&self, row: &snapshot::Model) -> Result<(Vec<String>, Option<String>), Error> {
        let Some(root) = snapshot_root(row) else {
            return Ok((Vec::new(), Some("its row names no record, reconcile the repository".to_owned())));
        };
        let (services, path) = (self.clone(), self.repository_root(&row.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&path)).await?;
        let lock = HeldLock::try_take(self, &repository, LockKind::Shared).await?;
        self.blocking(move || {
            let control = Control::default();
            let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control: &control };
            let verified = repository.verify_snapshot(&request, lock.lock())?;
            let manifest = repository.read_manifest(&root.record, lock.lock());
            let problem = verified.problems.first().map(ToString::to_string);
            let (stores, problem) = match manifest {
                Ok(bytes) => (bytes.and_then(|bytes| Manifest::parse(&bytes)).map(|manifest| manifest.storages), problem),
                Err(error) => (None, problem.or(Some(error.to_string()))),
            };
            let sampled = sample(&repository, &root, &lock).err().map(|error| error.to_string());
            Ok::<_, Error>((stores.unwrap_or_default(), problem.or(sampled)))
        })
        .await
    }
}

/// Reads a part of the document status, if the snapshot has one: it is the file without which nothing of a graph is found.
fn sample(repository: &Arc<Repository>, root: &SnapshotRoot, lock: &HeldLock) -> Result<(), repository::Error> {
    let Some(mut file) = repository.open_file(root, Path::new(Store::DocStatus.file_name()), lock.lock())? else { return Ok(()) };
    let wanted = usize::try_from(file.size_bytes()).unwrap_or(usize::MAX).min(SAMPLE_BYTES);
    let (mut buffer, mut filled) = (vec![0; wanted], 0);
    while filled < wanted {
        // Each call tells of damage only where it begins.
        match file.read_at(filled as u64, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(())
}

fn objective(seconds: Option<i64>) -> Option<u64> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok())
}

fn consistency_of(row: &snapshot::Model) -> Option<Consistency> {
    row.consistency.as_deref().and_then(Consistency::parse)
}

/// What is known to be wrong with what is stored of a snapshot.
fn damage_of(row: &snapshot::Model) -> Option<String> {
    let id = row.snapshot_id;
    if row.losses.is_some() {
        return Some(format!("snapshot `{id}` lacks content"));
    }
    (row.verified_passed == Some(false)).then(|| format!("snapshot `{id}` failed its last verification"))
}
