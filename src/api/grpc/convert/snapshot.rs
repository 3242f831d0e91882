//! Snapshots.

use super::verification::level_to_proto;
use super::{all_there, instant, json_to_struct, page, request_id, struct_to_json, timestamp};
use crate::domain::finding::{Consistency, Finding, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::tag::Tags;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::protection::{hold_of, pin_of};
use crate::service::snapshots::NewSnapshot;
use crate::service::{Error, Services};
use crate::store::entity::snapshot::Model;
use crate::store::snapshots::SnapshotFilter;

pub(in crate::api::grpc) fn parse_new(request: v1::CreateSnapshotRequest) -> Result<NewSnapshot, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let metadata = request.metadata.map(|metadata| struct_to_json(metadata).to_string());
    let source_dir = (!request.source_dir.is_empty()).then_some(request.source_dir);
    let tags = Tags::parse(&mut violations, "tags", request.tags);
    let new = graph_id.map(|graph_id| NewSnapshot { graph_id, source_dir, metadata, tags, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn parse_list(
    services: &Services,
    request: &v1::ListSnapshotsRequest,
) -> Result<(SnapshotFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = if request.graph_id == "-" { None } else { violations.take("graph_id", GraphId::parse(&request.graph_id)) };
    let page = page(&mut violations, request.page_size, &request.page_token);
    let wanted = SnapshotFilter {
        graph_id,
        statuses: wanted_statuses(&mut violations, request.status),
        consistency: wanted_consistency(&mut violations, request.consistency),
        pinned: request.pinned.map(|pinned| (pinned, services.now())),
        held: request.held.map(|held| (held, services.now())),
        created_from: instant(&mut violations, "created_from", request.created_from),
        created_before: instant(&mut violations, "created_before", request.created_before),
    };
    Ok((wanted, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn to_proto(services: &Services, row: Model) -> v1::Snapshot {
    let (pin, hold) = (pin_of(&row, services.now()), hold_of(&row, services.now()));
    let duration = row.started_at.zip(row.completed_at).map(|(from, to)| to.since(from));
    let findings: Vec<Finding> = row.findings.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let metadata = row.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let record_path = |record_id: &String| services.record_path(&row.graph_id, record_id).display().to_string();
    v1::Snapshot {
        checkpoint_path: row.record_id.as_ref().map(record_path),
        backup_id: row.snapshot_id.to_string(),
        graph_id: row.graph_id.to_string(),
        status: status_to_proto(row.status).into(),
        timestamp: Some(timestamp(row.created_at)),
        size_bytes: row.size_bytes,
        data_hash: row.data_hash,
        retention_until: row
            .retention_until
            .filter(|_| pin.is_none() && hold.is_none() && !row.kept_by_policy && row.checkpoints == 0)
            .map(timestamp),
        metadata: metadata.and_then(json_to_struct),
        source_dir: row.source_dir,
        consistency: consistency_to_proto(row.consistency.as_deref()).into(),
        documents: row.documents,
        chunks: row.chunks,
        entities: row.entities,
        relations: row.relations,
        vectors: row.vectors,
        documents_in_flight: row.documents_in_flight,
        files: row.files,
        stored_bytes: row.stored_bytes,
        duration_seconds: duration.map(|duration| duration.as_secs_f64()),
        completed_at: row.completed_at.map(timestamp),
        error_message: row.error_message,
        findings: findings.into_iter().map(finding_to_proto).collect(),
        operation_id: row.operation_id.to_string(),
        pinned_until: pin.as_ref().and_then(|pin| pin.until).map(timestamp),
        pin_reason: pin.map(|pin| pin.reason),
        verified_at: row.verified_at.map(timestamp),
        verified_level: row.verified_level.map_or(v1::VerificationLevel::Unspecified, level_to_proto).into(),
        verified_passed: row.verified_passed,
        losses: row.losses.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
        lightrag_layout: row.lightrag_layout,
        inputs_dir: row.inputs_dir,
        inputs_files: row.inputs_files,
        inputs_size_bytes: row.inputs_size_bytes,
        inputs_data_hash: row.inputs_data_hash,
        tags: Tags::from_json(row.tags.as_deref()).into_iter().collect(),
        held_until: hold.as_ref().and_then(|hold| hold.until).map(timestamp),
        hold_reason: hold.map(|hold| hold.reason),
        captured_at: row.captured_at.map(timestamp),
        checkpoints: row.checkpoints,
    }
}

fn wanted_statuses(violations: &mut Violations, number: i32) -> Option<&'static [SnapshotStatus]> {
    match v1::SnapshotStatus::try_from(number) {
        Ok(v1::SnapshotStatus::Unspecified) => None,
        Ok(v1::SnapshotStatus::Pending) => Some(&[SnapshotStatus::Pending]),
        Ok(v1::SnapshotStatus::InProgress) => Some(&[SnapshotStatus::InProgress]),
        // A restored one counts as completed everywhere.
        Ok(v1::SnapshotStatus::Completed) => Some(&SnapshotStatus::RESTORABLE),
        Ok(v1::SnapshotStatus::Failed) => Some(&[SnapshotStatus::Failed]),
        Ok(v1::SnapshotStatus::Archived) => Some(&[SnapshotStatus::Archived]),
        Ok(v1::SnapshotStatus::Restored) => Some(&[SnapshotStatus::Restored]),
        Err(_) => {
            violations.add("status", format_args!("is not a status that is known: {number}"));
            None
        }
    }
}

fn wanted_consistency(violations: &mut Violations, number: i32) -> Option<Consistency> {
    match v1::Consistency::try_from(number) {
        Ok(v1::Consistency::Unspecified) => None,
        Ok(v1::Consistency::Consistent) => Some(Consistency::Consistent),
        Ok(v1::Consistency::Inconsistent) => Some(Consistency::Inconsistent),
        Ok(v1::Consistency::NotApplicable) => Some(Consistency::NotApplicable),
        Err(_) => {
            violations.add("consistency", format_args!("is not a word that is known: {number}"));
            None
        }
    }
}

fn status_to_proto(status: SnapshotStatus) -> v1::SnapshotStatus {
    match status {
        SnapshotStatus::Pending => v1::SnapshotStatus::Pending,
        SnapshotStatus::InProgress => v1::SnapshotStatus::InProgress,
        SnapshotStatus::Completed => v1::SnapshotStatus::Completed,
        SnapshotStatus::Failed => v1::SnapshotStatus::Failed,
        SnapshotStatus::Archived => v1::SnapshotStatus::Archived,
        SnapshotStatus::Restored => v1::SnapshotStatus::Restored,
    }
}

pub(super) fn consistency_to_proto(word: Option<&str>) -> v1::Consistency {
    match word.and_then(Consistency::parse) {
        None => v1::Consistency::Unspecified,
        Some(Consistency::Consistent) => v1::Consistency::Consistent,
        Some(Consistency::Inconsistent) => v1::Consistency::Inconsistent,
        Some(Consistency::NotApplicable) => v1::Consistency::NotApplicable,
    }
}

pub(super) fn finding_to_proto(finding: Finding) -> v1::Finding {
    let severity = match finding.severity {
        Severity::Broken => v1::FindingSeverity::Broken,
        Severity::InFlight => v1::FindingSeverity::InFlight,
        Severity::Warning => v1::FindingSeverity::Warning,
    };
    v1::Finding {
        rule: format!("{:?}", finding.rule),
        severity: severity.into(),
        message: finding.rule.to_string(),
        count: i64::try_from(finding.count).unwrap_or(i64::MAX),
        examples: finding.examples,
    }
}
