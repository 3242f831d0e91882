//! Checkpoints: made over several graphs, looked at, deleted. What completes them is in `checkpoint_work`.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::Services;
use super::error::{Error, ErrorKind};
use super::idempotency::Request;
use super::snapshots::{NewSnapshot, check_restorable};
use crate::base::ids::{CheckpointId, SnapshotId};
use crate::domain::caller::Caller;
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState};
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::tag::Tags;
use crate::domain::validate::Violations;
use crate::domain::verification::VerificationLevel;
use crate::store::entity::checkpoint::Model;
use crate::store::entity::checkpoint_member::Model as Member;
use crate::store::entity::graph;
use crate::store::{self, Transaction, checkpoints, graphs, pins};

/// A checkpoint that is to be made.
#[derive(Debug, Clone)]
pub struct NewCheckpoint {
    /// Over these graphs, in the order in which they depend on each other; each once.
    pub graph_ids: Vec<GraphId>,
    /// The snapshots of those graphs that are not to be taken anew.
    pub snapshots: BTreeMap<GraphId, String>,
    /// As its caller wrote it.
    pub description: String,
    /// Words for its readers.
    pub labels: Labels,
    /// It is complete without the graphs that cannot join.
    pub allow_partial: bool,
    /// All captures that are made for it must begin within this time.
    pub window: Duration,
    /// How deep it is validated as soon as it is complete; none for not at all.
    pub validate: Option<VerificationLevel>,
    /// How long it is kept at least; the setting's time when not set.
    pub retention_days: Option<u32>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// A checkpoint with its graphs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The row.
    pub row: Model,
    /// In their order.
    pub members: Vec<Member>,
    /// Its last validation passed, and not too long ago.
    pub validated: bool,
}

impl Services {
    /// Makes a checkpoint: queues a snapshot of each graph, all of them or none. It is complete when these are.
    ///
    /// # Errors
    /// There is no such graph or snapshot; a snapshot cannot be restored or is being deleted; too many operations wait for a graph.
    /// Then nothing was made.
    pub async fn create_checkpoint(&self, caller: &Caller, new: &NewCheckpoint) -> Result<Checkpoint, Error> {
        let text = format!("{:?}", NewCheckpoint { request_id: None, ..new.clone() });
        let body = [text.as_str()];
        let request = Request { request_id: new.request_id.as_deref(), action: "CreateCheckpoint", body: &body };
        let made = match self.create_checkpoint_once(caller, new, CheckpointOrigin::Created, &request).await {
            Err(error) if error.is_race() => self.create_checkpoint_once(caller, new, CheckpointOrigin::Created, &request).await,
            result => result,
        };
        self.with_members(self.store().read(), made?).await
    }

    pub(super) async fn create_checkpoint_once(
        &self,
        caller: &Caller,
        new: &NewCheckpoint,
        origin: CheckpointOrigin,
        request: &Request<'_>,
    ) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_checkpoint(&*transaction, &first).await;
        }
        let row = self.insert_checkpoint(&transaction, caller, new, origin).await?;
        request.remember(self, &*transaction, row.checkpoint_id.to_string()).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(row)
    }

    /// Adds a checkpoint, with the snapshots that are taken for it. Announce the work after the commit.
    pub(super) async fn insert_checkpoint(
        &self,
        transaction: &Transaction,
        caller: &Caller,
        new: &NewCheckpoint,
        origin: CheckpointOrigin,
    ) -> Result<Model, Error> {
        let now = self.now();
        let checkpoint_id = CheckpointId::new(self.ids(), now);
        let rows = graphs::list_by_ids(&**transaction, new.graph_ids.clone()).await?;
        let mut members = Vec::with_capacity(new.graph_ids.len());
        // By their names: two checkpoints over the same snapshots do not wait for each other.
        let mut order: Vec<(i32, &GraphId)> = (0..).zip(&new.graph_ids).collect();
        order.sort_unstable_by_key(|(_, graph_id)| *graph_id);
        for (position, graph_id) in order {
            let graph = rows.iter().find(|row| row.graph_id == *graph_id);
            let graph = graph.ok_or_else(|| Error::NotFound { kind: "Graph", id: graph_id.to_string() })?;
            let member = Member {
                checkpoint_id,
                graph_id: graph_id.clone(),
                position,
                snapshot_id: None,
                fresh: !new.snapshots.contains_key(graph_id),
                captured_at: None,
                error_message: None,
            };
            members.push(self.join(transaction, caller, new, graph, member).await?);
        }
        let row = Model {
            checkpoint_id,
            origin,
            state: CheckpointState::Capturing,
            description: new.description.clone(),
            labels: new.labels.to_json(),
            allow_partial: new.allow_partial,
            window_seconds: i64::try_from(new.window.as_secs()).unwrap_or(i64::MAX),
            validate_level: new.validate,
            created_at: now,
            completed_at: None,
            captured_from_at: None,
            captured_until_at: None,
            retention_until: Some(now.plus(self.checkpoint_retention(new.retention_days))),
            validation_passed: None,
            validation_level: None,
            validated_at: None,
            error_message: None,
        };
        let row = checkpoints::insert(&**transaction, row, members).await?;
        self.record_audit(&**transaction, caller, "CreateCheckpoint", None, Some(checkpoint_id.to_string())).await?;
        Ok(row)
    }

    /// The snapshot of a member: the one that is named, or one that is queued. From now on the checkpoint keeps it.
    async fn join(
        &self,
        transaction: &Transaction,
        caller: &Caller,
        new: &NewCheckpoint,
        graph: &graph::Model,
        member: Member,
    ) -> Result<Member, Error> {
        let snapshot_id = match new.snapshots.get(&graph.graph_id) {
            Some(named) => {
                let snapshot = self.snapshot_of(&**transaction, &graph.graph_id, named).await?;
                check_restorable(&snapshot)?;
                snapshot.snapshot_id
            }
            None => {
                let metadata = serde_json::json!({ "checkpoint_id": member.checkpoint_id.to_string() }).to_string();
                let graph_id = graph.graph_id.clone();
                let fresh = NewSnapshot { graph_id, source_dir: None, metadata: Some(metadata), tags: Tags::default(), request_id: None };
                match self.insert_snapshot(transaction, &fresh, graph.source_dir.clone(), graph.inputs_dir.clone()).await {
                    Err(error) if new.allow_partial && error.kind() == ErrorKind::Exhausted => {
                        return Ok(Member { error_message: Some(error.to_string()), ..member });
                    }
                    result => {
                        let id = result?.snapshot_id;
                        self.record_audit(&**transaction, caller, "CreateSnapshot", &graph.graph_id, Some(id.to_string())).await?;
                        id
                    }
                }
            }
        };
        if !pins::join_checkpoint(&**transaction, snapshot_id).await? {
            let message = format!("snapshot `{snapshot_id}` is being deleted, it cannot be kept any more");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "SNAPSHOT_BEING_DELETED", message));
        }
        Ok(Member { snapshot_id: Some(snapshot_id), ..member })
    }

    fn checkpoint_retention(&self, days: Option<u32>) -> Duration {
        Duration::from_secs(u64::from(days.unwrap_or(self.settings().recovery.checkpoint_retention_days)) * 24 * 3600)
    }

    pub(super) async fn find_checkpoint(&self, connection: &impl ConnectionTrait, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Checkpoint", id: id.to_owned() };
        checkpoints::find(connection, CheckpointId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    /// As [`Services::find_checkpoint`], and nobody else changes it before the transaction ends.
    pub(super) async fn find_checkpoint_to_update(&self, transaction: &Transaction, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Checkpoint", id: id.to_owned() };
        let parsed = CheckpointId::parse(id).ok_or_else(missing)?;
        checkpoints::find_to_update(&**transaction, parsed).await?.ok_or_else(missing)
    }

    async fn with_members(&self, connection: &impl ConnectionTrait, row: Model) -> Result<Checkpoint, Error> {
        let members = checkpoints::list_members(connection, &[row.checkpoint_id]).await?;
        Ok(Checkpoint { validated: self.is_validated(&row), row, members })
    }

    /// Whether the last validation of a checkpoint passed, and not too long ago.
    pub(super) fn is_validated(&self, row: &Model) -> bool {
        let since = self.now().minus(self.settings().recovery.validation_max_age);
        row.validation_passed == Some(true) && row.validated_at.is_some_and(|at| at > since)
    }

    /// One checkpoint.
    ///
    /// # Errors
    /// There is none with this id.
    pub async fn get_checkpoint(&self, id: &str) -> Result<Checkpoint, Error> {
        let row = self.find_checkpoint(self.store().read(), id).await?;
        self.with_members(self.store().read(), row).await
    }

    /// Checkpoints, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_checkpoints(&self, page: &PageRequest<TimeKey>) -> Result<Page<Checkpoint>, Error> {
        let page = checkpoints::list(self.store().read(), page).await?;
        let ids: Vec<CheckpointId> = page.items.iter().map(|row| row.checkpoint_id).collect();
        let members = checkpoints::list_members(self.store().read(), &ids).await?;
        let with_members = |row: Model| {
            let members = members.iter().filter(|member| member.checkpoint_id == row.checkpoint_id).cloned().collect();
            Checkpoint { validated: self.is_validated(&row), row, members }
        };
        Ok(Page { items: page.items.into_iter().map(with_members).collect(), next_page_token: page.next_page_token })
    }

    /// Removes a checkpoint; its snapshots stay, kept by nothing but retention.
    ///
    /// # Errors
    /// There is none with this id; its snapshots are being taken.
    pub async fn delete_checkpoint(&self, caller: &Caller, id: &str, request_id: Option<&str>) -> Result<(), Error> {
        let body = [id];
        let request = Request { request_id, action: "DeleteCheckpoint", body: &body };
        let transaction = self.store().begin().await?;
        let row = self.find_checkpoint_to_update(&transaction, id).await;
        // Looked for when nobody else changes the checkpoint: of two that come at once, the second finds what the first has done.
        if request.find_subject(&*transaction).await?.is_some() {
            return Ok(());
        }
        let row = row?;
        if row.state == CheckpointState::Capturing {
            let message = format!("checkpoint `{id}` is still being made, cancel the operations of its snapshots first");
            return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_IN_PROGRESS", message));
        }
        self.check_not_failing_over(&*transaction, row.checkpoint_id).await?;
        self.remove_checkpoint(&transaction, &row).await?;
        request.remember(self, &*transaction, id.to_owned()).await?;
        self.record_audit(&*transaction, caller, request.action, None, Some(id.to_owned())).await?;
        Ok(store::commit(transaction).await?)
    }

    pub(super) async fn remove_checkpoint(&self, transaction: &Transaction, row: &Model) -> Result<(), Error> {
        if row.state == CheckpointState::Completed {
            let mut members = checkpoints::list_members(&**transaction, &[row.checkpoint_id]).await?;
            members.sort_unstable_by(|one, other| one.graph_id.cmp(&other.graph_id));
            for id in members.into_iter().filter_map(|member| member.snapshot_id) {
                pins::leave_checkpoint(&**transaction, id).await?;
            }
        }
        Ok(checkpoints::delete(&**transaction, row.checkpoint_id).await?)
    }

    /// Waits until a checkpoint is complete, and validated if that was asked for.
    ///
    /// # Errors
    /// It has failed; unavailable when this process stops before.
    pub async fn wait_for_checkpoint(&self, id: CheckpointId) -> Result<Checkpoint, Error> {
        let mut changes = self.wakeup().changes();
        loop {
            let checkpoint = self.get_checkpoint(&id.to_string()).await?;
            let row = &checkpoint.row;
            match row.state {
                CheckpointState::Failed => {
                    let why = row.error_message.as_deref().unwrap_or_default();
                    let message = format!("checkpoint `{id}` has failed: {why}");
                    return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_FAILED", message));
                }
                CheckpointState::Completed if row.validate_level.is_none() || row.validated_at.is_some() => return Ok(checkpoint),
                CheckpointState::Completed | CheckpointState::Capturing => {}
            }
            self.check_goes_on(&format!("checkpoint `{id}`"))?;
            changes.next().await;
        }
    }

    /// That a caller need not wait in vain.
    ///
    /// # Errors
    /// This process stops; what is waited for goes on when it is back.
    pub(super) fn check_goes_on(&self, what: &str) -> Result<(), Error> {
        if self.stopping().is_cancelled() && self.tasks().is_closed() {
            let message = format!("the server stops, {what} goes on when it is back");
            return Err(Error::refused(ErrorKind::Unavailable, "SERVER_STOPPING", message));
        }
        Ok(())
    }
}

/// Checks which graphs are to join; what is wrong is added.
pub fn check_members(violations: &mut Violations, graph_ids: &[GraphId], snapshots: &BTreeMap<GraphId, String>) {
    let mut seen = HashSet::new();
    if graph_ids.is_empty() {
        violations.add("graph_ids", "must name at least one graph");
    }
    for twice in graph_ids.iter().filter(|graph_id| !seen.insert(*graph_id)) {
        violations.add("graph_ids", format_args!("names a graph twice: {twice}"));
    }
    for other in snapshots.keys().filter(|graph_id| !seen.contains(graph_id)) {
        violations.add("snapshots", format_args!("names a graph that is not in `graph_ids`: {other}"));
    }
    for (graph_id, id) in snapshots.iter().filter(|(_, id)| SnapshotId::parse(id).is_none()) {
        violations.add("snapshots", format_args!("names for graph `{graph_id}` what is no snapshot's id: {id}"));
    }
}
