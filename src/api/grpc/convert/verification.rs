//! Verifications.

use super::snapshot::{consistency_to_proto, finding_to_proto};
use super::{all_there, page, request_id, timestamp};
use crate::domain::finding::Verdict;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::domain::verification::VerificationLevel;
use crate::proto::v1;
use crate::service::Error;
use crate::service::verifications::NewVerification;
use crate::store::entity::verification::Model;
use crate::store::verifications::VerificationFilter;

pub(in crate::api::grpc) fn parse_new(request: v1::VerifySnapshotRequest) -> Result<NewVerification, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let level = level(&mut violations, "level", request.level).unwrap_or(VerificationLevel::Content);
    let snapshot_id = request.snapshot_id;
    let new = graph_id.map(|graph_id| NewVerification { graph_id, snapshot_id, level, request_id });
    all_there(violations, new)
}

pub(super) fn level(violations: &mut Violations, field: &str, number: i32) -> Option<VerificationLevel> {
    match v1::VerificationLevel::try_from(number) {
        Ok(v1::VerificationLevel::Unspecified) => None,
        Ok(v1::VerificationLevel::Record) => Some(VerificationLevel::Record),
        Ok(v1::VerificationLevel::Data) => Some(VerificationLevel::Data),
        Ok(v1::VerificationLevel::Content) => Some(VerificationLevel::Content),
        Err(_) => {
            violations.add(field, format_args!("is not a level that is known: {number}"));
            None
        }
    }
}

/// Verifications that are wanted.
pub(in crate::api::grpc) struct Wanted {
    pub(in crate::api::grpc) graph_id: GraphId,
    pub(in crate::api::grpc) filter: VerificationFilter,
    pub(in crate::api::grpc) page: PageRequest<TimeKey>,
}

pub(in crate::api::grpc) fn parse_list(request: &v1::ListVerificationsRequest) -> Result<Wanted, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let filter = VerificationFilter { level: level(&mut violations, "level", request.level), passed: request.passed };
    let page = page(&mut violations, request.page_size, &request.page_token);
    all_there(violations, graph_id.zip(page).map(|(graph_id, page)| Wanted { graph_id, filter, page }))
}

pub(super) fn level_to_proto(level: VerificationLevel) -> v1::VerificationLevel {
    match level {
        VerificationLevel::Record => v1::VerificationLevel::Record,
        VerificationLevel::Data => v1::VerificationLevel::Data,
        VerificationLevel::Content => v1::VerificationLevel::Content,
    }
}

pub(in crate::api::grpc) fn to_proto(row: Model) -> v1::Verification {
    let verdict: Option<Verdict> = row.verdict.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let consistency = verdict.as_ref().map(|verdict| verdict.consistency.as_str());
    v1::Verification {
        verification_id: row.verification_id.to_string(),
        graph_id: row.graph_id.to_string(),
        snapshot_id: row.snapshot_id.to_string(),
        level: level_to_proto(row.level).into(),
        passed: row.passed,
        problems: serde_json::from_str(&row.problems).unwrap_or_default(),
        consistency: consistency_to_proto(consistency).into(),
        findings: verdict.into_iter().flat_map(|verdict| verdict.findings).map(finding_to_proto).collect(),
        read_bytes: row.read_bytes,
        started_at: Some(timestamp(row.started_at)),
        ended_at: Some(timestamp(row.ended_at)),
        operation_id: row.operation_id.to_string(),
    }
}
