//! Targets, and how far they are.

use std::path::PathBuf;

use super::{all_there, page, request_id, timestamp};
use crate::base::ids::TargetId;
use crate::base::secret::Secret;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::target::{EventKind, Place, SendOrder, TargetFields, TargetStatus};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::replication::{
    Condition, NewTarget, ReplicaStatus, ReplicateWish, ReplicationStatus, RereadReport, TargetUpdate, etag,
};
use crate::store::entity::{graph, standby, target, target_event};
use crate::store::target_events::EventFilter;

/// A policy asks for no more copies than this.
const MOST_COPIES: i32 = 100;

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn secret(key: String) -> Option<Secret> {
    text(key).map(Secret::new)
}

fn send_order(violations: &mut Violations, number: i32) -> Option<SendOrder> {
    match v1::SendOrder::try_from(number) {
        Ok(v1::SendOrder::Unspecified) => None,
        Ok(v1::SendOrder::OldestFirst) => Some(SendOrder::OldestFirst),
        Ok(v1::SendOrder::NewestFirst) => Some(SendOrder::NewestFirst),
        Err(_) => {
            violations.add("send_order", format_args!("is not an order that is known: {number}"));
            None
        }
    }
}

pub(in crate::api::grpc) fn parse_new(request: v1::RegisterTargetRequest) -> Result<NewTarget, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let place = match (text(request.base_url), text(request.path)) {
        (Some(base_url), None) => Place::Peer { base_url, grpc_url: text(request.grpc_url) },
        (None, Some(path)) => {
            if !(request.api_key.is_empty() && request.grpc_url.is_empty()) {
                violations.add("api_key", "and `grpc_url` are for another Lightkeep, and not for a directory");
            }
            Place::Directory(PathBuf::from(path))
        }
        (Some(_), Some(_)) => return Err(Error::invalid("path", "must not be given with `base_url`: a target is in one place")),
        (None, None) => return Err(Error::Required(Violations::one("base_url", "is needed, or `path` for a directory"))),
    };
    let fields = TargetFields {
        name: Some(request.name),
        enabled: request.enabled,
        graph_selector: text(request.graph_selector),
        on_request: Some(request.on_request),
        parallelism: Some(request.parallelism),
        bytes_per_second: Some(request.bytes_per_second),
        send_order: send_order(&mut violations, request.send_order),
        off_site: Some(request.off_site),
        reread_percent_per_day: request.reread_percent_per_day,
    };
    violations.finish()?;
    let (api_key, repository_password) = (secret(request.api_key), secret(request.repository_password));
    Ok(NewTarget { place, api_key, repository_password, fields, request_id })
}

pub(in crate::api::grpc) fn parse_update(request: v1::UpdateTargetRequest) -> Result<TargetUpdate, Error> {
    let mut violations = Violations::default();
    let request_id = request_id(&mut violations, &request.request_id);
    let new = request.target.unwrap_or_default();
    let paths = request.update_mask.map(|mask| mask.paths).filter(|paths| !paths.is_empty());
    let has = |name: &str| paths.as_ref().is_none_or(|paths| paths.iter().any(|path| path == name));
    for path in paths.iter().flatten() {
        match path.as_str() {
            "name" | "enabled" | "api_key" | "graph_selector" | "on_request" | "parallelism" | "bytes_per_second" | "send_order" => {}
            "off_site" | "reread_percent_per_day" => {}
            // What comes back with an answer is no change.
            "target_id" | "created_at" | "etag" | "condition" | "has_own_password" => {}
            // Where it is stays; the same again is no change.
            "base_url" | "grpc_url" | "path" => {}
            other => violations.add("update_mask", format_args!("names a field that cannot be changed: `{other}`")),
        }
    }
    let fields = TargetFields {
        name: text(new.name).filter(|_| has("name")),
        enabled: new.enabled.filter(|_| has("enabled")),
        graph_selector: text(new.graph_selector).filter(|_| has("graph_selector")),
        on_request: new.on_request.filter(|_| has("on_request")),
        parallelism: Some(new.parallelism).filter(|number| *number != 0 && has("parallelism")),
        bytes_per_second: new.bytes_per_second.filter(|_| has("bytes_per_second")),
        send_order: send_order(&mut violations, new.send_order).filter(|_| has("send_order")),
        off_site: new.off_site.filter(|_| has("off_site")),
        reread_percent_per_day: new.reread_percent_per_day.filter(|_| has("reread_percent_per_day")),
    };
    violations.finish()?;
    let api_key = secret(new.api_key).filter(|_| has("api_key"));
    let place = [text(new.base_url), text(new.grpc_url), text(new.path)];
    Ok(TargetUpdate { target_id: request.target_id, place, fields, api_key, etag: text(new.etag), request_id })
}

pub(in crate::api::grpc) fn parse_events(request: &v1::ListReplicationEventsRequest) -> Result<(EventFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = match request.graph_id.as_str() {
        "" | "-" => None,
        text => violations.take("graph_id", GraphId::parse(text)),
    };
    let target_id = match request.target_id.as_str() {
        "" => None,
        text => violations.take("target_id", TargetId::parse(text).ok_or_else(|| format!("must be a UUID: {text}"))),
    };
    let page = page(&mut violations, request.page_size, &request.page_token);
    let page = all_there(violations, page)?;
    Ok((EventFilter { graph_id, target_id }, page))
}

/// The graph, what is to be sent, and the caller's name for the request.
pub(in crate::api::grpc) type Replicate = (GraphId, ReplicateWish, Option<String>);

pub(in crate::api::grpc) fn parse_replicate(request: v1::ReplicateGraphRequest) -> Result<Replicate, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let wish = ReplicateWish { snapshot_id: text(request.snapshot_id), target_ids: request.target_ids };
    all_there(violations, graph_id.map(|graph_id| (graph_id, wish, request_id)))
}

/// The graph and the caller's name for the request.
pub(in crate::api::grpc) fn parse_graph(graph_id: &str, id: &str) -> Result<(GraphId, Option<String>), Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(graph_id));
    let request_id = request_id(&mut violations, id);
    all_there(violations, graph_id.map(|graph_id| (graph_id, request_id)))
}

pub(in crate::api::grpc) fn parse_policy(request: &v1::SetCopiesPolicyRequest) -> Result<(GraphId, Option<String>), Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    if !(0..=MOST_COPIES).contains(&request.copies) {
        violations.add("copies", format_args!("must be from 0 to {MOST_COPIES}: {}", request.copies));
    }
    if !(0..=request.copies).contains(&request.off_site_copies) {
        violations.add("off_site_copies", format_args!("must be from 0 to `copies`: {}", request.off_site_copies));
    }
    let request_id = request_id(&mut violations, &request.request_id);
    all_there(violations, graph_id.map(|graph_id| (graph_id, request_id)))
}

fn status_to_proto(status: TargetStatus) -> v1::TargetStatus {
    match status {
        TargetStatus::Healthy => v1::TargetStatus::Healthy,
        TargetStatus::Degraded => v1::TargetStatus::Degraded,
        TargetStatus::Unreachable => v1::TargetStatus::Unreachable,
        TargetStatus::Unknown => v1::TargetStatus::Unknown,
    }
}

pub(in crate::api::grpc) fn to_proto(row: target::Model) -> Result<v1::Target, Error> {
    let etag = etag(&row);
    let condition: Option<Condition> =
        row.condition.as_deref().map(serde_json::from_str).transpose().map_err(|error| Error::internal("read a target", error))?;
    let order = match row.send_order {
        SendOrder::OldestFirst => v1::SendOrder::OldestFirst,
        SendOrder::NewestFirst => v1::SendOrder::NewestFirst,
    };
    Ok(v1::Target {
        target_id: row.target_id.to_string(),
        name: row.name,
        base_url: row.base_url.unwrap_or_default(),
        enabled: Some(row.enabled),
        created_at: Some(timestamp(row.created_at)),
        api_key: String::new(),
        grpc_url: row.grpc_url.unwrap_or_default(),
        path: row.path.unwrap_or_default(),
        graph_selector: row.graph_selector,
        on_request: Some(row.on_request),
        parallelism: row.parallelism,
        bytes_per_second: Some(row.bytes_per_second),
        send_order: order.into(),
        off_site: Some(row.off_site),
        reread_percent_per_day: Some(row.reread_percent_per_day),
        etag,
        has_own_password: row.repository_password.is_some(),
        condition: condition.map(|condition| v1::TargetCondition {
            status: status_to_proto(row.status).into(),
            reason: condition.reason,
            message: condition.message,
            checked_at: row.checked_at.map(timestamp),
            round_trip_seconds: condition.round_trip_seconds,
            version: condition.version.unwrap_or_default(),
            clock_difference_seconds: condition.clock_difference_seconds,
            free_bytes: condition.free_bytes,
        }),
    })
}

pub(in crate::api::grpc) fn health_to_proto(row: &target::Model) -> v1::TargetHealth {
    v1::TargetHealth { target_id: row.target_id.to_string(), status: status_to_proto(row.status).into() }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn replica_to_proto(status: &ReplicaStatus) -> v1::ReplicaStatus {
    let (target, replica) = (&status.target, &status.replica);
    v1::ReplicaStatus {
        target_id: target.target_id.to_string(),
        target_name: target.name.clone(),
        lag_seconds: status.lag.length.as_secs_f64(),
        lag_snapshots: count(status.lag.snapshots),
        lag_bytes: count(status.lag.bytes),
        replicated_snapshots: count(status.replicated as u64),
        newest_snapshot_id: status.newest.clone().unwrap_or_default(),
        last_success_at: replica.last_success_at.map(timestamp),
        last_attempt_at: replica.last_attempt_at.map(timestamp),
        last_error: replica.last_error.clone(),
        failures: replica.failures,
        reread_at: replica.reread_at.map(timestamp),
        reread_files: replica.reread_files,
        damaged_files: replica.damaged_files,
        repaired_files: replica.repaired_files,
    }
}

pub(in crate::api::grpc) fn policy_to_proto(graph: &graph::Model) -> v1::CopiesPolicy {
    v1::CopiesPolicy { graph_id: graph.graph_id.to_string(), copies: graph.copies, off_site_copies: graph.off_site_copies }
}

fn standby_to_proto(standby: standby::Model, last_error: Option<String>) -> v1::Standby {
    v1::Standby {
        graph_id: standby.graph_id.to_string(),
        directory: standby.directory,
        snapshot_id: standby.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        refreshed_at: standby.refreshed_at.map(timestamp),
        last_error,
    }
}

pub(in crate::api::grpc) fn standby(graph_id: &GraphId, standby: Option<standby::Model>) -> v1::Standby {
    let none = || v1::Standby { graph_id: graph_id.to_string(), ..v1::Standby::default() };
    standby.map_or_else(none, |standby| standby_to_proto(standby, None))
}

pub(in crate::api::grpc) fn status(status: ReplicationStatus) -> Result<v1::ReplicationStatus, Error> {
    let total = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let replicas: Vec<v1::ReplicaStatus> = status.replicas.iter().map(replica_to_proto).collect();
    Ok(v1::ReplicationStatus {
        graph_id: status.graph.graph_id.to_string(),
        total_targets: total(replicas.len()),
        enabled_targets: total(status.replicas.iter().filter(|replica| replica.target.enabled).count()),
        targets: status.replicas.into_iter().map(|replica| to_proto(replica.target)).collect::<Result<_, _>>()?,
        replicas,
        standby: status.standby.map(|(standby, error)| standby_to_proto(standby, error)),
        copies_policy: (status.graph.copies > 0).then(|| policy_to_proto(&status.graph)),
    })
}

pub(in crate::api::grpc) fn reread_to_proto(report: RereadReport) -> v1::VerifyReplicaResponse {
    let RereadReport { files, bytes, damaged, repaired } = report;
    v1::VerifyReplicaResponse { files: count(files), bytes: count(bytes), damaged_files: damaged, repaired_files: repaired }
}

pub(in crate::api::grpc) fn event_to_proto(row: target_event::Model) -> v1::ReplicationEvent {
    let kind = match row.kind {
        EventKind::Replicated => v1::ReplicationEventKind::Replicated,
        EventKind::Failed => v1::ReplicationEventKind::Failed,
        EventKind::Damaged => v1::ReplicationEventKind::Damaged,
        EventKind::Repaired => v1::ReplicationEventKind::Repaired,
        EventKind::Condition => v1::ReplicationEventKind::Condition,
    };
    v1::ReplicationEvent {
        event_id: row.event_id.to_string(),
        created_at: Some(timestamp(row.created_at)),
        target_id: row.target_id.to_string(),
        graph_id: row.graph_id.map(|id| id.to_string()).unwrap_or_default(),
        snapshot_id: row.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        kind: kind.into(),
        message: row.message,
        sent_bytes: row.sent_bytes,
        duration_seconds: row.duration_seconds,
    }
}
