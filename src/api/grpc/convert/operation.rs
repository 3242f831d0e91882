//! Operations.

use super::{all_there, instant, json_to_struct, page, timestamp};
use crate::api::status::recorded;
use crate::base::ids::SnapshotId;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::operations::{Operation, recorded_error};
use crate::store::operations::OperationFilter;

pub(in crate::api::grpc) fn parse_list(request: &v1::ListOperationsRequest) -> Result<(OperationFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = match request.graph_id.as_str() {
        "" | "-" => None,
        text => violations.take("graph_id", GraphId::parse(text)),
    };
    let state = match v1::OperationState::try_from(request.state) {
        Ok(v1::OperationState::Unspecified) => None,
        Ok(v1::OperationState::Queued) => Some(OperationState::Queued),
        Ok(v1::OperationState::Running) => Some(OperationState::Running),
        Ok(v1::OperationState::Succeeded) => Some(OperationState::Succeeded),
        Ok(v1::OperationState::Failed) => Some(OperationState::Failed),
        Ok(v1::OperationState::Cancelled) => Some(OperationState::Cancelled),
        Err(_) => {
            violations.add("state", format_args!("is not a state that is known: {}", request.state));
            None
        }
    };
    let kind = kind(&mut violations, request.kind);
    let snapshot_id = match request.snapshot_id.as_str() {
        "" => None,
        text => violations.take("snapshot_id", SnapshotId::parse(text).ok_or_else(|| format!("must be a UUID: {text}"))),
    };
    let created_from = instant(&mut violations, "created_from", request.created_from);
    let created_before = instant(&mut violations, "created_before", request.created_before);
    let page = page(&mut violations, request.page_size, &request.page_token);
    let page = all_there(violations, page)?;
    Ok((OperationFilter { graph_id, state, kind, snapshot_id, created_from, created_before }, page))
}

pub(in crate::api::grpc) fn to_proto(operation: Operation) -> v1::Operation {
    let Operation { row, place } = operation;
    let error = recorded_error(&row).map(|error| recorded(&error));
    v1::Operation {
        operation_id: row.operation_id.to_string(),
        kind: kind_to_proto(row.kind).into(),
        state: state_to_proto(row.state).into(),
        graph_id: row.graph_id.to_string(),
        snapshot_id: row.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        stage: row.stage,
        done_bytes: row.done_bytes,
        total_bytes: row.total_bytes,
        attempt: row.attempt,
        error,
        created_at: Some(timestamp(row.created_at)),
        started_at: row.started_at.map(timestamp),
        ended_at: row.ended_at.map(timestamp),
        place: place.map(|place| i32::try_from(place).unwrap_or(i32::MAX)),
        cancel_requested: row.cancel_requested,
        result: row
            .result
            .as_deref()
            .filter(|_| row.state.is_ended())
            .and_then(|json| serde_json::from_str(json).ok())
            .and_then(json_to_struct),
    }
}

fn kind_to_proto(kind: OperationKind) -> v1::OperationKind {
    match kind {
        OperationKind::Snapshot => v1::OperationKind::Snapshot,
        OperationKind::Restore => v1::OperationKind::Restore,
        OperationKind::Delete => v1::OperationKind::Delete,
        OperationKind::Cleanup => v1::OperationKind::Cleanup,
        OperationKind::Prune => v1::OperationKind::Prune,
        OperationKind::Verify => v1::OperationKind::Verify,
        OperationKind::Check => v1::OperationKind::Check,
        OperationKind::Repair => v1::OperationKind::Repair,
        OperationKind::Reconcile => v1::OperationKind::Reconcile,
        OperationKind::Unregister => v1::OperationKind::Unregister,
        OperationKind::Drill => v1::OperationKind::Drill,
        OperationKind::Failover => v1::OperationKind::Failover,
        OperationKind::Rollback => v1::OperationKind::Rollback,
        OperationKind::Replicate => v1::OperationKind::Replicate,
        OperationKind::Recover => v1::OperationKind::Recover,
    }
}

fn kind(violations: &mut Violations, number: i32) -> Option<OperationKind> {
    let Ok(kind) = v1::OperationKind::try_from(number) else {
        violations.add("kind", format_args!("is not a kind that is known: {number}"));
        return None;
    };
    Some(match kind {
        v1::OperationKind::Unspecified => return None,
        v1::OperationKind::Snapshot => OperationKind::Snapshot,
        v1::OperationKind::Restore => OperationKind::Restore,
        v1::OperationKind::Delete => OperationKind::Delete,
        v1::OperationKind::Cleanup => OperationKind::Cleanup,
        v1::OperationKind::Prune => OperationKind::Prune,
        v1::OperationKind::Verify => OperationKind::Verify,
        v1::OperationKind::Check => OperationKind::Check,
        v1::OperationKind::Repair => OperationKind::Repair,
        v1::OperationKind::Reconcile => OperationKind::Reconcile,
        v1::OperationKind::Unregister => OperationKind::Unregister,
        v1::OperationKind::Drill => OperationKind::Drill,
        v1::OperationKind::Failover => OperationKind::Failover,
        v1::OperationKind::Rollback => OperationKind::Rollback,
        v1::OperationKind::Replicate => OperationKind::Replicate,
        v1::OperationKind::Recover => OperationKind::Recover,
    })
}

fn state_to_proto(state: OperationState) -> v1::OperationState {
    match state {
        OperationState::Queued => v1::OperationState::Queued,
        OperationState::Running => v1::OperationState::Running,
        OperationState::Succeeded => v1::OperationState::Succeeded,
        OperationState::Failed => v1::OperationState::Failed,
        OperationState::Cancelled => v1::OperationState::Cancelled,
    }
}
