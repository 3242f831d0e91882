//! Checkpoints and their validations.

use std::collections::BTreeMap;
use std::time::Duration;

use super::verification::{level, level_to_proto};
use super::{all_there, page, request_id, timestamp};
use crate::domain::checkpoint::{CheckpointOrigin, CheckpointState, Problem, ValidationState};
use crate::domain::graph_id::GraphId;
use crate::domain::label::Labels;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::domain::verification::VerificationLevel;
use crate::proto::v1;
use crate::service::Error;
use crate::service::checkpoint_schedule::{RecoveryStatus, WINDOW};
use crate::service::checkpoints::{Checkpoint, NewCheckpoint, check_members};
use crate::store::entity::checkpoint_member;
use crate::store::entity::validation::Model as Validation;

const MAX_GRAPHS: usize = 1000;
const MAX_DESCRIPTION_BYTES: usize = 1000;
const MAX_WINDOW_SECONDS: i64 = 86_400;
const MAX_RETENTION_DAYS: i32 = 36_500;

pub(in crate::api::grpc) fn parse_new(request: v1::CreateCheckpointRequest) -> Result<NewCheckpoint, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let mut graph_ids = Vec::new();
    for text in request.graph_ids.iter().take(MAX_GRAPHS) {
        graph_ids.extend(violations.take("graph_ids", GraphId::parse(text)));
    }
    if request.graph_ids.len() > MAX_GRAPHS {
        violations.add("graph_ids", format_args!("must be at most {MAX_GRAPHS}: {}", request.graph_ids.len()));
    }
    let mut snapshots = BTreeMap::new();
    for named in request.snapshots {
        let Some(graph_id) = violations.take("snapshots", GraphId::parse(&named.graph_id)) else { continue };
        if snapshots.insert(graph_id, named.snapshot_id).is_some() {
            violations.add("snapshots", format_args!("names two of a graph: {}", named.graph_id));
        }
    }
    if graph_ids.len() == request.graph_ids.len() {
        check_members(&mut violations, &graph_ids, &snapshots);
    }
    if request.description.len() > MAX_DESCRIPTION_BYTES {
        violations.add("description", format_args!("must have at most {MAX_DESCRIPTION_BYTES} bytes: {}", request.description.len()));
    }
    let window = match request.window_seconds {
        0 => WINDOW,
        seconds @ 1..=MAX_WINDOW_SECONDS => Duration::from_secs(seconds.unsigned_abs()),
        seconds => {
            violations.add("window_seconds", format_args!("must be from 0 to {MAX_WINDOW_SECONDS}: {seconds}"));
            WINDOW
        }
    };
    let retention_days = match request.retention_days {
        0 => None,
        days @ 1..=MAX_RETENTION_DAYS => Some(days.unsigned_abs()),
        days => {
            violations.add("retention_days", format_args!("must be from 0 to {MAX_RETENTION_DAYS}: {days}"));
            None
        }
    };
    let deep = level(&mut violations, "validation_level", request.validation_level).unwrap_or(VerificationLevel::Content);
    let validate = request.validate.unwrap_or(true).then_some(deep);
    let labels = Labels::parse(&mut violations, "labels", request.labels);
    violations.finish()?;
    let (description, allow_partial) = (request.description, request.allow_partial);
    Ok(NewCheckpoint { graph_ids, snapshots, description, labels, allow_partial, window, validate, retention_days, request_id })
}

pub(in crate::api::grpc) fn parse_validate(request: &v1::ValidateCheckpointRequest) -> Result<(VerificationLevel, Option<String>), Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let level = level(&mut violations, "level", request.level).unwrap_or(VerificationLevel::Content);
    violations.finish()?;
    Ok((level, request_id))
}

pub(in crate::api::grpc) fn parse_page(page_size: i32, page_token: &str) -> Result<PageRequest<TimeKey>, Error> {
    let mut violations = Violations::default();
    let page = page(&mut violations, page_size, page_token);
    all_there(violations, page)
}

pub(in crate::api::grpc) fn to_proto(checkpoint: Checkpoint) -> v1::Checkpoint {
    let Checkpoint { row, members, validated } = checkpoint;
    let state = match row.state {
        CheckpointState::Capturing => v1::CheckpointState::Capturing,
        CheckpointState::Completed => v1::CheckpointState::Completed,
        CheckpointState::Failed => v1::CheckpointState::Failed,
    };
    let origin = match row.origin {
        CheckpointOrigin::Created => v1::CheckpointOrigin::Created,
        CheckpointOrigin::Automatic => v1::CheckpointOrigin::Automatic,
    };
    v1::Checkpoint {
        checkpoint_id: row.checkpoint_id.to_string(),
        graphs: members.iter().map(|member| member.graph_id.to_string()).collect(),
        description: row.description,
        created_at: Some(timestamp(row.created_at)),
        validated,
        validation_timestamp: row.validated_at.map(timestamp),
        state: state.into(),
        origin: origin.into(),
        members: members.into_iter().map(member_to_proto).collect(),
        labels: Labels::from_json(row.labels.as_deref()).into_iter().collect(),
        allow_partial: row.allow_partial,
        window_seconds: row.window_seconds,
        captured_from: row.captured_from_at.map(timestamp),
        captured_until: row.captured_until_at.map(timestamp),
        completed_at: row.completed_at.map(timestamp),
        retention_until: row.retention_until.map(timestamp),
        error_message: row.error_message,
    }
}

fn member_to_proto(member: checkpoint_member::Model) -> v1::CheckpointMember {
    v1::CheckpointMember {
        graph_id: member.graph_id.to_string(),
        snapshot_id: member.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        fresh: member.fresh,
        captured_at: member.captured_at.map(timestamp),
        error_message: member.error_message,
    }
}

pub(in crate::api::grpc) fn validation_to_proto(row: Validation) -> v1::Validation {
    let state = match row.state {
        ValidationState::Running => v1::ValidationState::Running,
        ValidationState::Passed => v1::ValidationState::Passed,
        ValidationState::Failed => v1::ValidationState::Failed,
    };
    let problems: Vec<Problem> = serde_json::from_str(&row.problems).unwrap_or_default();
    let problem = |Problem { graph_id, snapshot_id, message }| v1::ValidationProblem { graph_id, snapshot_id, message };
    v1::Validation {
        validation_id: row.validation_id.to_string(),
        checkpoint_id: row.checkpoint_id.to_string(),
        state: state.into(),
        level: level_to_proto(row.level).into(),
        problems: problems.into_iter().map(problem).collect(),
        created_at: Some(timestamp(row.created_at)),
        ended_at: row.ended_at.map(timestamp),
    }
}

pub(in crate::api::grpc) fn status_to_proto(status: RecoveryStatus) -> v1::RecoveryStatus {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    v1::RecoveryStatus {
        total_checkpoints: count(status.total_checkpoints),
        validated_checkpoints: count(status.validated_checkpoints),
        failover_in_progress: status.failover_in_progress,
        latest_checkpoint: status.latest.as_ref().map(|row| row.checkpoint_id.to_string()),
        latest_checkpoint_time: status.latest.map(|row| timestamp(row.created_at)),
    }
}
