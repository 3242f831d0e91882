//! The numbers of vectors (R34, R35). A file's rows and its matrix are read side by side, a row at a time, so that nothing of a large
//! store is held; the matrix comes last in the file, which is why the file is read twice.

use std::io::{self, BufReader, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use fdeflate::Decompressor;
use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::json::Scanner;
use super::read::{StoreFile, error_of, pieces};
use super::rows::{Row, Shape};
use super::stores::Stores;
use super::tally::Tally;
use super::vector_rows::{Form, VectorFields, read_rows};
use crate::base::control::Control;
use crate::domain::finding::{Rule, Severity};
use crate::lightrag::Error;
use crate::lightrag::files::Files;
use crate::lightrag::workspace::Store;

/// How far a length may be from 1: float32 of some thousand numbers is much nearer.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// How far a number may be from its half-precision form, of a vector of length 1.
const HALF_TOLERANCE: f32 = 5e-3;

/// How much of the matrix is read from the file at a time.
const READ_BYTES: usize = 256 * 1024;

/// Judges the numbers of one store of vectors; `matrix` is the file that holds them, which may be that of the rows itself.
pub(super) fn judge_vectors(
    files: &dyn Files,
    rows: &StoreFile,
    (matrix, shape): (&Path, Shape),
    stores: &Stores,
    control: &Control,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let Some(dimensions) = shape.dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()).filter(|dimensions| *dimensions > 0)
    else {
        return Ok(tally);
    };
    let form = Form::of(&rows.path);
    let numbers = open_matrix(files, matrix, form, shape).map_err(|source| Error::AuditRead { path: matrix.to_path_buf(), source })?;
    let mut matrix_rows = MatrixRows { numbers, next: 0, bytes: vec![0; dimensions * 4], row: vec![0.0; dimensions] };
    let mut own = OwnVector::new(dimensions);
    let mut fields = VectorFields::with_vectors();
    let mut failed = None;
    let mut scanner = Scanner::new(pieces(files, &rows.path, control)?);
    let mut counted = Shape { rows: 0, ..shape };
    let read = scanner.begin().and_then(|()| {
        read_rows(form, &mut scanner, &mut counted, &mut |scanner, position| {
            fields.read(rows.store, scanner)?;
            if failed.is_some() {
                return Ok(());
            }
            // What does not fit the matrix is a finding already.
            let Some(position) = position.filter(|position| *position < shape.rows) else { return Ok(()) };
            match matrix_rows.read(position) {
                Ok(true) => judge_row(&fields, rows.store, &matrix_rows.row, &mut own, stores, &mut tally),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
            Ok(())
        })
    });
    match (read, failed) {
        (Ok(()), None) => Ok(tally),
        (Ok(()), Some(source)) => Err(Error::AuditRead { path: matrix.to_path_buf(), source }),
        (Err(stop), _) => Err(error_of(&rows.path, stop)),
    }
}

fn judge_row(fields: &VectorFields, store: Store, row: &[f32], own: &mut OwnVector, stores: &Stores, tally: &mut Tally) {
    let severity = || match fields.row(store) {
        Row::EntityVector { sources, .. } | Row::RelationVector { sources, .. } => stores.severity_of_sources(sources),
        Row::ChunkVector { document, .. } => stores.severity_of_document(super::extract::digest(document)),
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

/// Eight sums side by side, as the processor likes it.
fn length_of(row: &[f32]) -> f64 {
    let square = |number: f32| f64::from(number) * f64::from(number);
    let (eights, rest) = row.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, number)| *sum += square(*number));
    }
    (sums.iter().sum::<f64>() + rest.iter().map(|number| square(*number)).sum::<f64>()).sqrt()
}

/// The float32 of a matrix, as bytes.
fn open_matrix<'f>(files: &'f dyn Files, path: &Path, form: Form, shape: Shape) -> io::Result<Box<dyn Read + 'f>> {
    let file = files.open_at(path, shape.matrix_at)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let file = BufReader::with_capacity(READ_BYTES, file);
    Ok(match form {
        Form::Faiss => Box::new(file),
        Form::Nano => Box::new(DecoderReader::new(file.take(shape.matrix_bytes.unwrap_or(0).div_ceil(3) * 4), &STANDARD)),
    })
}

/// Gives the rows of a matrix in their order.
struct MatrixRows<'f> {
    numbers: Box<dyn Read + 'f>,
    next: u64,
    bytes: Vec<u8>,
    row: Vec<f32>,
}

impl MatrixRows<'_> {
    /// Reads on to this row; false for one that has been passed already.
    fn read(&mut self, position: u64) -> io::Result<bool> {
        if position < self.next {
            return Ok(false);
        }
        while self.next <= position {
            self.numbers.read_exact(&mut self.bytes)?;
            self.next += 1;
        }
        let (numbers, _) = self.bytes.as_chunks::<4>();
        for (number, bytes) in self.row.iter_mut().zip(numbers) {
            *number = f32::from_le_bytes(*bytes);
        }
        Ok(true)
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
