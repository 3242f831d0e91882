//! Warm standbys: the newest good snapshot of a copy stands restored in a directory, so that failing over to it is to start LightRAG there.
//! What is restored has the hash of what was audited when it was taken, and every byte of it was verified.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::idempotency::Request;
use super::super::operations::{payload, recorded_error, to_json};
use super::super::placements::{aside_path, kept_name};
use super::super::restore_target::is_empty;
use super::super::restore_work::RestorePayload;
use super::fingerprint::fingerprint;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::store::entity::operation::Model as OperationRow;
use crate::store::entity::standby::Model;
use crate::store::{self, operations, snapshots, standbys};

/// Whose doing refreshing is.
const STANDBY: Caller = Caller { name: "standby", request_id: None };

/// How long one that could not be refreshed is left alone.
const RETRY: Duration = Duration::from_secs(15 * 60);

impl Services {
    /// Has the newest good snapshot of a copy stand restored in a directory; without one, the directory is refreshed no more, stays as it
    /// is, and is the caller's.
    ///
    /// # Errors
    /// There is no such graph, or it is no copy; the directory is not fit, or not empty.
    pub async fn set_standby(
        &self,
        caller: &Caller,
        graph_id: &GraphId,
        directory: Option<&str>,
        request_id: Option<&str>,
    ) -> Result<Option<Model>, Error> {
        let request = Request { request_id, action: "SetStandby", body: &[graph_id.as_str(), directory.unwrap_or_default()] };
        if request.find_subject(self.store().read()).await?.is_some() {
            return self.end_refreshing(caller, graph_id).await;
        }
        self.find_graph(self.store().read(), graph_id).await?;
        if !graph_id.is_copy() {
            let message = format!("graph `{graph_id}` is no copy: a standby is kept where a copy of it is");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "GRAPH_IS_NO_COPY", message));
        }
        let old = standbys::find(self.store().read(), graph_id).await?;
        let directory = match directory {
            Some(text) => Some(self.standby_place(graph_id, text, old.as_ref()).await?),
            None => None,
        };
        let transaction = self.store().begin().await?;
        match directory {
            // As it was.
            Some(directory) if old.as_ref().is_some_and(|old| old.directory == directory) => {}
            Some(directory) => {
                let fresh = Model {
                    graph_id: graph_id.clone(),
                    directory,
                    operation_id: None,
                    snapshot_id: None,
                    refreshed_at: None,
                    fingerprint: None,
                    restored: None,
                };
                standbys::set(&*transaction, fresh).await?;
            }
            None => standbys::delete(&*transaction, graph_id).await?,
        }
        request.remember(self, &*transaction, graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "SetStandby", graph_id, None).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        self.end_refreshing(caller, graph_id).await
    }

    /// Ends what refreshes directories that are no standby of a graph any more, and waits for its end: from then on they are the caller's
    /// alone. Gives the standby as it is now.
    async fn end_refreshing(&self, caller: &Caller, graph_id: &GraphId) -> Result<Option<Model>, Error> {
        // In this order: what is begun meanwhile for another directory is left alone.
        let open = operations::list_open_of(self.store().read(), OperationKind::Restore).await?;
        let is = standbys::find(self.store().read(), graph_id).await?;
        for restore in open {
            if restore.graph_id != *graph_id {
                continue;
            }
            let RestorePayload { is_standby, target_dir, .. } = payload(&restore)?;
            if !is_standby || is.as_ref().is_some_and(|is| Path::new(&is.directory) == target_dir) {
                continue;
            }
            self.cancel_operation(caller, &restore.operation_id.to_string()).await?;
            match self.wait_for(restore.operation_id).await {
                // It was cancelled, or had just ended.
                Ok(_) | Err(Error::Recorded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is)
    }

    async fn standby_place(&self, graph_id: &GraphId, text: &str, old: Option<&Model>) -> Result<String, Error> {
        let (places, wanted) = (self.settings().places.clone(), text.to_owned());
        let resolved = self.blocking(move || places.resolve_target("directory", &wanted)).await?;
        let directory = resolved.to_str().ok_or_else(|| Error::invalid("directory", "is not valid UTF-8"))?.to_owned();
        if old.is_some_and(|old| old.directory == directory) {
            return Ok(directory);
        }
        self.check_place(graph_id, &resolved, &[]).await?;
        let (is_free, is_mounted) = self.blocking(move || Ok::<_, Error>((is_empty(&resolved), is_mount_point(&resolved)))).await?;
        if is_mounted {
            return Err(Error::invalid("directory", format_args!("must not be where a disk is mounted, name one below it: {text}")));
        }
        if !is_free {
            return Err(Error::invalid("directory", format_args!("must be new or empty: {text}")));
        }
        Ok(directory)
    }

    /// Refreshes each standby for which there is a newer good snapshot, and tidies up after what was refreshed.
    ///
    /// # Errors
    /// The database's.
    pub async fn refresh_standbys(&self) -> Result<(), Error> {
        for standby in standbys::list_all(self.store().read()).await? {
            if let Err(error) = self.refresh_standby(&standby).await {
                let graph_id = standby.graph_id.as_str();
                tracing::warn!(graph_id, error = error.chain(), "a standby cannot be refreshed");
            }
        }
        Ok(())
    }

    async fn refresh_standby(&self, standby: &Model) -> Result<(), Error> {
        let read = self.store().read();
        let last = match standby.operation_id {
            Some(id) => operations::find(read, id).await?,
            None => None,
        };
        let mut stands = standby.snapshot_id;
        match &last {
            Some(last) if !last.state.is_ended() => return Ok(()),
            Some(last) if last.state == OperationState::Succeeded && last.snapshot_id != stands => {
                self.note_refreshed(standby, last).await?;
                stands = last.snapshot_id;
            }
            _ => {}
        }
        let Some(newest) = snapshots::find_newest_good(read, &standby.graph_id, self.now()).await? else { return Ok(()) };
        let has_failed = last.as_ref().is_some_and(|last| {
            let lately = last.ended_at.is_some_and(|ended| self.now().since(ended) < RETRY);
            last.state != OperationState::Succeeded && last.snapshot_id == Some(newest.snapshot_id) && lately
        });
        if stands == Some(newest.snapshot_id) || has_failed {
            return Ok(());
        }
        let payload = RestorePayload {
            target_dir: PathBuf::from(&standby.directory),
            force: false,
            paths: Vec::new(),
            fork_graph_id: None,
            inputs_target_dir: None,
            is_standby: true,
        };
        let transaction = self.store().begin().await?;
        let operation = self.new_operation(OperationKind::Restore, &standby.graph_id, Some(newest.snapshot_id), to_json(&payload)?);
        let operation = self.enqueue(&*transaction, operation).await?;
        if !standbys::update_operation(&*transaction, standby, operation.operation_id).await? {
            // Set anew meanwhile.
            return Ok(());
        }
        self.record_audit(&*transaction, &STANDBY, "RestoreSnapshot", &standby.graph_id, Some(newest.snapshot_id.to_string())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(())
    }

    /// Notes by what a restored tree is known again, before it is put in place: what is written there from then on is nowhere else.
    ///
    /// # Errors
    /// It cannot be looked at; the database's.
    pub(in crate::service) async fn note_restored(&self, restore: &OperationRow, payload: &RestorePayload) -> Result<(), Error> {
        let aside = aside_path(&payload.target_dir, restore);
        let looked = self.blocking(move || fingerprint(&aside).map_err(|error| Error::internal("look at what was restored", error)));
        let fingerprint = looked.await?;
        Ok(standbys::update_restored(self.store().read(), restore.operation_id, fingerprint).await?)
    }

    /// What stood in the directory before was a snapshot, and goes; not where it is not what was put there.
    async fn note_refreshed(&self, standby: &Model, restore: &OperationRow) -> Result<(), Error> {
        let former = kept_name(Path::new(&standby.directory), restore.created_at);
        let (graph_id, known) = (standby.graph_id.clone(), standby.fingerprint.clone());
        let tidied = self.blocking(move || {
            let removed = match fingerprint(&former) {
                Ok(found) if Some(&found) == known.as_ref() => fs::remove_dir_all(&former),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                // One that cannot be looked at may be anything.
                Ok(_) | Err(_) => {
                    let (graph_id, kept_as) = (graph_id.as_str(), former.display());
                    tracing::warn!(graph_id, %kept_as, "what stood in a standby is not what was put there: it is kept beside it");
                    Ok(())
                }
            };
            if let Err(error) = removed {
                let (graph_id, kept_as) = (graph_id.as_str(), former.display());
                tracing::warn!(graph_id, %kept_as, %error, "what stood in a standby before cannot be removed");
            }
            Ok::<_, Error>(())
        });
        tidied.await?;
        if let Some(snapshot_id) = restore.snapshot_id {
            let refreshed_at = restore.ended_at.unwrap_or_else(|| self.now());
            standbys::update_refreshed(self.store().read(), standby, snapshot_id, refreshed_at).await?;
        }
        Ok(())
    }

    /// The standby of a graph, and why it could not be refreshed last.
    ///
    /// # Errors
    /// The database's.
    pub async fn standby_of(&self, graph_id: &GraphId) -> Result<Option<(Model, Option<String>)>, Error> {
        let Some(standby) = standbys::find(self.store().read(), graph_id).await? else { return Ok(None) };
        let last = match standby.operation_id {
            Some(id) => operations::find(self.store().read(), id).await?,
            None => None,
        };
        let error = last.as_ref().and_then(recorded_error).map(|error| error.message);
        Ok(Some((standby, error)))
    }
}

/// Whether a directory is on another file system than the one that it lies in: it cannot be exchanged as a whole.
fn is_mount_point(directory: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    let (own, around) = (device(directory), directory.parent().and_then(device));
    own.is_some() && own != around
}
