//! The rows of the stores of vectors: nano-vectordb's, and those that belong to a Faiss index.

use std::path::Path;

use super::json::Scanner;
use super::pieces::{Pieces, Stop};
use crate::lightrag::workspace::{Store, is_faiss};

/// What keeps the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lightrag) enum Form {
    /// One JSON file: `embedding_dim`, `data` with a row each, and last the `matrix`, base64 of float32.
    Nano,
    /// An index file with the numbers, and a JSON object with a row for each of its positions.
    Faiss,
}

impl Form {
    /// That of a file of rows.
    pub(in crate::lightrag) fn of(path: &Path) -> Self {
        if is_faiss(path) { Self::Faiss } else { Self::Nano }
    }
}

/// What is said of a store of vectors as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(in crate::lightrag) struct Shape {
    /// Numbers in each vector.
    pub(in crate::lightrag) dimensions: Option<u64>,
    /// Vectors.
    pub(in crate::lightrag) rows: u64,
    /// Bytes of all numbers, 4 each.
    pub(in crate::lightrag) matrix_bytes: Option<u64>,
    /// Where the numbers begin in the file, bytes.
    pub(in crate::lightrag) matrix_at: u64,
}

impl Shape {
    /// What is wrong with the size of the matrix.
    pub(in crate::lightrag) fn misfit(&self) -> Option<String> {
        let expected = self.dimensions.and_then(|dimensions| dimensions.checked_mul(self.rows)).and_then(|numbers| numbers.checked_mul(4));
        if expected.is_some() && expected == self.matrix_bytes {
            return None;
        }
        let told = |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        let (dimensions, found) = (told(self.dimensions), told(self.matrix_bytes));
        Some(format!("{} rows of dimension {dimensions}, matrix bytes: {found}", self.rows))
    }
}

/// How an `IndexFlatIP` begins: what it is, dimension, number of vectors, two numbers of no use, whether it is trained, the metric, and
/// the number of floats that follow.
const INDEX_KIND: &[u8; 4] = b"IxFI";
const INDEX_HEAD_BYTES: usize = 45;

/// The fields of a row.
#[derive(Default)]
pub(in crate::lightrag) struct VectorFields {
    pub(in crate::lightrag) id: Vec<u8>,
    pub(in crate::lightrag) name: Vec<u8>,
    pub(in crate::lightrag) first: Vec<u8>,
    pub(in crate::lightrag) second: Vec<u8>,
    pub(in crate::lightrag) document: Vec<u8>,
    pub(in crate::lightrag) sources: Vec<u8>,
    /// Of chunks only.
    pub(in crate::lightrag) content: Vec<u8>,
    /// The row's own vector as the file has it; empty where there is none or nobody wants it.
    pub(in crate::lightrag) vector: Vec<u8>,
    wants_vector: bool,
}

impl VectorFields {
    /// Rows with their own vectors.
    pub(in crate::lightrag) fn with_vectors() -> Self {
        Self { wants_vector: true, ..Self::default() }
    }

    /// Reads one row.
    pub(in crate::lightrag) fn read(&mut self, store: Store, scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        for field in [
            &mut self.id,
            &mut self.name,
            &mut self.first,
            &mut self.second,
            &mut self.document,
            &mut self.sources,
            &mut self.content,
            &mut self.vector,
        ] {
            field.clear();
        }
        let read = scanner.object(&mut |scanner, field| match field {
            b"__id__" => scanner.text(&mut self.id),
            b"entity_name" => scanner.text(&mut self.name),
            b"src_id" => scanner.text(&mut self.first),
            b"tgt_id" => scanner.text(&mut self.second),
            b"full_doc_id" => scanner.text(&mut self.document),
            b"source_id" => scanner.text(&mut self.sources),
            b"vector" if self.wants_vector => scanner.text(&mut self.vector),
            b"content" if store == Store::ChunkVectors => scanner.text(&mut self.content),
            _ => scanner.pass(),
        });
        read.map(|_| ())
    }
}

/// What is done with each row: it reads it, and is told its position in the matrix; of a Faiss index none where the row tells none.
pub(in crate::lightrag) type VectorRow<'f, 'a> = &'f mut dyn FnMut(&mut Scanner<'a>, Option<u64>) -> Result<(), Stop>;

/// Goes over the rows of a file that holds an object.
pub(in crate::lightrag) fn read_rows<'a>(
    form: Form,
    scanner: &mut Scanner<'a>,
    shape: &mut Shape,
    row: VectorRow<'_, 'a>,
) -> Result<(), Stop> {
    if form == Form::Faiss {
        scanner.object(&mut |scanner, key| {
            shape.rows += 1;
            let position = std::str::from_utf8(key).ok().and_then(|key| key.parse().ok());
            row(scanner, position)
        })?;
        return Ok(());
    }
    scanner.object(&mut |scanner, field| match field {
        b"embedding_dim" => {
            shape.dimensions = scanner.number()?;
            Ok(())
        }
        b"data" => {
            let read = scanner.array(&mut |scanner| {
                shape.rows += 1;
                row(scanner, Some(shape.rows - 1))
            });
            read.map(|_| ())
        }
        b"matrix" => {
            scanner.peek()?;
            shape.matrix_at = scanner.at_byte() + 1;
            let passed = scanner.measure()?;
            shape.matrix_bytes = passed.filter(|passed| passed.bytes % 4 == 0).map(|passed| {
                let padding = passed.last.iter().filter(|&&byte| byte == b'=').count() as u64;
                passed.bytes / 4 * 3 - padding
            });
            Ok(())
        }
        _ => scanner.pass(),
    })?;
    Ok(())
}

/// Reads a file of nano-vectordb to its end for what is said of it as a whole.
pub(in crate::lightrag) fn read_shape(pieces: Pieces<'_>) -> Result<Shape, Stop> {
    let mut scanner = Scanner::new(pieces);
    let mut shape = Shape::default();
    scanner.begin()?;
    if scanner.peek()? != b'{' {
        return scanner.malformed("it is no JSON object");
    }
    read_rows(Form::Nano, &mut scanner, &mut shape, &mut |scanner, _| scanner.pass())?;
    scanner.end()?;
    Ok(shape)
}

/// Reads the head of a Faiss index and counts what follows it.
pub(in crate::lightrag) fn read_index(mut pieces: Pieces<'_>) -> Result<Shape, Stop> {
    let mut head = Vec::with_capacity(INDEX_HEAD_BYTES);
    while head.len() < INDEX_HEAD_BYTES && pieces.more()? {
        let rest = pieces.rest();
        let wanted = rest.len().min(INDEX_HEAD_BYTES - head.len());
        head.extend_from_slice(&rest[..wanted]);
        pieces.advance(wanted);
    }
    let malformed = |problem: &str| Err(Stop::Malformed { at_byte: head.len() as u64, problem: problem.to_owned() });
    if head.len() < INDEX_HEAD_BYTES {
        return malformed("it ends too early");
    }
    if !head.starts_with(INDEX_KIND) {
        return malformed("it is no flat inner-product index");
    }
    let number = |at: usize, bytes: usize| head[at..at + bytes].iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let (dimensions, rows, floats) = (number(4, 4), number(8, 8), number(37, 8));
    let mut bytes = 0;
    while pieces.more()? {
        let length = pieces.rest().len();
        bytes += length as u64;
        pieces.advance(length);
    }
    if floats.checked_mul(4) != Some(bytes) {
        return malformed("its numbers are cut off, or something follows them");
    }
    Ok(Shape { dimensions: Some(dimensions), rows, matrix_bytes: Some(bytes), matrix_at: INDEX_HEAD_BYTES as u64 })
}
