//! A repository comes back from a target.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::graphs::check_own;
use super::super::idempotency::Request;
use super::super::operations::{Work, payload, to_json};
use super::super::repository_lock::HeldLock;
use super::destination::{Destination, Getting};
use super::mirror::list_small;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::secret::Secret;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::report::RecoverReport;
use crate::repository::{self, FileId, FileKind, LockKind, Replica, Repository};
use crate::store::entity::{graph, operation, target};
use crate::store::{self, graphs};

/// So many files are got at once.
const FILES_AT_ONCE: usize = 4;

/// From where a repository is to come.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct RecoverPayload {
    target_id: String,
}

impl Services {
    /// Queues that the repository of a graph comes back from a target. A graph that is not known is registered.
    ///
    /// # Errors
    /// There is no such target; the graph is a copy itself.
    pub async fn recover_graph(
        &self,
        caller: &Caller,
        target_id: &str,
        graph_id: &GraphId,
        request_id: Option<&str>,
    ) -> Result<operation::Model, Error> {
        let target = self.get_target(target_id).await?;
        check_own(graph_id)?;
        let payload = to_json(&RecoverPayload { target_id: target_id.to_owned() })?;
        let body = [graph_id.as_str(), &payload];
        let request = Request { request_id, action: "RecoverGraph", body: &body };
        if graphs::find(self.store().read(), graph_id).await?.is_none() {
            // Before a graph is registered for it.
            if self.destination(&target, graph_id).await?.config().await?.is_none() {
                return Err(no_copy(&target, graph_id));
            }
            let transaction = self.store().begin().await?;
            match self.insert_graph(&*transaction, self.plain_graph_row(graph_id, String::new())).await {
                Ok(_) => store::commit(transaction).await?,
                Err(error) if error.is_race() => {}
                Err(error) => return Err(error),
            }
        }
        let work = Work { kind: OperationKind::Recover, graph_id, snapshot_id: None, payload: payload.clone() };
        self.queue(caller, &work, &request).await
    }

    /// Brings an operation's repository back, and lists its snapshots. What was brought by an earlier attempt stays.
    ///
    /// # Errors
    /// The target cannot be reached, or holds no copy; another repository is here.
    pub async fn run_recover(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let RecoverPayload { target_id } = payload(operation)?;
        let (target, graph_id) = (self.get_target(&target_id).await?, &operation.graph_id);
        let destination = self.destination(&target, graph_id).await?;
        let there = destination.config().await?.ok_or_else(|| no_copy(&target, graph_id))?;
        let here = Replica::at(&self.repository_root(graph_id));
        let looked_at = here.clone();
        let config = self.blocking(move || looked_at.config()).await?;
        control.begin_stage("recover", 0);
        let mut report = RecoverReport::default();
        match config {
            Some(config) if config == there => {
                let absent = self.absent_packs(graph_id).await?;
                let lacking: HashSet<FileId> = destination.missing(FileKind::Pack, absent.clone()).await?.into_iter().collect();
                report.lacking_files = i64::try_from(lacking.len()).unwrap_or(i64::MAX);
                let wanted = absent.into_iter().filter(|id| !lacking.contains(id)).collect();
                self.get_files(&destination, &here, FileKind::Pack, wanted, &mut report, control).await?;
            }
            Some(_) => {
                let message = format!("there is another repository of graph `{graph_id}` here: take it away first, or register another id");
                return Err(Error::refused(ErrorKind::FailedPrecondition, "REPLICA_OF_ANOTHER_REPOSITORY", message));
            }
            None => self.get_all(&destination, &here, there, &mut report, control).await?,
        }
        failpoint::reach("recover.files_here");
        if let Some(password) = self.password_at(&target).await? {
            self.open_with_ours(graph_id, password).await?;
        }
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let followed = self.follow_records(operation, &repository, &lock, control).await?;
        lock.release(self).await;
        report.snapshots = followed.records;
        self.fill_in_source(graph_id).await?;
        self.finish_with(operation, &report, control).await
    }

    /// Packs that the repository's index names and that are not there.
    async fn absent_packs(&self, graph_id: &GraphId) -> Result<Vec<FileId>, Error> {
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        self.blocking(move || services.repositories().get_or_open(&root)?.absent_packs()).await
    }

    /// A copy with a password of its own opens with ours from now on.
    async fn open_with_ours(&self, graph_id: &GraphId, password: Secret) -> Result<(), Error> {
        let (services, root) = (self.clone(), self.repository_root(graph_id));
        self.blocking(move || {
            let (ours, now, host) = (&services.settings().repository_password, services.now(), &services.settings().host_name);
            match Repository::open(&root, ours) {
                Err(repository::Error::WrongPassword { .. }) => Repository::open(&root, &password)?.change_password(ours, now, host),
                other => other.map(|_| ()),
            }
        })
        .await
    }

    /// All of it: records last, and the config after all, so that there is no repository before it is whole.
    async fn get_all(
        &self,
        destination: &Destination,
        here: &Replica,
        config: Vec<u8>,
        report: &mut RecoverReport,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        let prepared = here.clone();
        self.blocking(move || prepared.prepare()).await?;
        for kind in [FileKind::Key, FileKind::Pack, FileKind::Index, FileKind::Snapshot] {
            let (listed, looked_at) = (list_small(destination, kind).await?, here.clone());
            let wanted = self.blocking(move || looked_at.missing(kind, &listed)).await?;
            self.get_files(destination, here, kind, wanted.clone(), report, control).await?;
            if kind == FileKind::Key {
                let looked_at = here.clone();
                self.blocking(move || looked_at.check_keys(&wanted)).await?;
            }
        }
        let begun = here.clone();
        self.blocking(move || begun.write_config(&config)).await
    }

    async fn get_files(
        &self,
        destination: &Destination,
        here: &Replica,
        kind: FileKind,
        names: Vec<FileId>,
        report: &mut RecoverReport,
        control: &Arc<Control>,
    ) -> Result<(), Error> {
        let (mut getting, mut names, lost) = (JoinSet::new(), names.into_iter(), |error| Error::internal("get a file", error));
        loop {
            while getting.len() < FILES_AT_ONCE {
                control.go_on()?;
                let Some(name) = names.next() else { break };
                let (services, destination, here) = (self.clone(), destination.clone(), here.clone());
                getting.spawn(async move {
                    let receiving = services.begin_unmeasured(here, kind, name).await?;
                    destination.get(kind, name, Getting::new(&services, receiving)).await
                });
            }
            let next = tokio::select! {
                next = getting.join_next() => next,
                cancelled = control.cancelled() => return Err(cancelled.into()),
            };
            let Some(done) = next else { return Ok(()) };
            let bytes = done.map_err(lost)??;
            control.add_done(bytes);
            report.files += 1;
            report.bytes = report.bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// A graph that came without a source gets the one that its newest snapshot was taken from.
    async fn fill_in_source(&self, graph_id: &GraphId) -> Result<(), Error> {
        if !self.find_graph(self.store().read(), graph_id).await?.source_dir.is_empty() {
            return Ok(());
        }
        let (source_dir, inputs_dir) = self.newest_directories(graph_id).await?;
        let transaction = self.store().begin().await?;
        let row = self.find_graph_to_update(&transaction, graph_id).await?;
        graphs::update(&*transaction, graph::Model { source_dir, inputs_dir, revision: row.revision + 1, ..row }).await?;
        Ok(store::commit(transaction).await?)
    }
}

fn no_copy(target: &target::Model, graph_id: &GraphId) -> Error {
    let message = format!("target `{}` holds no copy of graph `{graph_id}`", target.name);
    Error::refused(ErrorKind::FailedPrecondition, "REPLICA_NOT_FOUND", message)
}
