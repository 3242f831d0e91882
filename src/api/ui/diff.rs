//! How two snapshots of a graph differ.

use askama::Template;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;

use super::failure::Failure;
use super::marks::{Count, Mark, Tone, mark};
use super::page::{Page, render};
use super::visit::{Visit, graph_id};
use crate::base::uri::encoded;
use crate::base::words::instant;
use crate::domain::difference::{Change, Part, PartCounts};
use crate::domain::page::PageRequest;
use crate::domain::snapshot::SnapshotStatus;
use crate::service::differences::{Compared, Comparison, Differing};
use crate::store::entity::snapshot;
use crate::store::snapshots::SnapshotFilter;

/// How many snapshots can be chosen from.
const CHOSEN_FROM: u64 = 100;

/// A snapshot that can be chosen.
struct Choice {
    id: String,
    name: String,
}

struct PartRow {
    name: &'static str,
    before: Count,
    after: Count,
    added: Count,
    removed: Count,
    changed: Count,
}

struct ItemRow {
    part: &'static str,
    change: Mark,
    key: String,
    detail: String,
}

struct ComparedRows {
    parts: Vec<PartRow>,
    lost: String,
    items: Vec<ItemRow>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "diff.html")]
struct DiffPage<'a> {
    page: Page,
    id: String,
    graph: String,
    choices: Vec<Choice>,
    base: &'a str,
    other: &'a str,
    only: &'a str,
    compared: Option<ComparedRows>,
}

impl DiffPage<'_> {
    fn is_only(&self, part: &str) -> bool {
        part == self.only
    }
}

/// Shows what can be compared, and the comparison that is asked for.
pub(super) async fn show(visit: Visit, id: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let graph_id = graph_id(&id.map(|Path(id)| id).unwrap_or_default())?;
    let whole =
        SnapshotFilter { graph_id: Some(graph_id.clone()), statuses: Some(&SnapshotStatus::RESTORABLE), ..SnapshotFilter::default() };
    let mut choices = visit.services().list_snapshots(&whole, &PageRequest { size: CHOSEN_FROM, after: None }).await?.items;
    let (base, other, only) = (visit.asked("base"), visit.asked("other"), visit.asked("only"));
    // So that the form shows what is compared, however old it is.
    for id in [other, base].into_iter().filter(|id| !id.is_empty()) {
        if !choices.iter().any(|row| row.snapshot_id.to_string() == id) {
            choices.push(visit.services().get_snapshot(&graph_id, id).await?);
        }
    }
    let compared = if other.is_empty() {
        None
    } else {
        let named = Some(base).filter(|base| !base.is_empty());
        let comparison = visit.services().diff_snapshots(&graph_id, other, named, compared(only), visit.list()?).await?;
        Some(told(&visit, comparison))
    };
    render(&DiffPage {
        page: visit.page(format!("Differences of {graph_id}")),
        id: encoded(graph_id.as_str()),
        graph: graph_id.to_string(),
        choices: choices.iter().map(choice).collect(),
        base,
        other,
        only,
        compared,
    })
}

fn choice(row: &snapshot::Model) -> Choice {
    Choice { id: row.snapshot_id.to_string(), name: format!("{} · {} entities", instant(row.created_at), row.entities) }
}

fn compared(word: &str) -> Option<Compared> {
    if word == "files" { Some(Compared::Files) } else { Part::parse(word).map(Compared::Graph) }
}

fn told(visit: &Visit, comparison: Comparison) -> ComparedRows {
    let Comparison { files, graph, items, .. } = comparison;
    let all = [
        ("Documents", graph.documents),
        ("Chunks", graph.chunks),
        ("Entities", graph.entities),
        ("Relations", graph.relations),
        ("Files", files),
    ];
    ComparedRows {
        parts: all.into_iter().map(|(name, counts)| part(name, counts)).collect(),
        lost: format!("{:.1} %", graph.entities_lost_share * 100.0),
        items: items.items.into_iter().map(item).collect(),
        next: visit.next(items.next_page_token),
    }
}

fn part(name: &'static str, counts: PartCounts) -> PartRow {
    let count = |number: u64| Count(i64::try_from(number).unwrap_or(i64::MAX));
    let PartCounts { before, after, added, removed, changed } = counts;
    PartRow { name, before: count(before), after: count(after), added: count(added), removed: count(removed), changed: count(changed) }
}

fn item(one: Differing) -> ItemRow {
    let tone = match one.change {
        Change::Added => Tone::Good,
        Change::Removed => Tone::Bad,
        Change::Changed => Tone::Busy,
    };
    let part = match one.part {
        Compared::Files => "file",
        Compared::Graph(Part::Documents) => "document",
        Compared::Graph(Part::Chunks) => "chunk",
        Compared::Graph(Part::Entities) => "entity",
        Compared::Graph(Part::Relations) => "relation",
    };
    ItemRow { part, change: mark(tone, one.change.as_str()), key: one.key.replace("<SEP>", " ↔ "), detail: one.detail }
}
