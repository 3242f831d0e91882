//! The numbers of vectors (R34, R35).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fdeflate::Decompressor;
use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::extract::digest;
use super::read::{check_unchanged, error_of};
use super::rows::Row;
use super::stores::Stores;
use super::tally::Tally;
use super::vector_rows::row_of;
use crate::base::control::Control;
use crate::domain::finding::{Rule, Severity};
use crate::lightrag::Error;
use crate::lightrag::files::{Files, StoreFile};
use crate::lightrag::formats::matrix::{FileStop, Matrix, length_of, read_vectors};
use crate::lightrag::formats::pieces::Stop;
use crate::lightrag::formats::vectors::VectorFields;
use crate::lightrag::workspace::Store;

/// How far a length may be from 1: float32 of some thousand numbers is much nearer.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// How far a number may be from its half-precision form, of a vector of length 1.
const HALF_TOLERANCE: f32 = 5e-3;

/// Judges the numbers of one store of vectors.
pub(super) fn judge_vectors(
    files: &dyn Files,
    rows: &StoreFile,
    matrix: &Matrix,
    stores: &Stores,
    control: &Control,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut own = OwnVector::new(matrix.shape.dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()).unwrap_or(0));
    let read = read_vectors(files, rows, matrix, VectorFields::with_vectors(), control, &mut |fields, numbers| {
        if let Some(fields) = fields {
            judge_row(fields, rows.store, numbers, &mut own, stores, &mut tally);
        }
    });
    match read {
        Ok(_) => {}
        // The file has parsed and its sizes fit, so it is the matrix that cannot be read.
        Err(FileStop { path, stop: Stop::Malformed { problem, .. } }) => {
            check_unchanged(files, &path)?;
            tally.count(Rule::R33, Severity::Broken, &[format!("{}: {problem}", path.display()).as_bytes()]);
        }
        Err(FileStop { path, stop }) => return Err(error_of(&path, stop)),
    }
    Ok(tally)
}

fn judge_row(fields: &VectorFields, store: Store, row: &[f32], own: &mut OwnVector, stores: &Stores, tally: &mut Tally) {
    let severity = || match row_of(store, fields) {
        Row::EntityVector { sources, .. } | Row::RelationVector { sources, .. } => stores.severity_of_sources(sources),
        Row::ChunkVector { document, .. } => stores.severity_of_document(digest(document)),
        _ => Severity::Warning,
    };
    let length = length_of(row);
    // Not a number is no length either.
    let is_unit = (length - 1.0).abs() <= LENGTH_TOLERANCE;
    if !is_unit {
        tally.count(Rule::R34, severity(), &[&fields.id]);
    }
    if !fields.vector.is_empty() && !own.is_near(&fields.vector, row) {
        tally.count(Rule::R35, severity(), &[&fields.id]);
    }
}

/// A row's own vector: base64 of zlib of float16, before it was given length 1.
struct OwnVector {
    packed: Vec<u8>,
    bytes: Vec<u8>,
    halves: Vec<f16>,
    numbers: Vec<f32>,
}

impl OwnVector {
    fn new(dimensions: usize) -> Self {
        let zero = f16::from_bits(0);
        Self { packed: Vec::new(), bytes: vec![0; dimensions * 2], halves: vec![zero; dimensions], numbers: vec![0.0; dimensions] }
    }

    /// Whether it can be read and is that row of the matrix, as exactly as float16 can tell.
    fn is_near(&mut self, text: &[u8], row: &[f32]) -> bool {
        self.packed.clear();
        if STANDARD.decode_vec(text, &mut self.packed).is_err() {
            return false;
        }
        if !unpack(&self.packed, &mut self.bytes) {
            return false;
        }
        let (halves, _) = self.bytes.as_chunks::<2>();
        for (half, bytes) in self.halves.iter_mut().zip(halves) {
            *half = f16::from_le_bytes(*bytes);
        }
        self.halves.convert_to_f32_slice(&mut self.numbers);
        let length = length_of(&self.numbers);
        let scale = if length > 0.0 { 1.0 / length } else { 1.0 } as f32;
        // All are looked at, far ones or not: that is quicker than to ask after each.
        self.numbers.iter().zip(row).fold(true, |near, (own, number)| near & ((own * scale - number).abs() <= HALF_TOLERANCE))
    }
}

/// Unpacks a zlib stream; whether it is whole and fills `bytes`.
fn unpack(packed: &[u8], bytes: &mut [u8]) -> bool {
    let mut unpacker = Decompressor::new();
    let (mut from, mut to) = (0, 0);
    while !unpacker.is_done() {
        match unpacker.read(&packed[from..], bytes, to, true) {
            Ok((0, 0)) | Err(_) => return false,
            Ok((read, written)) => {
                from += read;
                to += written;
            }
        }
    }
    to == bytes.len()
}
