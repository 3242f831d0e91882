//! Pins, legal holds, cleanups and verdicts.

use super::{all_there, instant, page, request_id, timestamp};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{GraphTimeKey, PageRequest};
use crate::domain::retention::RetentionVerdict;
use crate::domain::validate::{MAX_REASON_BYTES, Violations};
use crate::proto::v1;
use crate::service::Error;
use crate::service::cleanup::{Judged, Preview};
use crate::service::holds::Release;
use crate::service::pins::NewHold;

pub(in crate::api::grpc) fn parse_pin(request: v1::PinSnapshotRequest) -> Result<NewHold, Error> {
    let v1::PinSnapshotRequest { graph_id, snapshot_id, reason, until, request_id } = request;
    // Both have the same fields.
    parse_hold(v1::HoldSnapshotRequest { graph_id, snapshot_id, reason, until, request_id })
}

pub(in crate::api::grpc) fn parse_hold(request: v1::HoldSnapshotRequest) -> Result<NewHold, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    check_reason(&mut violations, &request.reason, "say why the snapshot is kept");
    let until = instant(&mut violations, "until", request.until);
    let (snapshot_id, reason) = (request.snapshot_id, request.reason);
    let new = graph_id.map(|graph_id| NewHold { graph_id, snapshot_id, reason, until, request_id });
    all_there(violations, new)
}

pub(in crate::api::grpc) fn parse_release(request: v1::ReleaseSnapshotRequest) -> Result<Release, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    check_reason(&mut violations, &request.reason, "say why the hold ends");
    let (snapshot_id, reason) = (request.snapshot_id, request.reason);
    let release = graph_id.map(|graph_id| Release { graph_id, snapshot_id, reason, request_id });
    all_there(violations, release)
}

fn check_reason(violations: &mut Violations, reason: &str, advice: &str) {
    if reason.trim().is_empty() {
        violations.add("reason", format_args!("must not be empty: {advice}"));
    }
    if reason.len() > MAX_REASON_BYTES || reason.contains(char::is_control) {
        violations.add("reason", format_args!("must be one line of at most {MAX_REASON_BYTES} bytes"));
    }
}

/// A cleanup that is wanted.
pub(in crate::api::grpc) struct Wanted {
    /// Of this graph, or of all.
    pub(in crate::api::grpc) graph_id: Option<GraphId>,
    pub(in crate::api::grpc) request_id: Option<String>,
    /// Of its preview.
    pub(in crate::api::grpc) page: PageRequest<GraphTimeKey>,
}

pub(in crate::api::grpc) fn parse_cleanup(request: &v1::CleanupSnapshotsRequest) -> Result<Wanted, Error> {
    let mut violations = Violations::default();
    let graph_id = match request.graph_id.as_str() {
        "" | "-" => None,
        text => violations.take("graph_id", GraphId::parse(text)),
    };
    let request_id = request_id(&mut violations, &request.request_id);
    let page = page(&mut violations, request.page_size, &request.page_token);
    all_there(violations, page.map(|page| Wanted { graph_id, request_id, page }))
}

pub(in crate::api::grpc) fn preview(preview: Preview) -> v1::CleanupSnapshotsResponse {
    v1::CleanupSnapshotsResponse {
        deleted_snapshots: i64::try_from(preview.expired).unwrap_or(i64::MAX),
        verdicts: preview.verdicts.items.into_iter().map(verdict_to_proto).collect(),
        operation_ids: Vec::new(),
        next_page_token: preview.verdicts.next_page_token.unwrap_or_default(),
    }
}

pub(in crate::api::grpc) fn previewed(preview: Preview) -> v1::PreviewRetentionResponse {
    v1::PreviewRetentionResponse {
        verdicts: preview.verdicts.items.into_iter().map(verdict_to_proto).collect(),
        expired_snapshots: i64::try_from(preview.expired).unwrap_or(i64::MAX),
        next_page_token: preview.verdicts.next_page_token.unwrap_or_default(),
    }
}

fn verdict_to_proto(judged: Judged) -> v1::SnapshotVerdict {
    let verdict = match judged.verdict.word() {
        RetentionVerdict::NotExpired => v1::RetentionVerdict::NotExpired,
        RetentionVerdict::Policy => v1::RetentionVerdict::Policy,
        RetentionVerdict::Checkpoint => v1::RetentionVerdict::Checkpoint,
        RetentionVerdict::InUse => v1::RetentionVerdict::InUse,
        RetentionVerdict::Held => v1::RetentionVerdict::Held,
        RetentionVerdict::NewestGood => v1::RetentionVerdict::NewestGood,
        RetentionVerdict::Pinned => v1::RetentionVerdict::Pinned,
        RetentionVerdict::InProgress => v1::RetentionVerdict::InProgress,
        RetentionVerdict::Expired => v1::RetentionVerdict::Expired,
    };
    v1::SnapshotVerdict {
        graph_id: judged.graph_id.to_string(),
        snapshot_id: judged.snapshot.snapshot_id.to_string(),
        verdict: verdict.into(),
        explanation: judged.verdict.to_string(),
        timestamp: Some(timestamp(judged.snapshot.created_at)),
    }
}
