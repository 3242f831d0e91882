//! Work on repositories, and what came out of it.

use super::{all_there, request_id};
use crate::domain::graph_id::GraphId;
use crate::domain::report;
use crate::domain::validate::Violations;
use crate::domain::verification::RepositoryCheckDepth;
use crate::proto::v1;
use crate::service::Error;
use crate::service::operations::report;
use crate::service::prune_work::SAMPLE_BYTES;
use crate::service::repositories::{CheckWish, PruneWish, ReconcileWish, RepairWish};
use crate::store::entity::operation::Model;

/// What all requests for work on a repository say.
pub(in crate::api::grpc) struct Wanted {
    pub(in crate::api::grpc) graph_id: GraphId,
    pub(in crate::api::grpc) wait: bool,
    pub(in crate::api::grpc) request_id: Option<String>,
}

fn wanted(violations: &mut Violations, graph_id: &str, wait: Option<bool>, request: &str) -> Option<Wanted> {
    let graph_id = violations.take("graph_id", GraphId::parse(graph_id));
    let request_id = request_id(violations, request);
    graph_id.map(|graph_id| Wanted { graph_id, wait: wait.unwrap_or(true), request_id })
}

fn not_negative(violations: &mut Violations, field: &str, number: i64) -> u64 {
    u64::try_from(number).unwrap_or_else(|_| {
        violations.add(field, format_args!("must not be negative: {number}"));
        0
    })
}

pub(in crate::api::grpc) fn parse_prune(request: &v1::PruneRepositoryRequest) -> Result<(Wanted, PruneWish), Error> {
    let mut violations = Violations::default();
    let wanted = wanted(&mut violations, &request.graph_id, request.wait, &request.request_id);
    let max_unused_percent = match request.max_unused_percent.map(u8::try_from) {
        None => PruneWish::UNUSED_PERCENT,
        Some(Ok(percent @ 0..=100)) => percent,
        Some(_) => {
            let number = request.max_unused_percent.unwrap_or_default();
            violations.add("max_unused_percent", format_args!("must be from 0 to 100: {number}"));
            PruneWish::UNUSED_PERCENT
        }
    };
    let limit = not_negative(&mut violations, "max_repack_bytes", request.max_repack_bytes);
    let max_repack_bytes = (limit > 0).then_some(limit);
    let max_seconds = not_negative(&mut violations, "max_seconds", request.max_seconds);
    let max_seconds = Some(max_seconds).filter(|seconds| *seconds > 0);
    let wish = PruneWish { max_unused_percent, max_repack_bytes, max_seconds, validate_only: request.validate_only };
    Ok((all_there(violations, wanted)?, wish))
}

pub(in crate::api::grpc) fn parse_check(request: &v1::CheckRepositoryRequest) -> Result<(Wanted, CheckWish), Error> {
    use v1::RepositoryCheckDepth as Depth;
    let mut violations = Violations::default();
    let wanted = wanted(&mut violations, &request.graph_id, request.wait, &request.request_id);
    let depth = match Depth::try_from(request.depth) {
        Ok(Depth::Structure) => RepositoryCheckDepth::Structure,
        Ok(Depth::Sample) => RepositoryCheckDepth::Sample,
        Ok(Depth::Unspecified | Depth::AllData) => RepositoryCheckDepth::AllData,
        Err(_) => {
            violations.add("depth", format_args!("is not a depth that is known: {}", request.depth));
            RepositoryCheckDepth::AllData
        }
    };
    let sample_bytes = match not_negative(&mut violations, "sample_bytes", request.sample_bytes) {
        0 => SAMPLE_BYTES,
        sample_bytes => sample_bytes,
    };
    Ok((all_there(violations, wanted)?, CheckWish { depth, sample_bytes }))
}

pub(in crate::api::grpc) fn parse_repair(request: &v1::RepairRepositoryRequest) -> Result<(Wanted, RepairWish), Error> {
    let mut violations = Violations::default();
    let wanted = wanted(&mut violations, &request.graph_id, request.wait, &request.request_id);
    Ok((all_there(violations, wanted)?, RepairWish { with_source: !request.without_source, with_removed: request.with_removed }))
}

pub(in crate::api::grpc) fn parse_reconcile(request: &v1::ReconcileRepositoryRequest) -> Result<(Wanted, ReconcileWish), Error> {
    let mut violations = Violations::default();
    let wanted = wanted(&mut violations, &request.graph_id, request.wait, &request.request_id);
    Ok((all_there(violations, wanted)?, ReconcileWish {}))
}

pub(in crate::api::grpc) fn prune_report(row: &Model) -> Option<v1::PruneReport> {
    let pruned: report::PruneReport = report(row)?;
    Some(v1::PruneReport {
        snapshots: pruned.snapshots,
        used_bytes: pruned.used_bytes,
        removed_packs: pruned.removed_packs,
        repacked_packs: pruned.repacked_packs,
        repacked_bytes: pruned.repacked_bytes,
        written_bytes: pruned.written_bytes,
        reclaimed_bytes: pruned.reclaimed_bytes,
        unused_bytes: pruned.unused_bytes,
        finished: pruned.finished,
        check: pruned.check.map(checked_to_proto),
    })
}

pub(in crate::api::grpc) fn check_report(row: &Model) -> Option<v1::CheckReport> {
    report(row).map(checked_to_proto)
}

fn checked_to_proto(checked: report::CheckReport) -> v1::CheckReport {
    v1::CheckReport {
        packs: checked.packs,
        blobs: checked.blobs,
        snapshots: checked.snapshots,
        unindexed_packs: checked.unindexed_packs,
        total_problems: checked.total_problems,
        problems: checked.problems,
    }
}

pub(in crate::api::grpc) fn repair_report(row: &Model) -> Option<v1::RepairReport> {
    let repaired: report::RepairReport = report(row)?;
    let lost = |lost: report::LostContent| v1::LostContent {
        snapshot_id: lost.snapshot_id,
        record_id: lost.record_id,
        files: lost.files,
        examples: lost.examples,
    };
    Some(v1::RepairReport {
        index_rebuilt: repaired.index_rebuilt,
        set_aside: repaired.set_aside,
        saved_blobs: repaired.saved_blobs,
        restored_bytes: repaired.restored_bytes,
        lost: repaired.lost.into_iter().map(lost).collect(),
        lost_snapshot_ids: repaired.lost_snapshot_ids,
        recovered_snapshot_ids: repaired.recovered_snapshot_ids,
        written_anew: repaired.written_anew,
    })
}

pub(in crate::api::grpc) fn reconcile_report(row: &Model) -> Option<v1::ReconcileReport> {
    let reconciled: report::ReconcileReport = report(row)?;
    Some(v1::ReconcileReport {
        records: reconciled.records,
        adopted_snapshot_ids: reconciled.adopted_snapshot_ids,
        lost_snapshot_ids: reconciled.lost_snapshot_ids,
        renamed_snapshot_ids: reconciled.renamed_snapshot_ids,
        unreadable_record_ids: reconciled.unreadable_record_ids,
    })
}
