//! What is kept of a store file: digests of its keys, enough to say whether any rule is broken. Where one is, the file is read once more
//! for names and owners, so that nothing of a whole graph is held as text.

use md5::{Digest as _, Md5};

use super::graphml::read_graphml;
use super::pieces::{Pieces, Stop};
use super::rows::{Progress, Row, read_json};
use crate::domain::finding::EXAMPLES_MAX;
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

/// What is kept of a store file. All lists are sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extract {
    /// Why the file does not parse.
    pub(super) failure: Option<String>,
    /// Rows; nodes of a graph.
    pub(super) rows: u64,
    /// Rows whose own fields contradict each other: R3 in `doc_status`, R12 in the graph, R33 in a vector store.
    pub(super) misfits: u64,
    /// What is wrong with a vector store's matrix.
    pub(super) matrix: Option<String>,
    /// Processed documents.
    pub(super) processed: u64,
    /// Documents in flight.
    pub(super) in_flight: u64,
    /// Some of their ids.
    pub(super) in_flight_examples: Vec<String>,
    /// Ids of rows; names of nodes.
    pub(super) keys: Vec<Digest>,
    /// What rows refer to: chunks of processed documents, names of entity vectors, pairs of relation vectors.
    pub(super) references: Vec<Digest>,
    /// The document of each text chunk; how far each document is.
    pub(super) owners: Vec<[u64; 2]>,
    /// Edges: the pair's digest, that of the reverse pair, both ends.
    pub(super) edges: Vec<[Digest; 4]>,
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
pub(super) fn read_rows(store: Store, pieces: Pieces<'_>, sink: &mut dyn FnMut(Row<'_>)) -> Result<(), Stop> {
    if store == Store::Graph { read_graphml(pieces, sink) } else { read_json(store, pieces, sink) }
}

impl Extract {
    /// Reads a store file to its end. A file that does not parse is a finding; that it cannot be read is an error.
    pub(super) fn read(store: Store, pieces: Pieces<'_>) -> Result<Self, Stop> {
        let mut extract = Self::default();
        match read_rows(store, pieces, &mut |row| extract.take(&row)) {
            Ok(()) => {}
            Err(Stop::Malformed { at_byte, problem }) => {
                return Ok(Self::failed(format!("{} at byte {at_byte}: {problem}", store.file_name())));
            }
            Err(stop) => return Err(stop),
        }
        for list in [&mut extract.keys, &mut extract.references] {
            list.sort_unstable();
            list.dedup();
            list.shrink_to_fit();
        }
        extract.owners.sort_unstable();
        extract.owners.shrink_to_fit();
        extract.edges.sort_unstable();
        extract.edges.shrink_to_fit();
        Ok(extract)
    }

    pub(super) fn failed(failure: String) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }

    fn take(&mut self, row: &Row<'_>) {
        if !matches!(row, Row::Edge { .. } | Row::Matrix { .. }) {
            self.rows += 1;
        }
        match *row {
            Row::Document { id, progress, duplicate, chunks_count, chunks } => {
                self.take_document(id, progress, duplicate);
                if progress == Progress::Processed && !duplicate {
                    self.misfits += u64::from(misfit(chunks_count, chunks));
                    self.references.extend(chunks.unwrap_or_default().iter().map(|chunk| digest(chunk)));
                }
            }
            Row::Text { id } => self.keys.push(digest(id)),
            Row::Chunk { id, document } => self.owners.push([digest(id), digest(document)]),
            Row::EntityVector { id, name, .. } => {
                self.keys.push(digest_in_id(id, "ent-"));
                self.references.push(digest(name));
            }
            Row::RelationVector { id, ends, .. } => {
                self.keys.push(digest_in_id(id, "rel-"));
                self.references.push(pair_digests(ends)[0]);
            }
            Row::ChunkVector { id, .. } => self.keys.push(digest(id)),
            Row::Node { id, entity_id, .. } => {
                self.keys.push(digest(id));
                self.misfits += u64::from(id != entity_id);
            }
            Row::Edge { ends, .. } => {
                let [pair, reverse] = pair_digests(ends);
                self.edges.push([pair, reverse, digest(ends[0]), digest(ends[1])]);
            }
            Row::Matrix { dimensions, rows, matrix_bytes } => {
                let expected = dimensions.and_then(|dimensions| dimensions.checked_mul(rows)).and_then(|numbers| numbers.checked_mul(4));
                if expected.is_none() || expected != matrix_bytes {
                    self.misfits += 1;
                    let told = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
                    let (dimensions, found) = (told(dimensions), told(matrix_bytes));
                    self.matrix = Some(format!("{rows} rows of dimension {dimensions}, matrix bytes: {found}"));
                }
            }
            Row::Other => {}
        }
    }

    fn take_document(&mut self, id: &[u8], progress: Progress, duplicate: bool) {
        let class = match progress {
            Progress::Processed => {
                self.processed += 1;
                PROCESSED
            }
            Progress::Failed => FAILED,
            Progress::InFlight => {
                if !duplicate {
                    self.in_flight += 1;
                    if self.in_flight_examples.len() < EXAMPLES_MAX {
                        self.in_flight_examples.push(readable(id));
                    }
                }
                IN_FLIGHT
            }
        };
        self.owners.push([digest(id), class + if duplicate { DUPLICATE } else { 0 }]);
    }

    /// The second member of the owner pair of `key`.
    pub(super) fn owner(&self, key: Digest) -> Option<u64> {
        let at = self.owners.partition_point(|[owned, _]| *owned < key);
        self.owners.get(at).filter(|[owned, _]| *owned == key).map(|[_, owner]| *owner)
    }

    pub(super) fn has_key(&self, key: Digest) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    /// Whether an edge joins this pair, both in order.
    pub(super) fn has_edge(&self, pair: Digest) -> bool {
        self.edges.binary_search_by_key(&pair, |edge| edge[0]).is_ok()
    }
}

/// R3: `chunks_count` differs from the length of `chunks_list`. LightRAG 1.3.9 writes no list: nothing to compare.
pub(super) fn misfit(chunks_count: Option<u64>, chunks: Option<&[Vec<u8>]>) -> bool {
    chunks.is_some_and(|chunks| chunks_count != Some(chunks.len() as u64))
}
