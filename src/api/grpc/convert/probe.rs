//! Probes and what is retrieved for them.

use std::collections::BTreeSet;

use super::{all_there, request_id, timestamp};
use crate::domain::graph_id::GraphId;
use crate::domain::probe::{Index, PROBES_MAX, Probe, QueryVector, Retrieved};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::probes::{GraphProbes, NewProbes, Wanted};

/// How many ids a probe asks for that does not say: LightRAG's own number.
const TOP_K: u32 = 40;

pub(in crate::api::grpc) fn parse_new(request: v1::SetProbesRequest) -> Result<NewProbes, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let request_id = request_id(&mut violations, &request.request_id);
    let wanted = match usize::try_from(request.sample) {
        Ok(0) => {
            let probes = request.probes.into_iter().enumerate().map(|(at, probe)| parse(&mut violations, at, probe)).collect();
            Wanted::Given(Probe::parse(&mut violations, "probes", probes))
        }
        Ok(count @ 1..=PROBES_MAX) => {
            if !request.probes.is_empty() {
                violations.add("sample", "must not be set where probes are given");
            }
            Wanted::Sampled(count)
        }
        _ => {
            violations.add("sample", format_args!("must be from 0 to {PROBES_MAX}: {}", request.sample));
            Wanted::Sampled(0)
        }
    };
    all_there(violations, graph_id.map(|graph_id| NewProbes { graph_id, wanted, request_id }))
}

fn parse(violations: &mut Violations, at: usize, probe: v1::Probe) -> Probe {
    let vectors = probe.vectors.into_iter().enumerate();
    let vectors = vectors.map(|(nth, vector)| parse_vector(violations, &format!("probes[{at}].vectors[{nth}].asks"), vector));
    let vectors = vectors.collect();
    // What is below zero is refused with what is too large.
    let top_k = if probe.top_k == 0 { TOP_K } else { u32::try_from(probe.top_k).unwrap_or(0) };
    Probe { name: probe.name, top_k, vectors }
}

fn parse_vector(violations: &mut Violations, field: &str, vector: v1::QueryVector) -> QueryVector {
    let mut asks = BTreeSet::new();
    for number in vector.asks {
        let index = match v1::ProbeIndex::try_from(number) {
            Ok(v1::ProbeIndex::Entities) => Index::Entities,
            Ok(v1::ProbeIndex::Relations) => Index::Relations,
            Ok(v1::ProbeIndex::Chunks) => Index::Chunks,
            Ok(v1::ProbeIndex::Unspecified) | Err(_) => {
                violations.add(field, format_args!("is not an index that is known: {number}"));
                continue;
            }
        };
        if !asks.insert(index) {
            violations.add(field, format_args!("must name an index once in a probe: {index}"));
        }
    }
    QueryVector { asks, numbers: vector.numbers }
}

pub(in crate::api::grpc) fn parse_get(request: &v1::GetProbesRequest) -> Result<GraphId, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    all_there(violations, graph_id)
}

pub(in crate::api::grpc) fn to_proto(of: GraphProbes) -> v1::GraphProbes {
    let mut retrieved = of.retrieved.map(Vec::into_iter);
    let mut with_retrieved = |probe: Probe| {
        let retrieved = retrieved.as_mut().and_then(Iterator::next).map(retrieved_to_proto);
        let vectors = probe.vectors.into_iter().map(vector_to_proto).collect();
        v1::Probe { name: probe.name, top_k: i32::try_from(probe.top_k).unwrap_or(i32::MAX), vectors, retrieved }
    };
    v1::GraphProbes {
        graph_id: of.graph_id.to_string(),
        set_at: of.set_at.map(timestamp),
        probes: of.probes.into_iter().map(&mut with_retrieved).collect(),
        snapshot_id: of.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
        error_message: of.error_message,
    }
}

fn vector_to_proto(vector: QueryVector) -> v1::QueryVector {
    let index = |index| match index {
        Index::Entities => v1::ProbeIndex::Entities,
        Index::Relations => v1::ProbeIndex::Relations,
        Index::Chunks => v1::ProbeIndex::Chunks,
    };
    v1::QueryVector { asks: vector.asks.into_iter().map(|asked| index(asked).into()).collect(), numbers: vector.numbers }
}

pub(super) fn retrieved_to_proto(retrieved: Retrieved) -> v1::Retrieved {
    let Retrieved { entities, relations, chunks } = retrieved;
    v1::Retrieved { entities, relations, chunks }
}
