//! Giving back the space of deleted snapshots, and checking repositories.

use std::sync::Arc;
use std::time::Duration;

use super::Services;
use super::error::Error;
use super::operations::{payload, to_json};
use super::repositories::{CheckWish, PruneWish};
use super::repository_lock::HeldLock;
use crate::base::control::Control;
use crate::domain::graph_id::GraphId;
use crate::domain::report::{self, PROBLEMS_MAX, PruneReport};
use crate::domain::verification::RepositoryCheckDepth;
use crate::repository::{CheckDepth, CheckReport, LockKind, PruneRequest, Pruned, RecordId, Repository};
use crate::store::entity::operation::Model;
use crate::store::operations::Ending;
use crate::store::{self, graphs, operations, snapshots};

/// What a check after a prune reads, and a sample where nobody says, bytes.
pub const SAMPLE_BYTES: u64 = 64 << 20;

impl Services {
    /// Prunes the repository of an operation; then its structure and a sample of its data are checked.
    ///
    /// # Errors
    /// Something that is needed cannot be read: then nothing was removed.
    pub async fn run_prune(&self, operation: &Model, control: &Arc<Control>) -> Result<(), Error> {
        let PruneWish { max_unused_percent, max_repack_bytes, max_seconds, validate_only } = payload(operation)?;
        let (repository, lock) = self.lock_for_deleting(operation, control).await?;
        let (held, progress, clock) = (lock.clone(), Arc::clone(control), Arc::clone(self.clock()));
        let until = max_seconds.map(|seconds| self.now().plus(Duration::from_secs(seconds)));
        let report = self
            .blocking(move || {
                let is_over = || until.is_some_and(|until| clock.now() >= until);
                let (time_is_over, control): (Option<&dyn Fn() -> bool>, _) = (Some(&is_over), &*progress);
                let request = PruneRequest { max_unused_percent, max_repack_bytes, time_is_over, dry_run: validate_only, control };
                let mut report = prune_report(&repository.prune(&request, held.lock())?);
                if !validate_only && !report.came_to_nothing() {
                    let checked = repository.check(CheckDepth::Sample { bytes: SAMPLE_BYTES }, &progress, held.lock())?;
                    report.check = Some(check_report(&checked));
                }
                Ok::<_, Error>(report)
            })
            .await?;
        if let Some(check) = report.check.as_ref().filter(|check| check.total_problems > 0) {
            tracing::error!(graph_id = operation.graph_id.as_str(), problems = ?check.problems, "the repository is damaged, repair it");
        }
        lock.release(self).await;
        let transaction = self.store().begin().await?;
        let ending = Ending { result: Some(to_json(&report)?), ..Ending::succeeded() };
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        if report.finished && !validate_only {
            graphs::update_pruned(&*transaction, &operation.graph_id).await?;
        }
        Ok(store::commit(transaction).await?)
    }

    /// Checks the repository of an operation.
    ///
    /// # Errors
    /// It cannot be listed; what is wrong with it is in the report.
    pub async fn run_check(&self, operation: &Model, control: &Arc<Control>) -> Result<(), Error> {
        let CheckWish { depth, sample_bytes } = payload(operation)?;
        let depth = match depth {
            RepositoryCheckDepth::Structure => CheckDepth::Structure,
            RepositoryCheckDepth::Sample => CheckDepth::Sample { bytes: sample_bytes },
            RepositoryCheckDepth::AllData => CheckDepth::AllData,
        };
        let (services, root) = (self.clone(), self.repository_root(&operation.graph_id));
        let repository = self.blocking(move || services.repositories().open_damaged(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let (held, progress) = (lock.clone(), Arc::clone(control));
        let checked = self.blocking(move || repository.check(depth, &progress, held.lock())).await?;
        let missing = self.missing_records(&operation.graph_id).await?;
        lock.release(self).await;
        let mut report = check_report(&checked);
        report.total_problems += i64::try_from(missing.len()).unwrap_or(i64::MAX);
        report.problems = missing.into_iter().chain(report.problems).take(PROBLEMS_MAX).collect();
        self.finish_with(operation, &report, control).await
    }

    /// The snapshots whose records are not in the repository: it cannot miss them itself.
    async fn missing_records(&self, graph_id: &GraphId) -> Result<Vec<String>, Error> {
        let root = self.repository_root(graph_id);
        let names = self.blocking(move || Repository::record_names(&root)).await?;
        let rows = snapshots::list_all(self.store().read(), graph_id).await?;
        let missing = rows.iter().filter(|row| row.status.is_restorable()).filter_map(|row| {
            let record = row.record_id.as_deref().unwrap_or_default();
            let is_there = RecordId::parse(record).is_some_and(|id| names.contains(&id));
            (!is_there).then(|| {
                format!(
                    "snapshot `{}`: its record `{record}` is missing, repair the repository, or reconcile it if it was removed on purpose",
                    row.snapshot_id
                )
            })
        });
        Ok(missing.collect())
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn prune_report(pruned: &Pruned) -> PruneReport {
    PruneReport {
        snapshots: count(pruned.snapshots),
        used_bytes: count(pruned.used_bytes),
        removed_packs: count(pruned.removed_packs),
        repacked_packs: count(pruned.repacked_packs),
        repacked_bytes: count(pruned.repacked_bytes),
        written_bytes: count(pruned.written_bytes),
        reclaimed_bytes: count(pruned.reclaimed_bytes),
        unused_bytes: count(pruned.unused_bytes_left),
        finished: pruned.finished,
        check: None,
    }
}

fn check_report(report: &CheckReport) -> report::CheckReport {
    report::CheckReport {
        packs: count(report.packs),
        blobs: count(report.blobs),
        snapshots: count(report.snapshots),
        unindexed_packs: count(report.unindexed_packs),
        total_problems: i64::try_from(report.problems.len()).unwrap_or(i64::MAX),
        problems: report.problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect(),
    }
}
