//! Whether any row of a store breaks a rule between stores, as far as digests tell: then the file is read once more for names.

use super::extract::{DUPLICATE, Extract, FAILED, PROGRESS};
use super::rules::SOURCES_KEPT;
use super::stores::Stores;
use crate::lightrag::workspace::Store;

impl Stores {
    /// Whether a row of this store may break a rule.
    pub(super) fn is_suspicious(&self, store: Store) -> bool {
        let Some(extract) = self.get(store) else { return false };
        extract.head.misfits > 0
            || match store {
                Store::DocStatus => self.suspects_documents(extract),
                Store::FullDocs => extract.keys.iter().any(|text| !self.has_document(*text)),
                Store::TextChunks => {
                    let strays = |[chunk, document]: &[u64; 2]| !self.has_document(*document) || !self.is_listed(*chunk, *document);
                    let unpaid = |[_, answer]: &[u64; 2]| !self.ask_derived(Store::LlmCache, |cache| cache.has_key(*answer));
                    extract.owners.iter().any(strays) || extract.links.iter().any(unpaid)
                }
                Store::FullEntities | Store::FullRelations => {
                    let is_there = |name| if store == Store::FullEntities { self.has_node(name) } else { self.has_edge(name) };
                    extract.keys.iter().any(|document| !self.has_document(*document))
                        || extract.links.iter().any(|[_, name]| !is_there(*name))
                }
                Store::EntityChunks | Store::RelationChunks => {
                    let is_there = |key| if store == Store::EntityChunks { self.has_node(key) } else { self.has_edge(key) };
                    extract.keys.iter().any(|key| !is_there(*key)) || extract.links.iter().any(|[_, chunk]| !self.has_chunk(*chunk))
                }
                Store::Graph => self.suspects_nodes(extract) || self.suspects_edges(extract),
                Store::EntityVectors => extract.references.iter().any(|name| !self.has_node(*name)),
                Store::RelationVectors => extract.references.iter().any(|pair| !self.has_edge(*pair)),
                Store::ChunkVectors => {
                    let strays = |chunk: &u64| !self.has_chunk(*chunk);
                    let differs = |[chunk, document]: &[u64; 2]| {
                        !extract.content(*chunk).is_none_or(|content| self.fits_chunk(*chunk, *document, content))
                    };
                    extract.keys.iter().any(strays) || extract.owners.iter().any(differs)
                }
                Store::LlmCache => extract.links.iter().any(|[_, chunk]| !self.has_chunk(*chunk)),
                Store::EntityIndex | Store::RelationIndex | Store::ChunkIndex => false,
            }
    }

    fn suspects_documents(&self, documents: &Extract) -> bool {
        let without_text = |[document, class]: &[u64; 2]| {
            class & DUPLICATE == 0 && class & PROGRESS != FAILED && !self.ask(Store::FullDocs, |texts| texts.has_key(*document))
        };
        let unchunked = |chunk: &u64| !self.has_chunk(*chunk) || !self.has_vector(Store::ChunkVectors, *chunk);
        documents.owners.iter().any(without_text) || documents.references.iter().any(unchunked)
    }

    fn suspects_nodes(&self, graph: &Extract) -> bool {
        let is_bare = |name: &u64| {
            let count = graph.count_links(*name);
            let is_whole = count < SOURCES_KEPT && graph.marked.binary_search(name).is_err();
            !self.has_vector(Store::EntityVectors, *name)
                || !self.ask_derived(Store::EntityChunks, |lists| lists.has_key(*name) && (!is_whole || lists.count_links(*name) <= count))
        };
        let is_stray = |[name, chunk]: &[u64; 2]| {
            !self.has_chunk(*chunk)
                || !self.ask_derived(Store::EntityChunks, |lists| lists.has_link(*name, *chunk))
                || !self.is_anchored_by(Store::FullEntities, *chunk, *name)
        };
        graph.keys.iter().any(is_bare) || graph.links.iter().any(is_stray)
    }

    fn suspects_edges(&self, graph: &Extract) -> bool {
        let is_bare = |[pair, reverse, first, second]: &[u64; 4]| {
            !self.has_node(*first)
                || !self.has_node(*second)
                || !self.has_relation_vector([*pair, *reverse])
                || !self.ask_derived(Store::RelationChunks, |lists| lists.has_key(*pair))
        };
        let is_stray = |[pair, chunk]: &[u64; 2]| !self.has_chunk(*chunk) || !self.is_anchored_by(Store::FullRelations, *chunk, *pair);
        graph.edges.iter().any(is_bare) || graph.contents.iter().any(is_stray)
    }

    fn is_anchored_by(&self, anchors: Store, chunk: u64, name: u64) -> bool {
        let document = self.get(Store::TextChunks).and_then(|chunks| chunks.owner(chunk));
        document.is_none_or(|document| self.is_anchored(anchors, document, name))
    }
}
