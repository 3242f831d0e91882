//! What is kept of a store file: digests of its keys, enough to say whether any rule is broken. Where one is, the file is read once more
//! for names and owners, so that nothing of a whole graph is held as text.

use std::path::Path;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::rows::{Document, Progress, Row, ends, parts, read_graph, read_json};
use crate::domain::finding::EXAMPLES_MAX;
use crate::lightrag::formats::SEPARATOR;
use crate::lightrag::formats::pieces::{Pieces, Stop};
use crate::lightrag::formats::vectors::{Form, Shape, read_index};
use crate::lightrag::workspace::Store;

/// The first 64 bits of an md5, which LightRAG makes its ids of. A key that is missing is taken for another with a probability of
/// 1 to 2^64 for each key there is: among a million, 5 in 10^14.
pub(super) type Digest = u64;

/// How far a document is, in an extract's `owners`.
pub(super) const PROCESSED: u64 = 1;
/// See [`PROCESSED`].
pub(super) const FAILED: u64 = 2;
/// See [`PROCESSED`].
pub(super) const IN_FLIGHT: u64 = 3;
/// Added for a stub that stands for a duplicate of another document.
pub(super) const DUPLICATE: u64 = 16;
/// Added for a document that tells no list of its chunks.
pub(super) const UNLISTED: u64 = 32;
/// What is left of a class is how far the document is.
pub(super) const PROGRESS: u64 = 3;

/// What is kept of a store file. All lists are sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extract {
    /// Why the file does not parse.
    pub(super) failure: Option<String>,
    /// What else is told of it in numbers.
    pub(super) head: Head,
    /// Ids of rows; names of nodes; pairs of relations' chunks.
    pub(super) keys: Vec<Digest>,
    /// What rows refer to: chunks of processed documents, names of entity vectors, pairs of relation vectors.
    pub(super) references: Vec<Digest>,
    /// Chunks that documents list which are not processed; nodes whose `source_id` was cut.
    pub(super) marked: Vec<Digest>,
    /// The document of each chunk or chunk vector; how far each document is.
    pub(super) owners: Vec<[u64; 2]>,
    /// A row and what it names: chunk and answer, document and entity or relation, entity or relation and chunk, answer and chunk.
    pub(super) links: Vec<[u64; 2]>,
    /// A chunk and its content; an edge's pair and its chunk.
    pub(super) contents: Vec<[u64; 2]>,
    /// Edges: the pair's digest, that of the reverse pair, both ends.
    pub(super) edges: Vec<[Digest; 4]>,
}

/// What is told of a store file in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Rows; nodes of a graph.
    pub(super) rows: u64,
    /// Rows whose own fields contradict each other: R3 in `doc_status`, R12 in the graph, R17, R23, R27.
    pub(super) misfits: u64,
    /// What is said of a store of vectors as a whole.
    pub(super) shape: Option<Shape>,
    /// Processed documents.
    pub(super) processed: u64,
    /// Documents in flight.
    pub(super) in_flight: u64,
    /// Some of their ids.
    pub(super) in_flight_examples: Vec<String>,
    /// A document has a hash of its content, as since LightRAG 1.5.
    pub(super) has_content_hashes: bool,
    /// A document has a list of chunks or a track, as since LightRAG 1.4.
    pub(super) has_tracks: bool,
}

/// The digest of a key or name.
pub(super) fn digest(text: &[u8]) -> Digest {
    digest_of(&[text])
}

fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    let [a, b, c, d, e, f, g, h, ..] = md5.finalize().0;
    Digest::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The digest of a pair, and that of its reverse: LightRAG hashes both names, the smaller first; older ones in either order.
pub(super) fn pair_digests([a, b]: [&[u8]; 2]) -> [Digest; 2] {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    [digest_of(&[first, second]), digest_of(&[second, first])]
}

/// The digest of a name, or of a pair of names as it stands.
pub(super) fn name_digest(name: &[u8]) -> Digest {
    match memchr::memmem::find(name, SEPARATOR) {
        Some(_) => pair_digests(ends(name))[0],
        None => digest(name),
    }
}

/// The digest of a key of `entity_chunks` or `relation_chunks`. A pair's smaller name comes first: else it is another key.
pub(super) fn key_digest(key: &[u8]) -> Digest {
    match memchr::memmem::find(key, SEPARATOR) {
        Some(_) => digest_of(&ends(key)),
        None => digest(key),
    }
}

/// The digest that an id such as `ent-<md5>` contains. Ids of another form get one that no name has.
pub(super) fn digest_in_id(id: &[u8], prefix: &str) -> Digest {
    let hash = id.strip_prefix(prefix.as_bytes()).filter(|hash| hash.len() == 32);
    let mut bytes = [0; 16];
    match hash.map(|hash| hex::decode_to_slice(hash, &mut bytes)) {
        Some(Ok(())) => {
            let [a, b, c, d, e, f, g, h, ..] = bytes;
            Digest::from_be_bytes([a, b, c, d, e, f, g, h])
        }
        _ => digest(id),
    }
}

/// The text of a row for people, cut to a length that is fit to be shown.
pub(super) fn readable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into_owned(),
    }
}

/// Reads a store file to its end, rows into `sink`.
pub(super) fn read_rows(store: Store, form: Form, pieces: Pieces<'_>, sink: &mut dyn FnMut(Row<'_>)) -> Result<(), Stop> {
    match store {
        Store::Graph => read_graph(pieces, sink),
        Store::EntityIndex | Store::RelationIndex | Store::ChunkIndex => read_index(pieces).map(|shape| sink(Row::Shape(shape))),
        _ => read_json(store, form, pieces, sink),
    }
}

impl Extract {
    /// Reads a store file to its end. A file that does not parse is a finding; that it cannot be read is an error.
    pub(super) fn read(store: Store, path: &Path, pieces: Pieces<'_>) -> Result<Self, Stop> {
        let mut extract = Self::default();
        match read_rows(store, Form::of(path), pieces, &mut |row| extract.take(&row)) {
            Ok(()) => {}
            Err(Stop::Malformed { at_byte, problem }) => {
                return Ok(Self { failure: Some(format!("{} at byte {at_byte}: {problem}", path.display())), ..Self::default() });
            }
            Err(stop) => return Err(stop),
        }
        for list in [&mut extract.keys, &mut extract.references, &mut extract.marked] {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        for list in [&mut extract.owners, &mut extract.links, &mut extract.contents] {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        extract.edges.sort_unstable();
        extract.edges.shrink_to_fit();
        Ok(extract)
    }

    fn take(&mut self, row: &Row<'_>) {
        if !matches!(row, Row::Edge { .. } | Row::Shape(_)) {
            self.head.rows += 1;
        }
        match row {
            Row::Document(document) => self.take_document(document),
            Row::Text { id } => self.keys.push(digest(id)),
            Row::Chunk { id, document, content, answers } => {
                let chunk = digest(id);
                self.owners.push([chunk, digest(document)]);
                self.contents.push([chunk, *content]);
                self.links.extend(answers.iter().map(|answer| [chunk, digest(answer)]));
            }
            Row::Anchors { document, names } => {
                let document = digest(document);
                self.keys.push(document);
                self.head.misfits += u64::from(names.is_misfit());
                self.links.extend(names.names.iter().map(|name| [document, name_digest(name)]));
            }
            Row::Chunks { key, chunks } => {
                let key = key_digest(key);
                self.keys.push(key);
                self.head.misfits += u64::from(chunks.is_misfit());
                self.links.extend(chunks.names.iter().map(|chunk| [key, digest(chunk)]));
            }
            Row::EntityVector { id, name, .. } => {
                let (key, name) = (digest_in_id(id, "ent-"), digest(name));
                self.head.misfits += u64::from(key != name);
                self.keys.push(key);
                self.references.push(name);
            }
            Row::RelationVector { id, ends, .. } => {
                self.keys.push(digest_in_id(id, "rel-"));
                self.references.push(pair_digests(*ends)[0]);
            }
            Row::ChunkVector { id, document, content } => {
                let chunk = digest(id);
                self.keys.push(chunk);
                self.owners.push([chunk, digest(document)]);
                self.contents.push([chunk, *content]);
            }
            Row::Node { id, entity_id, sources, is_cut } => {
                let name = digest(id);
                self.keys.push(name);
                self.head.misfits += u64::from(id != entity_id);
                self.links.extend(parts(sources).map(|chunk| [name, digest(chunk)]));
                if *is_cut {
                    self.marked.push(name);
                }
            }
            Row::Edge { ends, sources } => {
                let [pair, reverse] = pair_digests(*ends);
                self.edges.push([pair, reverse, digest(ends[0]), digest(ends[1])]);
                self.contents.extend(parts(sources).map(|chunk| [pair, digest(chunk)]));
            }
            Row::Answer { key, chunk } => {
                let key = digest(key);
                self.keys.push(key);
                self.links.extend(chunk.map(|chunk| [key, digest(chunk)]));
            }
            Row::Shape(shape) => self.head.shape = Some(*shape),
        }
    }

    fn take_document(&mut self, document: &Document<'_>) {
        let head = &mut self.head;
        head.has_content_hashes |= document.has_content_hash;
        head.has_tracks |= document.has_track_id || document.chunks.is_some();
        let mut class = match document.progress {
            Progress::Processed => {
                head.processed += 1;
                PROCESSED
            }
            Progress::Failed => FAILED,
            Progress::InFlight => {
                if !document.is_duplicate {
                    head.in_flight += 1;
                    if head.in_flight_examples.len() < EXAMPLES_MAX {
                        head.in_flight_examples.push(readable(document.id));
                    }
                }
                IN_FLIGHT
            }
        };
        class += if document.is_duplicate { DUPLICATE } else { 0 };
        class += if document.chunks.is_none() { UNLISTED } else { 0 };
        self.owners.push([digest(document.id), class]);
        if document.is_duplicate {
            return;
        }
        let chunks = document.chunks.unwrap_or_default().iter().map(|chunk| digest(chunk));
        if document.progress == Progress::Processed {
            head.misfits += u64::from(misfit(document));
            self.references.extend(chunks);
        } else {
            self.marked.extend(chunks);
        }
    }

    /// The second member of the owner pair of `key`.
    pub(super) fn owner(&self, key: Digest) -> Option<u64> {
        let at = self.owners.partition_point(|[owned, _]| *owned < key);
        self.owners.get(at).filter(|[owned, _]| *owned == key).map(|[_, owner]| *owner)
    }

    pub(super) fn has_key(&self, key: Digest) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    pub(super) fn has_link(&self, from: Digest, to: Digest) -> bool {
        self.links.binary_search(&[from, to]).is_ok()
    }

    /// How many things a row names.
    pub(super) fn count_links(&self, from: Digest) -> usize {
        let begin = self.links.partition_point(|[row, _]| *row < from);
        self.links[begin..].partition_point(|[row, _]| *row == from)
    }

    /// The content of a chunk.
    pub(super) fn content(&self, chunk: Digest) -> Option<Digest> {
        let at = self.contents.partition_point(|[other, _]| *other < chunk);
        self.contents.get(at).filter(|[other, _]| *other == chunk).map(|[_, content]| *content)
    }

    /// Whether an edge joins this pair, both in order.
    pub(super) fn has_edge(&self, pair: Digest) -> bool {
        self.edges.binary_search_by_key(&pair, |edge| edge[0]).is_ok()
    }
}

/// R3: `chunks_count` differs from the length of `chunks_list`. LightRAG 1.3.9 writes no list: nothing to compare.
pub(super) fn misfit(document: &Document<'_>) -> bool {
    document.chunks.is_some_and(|chunks| document.chunks_count != Some(chunks.len() as u64))
}
