//! Snapshots.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::{all_there, page, request_id, timestamp};
use crate::domain::finding::{Consistency, Finding, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::snapshot::SnapshotStatus;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::operations::Operation;
use crate::service::snapshots::{NewRestore, NewSnapshot};
use crate::service::{Error, Services};
use crate::store::entity::operation::Model as OperationRow;
use crate::store::entity::snapshot::Model;

pub(in crate::api::grpc) fn parse_new(request: v1::CreateSnapshotRequest) -> Result<NewSnapshot, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let metadata = request.metadata.map(|metadata| struct_to_json(metadata).to_string());
    let source_dir = (!request.source_dir.is_empty()).then_some(request.source_dir);
    let new = graph_id.map(|graph_id| NewSnapshot { graph_id, source_dir, metadata, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn parse_list(request: &v1::ListSnapshotsRequest) -> Result<(Option<GraphId>, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = if request.graph_id == "-" { None } else { violations.take("graph_id", GraphId::parse(&request.graph_id)) };
    let page = page(&mut violations, request.page_size, &request.page_token);
    Ok((graph_id, all_there(violations, page)?))
}

pub(in crate::api::grpc) fn parse_restore(request: v1::RestoreSnapshotRequest) -> Result<NewRestore, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    if request.target_dir.is_empty() {
        violations.add("target_dir", "must not be empty");
    }
    let (snapshot_id, target_dir, force) = (request.snapshot_id, request.target_dir, request.force);
    let new = graph_id.map(|graph_id| NewRestore { graph_id, snapshot_id, target_dir, force, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn to_proto(services: &Services, row: Model) -> v1::Snapshot {
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
        retention_until: row.retention_until.map(timestamp),
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

fn consistency_to_proto(word: Option<&str>) -> v1::Consistency {
    match word.and_then(Consistency::parse) {
        None => v1::Consistency::Unspecified,
        Some(Consistency::Consistent) => v1::Consistency::Consistent,
        Some(Consistency::Inconsistent) => v1::Consistency::Inconsistent,
        Some(Consistency::NotApplicable) => v1::Consistency::NotApplicable,
    }
}

fn finding_to_proto(finding: Finding) -> v1::Finding {
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

pub(in crate::api::grpc) fn restore_done(operation: &OperationRow, target_dir: &str) -> v1::RestoreSnapshotResponse {
    let message = format!("Restored snapshot {} to {target_dir}", operation.snapshot_id);
    v1::RestoreSnapshotResponse { status: "success".to_owned(), message, operation: None }
}

pub(in crate::api::grpc) fn restore_accepted(operation: Operation, target_dir: &str) -> v1::RestoreSnapshotResponse {
    let message = format!("Snapshot {} will be restored to {target_dir}", operation.row.snapshot_id);
    let operation = Some(super::operation::to_proto(operation));
    v1::RestoreSnapshotResponse { status: "accepted".to_owned(), message, operation }
}

fn struct_to_json(value: Struct) -> serde_json::Value {
    serde_json::Value::Object(value.fields.into_iter().map(|(key, value)| (key, value_to_json(value))).collect())
}

fn value_to_json(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => number_to_json(value),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::StructValue(value)) => struct_to_json(value),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_to_json).collect(),
    }
}

/// A number without a fraction stays one in JSON.
fn number_to_json(value: f64) -> serde_json::Value {
    match format!("{value}").parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => value.into(),
    }
}

fn json_to_struct(json: serde_json::Value) -> Option<Struct> {
    match json {
        serde_json::Value::Object(fields) => {
            Some(Struct { fields: fields.into_iter().map(|(key, value)| (key, json_to_value(value))).collect() })
        }
        _ => None,
    }
}

fn json_to_value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(json_to_value).collect() }),
        object @ serde_json::Value::Object(_) => Kind::StructValue(json_to_struct(object).unwrap_or_default()),
    };
    Value { kind: Some(kind) }
}
