//! The rows of the JSON stores, as far as the rules look at them.

use super::json::Scanner;
use super::pieces::{Pieces, Stop};
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

/// One row of a store. Texts are UTF-8, but for half surrogate pairs.
pub(super) enum Row<'a> {
    Document { id: &'a [u8], progress: Progress, duplicate: bool, chunks_count: Option<u64>, chunks: Option<&'a [Vec<u8>]> },
    Text { id: &'a [u8] },
    Chunk { id: &'a [u8], document: &'a [u8] },
    EntityVector { id: &'a [u8], name: &'a [u8], sources: &'a [u8] },
    RelationVector { id: &'a [u8], ends: [&'a [u8]; 2], sources: &'a [u8] },
    ChunkVector { id: &'a [u8], document: &'a [u8] },
    Node { id: &'a [u8], entity_id: &'a [u8], sources: &'a [u8] },
    Edge { ends: [&'a [u8]; 2], sources: &'a [u8] },
    Matrix { dimensions: Option<u64>, rows: u64, matrix_bytes: Option<u64> },
    Other,
}

/// What is done with each row.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Row<'_>);

/// Reads a JSON store to its end.
pub(super) fn read_json(store: Store, pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let mut scanner = Scanner::new(pieces);
    scanner.begin()?;
    if scanner.peek()? != b'{' {
        return scanner.malformed("it is no JSON object");
    }
    match store {
        Store::EntityVectors | Store::RelationVectors | Store::ChunkVectors => vectors(store, &mut scanner, sink)?,
        Store::DocStatus => {
            scanner.object(&mut |scanner, id| document(scanner, id, sink))?;
        }
        Store::FullDocs => {
            scanner.object(&mut |scanner, id| {
                sink(Row::Text { id });
                scanner.pass()
            })?;
        }
        Store::TextChunks => {
            let mut document = Vec::new();
            scanner.object(&mut |scanner, id| {
                document.clear();
                scanner.object(&mut |scanner, field| if field == b"full_doc_id" { scanner.text(&mut document) } else { scanner.pass() })?;
                sink(Row::Chunk { id, document: &document });
                Ok(())
            })?;
        }
        Store::FullEntities | Store::FullRelations | Store::EntityChunks | Store::RelationChunks | Store::LlmCache | Store::Graph => {
            scanner.object(&mut |scanner, _| {
                sink(Row::Other);
                scanner.pass()
            })?;
        }
    }
    scanner.end()
}

fn document(scanner: &mut Scanner<'_>, id: &[u8], sink: Sink<'_>) -> Result<(), Stop> {
    let (mut status, mut chunks_count, mut chunks, mut duplicate) = (Vec::new(), None, None, false);
    scanner.object(&mut |scanner, field| match field {
        b"status" => scanner.text(&mut status),
        b"chunks_count" => {
            chunks_count = scanner.number()?;
            Ok(())
        }
        b"chunks_list" => {
            let mut list = Vec::new();
            let is_list = scanner.array(&mut |scanner| {
                let mut chunk = Vec::new();
                scanner.text(&mut chunk)?;
                list.push(chunk);
                Ok(())
            })?;
            chunks = is_list.then_some(list);
            Ok(())
        }
        b"metadata" => scanner
            .object(&mut |scanner, field| {
                if field == b"is_duplicate" {
                    duplicate = scanner.number()? == Some(1);
                    return Ok(());
                }
                scanner.pass()
            })
            .map(|_| ()),
        _ => scanner.pass(),
    })?;
    let progress = match status.as_slice() {
        b"processed" => Progress::Processed,
        b"failed" => Progress::Failed,
        _ => Progress::InFlight,
    };
    sink(Row::Document { id, progress, duplicate, chunks_count, chunks: chunks.as_deref() });
    Ok(())
}

/// A nano-vectordb file: `embedding_dim`, `data`, and the `matrix` (base64 of float32) last.
fn vectors(store: Store, scanner: &mut Scanner<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let (mut dimensions, mut rows, mut matrix_bytes) = (None, 0, None);
    let mut fields = VectorFields::default();
    scanner.object(&mut |scanner, field| match field {
        b"embedding_dim" => {
            dimensions = scanner.number()?;
            Ok(())
        }
        b"data" => scanner
            .array(&mut |scanner| {
                rows += 1;
                fields.read(scanner)?;
                sink(fields.row(store));
                Ok(())
            })
            .map(|_| ()),
        b"matrix" => {
            let passed = scanner.measure()?;
            matrix_bytes = passed.filter(|passed| passed.bytes % 4 == 0).map(|passed| {
                let padding = passed.last.iter().filter(|&&byte| byte == b'=').count() as u64;
                passed.bytes / 4 * 3 - padding
            });
            Ok(())
        }
        _ => scanner.pass(),
    })?;
    sink(Row::Matrix { dimensions, rows, matrix_bytes });
    Ok(())
}

#[derive(Default)]
struct VectorFields {
    id: Vec<u8>,
    name: Vec<u8>,
    first: Vec<u8>,
    second: Vec<u8>,
    document: Vec<u8>,
    sources: Vec<u8>,
}

impl VectorFields {
    fn read(&mut self, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        for field in [&mut self.id, &mut self.name, &mut self.first, &mut self.second, &mut self.document, &mut self.sources] {
            field.clear();
        }
        let read = scanner.object(&mut |scanner, field| match field {
            b"__id__" => scanner.text(&mut self.id),
            b"entity_name" => scanner.text(&mut self.name),
            b"src_id" => scanner.text(&mut self.first),
            b"tgt_id" => scanner.text(&mut self.second),
            b"full_doc_id" => scanner.text(&mut self.document),
            b"source_id" => scanner.text(&mut self.sources),
            _ => scanner.pass(),
        });
        read.map(|_| ())
    }

    fn row(&self, store: Store) -> Row<'_> {
        match store {
            Store::EntityVectors => Row::EntityVector { id: &self.id, name: &self.name, sources: &self.sources },
            Store::RelationVectors => Row::RelationVector { id: &self.id, ends: [&self.first, &self.second], sources: &self.sources },
            _ => Row::ChunkVector { id: &self.id, document: &self.document },
        }
    }
}
