//! Runs of schedules.

use super::timestamp;
use crate::domain::operation::OperationState;
use crate::domain::schedule_run::RunOutcome;
use crate::proto::v1;
use crate::service::operations::recorded_error;
use crate::service::schedule_runs::ScheduleRun;

pub(in crate::api::grpc) fn to_proto(run: ScheduleRun) -> v1::ScheduleRun {
    let result = match (run.row.outcome, run.operation.as_ref().map(|operation| operation.state)) {
        (RunOutcome::Overlapped, _) => v1::ScheduleRunResult::Overlapped,
        (RunOutcome::Missed, _) => v1::ScheduleRunResult::Missed,
        (RunOutcome::Refused, _) => v1::ScheduleRunResult::Refused,
        (RunOutcome::Queued, Some(OperationState::Queued | OperationState::Running)) => v1::ScheduleRunResult::Running,
        (RunOutcome::Queued, Some(OperationState::Failed)) => v1::ScheduleRunResult::Failed,
        (RunOutcome::Queued, Some(OperationState::Cancelled)) => v1::ScheduleRunResult::Cancelled,
        (RunOutcome::Queued, Some(OperationState::Succeeded) | None) => v1::ScheduleRunResult::Succeeded,
    };
    let message = run.row.message.or_else(|| Some(recorded_error(run.operation.as_ref()?)?.message));
    v1::ScheduleRun {
        schedule_run_id: run.row.schedule_run_id.to_string(),
        schedule_id: run.row.schedule_id.to_string(),
        graph_id: run.row.graph_id.to_string(),
        fire_at: Some(timestamp(run.row.fire_at)),
        created_at: Some(timestamp(run.row.created_at)),
        delay_seconds: run.row.created_at.since(run.row.fire_at).as_secs_f64(),
        result: result.into(),
        operation_id: run.row.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        snapshot_id: run.row.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        count: run.row.count,
        message,
    }
}

pub(in crate::api::grpc) fn list_to_proto(runs: Vec<ScheduleRun>) -> Vec<v1::ScheduleRun> {
    runs.into_iter().map(to_proto).collect()
}
