//! Restoring a snapshot: aside, verified, then put in place in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::{Error, ErrorKind};
use super::operations::{payload, subject, to_json};
use super::paths::Places;
use super::repository_lock::HeldLock;
use super::restore_target::{is_empty, not_empty};
use super::snapshots::check_restorable;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::report::RestoreReport;
use crate::lightrag::apply::{Recovered, apply, preflight_target, recover_apply};
use crate::repository::{self, LockKind, RecordId, Repository, RestoreRequest};
use crate::store::entity::{operation, snapshot};
use crate::store::operations::Ending;
use crate::store::{self, operations, snapshots};

/// The stage in which the target is replaced.
const APPLY: &str = "apply";

/// What a restore needs beyond its snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RestorePayload {
    /// Where to, absolute and resolved.
    pub(super) target_dir: PathBuf,
    /// Even where a running LightRAG server uses it.
    pub(super) force: bool,
    /// Only these paths below the source; all of it when empty.
    #[serde(default)]
    pub(super) paths: Vec<PathBuf>,
    /// What is restored becomes a graph of its own under this id.
    #[serde(default)]
    pub(super) fork_graph_id: Option<String>,
}

impl Services {
    /// Restores the snapshot of an operation.
    ///
    /// # Errors
    /// Whatever keeps it from being whole; then the target is as it was.
    pub async fn run_restore(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let payload: RestorePayload = payload(operation)?;
        self.reserve_target(operation, &payload.target_dir, control).await?;
        // An earlier attempt may have been interrupted half-way: first the target is made whole, the old tree or the new.
        if operation.attempt > 1 && self.is_done_already(operation, &payload.target_dir).await? {
            // That attempt has noted what it was about to put in place.
            let report = operation.result.as_deref().and_then(|json| serde_json::from_str(json).ok());
            return self.complete_restore(operation, &payload, report, control).await;
        }
        let row = self.snapshot_of_operation(operation).await?;
        check_restorable(&row)?;
        self.check_still_free(&payload).await?;
        self.check_place(&operation.graph_id, &payload.target_dir, payload.force).await?;
        self.check_target_unused(&operation.graph_id, &payload.target_dir, payload.force).await?;
        let root = self.repository_root(&operation.graph_id);
        let services = self.clone();
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let aside = aside_path(&payload.target_dir, operation);
        let work = Restore {
            kept_as: kept_as(&payload.target_dir, operation),
            target: payload.target_dir.clone(),
            paths: payload.paths.clone(),
            wants_new_target: payload.wants_new_target(),
            places: self.settings().places.clone(),
            aside,
            sync: self.settings().restore_sync,
            repository,
            lock: lock.clone(),
            row,
            control: Arc::clone(control),
        };
        if operation.attempt > 1 {
            // The row may still have the last attempt's stage, which would be taken for this one's.
            control.begin_stage("restore", 0);
            self.beat(operation, control.progress()).await?;
        }
        let (work, aside, report) = self
            .blocking(move || {
                let (aside, report) = work.run()?;
                Ok::<_, Error>((work, aside, report))
            })
            .await?;
        self.check_still_free(&payload).await?;
        operations::note(self.store().read(), operation, to_json(&report)?).await?;
        // Whoever has lost the lease touches nothing; and a next attempt learns from the stage how far this one came.
        control.begin_stage(APPLY, 0);
        control.go_on()?;
        self.beat(operation, control.progress()).await?;
        self.blocking(move || work.put_in_place(aside)).await?;
        failpoint::reach("restore.applied");
        lock.release(self).await;
        self.complete_restore(operation, &payload, Some(report), control).await
    }

    /// Waits until no other restore works on the same directory.
    async fn reserve_target(&self, operation: &operation::Model, target: &Path, control: &Control) -> Result<(), Error> {
        let mut changes = self.wakeup().changes();
        while !self.running().reserve(operation.operation_id, target) {
            control.go_on()?;
            changes.next().await;
        }
        Ok(())
    }

    /// Makes the target whole, and says whether an earlier attempt has put the new tree in place.
    async fn is_done_already(&self, operation: &operation::Model, target: &Path) -> Result<bool, Error> {
        let (target, aside) = (target.to_owned(), aside_path(target, operation));
        let was_applying = operation.stage == APPLY;
        self.blocking(move || {
            let recovered = recover_apply(&target)?;
            // The restored tree is beside the target from before that stage until it has been put in place.
            Ok::<_, Error>(recovered == Recovered::Completed || was_applying && !aside.exists())
        })
        .await
    }

    /// Ends a restore; without a report when what an earlier attempt has done is not known.
    async fn complete_restore(
        &self,
        operation: &operation::Model,
        payload: &RestorePayload,
        report: Option<RestoreReport>,
        control: &Control,
    ) -> Result<(), Error> {
        let ending = Ending { result: report.as_ref().map(to_json).transpose()?, ..Ending::succeeded() };
        let fork = payload.fork_graph_id.as_deref().and_then(|id| GraphId::parse(id).ok());
        let is_found_again = match &fork {
            Some(fork) => self.has_repository(fork).await?,
            None => false,
        };
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        self.register_fork(&transaction, operation, payload, is_found_again).await?;
        snapshots::update_restored(&*transaction, subject(operation)?).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Makes the target of a restore whole that is not tried again: the old tree, or the new.
    pub async fn abandon(&self, operation: &operation::Model) {
        if operation.kind != OperationKind::Restore {
            return;
        }
        let Ok(payload) = serde_json::from_str::<RestorePayload>(&operation.payload) else { return };
        let aside = aside_path(&payload.target_dir, operation);
        let recovered = self.blocking(move || {
            recover_apply(&payload.target_dir)?;
            Aside::make(aside).map(drop)
        });
        if let Err(error) = recovered.await {
            tracing::error!(operation_id = %operation.operation_id, error = error.chain(), "cannot make the target of a restore whole");
        }
    }
}

/// What stood at the target is kept under this name: the time is that of the request, so that a second attempt says the same.
fn kept_as(target: &Path, operation: &operation::Model) -> PathBuf {
    kept_name(target, operation.created_at)
}

/// The name under which a restore that was asked for at this time keeps what stood at its target.
pub(super) fn kept_name(target: &Path, asked_at: Timestamp) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("_pre_restore_{}", asked_at.for_file_name()));
    PathBuf::from(name)
}

/// The directory beside the target where the restored tree is made.
fn aside_path(target: &Path, operation: &operation::Model) -> PathBuf {
    target.with_file_name(format!(".lightkeep-{}", operation.operation_id))
}

struct Restore {
    target: PathBuf,
    /// Only these; all when empty.
    paths: Vec<PathBuf>,
    /// Nothing may stand at the target.
    wants_new_target: bool,
    kept_as: PathBuf,
    places: Places,
    aside: PathBuf,
    sync: bool,
    repository: Arc<Repository>,
    lock: HeldLock,
    row: snapshot::Model,
    control: Arc<Control>,
}

impl Restore {
    /// Restores beside the target.
    fn run(&self) -> Result<(Aside, RestoreReport), Error> {
        recover_apply(&self.target)?;
        preflight_target(&self.target, self.needed_bytes()?)?;
        let aside = Aside::make(self.aside.clone())?;
        let report = self.restore_to(&aside.0)?;
        failpoint::reach("restore.verified");
        Ok((aside, report))
    }

    /// What will be written, bytes.
    fn needed_bytes(&self) -> Result<u64, Error> {
        if self.paths.is_empty() {
            return Ok(u64::try_from(self.row.size_bytes).unwrap_or(0));
        }
        let planned = self.repository.plan_restore(&self.request(&self.aside)?, self.lock.lock());
        Ok(planned.map_err(|error| name_chosen(error, &self.row))?.size_bytes)
    }

    fn request<'a>(&'a self, to: &'a Path) -> Result<RestoreRequest<'a>, Error> {
        let record = self.row.record_id.as_deref().and_then(RecordId::parse).ok_or_else(|| self.damaged("its row names no record"))?;
        let only = (!self.paths.is_empty()).then_some(self.paths.as_slice());
        Ok(RestoreRequest { record, recorded_path: Path::new(&self.row.source_dir), only, to, sync: self.sync, control: &self.control })
    }

    fn put_in_place(&self, aside: Aside) -> Result<(), Error> {
        self.places.check_target_again(&self.target)?;
        if self.wants_new_target && !is_empty(&self.target) {
            return Err(not_empty(&self.target));
        }
        let Err(error) = apply(&aside.0, &self.target, &self.kept_as) else { return Ok(()) };
        match recover_apply(&self.target) {
            Ok(Recovered::Completed) => Ok(()),
            Ok(Recovered::Undone | Recovered::Nothing) => Err(error.into()),
            Err(halfway) => {
                // The next start needs what is left beside the target.
                tracing::error!(target_dir = %self.target.display(), error = %halfway, "cannot make the target whole again");
                std::mem::forget(aside);
                Err(error.into())
            }
        }
    }

    /// Every blob is verified on the way; the hash over all of it says that nothing is missing or has been added.
    fn restore_to(&self, directory: &Path) -> Result<RestoreReport, Error> {
        let request = self.request(directory)?;
        let restored = self.repository.restore(&request, self.lock.lock());
        let restored = if self.paths.is_empty() { restored? } else { restored.map_err(|error| name_chosen(error, &self.row))? };
        // A snapshot of restic's that was adopted has a hash too: that of its trees.
        if self.paths.is_empty() && Some(hex::encode(restored.data_hash)) != self.row.data_hash {
            return Err(self.damaged("what was restored has another hash than what was saved"));
        }
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(RestoreReport { files: count(restored.files), size_bytes: count(restored.bytes) })
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("snapshot `{}` is damaged: {what}", self.row.snapshot_id);
        Error::refused(ErrorKind::DataLoss, "SNAPSHOT_DAMAGED", message)
    }
}

/// What an error of the engine means where paths were chosen: one that the snapshot does not hold is not found.
pub(super) fn name_chosen(error: repository::Error, row: &snapshot::Model) -> Error {
    let repository::Error::PathNotRecorded { path, .. } = &error else { return error.into() };
    let message = format!("File {} of snapshot {} not found", path.display(), row.snapshot_id);
    Error::refused(ErrorKind::NotFound, "FILE_NOT_FOUND", message)
}

/// The directory beside the target where the restored tree is made. What is left of it goes when the work ends.
struct Aside(PathBuf);

impl Aside {
    fn make(path: PathBuf) -> Result<Self, Error> {
        let aside = Self(path);
        aside.remove().map_err(|error| Error::internal("remove what an earlier attempt left beside the target", error))?;
        Ok(aside)
    }

    fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove what a restore left beside its target");
        }
    }
}
