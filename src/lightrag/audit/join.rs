//! The rules between stores. What is asked of an extract's digests and what is asked of a row with its names is kept side by side here.

use std::collections::BTreeMap;

use super::extract::{DUPLICATE, Digest, Extract, FAILED, PROCESSED, digest, misfit, pair_digests, readable};
use super::rows::{Progress, Row};
use crate::domain::finding::{EXAMPLES_MAX, Finding, Rule, Severity};
use crate::lightrag::workspace::Store;

/// What joins the chunk ids in a `source_id`.
const SEPARATOR: &[u8] = b"<SEP>";

/// The extracts of all stores of a workspace.
pub(super) struct Stores {
    extracts: BTreeMap<Store, Extract>,
    absent: Extract,
}

impl Stores {
    pub(super) fn new(extracts: BTreeMap<Store, Extract>) -> Self {
        Self { extracts, absent: Extract::default() }
    }

    pub(super) fn extracts(&self) -> &BTreeMap<Store, Extract> {
        &self.extracts
    }

    /// A store's extract: an empty one where the file is missing, none where it does not parse, so that nothing can be said.
    pub(super) fn get(&self, store: Store) -> Option<&Extract> {
        match self.extracts.get(&store) {
            Some(extract) if extract.failure.is_some() => None,
            Some(extract) => Some(extract),
            None => Some(&self.absent),
        }
    }

    pub(super) fn is_missing(&self, store: Store) -> bool {
        !self.extracts.contains_key(&store)
    }

    fn rows(&self, store: Store) -> u64 {
        self.get(store).map_or(0, |extract| extract.rows)
    }

    /// Whether `holds` is true of the store; also where the store does not parse, which is a finding of its own.
    fn ask(&self, store: Store, holds: impl Fn(&Extract) -> bool) -> bool {
        self.get(store).is_none_or(holds)
    }

    fn has_chunk(&self, chunk: Digest) -> bool {
        self.ask(Store::TextChunks, |chunks| chunks.owner(chunk).is_some())
    }

    fn has_node(&self, name: Digest) -> bool {
        self.ask(Store::Graph, |graph| graph.has_key(name))
    }

    fn has_vector(&self, store: Store, id: Digest) -> bool {
        self.ask(store, |vectors| vectors.has_key(id))
    }

    /// Whether a row of this store breaks a rule between stores, as far as digests tell.
    pub(super) fn is_suspicious(&self, store: Store) -> bool {
        let Some(extract) = self.get(store) else { return false };
        let rows_misfit = extract.misfits > 0 && extract.matrix.is_none();
        rows_misfit
            || match store {
                Store::DocStatus => {
                    let without_text = |[document, class]: &[u64; 2]| {
                        *class < DUPLICATE && *class != FAILED && !self.ask(Store::FullDocs, |texts| texts.has_key(*document))
                    };
                    let unchunked = |chunk: &Digest| !self.has_chunk(*chunk) || !self.has_vector(Store::ChunkVectors, *chunk);
                    extract.owners.iter().any(without_text) || extract.references.iter().any(unchunked)
                }
                Store::FullDocs => {
                    extract.keys.iter().any(|text| !self.ask(Store::DocStatus, |documents| documents.owner(*text).is_some()))
                }
                Store::ChunkVectors => extract.keys.iter().any(|chunk| !self.has_chunk(*chunk)),
                Store::EntityVectors => extract.references.iter().any(|name| !self.has_node(*name)),
                Store::RelationVectors => extract.references.iter().any(|pair| !self.ask(Store::Graph, |graph| graph.has_edge(*pair))),
                Store::Graph => {
                    extract.keys.iter().any(|name| !self.has_vector(Store::EntityVectors, *name))
                        || extract.edges.iter().any(|[pair, reverse, first, second]| {
                            !self.has_node(*first) || !self.has_node(*second) || !self.has_relation_vector([*pair, *reverse])
                        })
                }
                _ => false,
            }
    }

    fn has_relation_vector(&self, [pair, reverse]: [Digest; 2]) -> bool {
        self.has_vector(Store::RelationVectors, pair) || self.has_vector(Store::RelationVectors, reverse)
    }

    /// Counts what a row breaks.
    pub(super) fn judge(&self, row: &Row<'_>, tally: &mut Tally) {
        match *row {
            Row::Document { id, progress, duplicate, chunks_count, chunks } if !duplicate => {
                let severity = if progress == Progress::Processed { Severity::Broken } else { Severity::InFlight };
                if progress != Progress::Failed && !self.ask(Store::FullDocs, |texts| texts.has_key(digest(id))) {
                    tally.count(Rule::R1, severity, &[id]);
                }
                if progress == Progress::Processed {
                    if misfit(chunks_count, chunks) {
                        tally.count(Rule::R3, severity, &[id]);
                    }
                    for chunk in chunks.unwrap_or_default() {
                        let key = digest(chunk);
                        if !self.has_chunk(key) {
                            tally.count(Rule::R4, severity, &[chunk]);
                        }
                        if !self.has_vector(Store::ChunkVectors, key) {
                            tally.count(Rule::R5, severity, &[chunk]);
                        }
                    }
                }
            }
            Row::Text { id } if !self.ask(Store::DocStatus, |documents| documents.owner(digest(id)).is_some()) => {
                tally.count(Rule::R2, Severity::Warning, &[id]);
            }
            Row::ChunkVector { id, document } if !self.has_chunk(digest(id)) => {
                let severity = self.severity_of_documents([self.class(digest(document))]);
                tally.count(Rule::R9, severity, &[id]);
            }
            Row::EntityVector { name, sources, .. } if !self.has_node(digest(name)) => {
                tally.count(Rule::R16, self.severity(sources), &[name]);
            }
            Row::RelationVector { ends, sources, .. } => {
                let pair = pair_digests(ends)[0];
                if !self.ask(Store::Graph, |graph| graph.has_edge(pair)) {
                    tally.count(Rule::R21, self.severity(sources), &ends);
                }
            }
            Row::Node { id, entity_id, sources } => {
                if id != entity_id {
                    tally.count(Rule::R12, self.severity(sources), &[id]);
                }
                if !self.has_vector(Store::EntityVectors, digest(id)) {
                    tally.count(Rule::R13, self.severity(sources), &[id]);
                }
            }
            Row::Edge { ends, sources } => {
                if !ends.iter().all(|end| self.has_node(digest(end))) {
                    tally.count(Rule::R11, self.severity(sources), &ends);
                }
                if !self.has_relation_vector(pair_digests(ends)) {
                    tally.count(Rule::R18, self.severity(sources), &ends);
                }
            }
            _ => {}
        }
    }

    /// How bad a row with this `source_id` is: by the documents that its chunks belong to.
    fn severity(&self, sources: &[u8]) -> Severity {
        let mut at = 0;
        let chunks = std::iter::from_fn(|| {
            let rest = sources.get(at..)?;
            let length = memchr::memmem::find(rest, SEPARATOR).unwrap_or(rest.len());
            at += length + SEPARATOR.len();
            Some(&rest[..length])
        });
        self.severity_of_documents(chunks.map(|chunk| self.class(self.document_of(chunk))))
    }

    /// The document of a chunk: by its row in `text_chunks`; where that is not written yet, by its id, `<document>-chunk-<number>`.
    fn document_of(&self, chunk: &[u8]) -> Digest {
        let known = self.get(Store::TextChunks).and_then(|chunks| chunks.owner(digest(chunk)));
        known.unwrap_or_else(|| digest(memchr::memmem::rfind(chunk, b"-chunk-").map_or(chunk, |at| &chunk[..at])))
    }

    fn class(&self, document: Digest) -> Option<u64> {
        self.get(Store::DocStatus).and_then(|documents| documents.owner(document)).map(|class| class % DUPLICATE)
    }

    fn severity_of_documents(&self, classes: impl IntoIterator<Item = Option<u64>>) -> Severity {
        let of_class = |class| match class {
            Some(PROCESSED) => Severity::Broken,
            Some(_) => Severity::InFlight,
            None => Severity::Warning,
        };
        classes.into_iter().map(of_class).max().unwrap_or(Severity::Warning)
    }

    /// Whether a missing store is needed by others, and how badly: as badly as the rules are broken that it would keep.
    pub(super) fn absence(&self, store: Store, tally: &Tally) -> Option<Severity> {
        let rules: &[Rule] = match store {
            Store::DocStatus => {
                // LightRAG would start as if it were empty. It flushes a first document's text before its status, and nothing else.
                let data = [Store::TextChunks, Store::Graph, Store::EntityVectors, Store::RelationVectors, Store::ChunkVectors];
                if data.into_iter().any(|store| self.rows(store) > 0) {
                    return Some(Severity::Broken);
                }
                &[Rule::R2]
            }
            Store::FullDocs => &[Rule::R1],
            Store::TextChunks => &[Rule::R4, Rule::R9],
            Store::ChunkVectors => &[Rule::R5],
            Store::Graph => &[Rule::R16, Rule::R21],
            Store::EntityVectors => &[Rule::R13],
            Store::RelationVectors => &[Rule::R18],
            Store::FullEntities | Store::FullRelations | Store::EntityChunks | Store::RelationChunks | Store::LlmCache => &[],
        };
        rules.iter().filter_map(|rule| tally.worst(*rule)).max()
    }
}

/// Findings while they are counted.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<(Rule, Severity), (u64, Vec<String>)>);

impl Tally {
    /// Counts one; `names` are joined for people.
    pub(super) fn count(&mut self, rule: Rule, severity: Severity, names: &[&[u8]]) {
        let (count, examples) = self.0.entry((rule, severity)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(names.iter().map(|name| readable(name)).collect::<Vec<_>>().join(" - "));
        }
    }

    fn worst(&self, rule: Rule) -> Option<Severity> {
        self.0.keys().filter(|(broken, _)| *broken == rule).map(|(_, severity)| *severity).max()
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        let finding = |((rule, severity), (count, examples))| Finding { rule, severity, count, examples };
        self.0.into_iter().map(finding).collect()
    }
}
