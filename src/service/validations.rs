//! Validations of checkpoints: each snapshot is really verified, and what is wrong is named.

use std::collections::HashSet;

use super::Services;
use super::error::{Error, ErrorKind, RecordedError};
use super::idempotency::Request;
use super::operations::{recorded_error, to_json};
use super::verifications::VerifyPayload;
use crate::base::failpoint;
use crate::base::ids::{OperationId, SnapshotId, ValidationId};
use crate::domain::caller::Caller;
use crate::domain::checkpoint::{CheckpointState, Problem, ValidationState};
use crate::domain::finding::{Severity, Verdict};
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::verification::VerificationLevel;
use crate::store::entity::validation::Model;
use crate::store::entity::validation_member::Model as Member;
use crate::store::entity::{checkpoint, checkpoint_member, operation};
use crate::store::{self, Transaction, checkpoints, operations, snapshots, validations};

/// Whether the verifications of a validation count against the operations that may wait for a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// They do, and may be refused.
    Queue,
    /// They do not.
    None,
}

impl Services {
    /// Queues the validation of a checkpoint; gives one that runs already and is as deep.
    ///
    /// # Errors
    /// There is no such checkpoint; it is not complete; too many operations wait for one of its graphs.
    pub async fn validate_checkpoint(
        &self,
        caller: &Caller,
        id: &str,
        level: VerificationLevel,
        request_id: Option<&str>,
    ) -> Result<Model, Error> {
        let body = [id, level.as_str()];
        let request = Request { request_id, action: "ValidateCheckpoint", body: &body };
        match self.validate_checkpoint_once(caller, id, level, &request).await {
            Err(error) if error.is_race() => self.validate_checkpoint_once(caller, id, level, &request).await,
            result => result,
        }
    }

    async fn validate_checkpoint_once(
        &self,
        caller: &Caller,
        id: &str,
        level: VerificationLevel,
        request: &Request<'_>,
    ) -> Result<Model, Error> {
        let transaction = self.store().begin().await?;
        // Before all else: of two that come at once, the second finds what the first has queued.
        let row = self.find_checkpoint_to_update(&transaction, id).await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_validation(&first).await;
        }
        if row.state != CheckpointState::Completed {
            let message = format!("checkpoint `{id}` cannot be validated: it is {}", row.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_NOT_COMPLETE", message));
        }
        let validation = match validations::find_running(&*transaction, row.checkpoint_id, level).await? {
            Some(running) => running,
            None => {
                let members = checkpoints::list_members(&*transaction, &[row.checkpoint_id]).await?;
                self.insert_validation(&transaction, &row, &members, level, Limit::Queue).await?
            }
        };
        request.remember(self, &*transaction, validation.validation_id.to_string()).await?;
        self.record_audit(&*transaction, caller, request.action, None, Some(id.to_owned())).await?;
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(validation)
    }

    /// Queues the verification of each snapshot of a checkpoint. Announce the work after the commit.
    pub(super) async fn insert_validation(
        &self,
        transaction: &Transaction,
        row: &checkpoint::Model,
        members: &[checkpoint_member::Model],
        level: VerificationLevel,
        limit: Limit,
    ) -> Result<Model, Error> {
        let now = self.now();
        let validation_id = ValidationId::new(self.ids(), now);
        let ids: Vec<SnapshotId> = members.iter().filter_map(|member| member.snapshot_id).collect();
        let there = snapshots::list_by_ids(&**transaction, &ids).await?;
        let there: HashSet<SnapshotId> = there.into_iter().filter(|row| row.status.is_restorable()).map(|row| row.snapshot_id).collect();
        let mut queued = Vec::with_capacity(members.len());
        for (member, snapshot_id) in members.iter().filter_map(|member| Some((member, member.snapshot_id?))) {
            let mut one = Member { validation_id, graph_id: member.graph_id.clone(), snapshot_id, operation_id: None, problem: None };
            if there.contains(&snapshot_id) {
                let payload = to_json(&VerifyPayload { level })?;
                let operation = self.new_operation(OperationKind::Verify, &member.graph_id, Some(snapshot_id), payload);
                let operation = match limit {
                    Limit::Queue => self.enqueue(&**transaction, operation).await?,
                    Limit::None => operations::insert(&**transaction, operation).await?,
                };
                one.operation_id = Some(operation.operation_id);
            } else {
                one.problem = Some("it cannot be restored any more".to_owned());
            }
            queued.push(one);
        }
        let validation = Model {
            validation_id,
            checkpoint_id: row.checkpoint_id,
            state: ValidationState::Running,
            level,
            problems: "[]".to_owned(),
            created_at: now,
            ended_at: None,
        };
        Ok(validations::insert(&**transaction, validation, queued).await?)
    }

    async fn find_validation(&self, id: &str) -> Result<Model, Error> {
        let missing = || Error::NotFound { kind: "Validation", id: id.to_owned() };
        validations::find(self.store().read(), ValidationId::parse(id).ok_or_else(missing)?).await?.ok_or_else(missing)
    }

    /// The validations of a checkpoint, newest first.
    ///
    /// # Errors
    /// There is no such checkpoint.
    pub async fn list_validations(&self, id: &str, page: &PageRequest<TimeKey>) -> Result<Page<Model>, Error> {
        let row = self.find_checkpoint(self.store().read(), id).await?;
        Ok(validations::list(self.store().read(), row.checkpoint_id, page).await?)
    }

    /// Waits until a validation has ended.
    ///
    /// # Errors
    /// Its checkpoint was deleted; unavailable when this process stops before.
    pub async fn wait_for_validation(&self, id: ValidationId) -> Result<Model, Error> {
        let mut changes = self.wakeup().changes();
        loop {
            let row = self.find_validation(&id.to_string()).await?;
            if row.state != ValidationState::Running {
                return Ok(row);
            }
            self.check_goes_on(&format!("validation `{id}`"))?;
            changes.next().await;
        }
    }

    /// Ends a validation whose operations have ended.
    pub(super) async fn settle_validation(&self, validation: &Model) -> Result<(), Error> {
        let members = validations::list_members(self.store().read(), validation.validation_id).await?;
        let ids: Vec<OperationId> = members.iter().filter_map(|member| member.operation_id).collect();
        let ended = operations::list_by_ids(self.store().read(), &ids).await?;
        if ended.iter().any(|operation| !operation.state.is_ended()) {
            return Ok(());
        }
        let mut problems = Vec::new();
        for member in members {
            let operation = ended.iter().find(|operation| Some(operation.operation_id) == member.operation_id);
            let messages = match member.problem {
                Some(problem) => vec![problem],
                None => self.problems_of(operation).await?,
            };
            let of = |message| Problem { graph_id: member.graph_id.to_string(), snapshot_id: member.snapshot_id.to_string(), message };
            problems.extend(messages.into_iter().map(of));
        }
        let transaction = self.store().begin().await?;
        let row = checkpoints::find_to_update(&*transaction, validation.checkpoint_id).await?;
        let current = validations::find_to_update(&*transaction, validation.validation_id).await?;
        // Another instance may have been faster.
        let (Some(mut row), Some(mut current)) = (row, current.filter(|current| current.state == ValidationState::Running)) else {
            return Ok(());
        };
        let passed = problems.is_empty();
        current.state = if passed { ValidationState::Passed } else { ValidationState::Failed };
        (current.problems, current.ended_at) = (to_json(&problems)?, Some(self.now()));
        // One that looked less deep does not say that what a deeper one found is mended; nor does one that was asked for earlier.
        let has_failed_deeper = row.validation_passed == Some(false) && row.validation_level > Some(current.level);
        let counts = !passed || !has_failed_deeper;
        if counts && !validations::has_later(&*transaction, &current).await? {
            // What is found wrong again stays as deep as it was found.
            let was_deeper = row.validation_level.filter(|_| !passed && has_failed_deeper);
            (row.validation_passed, row.validated_at) = (Some(passed), current.ended_at);
            row.validation_level = was_deeper.or(Some(current.level));
        }
        if !passed {
            tracing::error!(checkpoint_id = %row.checkpoint_id, ?problems, "a checkpoint is not valid");
        }
        validations::update(&*transaction, current).await?;
        checkpoints::update(&*transaction, row).await?;
        store::commit(transaction).await?;
        failpoint::reach("validation.settled");
        self.wakeup().announce_change();
        Ok(())
    }

    /// What a verification that has ended has found wrong.
    async fn problems_of(&self, operation: Option<&operation::Model>) -> Result<Vec<String>, Error> {
        let Some(operation) = operation else { return Ok(vec!["its verification is gone".to_owned()]) };
        if let Some(RecordedError { message, .. }) = recorded_error(operation) {
            return Ok(vec![format!("it could not be verified: {message}")]);
        }
        let Some(verification) = self.find_verification(operation).await? else {
            return Ok(vec!["its verification is gone".to_owned()]);
        };
        if verification.passed {
            return Ok(Vec::new());
        }
        let mut messages: Vec<String> = serde_json::from_str(&verification.problems).unwrap_or_default();
        let verdict: Option<Verdict> = verification.verdict.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let broken = verdict.into_iter().flat_map(|verdict| verdict.findings).filter(|finding| finding.severity == Severity::Broken);
        messages.extend(broken.map(|finding| finding.to_string()));
        // Never valid for want of words.
        if messages.is_empty() {
            messages.push("its verification has failed".to_owned());
        }
        Ok(messages)
    }
}
