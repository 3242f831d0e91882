//! The extracts of all stores of a workspace, and what is asked of them.

use std::collections::BTreeMap;

use super::extract::{DUPLICATE, Digest, Extract, PROCESSED, PROGRESS, UNLISTED, digest};
use super::rows::parts;
use crate::domain::finding::Severity;
use crate::domain::lightrag_layout::LightragLayout;
use crate::lightrag::workspace::Store;

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

    pub(super) fn rows(&self, store: Store) -> u64 {
        self.get(store).map_or(0, |extract| extract.head.rows)
    }

    /// Whether `holds` is true of the store; also where the store does not parse, which is a finding of its own.
    pub(super) fn ask(&self, store: Store, holds: impl Fn(&Extract) -> bool) -> bool {
        self.get(store).is_none_or(holds)
    }

    /// As [`Self::ask`], but also true where the file is missing: older versions of LightRAG do not have it, newer ones make it anew.
    pub(super) fn ask_derived(&self, store: Store, holds: impl Fn(&Extract) -> bool) -> bool {
        self.is_missing(store) || self.ask(store, holds)
    }

    pub(super) fn has_document(&self, document: Digest) -> bool {
        self.ask(Store::DocStatus, |documents| documents.owner(document).is_some())
    }

    pub(super) fn has_chunk(&self, chunk: Digest) -> bool {
        self.ask(Store::TextChunks, |chunks| chunks.owner(chunk).is_some())
    }

    pub(super) fn has_node(&self, name: Digest) -> bool {
        self.ask(Store::Graph, |graph| graph.has_key(name))
    }

    pub(super) fn has_edge(&self, pair: Digest) -> bool {
        self.ask(Store::Graph, |graph| graph.has_edge(pair))
    }

    pub(super) fn has_vector(&self, store: Store, id: Digest) -> bool {
        self.ask(store, |vectors| vectors.has_key(id))
    }

    pub(super) fn has_relation_vector(&self, [pair, reverse]: [Digest; 2]) -> bool {
        self.has_vector(Store::RelationVectors, pair) || self.has_vector(Store::RelationVectors, reverse)
    }

    /// R7: whether a chunk is in a document's list, as far as its document has one.
    pub(super) fn is_listed(&self, chunk: Digest, document: Digest) -> bool {
        let Some(documents) = self.get(Store::DocStatus) else { return true };
        match documents.owner(document) {
            Some(class) if class & (UNLISTED | DUPLICATE) == 0 => {
                documents.references.binary_search(&chunk).is_ok() || documents.marked.binary_search(&chunk).is_ok()
            }
            _ => true,
        }
    }

    /// R10: whether a chunk vector's content and document are those of its chunk, if there is one.
    pub(super) fn fits_chunk(&self, chunk: Digest, document: Digest, content: Digest) -> bool {
        self.ask(Store::TextChunks, |chunks| {
            let same = |of: Option<u64>, wanted: u64| of.is_none_or(|of| of == wanted);
            same(chunks.owner(chunk), document) && same(chunks.content(chunk), content)
        })
    }

    /// The document of a chunk: by its row in `text_chunks`; where that is not written yet, by its id, `<document>-chunk-<number>`.
    pub(super) fn document_of(&self, chunk: &[u8]) -> Digest {
        let known = self.get(Store::TextChunks).and_then(|chunks| chunks.owner(digest(chunk)));
        known.unwrap_or_else(|| digest(memchr::memmem::rfind(chunk, b"-chunk-").map_or(chunk, |at| &chunk[..at])))
    }

    /// How bad a row with this `source_id` is: by the documents that its chunks belong to.
    pub(super) fn severity_of_sources(&self, sources: &[u8]) -> Severity {
        self.severity_of_chunks(parts(sources))
    }

    /// How bad a row of these chunks is: by the documents that they belong to.
    pub(super) fn severity_of_chunks<'c>(&self, chunks: impl IntoIterator<Item = &'c [u8]>) -> Severity {
        let severities = chunks.into_iter().map(|chunk| self.severity_of_document(self.document_of(chunk)));
        severities.max().unwrap_or(Severity::Warning)
    }

    pub(super) fn severity_of_document(&self, document: Digest) -> Severity {
        let class = self.get(Store::DocStatus).and_then(|documents| documents.owner(document));
        match class.map(|class| class & PROGRESS) {
            Some(PROCESSED) => Severity::Broken,
            Some(_) => Severity::InFlight,
            None => Severity::Warning,
        }
    }

    /// Which LightRAG wrote the stores; none while there is no document.
    pub(super) fn layout(&self) -> Option<LightragLayout> {
        let documents = self.get(Store::DocStatus).filter(|documents| documents.head.rows > 0)?;
        let any = |stores: [Store; 2]| stores.into_iter().any(|store| !self.is_missing(store));
        Some(if documents.head.has_content_hashes {
            LightragLayout::V1_5
        } else if any([Store::EntityChunks, Store::RelationChunks]) {
            LightragLayout::V1_4_10
        } else if documents.head.has_tracks || any([Store::FullEntities, Store::FullRelations]) {
            LightragLayout::V1_4
        } else {
            LightragLayout::V1_3
        })
    }

    /// Numbers in each vector, by the first store that tells.
    pub(super) fn dimensions(&self) -> Option<u64> {
        let stores = Store::VECTORS.into_iter().flat_map(|(rows, index)| [index, rows]);
        let shapes = stores.filter_map(|store| self.get(store)?.head.shape);
        shapes.filter(|shape| shape.rows > 0).find_map(|shape| shape.dimensions)
    }
}
