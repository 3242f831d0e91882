//! Warm standbys: the newest good snapshot of a copy stands restored in a directory, so that failing over to it is to start LightRAG there.
//! What is restored has the hash of what was audited when it was taken, and every byte of it was verified.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::idempotency::Request;
use super::super::operations::{payload, recorded_error, to_json};
use super::super::placements::kept_name;
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
            return Ok(standbys::find(self.store().read(), graph_id).await?);
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
                };
                standbys::set(&*transaction, fresh).await?;
            }
            None => standbys::delete(&*transaction, graph_id).await?,
        }
        request.remember(self, &*transaction, graph_id.to_string()).await?;
        self.record_audit(&*transaction, caller, "SetStandby", graph_id, None).await?;
        store::commit(transaction).await?;
        let is = standbys::find(self.store().read(), graph_id).await?;
        if let Some(old) = old.filter(|old| is.as_ref().is_none_or(|is| is.directory != old.directory)) {
            self.end_refreshing(caller, &old).await?;
        }
        self.wakeup().announce_work();
        Ok(is)
    }

    /// Ends what refreshes a directory that is no standby any more, and waits for its end: from then on it is the caller's alone.
    async fn end_refreshing(&self, caller: &Caller, old: &Model) -> Result<(), Error> {
        for restore in operations::list_open_of(self.store().read(), OperationKind::Restore).await? {
            let refreshes = payload::<RestorePayload>(&restore)?.target_dir == Path::new(&old.directory);
            if restore.graph_id != old.graph_id || !refreshes {
                continue;
            }
            self.cancel_operation(caller, &restore.operation_id.to_string()).await?;
            match self.wait_for(restore.operation_id).await {
                // It was cancelled, or had just ended.
                Ok(_) | Err(Error::Recorded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn standby_place(&self, graph_id: &GraphId, text: &str, old: Option<&Model>) -> Result<String, Error> {
        let (places, wanted) = (self.settings().places.clone(), text.to_owned());
        let resolved = self.blocking(move || places.resolve_target("directory", &wanted)).await?;
        let directory = resolved.to_str().ok_or_else(|| Error::invalid("directory", "is not valid UTF-8"))?.to_owned();
        if old.is_some_and(|old| old.directory == directory) {
            return Ok(directory);
        }
        self.check_place(graph_id, &resolved, &[]).await?;
        let is_free = self.blocking(move || Ok::<_, Error>(is_empty(&resolved))).await?;
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

    /// What stood in the directory before was a snapshot, and goes; not where somebody has written to it since: that is nowhere else.
    async fn note_refreshed(&self, standby: &Model, restore: &OperationRow) -> Result<(), Error> {
        let (stands, former) = (PathBuf::from(&standby.directory), kept_name(Path::new(&standby.directory), restore.created_at));
        let (graph_id, known) = (standby.graph_id.clone(), standby.fingerprint.clone());
        let looked = self.blocking(move || {
            match fingerprint(&former) {
                Ok(found) if Some(&found) == known.as_ref() => {
                    fs::remove_dir_all(&former).map_err(unusable("remove what a standby was before"))?
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // One that cannot be looked at may be anything.
                Ok(_) | Err(_) => {
                    let (graph_id, kept_as) = (graph_id.as_str(), former.display());
                    tracing::warn!(graph_id, %kept_as, "somebody has written to a standby: what stood there is kept beside it");
                }
            }
            fingerprint(&stands).map_err(unusable("look at a standby"))
        });
        let fingerprint = looked.await?;
        if let Some(snapshot_id) = restore.snapshot_id {
            let refreshed_at = restore.ended_at.unwrap_or_else(|| self.now());
            standbys::update_refreshed(self.store().read(), standby, snapshot_id, refreshed_at, fingerprint).await?;
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

fn unusable(doing: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::internal(doing, error)
}
