//! Drills.

use super::probe::retrieved_to_proto;
use super::snapshot::{consistency_to_proto, finding_to_proto};
use super::{all_there, page, request_id, timestamp};
use crate::base::ids::CheckpointId;
use crate::domain::drill::{DrillReport, DrillState, ProbeResult, Stages};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{PageRequest, TimeKey};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::drills::{NewDrill, reasons_of, report_of};
use crate::store::drills::DrillFilter;
use crate::store::entity::drill::Model;

pub(in crate::api::grpc) fn parse_new(request: v1::RunDrillRequest) -> Result<NewDrill, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let snapshot_id = Some(request.snapshot_id).filter(|id| !id.is_empty());
    all_there(violations, graph_id.map(|graph_id| NewDrill { graph_id, snapshot_id, request_id }))
}

pub(in crate::api::grpc) fn parse_list(request: &v1::ListDrillsRequest) -> Result<(DrillFilter, PageRequest<TimeKey>), Error> {
    let mut violations = Violations::default();
    let graph_id = match request.graph_id.as_str() {
        "" | "-" => None,
        text => violations.take("graph_id", GraphId::parse(text)),
    };
    let checkpoint_id = match request.checkpoint_id.as_str() {
        "" => None,
        text => violations.take("checkpoint_id", CheckpointId::parse(text).ok_or_else(|| format!("must be a UUID: {text}"))),
    };
    let page = page(&mut violations, request.page_size, &request.page_token);
    let page = all_there(violations, page)?;
    Ok((DrillFilter { graph_id, checkpoint_id, passed: request.passed }, page))
}

pub(in crate::api::grpc) fn to_proto(row: Model) -> Result<v1::Drill, Error> {
    let (report, reasons) = (report_of(&row)?, reasons_of(&row)?);
    let state = match row.state {
        DrillState::Running => v1::DrillState::Running,
        DrillState::Passed => v1::DrillState::Passed,
        DrillState::Failed => v1::DrillState::Failed,
    };
    let drill = v1::Drill {
        drill_id: row.drill_id.to_string(),
        run_id: row.run_id.to_string(),
        graph_id: row.graph_id.to_string(),
        snapshot_id: row.snapshot_id.to_string(),
        checkpoint_id: row.checkpoint_id.map(|id| id.to_string()).unwrap_or_default(),
        operation_id: row.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        state: state.into(),
        reasons,
        created_at: Some(timestamp(row.created_at)),
        ended_at: row.ended_at.map(timestamp),
        ..v1::Drill::default()
    };
    Ok(match report {
        Some(report) => with_report(drill, report),
        None => drill,
    })
}

fn with_report(drill: v1::Drill, report: DrillReport) -> v1::Drill {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (rto_seconds, bytes_per_second, recall) = (report.rto_seconds(), report.bytes_per_second(), report.recall());
    let Stages { restore, audit, start, probes } = report.stages;
    let stages = v1::DrillStages { restore_seconds: restore, audit_seconds: audit, start_seconds: start, probes_seconds: probes };
    let consistency = report.verdict.as_ref().map(|verdict| verdict.consistency.as_str());
    v1::Drill {
        remarks: report.remarks,
        stages: Some(stages),
        rto_seconds,
        rpo_seconds: report.rpo_seconds,
        files: count(report.files),
        size_bytes: count(report.size_bytes),
        bytes_per_second,
        consistency: consistency_to_proto(consistency).into(),
        findings: report.verdict.into_iter().flat_map(|verdict| verdict.findings).map(finding_to_proto).collect(),
        recall,
        probes: report.probes.into_iter().map(probe_to_proto).collect(),
        ..drill
    }
}

fn probe_to_proto(ProbeResult { name, comparison }: ProbeResult) -> v1::DrillProbe {
    let recall = comparison.recall;
    v1::DrillProbe {
        name,
        recall: recall.overall,
        entities_recall: recall.entities,
        relations_recall: recall.relations,
        chunks_recall: recall.chunks,
        missing: Some(retrieved_to_proto(comparison.missing)),
        new: Some(retrieved_to_proto(comparison.new)),
    }
}
