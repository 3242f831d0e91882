//! The rows of the stores, as far as the rules look at them.

use super::extract::{Digest, digest};
use super::vector_rows;
use crate::lightrag::formats::SEPARATOR;
use crate::lightrag::formats::graphml::{Element, read_elements};
use crate::lightrag::formats::json::Scanner;
use crate::lightrag::formats::pieces::{Pieces, Stop};
use crate::lightrag::formats::vectors::{Form, Shape};
use crate::lightrag::workspace::Store;

/// How far LightRAG is with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Committed.
    Processed,
    /// Given up; it can be taken up again.
    Failed,
    /// Pending, parsing, analyzing, processing, or a status that we do not know.
    InFlight,
}

/// A row of `doc_status`.
pub(super) struct Document<'a> {
    pub(super) id: &'a [u8],
    pub(super) progress: Progress,
    /// A stub that stands for a duplicate of another document.
    pub(super) is_duplicate: bool,
    pub(super) chunks_count: Option<u64>,
    /// LightRAG 1.3 has no list.
    pub(super) chunks: Option<&'a [Vec<u8>]>,
    /// Since LightRAG 1.5.
    pub(super) has_content_hash: bool,
    /// Since LightRAG 1.4.
    pub(super) has_track_id: bool,
}

/// A list of names with its length as the row tells it.
pub(super) struct Counted<'a> {
    pub(super) count: Option<u64>,
    pub(super) names: &'a [Vec<u8>],
}

impl Counted<'_> {
    /// R23 and R27: the row tells another length.
    pub(super) fn is_misfit(&self) -> bool {
        self.count != Some(self.names.len() as u64)
    }
}

/// One row of a store. Texts are UTF-8, but for half surrogate pairs. Pairs are joined by `<SEP>`.
pub(super) enum Row<'a> {
    Document(Document<'a>),
    Text {
        id: &'a [u8],
    },
    Chunk {
        id: &'a [u8],
        document: &'a [u8],
        content: Digest,
        answers: &'a [Vec<u8>],
    },
    /// Entities or relations of a document.
    Anchors {
        document: &'a [u8],
        names: Counted<'a>,
    },
    /// Chunks of an entity or relation.
    Chunks {
        key: &'a [u8],
        chunks: Counted<'a>,
    },
    EntityVector {
        id: &'a [u8],
        name: &'a [u8],
        sources: &'a [u8],
    },
    RelationVector {
        id: &'a [u8],
        ends: [&'a [u8]; 2],
        sources: &'a [u8],
    },
    ChunkVector {
        id: &'a [u8],
        document: &'a [u8],
        content: Digest,
    },
    Shape(Shape),
    Node {
        id: &'a [u8],
        entity_id: &'a [u8],
        sources: &'a [u8],
        is_cut: bool,
    },
    Edge {
        ends: [&'a [u8]; 2],
        sources: &'a [u8],
    },
    /// An answer in the cache; the chunk is told of extractions.
    Answer {
        key: &'a [u8],
        chunk: Option<&'a [u8]>,
    },
}

/// What is done with each row.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Row<'_>);

/// The parts of a list that [`SEPARATOR`] joins.
pub(super) fn parts(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = (!list.is_empty()).then_some(0);
    std::iter::from_fn(move || {
        let rest = &list[at?..];
        let length = memchr::memmem::find(rest, SEPARATOR);
        at = length.and_then(|length| at.map(|at| at + length + SEPARATOR.len()));
        Some(&rest[..length.unwrap_or(rest.len())])
    })
}

/// Both names of a pair; the second is empty where nothing joins them.
pub(super) fn ends(pair: &[u8]) -> [&[u8]; 2] {
    match memchr::memmem::find(pair, SEPARATOR) {
        Some(at) => [&pair[..at], &pair[at + SEPARATOR.len()..]],
        None => [pair, b""],
    }
}

/// Reads the graph to its end.
pub(super) fn read_graph(pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    read_elements(pieces, &["entity_id", "source_id", "truncate"], &mut |element| sink(row_of(&element)))
}

/// The row of an element that was read with `entity_id`, `source_id` and `truncate`.
fn row_of(element: &Element) -> Row<'_> {
    let [first, second] = &element.ends;
    let [entity_id, sources, cut] = [0, 1, 2].map(|field| element.texts.get(field).map_or(&[][..], |text| text.as_bytes()));
    if element.is_node {
        Row::Node { id: first.as_bytes(), entity_id, sources, is_cut: !cut.is_empty() }
    } else {
        Row::Edge { ends: [first.as_bytes(), second.as_bytes()], sources }
    }
}

/// Reads a JSON store to its end.
pub(super) fn read_json(store: Store, form: Form, pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let mut scanner = Scanner::new(pieces);
    scanner.begin()?;
    if scanner.peek()? != b'{' {
        return scanner.malformed("it is no JSON object");
    }
    match store {
        Store::EntityVectors | Store::RelationVectors | Store::ChunkVectors => vector_rows::read(store, form, &mut scanner, sink)?,
        Store::LlmCache => answers(&mut scanner, sink)?,
        _ => {
            let mut fields = Fields::default();
            scanner.object(&mut |scanner, id| {
                fields.clear();
                scanner.object(&mut |scanner, field| fields.read(store, scanner, field))?;
                fields.send(store, id, sink);
                Ok(())
            })?;
        }
    }
    scanner.end()
}

/// What is wanted of a row, kept from row to row for its memory.
#[derive(Default)]
struct Fields {
    text: Vec<u8>,
    content: Option<Digest>,
    count: Option<u64>,
    names: Vec<Vec<u8>>,
    has_names: bool,
    is_duplicate: bool,
    has_content_hash: bool,
    has_track_id: bool,
    scratch: Vec<u8>,
}

impl Fields {
    fn clear(&mut self) {
        let (text, names, scratch) = (std::mem::take(&mut self.text), std::mem::take(&mut self.names), std::mem::take(&mut self.scratch));
        *self = Self { text, names, scratch, ..Self::default() };
        self.text.clear();
        self.names.clear();
    }

    fn read<'a>(&mut self, store: Store, scanner: &mut Scanner<'a>, field: &[u8]) -> Result<(), Stop> {
        match (store, field) {
            (Store::DocStatus, b"status") | (Store::TextChunks, b"full_doc_id") => scanner.text(&mut self.text),
            (Store::DocStatus, b"chunks_count") | (_, b"count") => {
                self.count = scanner.number()?;
                Ok(())
            }
            (Store::DocStatus, b"chunks_list")
            | (Store::TextChunks, b"llm_cache_list")
            | (Store::FullEntities, b"entity_names")
            | (Store::EntityChunks | Store::RelationChunks, b"chunk_ids") => {
                let names = &mut self.names;
                self.has_names = scanner.array(&mut |scanner| {
                    let mut name = Vec::new();
                    scanner.text(&mut name)?;
                    names.push(name);
                    Ok(())
                })?;
                Ok(())
            }
            (Store::FullRelations, b"relation_pairs") => {
                let names = &mut self.names;
                self.has_names = scanner.array(&mut |scanner| {
                    names.push(pair(scanner)?);
                    Ok(())
                })?;
                Ok(())
            }
            (Store::TextChunks, b"content") => {
                scanner.text(&mut self.scratch)?;
                self.content = Some(digest(&self.scratch));
                Ok(())
            }
            (Store::DocStatus, b"metadata") => {
                let is_duplicate = &mut self.is_duplicate;
                let read = scanner.object(&mut |scanner, field| {
                    if field == b"is_duplicate" {
                        *is_duplicate = scanner.number()? == Some(1);
                        return Ok(());
                    }
                    scanner.pass()
                });
                read.map(|_| ())
            }
            (Store::DocStatus, b"content_hash") => {
                self.has_content_hash = true;
                scanner.pass()
            }
            (Store::DocStatus, b"track_id") => {
                self.has_track_id = true;
                scanner.pass()
            }
            _ => scanner.pass(),
        }
    }

    fn send(&self, store: Store, id: &[u8], sink: Sink<'_>) {
        let counted = || Counted { count: self.count, names: &self.names };
        sink(match store {
            Store::DocStatus => Row::Document(Document {
                id,
                progress: match self.text.as_slice() {
                    b"processed" => Progress::Processed,
                    b"failed" => Progress::Failed,
                    _ => Progress::InFlight,
                },
                is_duplicate: self.is_duplicate,
                chunks_count: self.count,
                chunks: self.has_names.then_some(&self.names),
                has_content_hash: self.has_content_hash,
                has_track_id: self.has_track_id,
            }),
            Store::TextChunks => {
                let content = self.content.unwrap_or_else(|| digest(b""));
                Row::Chunk { id, document: &self.text, content, answers: &self.names }
            }
            Store::FullEntities | Store::FullRelations => Row::Anchors { document: id, names: counted() },
            Store::EntityChunks | Store::RelationChunks => Row::Chunks { key: id, chunks: counted() },
            _ => Row::Text { id },
        });
    }
}

/// A pair of names in an array of two.
fn pair(scanner: &mut Scanner<'_>) -> Result<Vec<u8>, Stop> {
    let (mut pair, mut name, mut count) = (Vec::new(), Vec::new(), 0);
    scanner.array(&mut |scanner| {
        scanner.text(&mut name)?;
        if count > 0 {
            pair.extend_from_slice(SEPARATOR);
        }
        pair.extend_from_slice(&name);
        count += 1;
        Ok(())
    })?;
    Ok(pair)
}

/// The cache: rows by their keys, or, before LightRAG 1.4, by their mode and then by their keys.
fn answers(scanner: &mut Scanner<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let (mut kind, mut chunk) = (Vec::new(), Vec::new());
    scanner.object(&mut |scanner, key| {
        let (mut is_row, mut has_chunk) = (false, false);
        kind.clear();
        scanner.object(&mut |scanner, field| match field {
            b"cache_type" => {
                is_row = true;
                scanner.text(&mut kind)
            }
            b"chunk_id" => {
                has_chunk = scanner.peek()? == b'"';
                scanner.text(&mut chunk)
            }
            b"return" | b"original_prompt" => {
                is_row = true;
                scanner.pass()
            }
            _ => scanner.pass(),
        })?;
        if is_row {
            sink(Row::Answer { key, chunk: (has_chunk && kind == b"extract").then_some(&chunk) });
        }
        Ok(())
    })?;
    Ok(())
}
