//! Validations of checkpoints: each snapshot is really verified, and what is wrong is named.

use super::Services;
use super::error::{Error, ErrorKind, RecordedError};
use super::idempotency::Request;
use super::operations::{recorded_error, to_json};
use super::verifications::VerifyPayload;
use crate::base::failpoint;
use crate::base::ids::{OperationId, ValidationId};
use crate::domain::caller::Caller;
use crate::domain::checkpoint::{CheckpointState, Problem, ValidationState};
use crate::domain::finding::{Severity, Verdict};
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::verification::VerificationLevel;
use crate::store::entity::validation::Model;
use crate::store::entity::validation_member::Model as Member;
use crate::store::entity::{checkpoint, checkpoint_member};
use crate::store::{self, Transaction, checkpoints, operations, snapshots, validations};

impl Services {
    /// Queues the validation of a checkpoint; the same as the last one where that has not ended and is as deep.
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
        let transaction = self.store().begin().await?;
        if let Some(first) = request.find_subject(&*transaction).await? {
            return self.find_validation(&first).await;
        }
        let row = self.find_checkpoint(&*transaction, id).await?;
        if row.state != CheckpointState::Completed {
            let message = format!("checkpoint `{id}` cannot be validated: it is {}", row.state);
            return Err(Error::refused(ErrorKind::FailedPrecondition, "CHECKPOINT_NOT_COMPLETE", message));
        }
        let last = validations::find_newest(&*transaction, row.checkpoint_id).await?;
        let validation = match last.filter(|last| last.state == ValidationState::Running && last.level == level) {
            Some(running) => running,
            None => {
                let members = checkpoints::list_members(&*transaction, &[row.checkpoint_id]).await?;
                self.insert_validation(&transaction, &row, &members, level).await?
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
    ) -> Result<Model, Error> {
        let now = self.now();
        let validation_id = ValidationId::new(self.ids(), now);
        let mut queued = Vec::with_capacity(members.len());
        for (member, snapshot_id) in members.iter().filter_map(|member| Some((member, member.snapshot_id?))) {
            let snapshot = snapshots::find(&**transaction, &member.graph_id, snapshot_id).await?;
            let mut one = Member { validation_id, graph_id: member.graph_id.clone(), snapshot_id, operation_id: None, problem: None };
            match snapshot.filter(|snapshot| snapshot.status.is_restorable()) {
                Some(_) => {
                    let payload = to_json(&VerifyPayload { level })?;
                    let operation = self.new_operation(OperationKind::Verify, &member.graph_id, Some(snapshot_id), payload);
                    // Not refused by the limit: what a caller has been promised is done, whoever waits.
                    one.operation_id = Some(operations::insert(&**transaction, operation).await?.operation_id);
                }
                None => one.problem = Some("it cannot be restored any more".to_owned()),
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
        let mut problems = Vec::new();
        for member in validations::list_members(self.store().read(), validation.validation_id).await? {
            let messages = match (&member.problem, member.operation_id) {
                (Some(problem), _) => vec![problem.clone()],
                (None, Some(id)) => match self.problems_of(id).await? {
                    Some(messages) => messages,
                    None => return Ok(()),
                },
                (None, None) => Vec::new(),
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
        (row.validation_passed, row.validated_at) = (Some(passed), current.ended_at);
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

    /// What a verification has found wrong; none as long as it has not ended.
    async fn problems_of(&self, id: OperationId) -> Result<Option<Vec<String>>, Error> {
        let gone = || vec!["its verification is gone".to_owned()];
        let Some(operation) = operations::find(self.store().read(), id).await? else { return Ok(Some(gone())) };
        if !operation.state.is_ended() {
            return Ok(None);
        }
        if let Some(RecordedError { message, .. }) = recorded_error(&operation) {
            return Ok(Some(vec![format!("it could not be verified: {message}")]));
        }
        let Some(verification) = self.find_verification(&operation).await? else { return Ok(Some(gone())) };
        if verification.passed {
            return Ok(Some(Vec::new()));
        }
        let mut messages: Vec<String> = serde_json::from_str(&verification.problems).unwrap_or_default();
        let verdict: Option<Verdict> = verification.verdict.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let broken = verdict.into_iter().flat_map(|verdict| verdict.findings).filter(|finding| finding.severity == Severity::Broken);
        messages.extend(broken.map(|finding| finding.to_string()));
        Ok(Some(messages))
    }
}
