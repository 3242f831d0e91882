//! Failovers.

use std::collections::{BTreeMap, HashMap};

use super::{all_there, page, request_id, timestamp};
use crate::base::ids::CheckpointId;
use crate::base::timestamp::Timestamp;
use crate::domain::failover::{FailoverKind, FailoverState, Member, Move, Step, StepKind, StepOutcome};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::failover_plan::{FailoverPlan, Site};
use crate::service::failovers::{NewFailover, members_of, steps_of};
use crate::store::entity::failover::Model;

/// What to do when one is asked for.
pub(in crate::api::grpc) fn parse_new(request: v1::RunFailoverRequest) -> Result<NewFailover, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let target_dirs = directories(&mut violations, "target_dirs", request.target_dirs);
    let inputs_target_dirs = directories(&mut violations, "inputs_target_dirs", request.inputs_target_dirs);
    violations.finish()?;
    let site = Site { target_dirs, inputs_target_dirs };
    Ok(NewFailover { checkpoint_id: request.checkpoint_id, site, force: request.force, request_id })
}

fn directories(violations: &mut Violations, field: &str, given: HashMap<String, String>) -> BTreeMap<GraphId, String> {
    let mut directories = BTreeMap::new();
    for (graph_id, directory) in given {
        if directory.is_empty() {
            violations.add(field, format_args!("must name a directory for graph `{graph_id}`"));
        }
        let graph_id = violations.take(field, GraphId::parse(&graph_id));
        directories.extend(graph_id.map(|graph_id| (graph_id, directory)));
    }
    directories
}

pub(in crate::api::grpc) fn parse_list(request: &v1::ListFailoversRequest) -> Result<(Option<CheckpointId>, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let checkpoint_id = match request.checkpoint_id.as_str() {
        "" => None,
        text => violations.take("checkpoint_id", CheckpointId::parse(text).ok_or_else(|| format!("must be a UUID: {text}"))),
    };
    let page = page(&mut violations, request.page_size, &request.page_token);
    Ok((checkpoint_id, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn answer(row: Model) -> Result<v1::RunFailoverResponse, Error> {
    let success = row.state == FailoverState::Succeeded;
    Ok(v1::RunFailoverResponse { success, failover: Some(to_proto(row)?), plan: None })
}

pub(in crate::api::grpc) fn planned(plan: FailoverPlan, steps: Vec<String>) -> v1::RunFailoverResponse {
    let plan = v1::FailoverPlan {
        size_bytes: count(plan.members.iter().map(Member::size_bytes).sum()),
        expected_seconds: plan.expected_seconds(),
        graphs: plan.members.into_iter().map(member_to_proto).collect(),
        steps,
        refusals: plan.refusals.iter().map(ToString::to_string).collect(),
        remarks: plan.remarks,
    };
    v1::RunFailoverResponse { success: false, failover: None, plan: Some(plan) }
}

pub(in crate::api::grpc) fn to_proto(row: Model) -> Result<v1::Failover, Error> {
    let (members, steps) = (members_of(&row)?, steps_of(&row)?);
    let kind = match row.kind {
        FailoverKind::Failover => v1::FailoverKind::Failover,
        FailoverKind::Failback => v1::FailoverKind::Failback,
    };
    Ok(v1::Failover {
        failover_id: row.failover_id.to_string(),
        kind: kind.into(),
        checkpoint_id: row.checkpoint_id.to_string(),
        failed_over_by: row.failed_over_by.map(|id| id.to_string()).unwrap_or_default(),
        operation_id: row.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        state: state_to_proto(row.state).into(),
        graphs: members.into_iter().map(member_to_proto).collect(),
        steps: steps.into_iter().map(step_to_proto).collect(),
        error_message: row.error_message,
        created_at: Some(timestamp(row.created_at)),
        ended_at: row.ended_at.map(timestamp),
    })
}

fn state_to_proto(state: FailoverState) -> v1::FailoverState {
    match state {
        FailoverState::Capturing => v1::FailoverState::Capturing,
        FailoverState::Running => v1::FailoverState::Running,
        FailoverState::Succeeded => v1::FailoverState::Succeeded,
        FailoverState::Switched => v1::FailoverState::Switched,
        FailoverState::Failed => v1::FailoverState::Failed,
        FailoverState::RollingBack => v1::FailoverState::RollingBack,
        FailoverState::RolledBack => v1::FailoverState::RolledBack,
        FailoverState::Incomplete => v1::FailoverState::Incomplete,
    }
}

fn member_to_proto(member: Member) -> v1::FailoverGraph {
    v1::FailoverGraph {
        graph_id: member.graph_id,
        snapshot_id: member.snapshot_id,
        source: Some(place_to_proto(member.source)),
        inputs: member.inputs.map(place_to_proto),
        expected_seconds: member.expected_seconds,
    }
}

fn place_to_proto(place: Move) -> v1::FailoverPlace {
    v1::FailoverPlace {
        from: place.from,
        target_dir: place.target,
        kept_as: place.kept_as,
        replaced_as: place.replaced_as,
        size_bytes: count(place.size_bytes),
    }
}

fn step_to_proto(step: Step) -> v1::FailoverStep {
    let kind = match step.kind {
        StepKind::Check => v1::FailoverStepKind::Check,
        StepKind::Validate => v1::FailoverStepKind::Validate,
        StepKind::Hook => v1::FailoverStepKind::Hook,
        StepKind::Fence => v1::FailoverStepKind::Fence,
        StepKind::Restore => v1::FailoverStepKind::Restore,
        StepKind::Audit => v1::FailoverStepKind::Audit,
        StepKind::Switch => v1::FailoverStepKind::Switch,
        StepKind::PutBack => v1::FailoverStepKind::PutBack,
        StepKind::Server => v1::FailoverStepKind::Server,
    };
    let outcome = match step.outcome {
        StepOutcome::Running => v1::FailoverStepOutcome::Running,
        StepOutcome::Done => v1::FailoverStepOutcome::Done,
        StepOutcome::Skipped => v1::FailoverStepOutcome::Skipped,
        StepOutcome::Failed => v1::FailoverStepOutcome::Failed,
        StepOutcome::TimedOut => v1::FailoverStepOutcome::TimedOut,
        StepOutcome::Interrupted => v1::FailoverStepOutcome::Interrupted,
    };
    let at = |micros: i64| timestamp(Timestamp::from_micros(micros));
    v1::FailoverStep {
        kind: kind.into(),
        operation_id: step.operation_id,
        graph_id: step.graph_id.unwrap_or_default(),
        hook: step.hook.unwrap_or_default(),
        started_at: Some(at(step.started_at_micros)),
        ended_at: step.ended_at_micros.map(at),
        outcome: outcome.into(),
        message: step.message,
    }
}

fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
