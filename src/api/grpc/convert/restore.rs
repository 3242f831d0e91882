//! Restores.

use std::path::PathBuf;

use super::{all_there, request_id};
use crate::domain::graph_id::GraphId;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::operations::Operation;
use crate::service::restore_plan::RestorePlan;
use crate::service::restores::NewRestore;
use crate::store::entity::operation::Model as OperationRow;

pub(in crate::api::grpc) fn parse_new(request: v1::RestoreSnapshotRequest) -> Result<NewRestore, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    if request.target_dir.is_empty() {
        violations.add("target_dir", "must not be empty");
    }
    let fork = Some(request.fork_graph_id).filter(|id| !id.is_empty());
    let fork_graph_id = fork.and_then(|id| violations.take("fork_graph_id", GraphId::parse(&id)));
    let new = graph_id.map(|graph_id| NewRestore {
        graph_id,
        snapshot_id: request.snapshot_id,
        target_dir: request.target_dir,
        inputs_target_dir: Some(request.inputs_target_dir).filter(|inputs| !inputs.is_empty()),
        force: request.force,
        paths: request.paths.into_iter().map(PathBuf::from).collect(),
        safety_snapshot: request.safety_snapshot.unwrap_or(true),
        fork_graph_id,
        request_id,
    });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn done(operation: &OperationRow, target_dir: &str) -> v1::RestoreSnapshotResponse {
    let message = format!("Restored snapshot {} to {target_dir}", shown(operation));
    v1::RestoreSnapshotResponse { status: "success".to_owned(), message, operation: None, plan: None }
}

pub(in crate::api::grpc) fn accepted(operation: Operation, target_dir: &str) -> v1::RestoreSnapshotResponse {
    let message = format!("Snapshot {} will be restored to {target_dir}", shown(&operation.row));
    let operation = Some(super::operation::to_proto(operation));
    v1::RestoreSnapshotResponse { status: "accepted".to_owned(), message, operation, plan: None }
}

fn shown(operation: &OperationRow) -> String {
    operation.snapshot_id.map(|id| id.to_string()).unwrap_or_default()
}

pub(in crate::api::grpc) fn planned(new: &NewRestore, plan: RestorePlan) -> v1::RestoreSnapshotResponse {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let message = format!("Snapshot {} would be restored to {}", new.snapshot_id, new.target_dir);
    let kept = |kept_as: Option<PathBuf>| kept_as.map(|path| path.display().to_string());
    let plan = v1::RestorePlan {
        inputs_files: plan.inputs.as_ref().map(|inputs| count(inputs.files)),
        inputs_size_bytes: plan.inputs.as_ref().map(|inputs| count(inputs.size_bytes)),
        inputs_kept_as: kept(plan.inputs.and_then(|inputs| inputs.kept_as)),
        files: count(plan.files),
        size_bytes: count(plan.size_bytes),
        stored_bytes: count(plan.stored_bytes),
        files_added: count(plan.files_added),
        files_changed: count(plan.files_changed),
        files_unchanged: count(plan.files_unchanged),
        files_removed: count(plan.files_removed),
        examples: plan.examples,
        free_bytes: count(plan.free_bytes),
        conflicts: plan.conflicts,
        expected_seconds: plan.expected_seconds,
        kept_as: kept(plan.kept_as),
    };
    v1::RestoreSnapshotResponse { status: "validated".to_owned(), message, operation: None, plan: Some(plan) }
}
