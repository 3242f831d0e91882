//! Restoring a snapshot: aside, verified, then put in place in one step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::{Error, ErrorKind};
use super::repository_lock::HeldLock;
use super::snapshots::check_restorable;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::operation::{OperationKind, OperationState};
use crate::lightrag::apply::{Recovered, apply, preflight_target, recover_apply};
use crate::lightrag::server::Server;
use crate::repository::{LockKind, RecordId, Repository, RestoreRequest};
use crate::store::entity::{operation, snapshot};
use crate::store::{self, operations, snapshots};

/// What a restore needs beyond its snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RestorePayload {
    /// Where to, absolute and resolved.
    pub(super) target_dir: PathBuf,
    /// Even where a running LightRAG server uses it.
    pub(super) force: bool,
}

impl Services {
    /// Restores the snapshot of an operation.
    ///
    /// # Errors
    /// Whatever keeps it from being whole; then the target is as it was.
    pub async fn run_restore(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let payload: RestorePayload =
            serde_json::from_str(&operation.payload).map_err(|error| Error::internal("read an operation's payload", error))?;
        let row = self.get_snapshot(&operation.graph_id, &operation.snapshot_id.to_string()).await?;
        check_restorable(&row)?;
        if !payload.force {
            self.check_target_unused(operation, &payload.target_dir).await?;
        }
        // The path was fit when it was asked for; a link may have been put into it since.
        let (places, target) = (self.settings().places.clone(), payload.target_dir.clone());
        let resolved = self.blocking(move || places.resolve_target(&target.to_string_lossy())).await?;
        if resolved != payload.target_dir {
            return Err(Error::invalid("target_dir", format_args!("leads elsewhere now: {}", payload.target_dir.display())));
        }
        let root = self.repository_root(&operation.graph_id);
        let services = self.clone();
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let work = Restore {
            kept_as: kept_as(&payload.target_dir, operation),
            target: payload.target_dir,
            operation_id: operation.operation_id.to_string(),
            is_retry: operation.attempt > 1,
            sync: self.settings().restore_sync,
            repository,
            lock: lock.clone(),
            row,
            control: Arc::clone(control),
        };
        self.blocking(move || work.run()).await?;
        lock.release(self).await?;
        failpoint::reach("restore.applied");
        let transaction = self.store().begin().await?;
        operations::finish(&transaction, operation, OperationState::Succeeded, None, control.progress(), self.now()).await?;
        snapshots::update_restored(&transaction, operation.snapshot_id).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Makes the target of a restore whole that is not tried again: the old tree, or the new.
    pub async fn abandon(&self, operation: &operation::Model) {
        if operation.kind != OperationKind::Restore {
            return;
        }
        let Ok(payload) = serde_json::from_str::<RestorePayload>(&operation.payload) else { return };
        let aside = payload.target_dir.with_file_name(format!(".lightkeep-{}", operation.operation_id));
        let recovered = self.blocking(move || {
            recover_apply(&payload.target_dir)?;
            Aside::make(aside).map(drop)
        });
        if let Err(error) = recovered.await {
            tracing::error!(operation_id = %operation.operation_id, error = error.chain(), "cannot make the target of a restore whole");
        }
    }

    async fn check_target_unused(&self, operation: &operation::Model, target: &Path) -> Result<(), Error> {
        let graph = self.find_graph(self.store().read(), &operation.graph_id).await?;
        let Some(url) = &graph.server_url else { return Ok(()) };
        let server = Server::new(url, self.server_api_key(&graph).await?)?;
        // A server that cannot be asked does not run, as far as anybody can tell.
        if !matches!(server.serves_directory(target).await, Ok(Some(true))) {
            return Ok(());
        }
        let message =
            format!("the LightRAG server at `{url}` uses the target and would overwrite it, stop it or set `force`: {}", target.display());
        Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_IN_USE", message))
    }
}

/// What stood at the target is kept under this name: the time is that of the request, so that a second attempt says the same.
fn kept_as(target: &Path, operation: &operation::Model) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("_pre_restore_{}", operation.created_at.for_file_name()));
    PathBuf::from(name)
}

struct Restore {
    target: PathBuf,
    kept_as: PathBuf,
    operation_id: String,
    is_retry: bool,
    sync: bool,
    repository: Arc<Repository>,
    lock: HeldLock,
    row: snapshot::Model,
    control: Arc<Control>,
}

impl Restore {
    fn run(&self) -> Result<(), Error> {
        // An earlier attempt may have been interrupted half-way: first the target is made whole, the old tree or the new.
        let recovered = recover_apply(&self.target)?;
        if self.is_retry && (recovered == Recovered::Completed || self.kept_as.exists()) {
            return Ok(());
        }
        let needed_bytes = u64::try_from(self.row.size_bytes).unwrap_or(0);
        let found = preflight_target(&self.target, needed_bytes)?;
        let aside = Aside::make(found.parent.join(format!(".lightkeep-{}", self.operation_id)))?;
        self.restore_to(&aside.0)?;
        failpoint::reach("restore.verified");
        self.control.begin_stage("apply", 0);
        self.control.go_on()?;
        self.put_in_place(aside)
    }

    fn put_in_place(&self, aside: Aside) -> Result<(), Error> {
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
    fn restore_to(&self, directory: &Path) -> Result<(), Error> {
        let record = self.row.record_id.as_deref().and_then(RecordId::parse).ok_or_else(|| self.damaged("its row names no record"))?;
        let recorded_path = Path::new(&self.row.source_dir);
        let request = RestoreRequest { record, recorded_path, to: directory, sync: self.sync, control: &self.control };
        let restored = self.repository.restore(&request, self.lock.lock())?;
        if Some(hex::encode(restored.data_hash)) != self.row.data_hash {
            return Err(self.damaged("what was restored has another hash than what was saved"));
        }
        Ok(())
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("snapshot `{}` is damaged: {what}", self.row.snapshot_id);
        Error::refused(ErrorKind::DataLoss, "SNAPSHOT_DAMAGED", message)
    }
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
