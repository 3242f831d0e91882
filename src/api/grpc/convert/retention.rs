//! Pins and cleanups.

use super::{all_there, instant, page, request_id};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{GraphTimeKey, PageRequest};
use crate::domain::retention::RetentionVerdict;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::cleanup::{Judged, Preview};
use crate::service::pins::NewPin;

/// The longest reason of a pin, bytes.
const MAX_REASON_BYTES: usize = 1000;

pub(in crate::api::grpc) fn parse_pin(request: v1::PinSnapshotRequest) -> Result<NewPin, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    if request.reason.trim().is_empty() {
        violations.add("reason", "must not be empty: say why the snapshot is kept");
    }
    if request.reason.len() > MAX_REASON_BYTES || request.reason.contains(char::is_control) {
        violations.add("reason", format_args!("must be one line of at most {MAX_REASON_BYTES} bytes"));
    }
    let until = instant(&mut violations, "until", request.until);
    let (snapshot_id, reason) = (request.snapshot_id, request.reason);
    let new = graph_id.map(|graph_id| NewPin { graph_id, snapshot_id, reason, until, request_id });
    all_there(violations, new)
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

fn verdict_to_proto(judged: Judged) -> v1::SnapshotVerdict {
    let verdict = match judged.verdict.word() {
        RetentionVerdict::NotExpired => v1::RetentionVerdict::NotExpired,
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
    }
}
