//! The numbers of vectors. A file's rows and its matrix are read side by side, a row at a time, so that nothing of a large store is held;
//! the matrix comes last in the file, which is why the file is read twice.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::PathBuf;

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;

use super::json::Scanner;
use super::pieces::{Pieces, Stop};
use super::vectors::{Form, Shape, VectorFields, read_rows};
use crate::base::control::Control;
use crate::lightrag::files::{Files, StoreFile};

/// How much of the matrix is read from the file at a time.
const READ_BYTES: usize = 256 * 1024;

/// Where the numbers of a store of vectors lie.
#[derive(Debug, Clone)]
pub(in crate::lightrag) struct Matrix {
    /// Their file, which may be that of the rows itself.
    pub(in crate::lightrag) path: PathBuf,
    /// What is known of them; without a [`Shape::misfit`].
    pub(in crate::lightrag) shape: Shape,
}

/// Which of a store's two files was not read to its end, and why.
#[derive(Debug)]
pub(in crate::lightrag) struct FileStop {
    pub(in crate::lightrag) path: PathBuf,
    pub(in crate::lightrag) stop: Stop,
}

/// What is done with each vector: it is told the row that names it, if any does, and the numbers.
pub(in crate::lightrag) type Visit<'v> = &'v mut dyn FnMut(Option<&VectorFields>, &[f32]);

/// Goes over the vectors of a store in the order of its matrix. `fields` says what is wanted of their rows. Gives how many rows were not
/// asked, as their vectors had been passed already: LightRAG writes them in the order of their vectors.
pub(in crate::lightrag) fn read_vectors(
    files: &dyn Files,
    rows: &StoreFile,
    matrix: &Matrix,
    mut fields: VectorFields,
    control: &Control,
    visit: Visit<'_>,
) -> Result<u64, FileStop> {
    let form = Form::of(&rows.path);
    let of_rows = |stop| FileStop { path: rows.path.clone(), stop };
    let of_matrix = |stop| FileStop { path: matrix.path.clone(), stop };
    let Some(mut numbers) = Numbers::open(files, matrix, form).map_err(|error| of_matrix(Stop::Read(error)))? else { return Ok(0) };
    let pieces = Pieces::open(files, &rows.path, control).and_then(|pieces| pieces.ok_or_else(|| ErrorKind::NotFound.into()));
    let mut scanner = Scanner::new(pieces.map_err(|error| of_rows(Stop::Read(error)))?);
    let (mut counted, mut passed, mut failed) = (Shape::default(), 0, None);
    let read = scanner.begin().and_then(|()| {
        read_rows(form, &mut scanner, &mut counted, &mut |scanner, position| {
            fields.read(rows.store, scanner)?;
            // What lies outside of the matrix names nothing.
            let Some(position) = position.filter(|position| *position < matrix.shape.rows) else { return Ok(()) };
            if position < numbers.next {
                passed += 1;
                return Ok(());
            }
            numbers.read_to(position, &fields, visit).map_err(|stop| {
                failed = Some(stop);
                Stop::Cut
            })
        })
    });
    match (read, failed) {
        (_, Some(stop)) => Err(of_matrix(stop)),
        (Err(stop), None) => Err(of_rows(stop)),
        (Ok(()), None) => numbers.read_rest(matrix.shape.rows, control, visit).map(|()| passed).map_err(of_matrix),
    }
}

/// The length of a vector. Eight sums side by side, as the processor likes it.
pub(in crate::lightrag) fn length_of(row: &[f32]) -> f64 {
    let square = |number: f32| f64::from(number) * f64::from(number);
    let (eights, rest) = row.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, number)| *sum += square(*number));
    }
    (sums.iter().sum::<f64>() + rest.iter().map(|number| square(*number)).sum::<f64>()).sqrt()
}

/// The rows of a matrix, one after the other.
struct Numbers<'f> {
    file: Box<dyn Read + 'f>,
    at_byte: u64,
    next: u64,
    bytes: Vec<u8>,
    row: Vec<f32>,
}

impl<'f> Numbers<'f> {
    /// `None` where vectors have no numbers at all.
    fn open(files: &'f dyn Files, matrix: &Matrix, form: Form) -> io::Result<Option<Self>> {
        let shape = &matrix.shape;
        let dimensions = shape.dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()).filter(|dimensions| *dimensions > 0);
        let Some(dimensions) = dimensions else { return Ok(None) };
        let file = files.open_at(&matrix.path, shape.matrix_at)?.ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let file = BufReader::with_capacity(READ_BYTES, file);
        let file: Box<dyn Read + 'f> = match form {
            Form::Faiss => Box::new(file),
            Form::Nano => Box::new(DecoderReader::new(file.take(shape.matrix_bytes.unwrap_or(0).div_ceil(3) * 4), &STANDARD)),
        };
        Ok(Some(Self { file, at_byte: shape.matrix_at, next: 0, bytes: vec![0; dimensions * 4], row: vec![0.0; dimensions] }))
    }

    /// Reads on to the row that `fields` names.
    fn read_to(&mut self, position: u64, fields: &VectorFields, visit: Visit<'_>) -> Result<(), Stop> {
        while self.next < position {
            self.read_next()?;
            visit(None, &self.row);
        }
        self.read_next()?;
        visit(Some(fields), &self.row);
        Ok(())
    }

    /// Reads the rows that nothing names.
    fn read_rest(&mut self, rows: u64, control: &Control, visit: Visit<'_>) -> Result<(), Stop> {
        while self.next < rows {
            control.go_on().map_err(Stop::Cancelled)?;
            self.read_next()?;
            visit(None, &self.row);
        }
        Ok(())
    }

    fn read_next(&mut self) -> Result<(), Stop> {
        self.file.read_exact(&mut self.bytes).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => Stop::Malformed { at_byte: self.at_byte, problem: "the matrix is no base64".to_owned() },
            ErrorKind::UnexpectedEof => Stop::Malformed { at_byte: self.at_byte, problem: "the matrix is cut off".to_owned() },
            _ => Stop::Read(error),
        })?;
        let (numbers, _) = self.bytes.as_chunks::<4>();
        for (number, bytes) in self.row.iter_mut().zip(numbers) {
            *number = f32::from_le_bytes(*bytes);
        }
        self.next += 1;
        self.at_byte += self.bytes.len() as u64;
        Ok(())
    }
}
