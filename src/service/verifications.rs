//! Verifications: asked for, done, listed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Services;
use super::error::Error;
use super::idempotency::Request;
use super::operations::{Work, payload, report, to_json};
use super::repository_lock::HeldLock;
use super::snapshot_files::SnapshotFiles;
use super::snapshots::{check_restorable, snapshot_root};
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::VerificationId;
use crate::domain::caller::Caller;
use crate::domain::finding::{Consistency, Verdict};
use crate::domain::graph_id::GraphId;
use crate::domain::operation::OperationKind;
use crate::domain::page::{Page, PageRequest, TimeKey};
use crate::domain::report::{PROBLEMS_MAX, VerifyReport};
use crate::domain::verification::VerificationLevel;
use crate::lightrag::audit::audit_files;
use crate::repository::{self, LockKind, Repository, SnapshotDepth, VerifyRequest};
use crate::store::entity::verification::Model;
use crate::store::entity::{operation, snapshot};
use crate::store::operations::Ending;
use crate::store::verifications::VerificationFilter;
use crate::store::{self, operations, snapshots, verifications};

/// A snapshot that is to be verified.
#[derive(Debug, Clone)]
pub struct NewVerification {
    /// Of this graph.
    pub graph_id: GraphId,
    /// This snapshot.
    pub snapshot_id: String,
    /// How deep.
    pub level: VerificationLevel,
    /// The caller's name for the request.
    pub request_id: Option<String>,
}

/// What an operation needs that verifies.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct VerifyPayload {
    pub(super) level: VerificationLevel,
}

/// What was found.
struct Found {
    problems: Vec<String>,
    verdict: Option<Verdict>,
    read_bytes: u64,
}

impl Services {
    /// Queues the verification of a snapshot.
    ///
    /// # Errors
    /// There is no such snapshot; it is not complete.
    pub async fn verify_snapshot(&self, caller: &Caller, new: &NewVerification) -> Result<operation::Model, Error> {
        let body = [new.graph_id.as_str(), &new.snapshot_id, new.level.as_str()];
        let request = Request { request_id: new.request_id.as_deref(), action: "VerifySnapshot", body: &body };
        if let Some(first) = request.find_subject(self.store().read()).await? {
            return self.operation_of(self.store().read(), &first).await;
        }
        let snapshot = self.get_snapshot(&new.graph_id, &new.snapshot_id).await?;
        check_restorable(&snapshot)?;
        let payload = to_json(&VerifyPayload { level: new.level })?;
        let work = Work { kind: OperationKind::Verify, graph_id: &new.graph_id, snapshot_id: Some(snapshot.snapshot_id), payload };
        self.queue(caller, &work, &request).await
    }

    /// The verifications of a snapshot, newest first.
    ///
    /// # Errors
    /// There is no such snapshot.
    pub async fn list_verifications(
        &self,
        graph_id: &GraphId,
        id: &str,
        wanted: VerificationFilter,
        page: &PageRequest<TimeKey>,
    ) -> Result<Page<Model>, Error> {
        let snapshot = self.get_snapshot(graph_id, id).await?;
        Ok(verifications::list(self.store().read(), snapshot.snapshot_id, wanted, page).await?)
    }

    /// What an operation that has ended has found; none when its snapshot was deleted since, and its verifications with it.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_verification(&self, operation: &operation::Model) -> Result<Option<Model>, Error> {
        let Some(id) = report::<VerifyReport>(operation).and_then(|report| VerificationId::parse(&report.verification_id)) else {
            return Ok(None);
        };
        Ok(verifications::find(self.store().read(), id).await?)
    }

    /// Verifies the snapshot of an operation.
    ///
    /// # Errors
    /// The repository cannot be opened; what is wrong with the snapshot is recorded, not an error.
    pub async fn run_verify(&self, operation: &operation::Model, control: &Arc<Control>) -> Result<(), Error> {
        let VerifyPayload { level } = payload(operation)?;
        let (row, started_at) = (self.snapshot_of_operation(operation).await?, self.now());
        let found = self.look_into(&row, level, control).await?;
        failpoint::reach("verify.done");
        let broken = found.verdict.as_ref().is_some_and(|verdict| verdict.consistency == Consistency::Inconsistent);
        let verification = Model {
            verification_id: VerificationId::new(self.ids(), started_at),
            graph_id: row.graph_id,
            snapshot_id: row.snapshot_id,
            operation_id: operation.operation_id,
            level,
            passed: found.problems.is_empty() && !broken,
            problems: to_json(&found.problems)?,
            verdict: found.verdict.as_ref().map(to_json).transpose()?,
            read_bytes: i64::try_from(found.read_bytes).unwrap_or(i64::MAX),
            started_at,
            ended_at: self.now(),
        };
        let report = VerifyReport { verification_id: verification.verification_id.to_string(), passed: verification.passed };
        let ending = Ending { result: Some(to_json(&report)?), ..Ending::succeeded() };
        let transaction = self.store().begin().await?;
        operations::finish(&*transaction, operation, ending, control.progress(), self.now()).await?;
        snapshots::update_verified(&*transaction, &verification).await?;
        verifications::insert(&*transaction, verification).await?;
        Ok(store::commit(transaction).await?)
    }

    /// What is wrong with a snapshot, looked at now and not recorded.
    ///
    /// # Errors
    /// The repository cannot be opened.
    pub(super) async fn verify_now(
        &self,
        row: &snapshot::Model,
        level: VerificationLevel,
        control: &Arc<Control>,
    ) -> Result<Vec<String>, Error> {
        Ok(self.look_into(row, level, control).await?.problems)
    }

    async fn look_into(&self, row: &snapshot::Model, level: VerificationLevel, control: &Arc<Control>) -> Result<Found, Error> {
        let (services, root) = (self.clone(), self.repository_root(&row.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&root)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, control).await?;
        let work = Verify { repository, lock: lock.clone(), row: row.clone(), control: Arc::clone(control) };
        let found = self.blocking(move || work.run(level)).await?;
        lock.release(self).await;
        Ok(found)
    }
}

/// The blocking part.
struct Verify {
    repository: Arc<Repository>,
    lock: HeldLock,
    row: snapshot::Model,
    control: Arc<Control>,
}

impl Verify {
    fn run(&self, level: VerificationLevel) -> Result<Found, Error> {
        let Some(root) = snapshot_root(&self.row) else {
            let problems = vec!["its row names no record, reconcile the repository".to_owned()];
            return Ok(Found { problems, verdict: None, read_bytes: 0 });
        };
        let depth = if level == VerificationLevel::Record { SnapshotDepth::Record } else { SnapshotDepth::Data };
        let request = VerifyRequest { root: &root, depth, control: &self.control };
        let verified = match self.repository.verify_snapshot(&request, self.lock.lock()) {
            Err(repository::Error::RecordNotFound { id, .. }) => {
                let problems = vec![format!("its record `{id}` is gone from the repository")];
                return Ok(Found { problems, verdict: None, read_bytes: 0 });
            }
            other => other?,
        };
        let mut problems: Vec<String> = verified.problems.iter().take(PROBLEMS_MAX).map(ToString::to_string).collect();
        let hash = verified.data_hash.map(hex::encode);
        if problems.is_empty() && self.row.data_hash.is_some() && hash != self.row.data_hash {
            problems.push("what it holds has another hash than what was saved".to_owned());
        }
        // What cannot be read cannot be audited: the problems say so already.
        let audited = level == VerificationLevel::Content && problems.is_empty();
        let verdict = if audited {
            let files = SnapshotFiles::new(Arc::clone(&self.repository), root, self.lock.clone());
            Some(audit_files(&files, &self.control)?)
        } else {
            None
        };
        Ok(Found { problems, verdict, read_bytes: verified.read_bytes })
    }
}
