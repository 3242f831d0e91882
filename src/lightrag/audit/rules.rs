//! The rules between stores, asked of a row with its names. `suspicion.rs` asks the same of digests first.

use std::collections::BTreeSet;

use super::extract::{DUPLICATE, digest, digest_in_id, key_digest, misfit, name_digest, pair_digests};
use super::rows::{Counted, Document, Progress, Row, parts};
use super::stores::Stores;
use super::tally::Tally;
use crate::domain::finding::{Rule, Severity};
use crate::domain::lightrag_layout::LightragLayout;
use crate::lightrag::formats::SEPARATOR;
use crate::lightrag::workspace::Store;

/// So many sources of a node LightRAG keeps by default, and does not always say that it has cut the rest.
pub(super) const SOURCES_KEPT: usize = 200;

impl Stores {
    /// Counts what a row breaks.
    pub(super) fn judge(&self, row: &Row<'_>, tally: &mut Tally) {
        match row {
            Row::Document(document) => self.judge_document(document, tally),
            Row::Text { id } => {
                if !self.has_document(digest(id)) {
                    tally.count(Rule::R2, Severity::Warning, &[id]);
                }
            }
            Row::Chunk { id, document, answers, .. } => self.judge_chunk(id, document, answers, tally),
            Row::Anchors { document, names } => self.judge_anchors(document, names, tally),
            Row::Chunks { key, chunks } => self.judge_chunks(key, chunks, tally),
            Row::EntityVector { id, name, sources } => {
                let severity = self.severity_of_sources(sources);
                if !self.has_node(digest(name)) {
                    tally.count(Rule::R16, severity, &[name]);
                }
                if digest_in_id(id, "ent-") != digest(name) {
                    tally.count(Rule::R17, severity, &[id, name]);
                }
            }
            Row::RelationVector { ends, sources, .. } => {
                if !self.has_edge(pair_digests(*ends)[0]) {
                    tally.count(Rule::R21, self.severity_of_sources(sources), ends);
                }
            }
            Row::ChunkVector { id, document, content } => {
                let (chunk, of) = (digest(id), digest(document));
                if !self.has_chunk(chunk) {
                    tally.count(Rule::R9, self.severity_of_document(of), &[id]);
                } else if !self.fits_chunk(chunk, of, *content) {
                    tally.count(Rule::R10, self.severity_of_document(of), &[id]);
                }
            }
            Row::Node { id, entity_id, sources, is_cut } => {
                if id != entity_id {
                    tally.count(Rule::R12, self.severity_of_sources(sources), &[id]);
                }
                self.judge_node(id, sources, *is_cut, tally);
            }
            Row::Edge { ends, sources } => self.judge_edge(*ends, sources, tally),
            Row::Answer { key, chunk } => {
                if chunk.is_some_and(|chunk| !self.has_chunk(digest(chunk))) {
                    tally.count(Rule::W1, Severity::Warning, &[key]);
                }
            }
            Row::Shape(_) => {}
        }
    }

    fn judge_document(&self, document: &Document<'_>, tally: &mut Tally) {
        if document.is_duplicate {
            return;
        }
        let severity = if document.progress == Progress::Processed { Severity::Broken } else { Severity::InFlight };
        if document.progress != Progress::Failed && !self.ask(Store::FullDocs, |texts| texts.has_key(digest(document.id))) {
            tally.count(Rule::R1, severity, &[document.id]);
        }
        if document.progress != Progress::Processed {
            return;
        }
        if misfit(document) {
            tally.count(Rule::R3, severity, &[document.id]);
        }
        for chunk in document.chunks.unwrap_or_default() {
            let key = digest(chunk);
            if !self.has_chunk(key) {
                tally.count(Rule::R4, severity, &[chunk]);
            }
            if !self.has_vector(Store::ChunkVectors, key) {
                tally.count(Rule::R5, severity, &[chunk]);
            }
        }
    }

    fn judge_chunk(&self, id: &[u8], document: &[u8], answers: &[Vec<u8>], tally: &mut Tally) {
        let (chunk, of) = (digest(id), digest(document));
        if !self.has_document(of) {
            tally.count(Rule::R6, Severity::Warning, &[id, document]);
        }
        if !self.is_listed(chunk, of) {
            tally.count(Rule::R7, self.severity_of_document(of), &[id]);
        }
        // Only a matter of cost: whoever clears the cache breaks it.
        for answer in answers {
            if !self.ask_derived(Store::LlmCache, |cache| cache.has_key(digest(answer))) {
                tally.count(Rule::R8, Severity::Warning, &[id, answer]);
            }
        }
    }

    /// Entities and relations that are edited or merged by hand stay in these lists under their old names: what they name is never
    /// worse than a warning.
    fn judge_anchors(&self, document: &[u8], names: &Counted<'_>, tally: &mut Tally) {
        let (of, is_pair) = (digest(document), |name: &[u8]| memchr::memmem::find(name, SEPARATOR).is_some());
        let severity = self.severity_of_document(of);
        let in_pairs = names.names.first().is_some_and(|name| is_pair(name));
        if !self.has_document(of) {
            let rule = if in_pairs { Rule::R29 } else { Rule::R26 };
            tally.count(rule, Severity::Warning, &[document]);
        }
        if names.is_misfit() {
            tally.count(Rule::R27, severity, &[document]);
        }
        for name in names.names {
            let (rule, is_there) = match is_pair(name) {
                true => (Rule::R30, self.has_edge(name_digest(name))),
                false => (Rule::R28, self.has_node(name_digest(name))),
            };
            if !is_there {
                tally.count(rule, by_hand(severity), &[document, name]);
            }
        }
    }

    fn judge_chunks(&self, key: &[u8], chunks: &Counted<'_>, tally: &mut Tally) {
        let severity = || self.severity_of_chunks(chunks.names.iter().map(Vec::as_slice));
        let named = key_digest(key);
        let is_pair = memchr::memmem::find(key, SEPARATOR).is_some();
        if !(if is_pair { self.has_edge(named) } else { self.has_node(named) }) {
            tally.count(Rule::R22, severity(), &[key]);
        }
        if chunks.is_misfit() {
            tally.count(Rule::R23, severity(), &[key]);
        }
        for chunk in chunks.names {
            if !self.has_chunk(digest(chunk)) {
                tally.count(Rule::R24, self.severity_of_chunks([chunk.as_slice()]), &[key, chunk]);
            }
        }
    }

    fn judge_node(&self, id: &[u8], sources: &[u8], is_cut: bool, tally: &mut Tally) {
        let name = digest(id);
        if !self.has_vector(Store::EntityVectors, name) {
            tally.count(Rule::R13, self.severity_of_sources(sources), &[id]);
        }
        let is_tracked = self.ask_derived(Store::EntityChunks, |lists| lists.has_key(name));
        if !is_tracked {
            tally.count(Rule::R14, self.severity_of_sources(sources), &[id]);
        }
        let (mut count, mut documents) = (0, BTreeSet::new());
        for chunk in parts(sources) {
            count += 1;
            let (key, document) = (digest(chunk), self.document_of(chunk));
            let severity = self.severity_of_document(document);
            if !self.has_chunk(key) {
                tally.count(Rule::R15, severity, &[id, chunk]);
                continue;
            }
            if is_tracked && !self.ask_derived(Store::EntityChunks, |lists| lists.has_link(name, key)) {
                tally.count(Rule::R25, by_hand(severity), &[id, chunk]);
            }
            if documents.insert(document) && !self.is_anchored(Store::FullEntities, document, name) {
                tally.count(Rule::R31, by_hand(severity), &[id, chunk]);
            }
        }
        let is_whole = !is_cut && count < SOURCES_KEPT;
        if is_tracked && is_whole && !self.ask_derived(Store::EntityChunks, |lists| lists.count_links(name) <= count) {
            tally.count(Rule::R25, by_hand(self.severity_of_sources(sources)), &[id]);
        }
    }

    fn judge_edge(&self, ends: [&[u8]; 2], sources: &[u8], tally: &mut Tally) {
        let digests = pair_digests(ends);
        if !ends.iter().all(|end| self.has_node(digest(end))) {
            tally.count(Rule::R11, self.severity_of_sources(sources), &ends);
        }
        if !self.has_relation_vector(digests) {
            tally.count(Rule::R18, self.severity_of_sources(sources), &ends);
        }
        if !self.ask_derived(Store::RelationChunks, |lists| lists.has_key(digests[0])) {
            tally.count(Rule::R19, self.severity_of_sources(sources), &ends);
        }
        let mut documents = BTreeSet::new();
        for chunk in parts(sources) {
            let document = self.document_of(chunk);
            let severity = self.severity_of_document(document);
            if !self.has_chunk(digest(chunk)) {
                tally.count(Rule::R20, severity, &[ends[0], ends[1], chunk]);
            } else if documents.insert(document) && !self.is_anchored(Store::FullRelations, document, digests[0]) {
                tally.count(Rule::R32, by_hand(severity), &[ends[0], ends[1], chunk]);
            }
        }
    }

    /// R31 and R32: whether what comes from a document is in its list. Of documents that nobody knows there are no lists.
    pub(super) fn is_anchored(&self, anchors: Store, document: u64, name: u64) -> bool {
        let is_known = self.get(Store::DocStatus).and_then(|documents| documents.owner(document)).is_some_and(|class| class < DUPLICATE);
        !is_known || self.ask_derived(anchors, |lists| lists.has_link(document, name))
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
            // LightRAG makes these anew at its start, as far as it can.
            Store::EntityChunks | Store::RelationChunks => return self.derived_absence(store, LightragLayout::V1_4_10),
            Store::FullEntities | Store::FullRelations => return self.derived_absence(store, LightragLayout::V1_4),
            Store::LlmCache | Store::EntityIndex | Store::RelationIndex | Store::ChunkIndex => &[],
        };
        rules.iter().filter_map(|rule| tally.worst(*rule)).max()
    }

    fn derived_absence(&self, store: Store, since: LightragLayout) -> Option<Severity> {
        let is_of_relations = matches!(store, Store::RelationChunks | Store::FullRelations);
        let is_needed =
            self.get(Store::Graph).is_some_and(|graph| if is_of_relations { !graph.edges.is_empty() } else { graph.head.rows > 0 });
        (is_needed && self.layout() >= Some(since)).then_some(Severity::Warning)
    }
}

/// What edits by hand may break too is no more than a warning, once its document is processed.
pub(super) fn by_hand(severity: Severity) -> Severity {
    if severity == Severity::Broken { Severity::Warning } else { severity }
}
