//! Differences of snapshots.

use super::{all_there, page};
use crate::domain::difference::{Change, Part, PartCounts};
use crate::domain::graph_id::GraphId;
use crate::domain::page::PageRequest;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::differences::{Compared, Comparison, DifferenceKey, Differing};

/// A comparison that is wanted.
pub(in crate::api::grpc) struct Wanted {
    pub(in crate::api::grpc) graph_id: GraphId,
    pub(in crate::api::grpc) only: Option<Compared>,
    pub(in crate::api::grpc) page: PageRequest<DifferenceKey>,
}

pub(in crate::api::grpc) fn parse(request: &v1::DiffSnapshotsRequest) -> Result<Wanted, Error> {
    let mut violations = Violations::default();
    let graph_id = violations.take("graph_id", GraphId::parse(&request.graph_id));
    let page = page(&mut violations, request.page_size, &request.page_token);
    let only = match v1::DifferencePart::try_from(request.part) {
        Ok(v1::DifferencePart::Unspecified) => None,
        Ok(v1::DifferencePart::Files) => Some(Compared::Files),
        Ok(v1::DifferencePart::Documents) => Some(Compared::Graph(Part::Documents)),
        Ok(v1::DifferencePart::Chunks) => Some(Compared::Graph(Part::Chunks)),
        Ok(v1::DifferencePart::Entities) => Some(Compared::Graph(Part::Entities)),
        Ok(v1::DifferencePart::Relations) => Some(Compared::Graph(Part::Relations)),
        Err(_) => {
            violations.add("part", format_args!("is not a part that is known: {}", request.part));
            None
        }
    };
    all_there(violations, graph_id.zip(page).map(|(graph_id, page)| Wanted { graph_id, only, page }))
}

pub(in crate::api::grpc) fn to_proto(comparison: Comparison) -> v1::DiffSnapshotsResponse {
    let Comparison { base_snapshot_id, files, graph, items } = comparison;
    let counts = [
        (Compared::Files, files),
        (Compared::Graph(Part::Documents), graph.documents),
        (Compared::Graph(Part::Chunks), graph.chunks),
        (Compared::Graph(Part::Entities), graph.entities),
        (Compared::Graph(Part::Relations), graph.relations),
    ];
    v1::DiffSnapshotsResponse {
        base_snapshot_id,
        counts: counts.into_iter().map(|(part, counts)| counts_to_proto(part, counts)).collect(),
        entities_lost_share: graph.entities_lost_share,
        differences: items.items.into_iter().map(one_to_proto).collect(),
        next_page_token: items.next_page_token.unwrap_or_default(),
    }
}

fn part_to_proto(part: Compared) -> v1::DifferencePart {
    match part {
        Compared::Files => v1::DifferencePart::Files,
        Compared::Graph(Part::Documents) => v1::DifferencePart::Documents,
        Compared::Graph(Part::Chunks) => v1::DifferencePart::Chunks,
        Compared::Graph(Part::Entities) => v1::DifferencePart::Entities,
        Compared::Graph(Part::Relations) => v1::DifferencePart::Relations,
    }
}

fn counts_to_proto(part: Compared, counts: PartCounts) -> v1::DifferenceCounts {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    v1::DifferenceCounts {
        part: part_to_proto(part).into(),
        before: count(counts.before),
        after: count(counts.after),
        added: count(counts.added),
        removed: count(counts.removed),
        changed: count(counts.changed),
    }
}

fn one_to_proto(one: Differing) -> v1::Difference {
    let change = match one.change {
        Change::Added => v1::DifferenceChange::Added,
        Change::Removed => v1::DifferenceChange::Removed,
        Change::Changed => v1::DifferenceChange::Changed,
    };
    v1::Difference { part: part_to_proto(one.part).into(), change: change.into(), key: one.key, detail: one.detail }
}
