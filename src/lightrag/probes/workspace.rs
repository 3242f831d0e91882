//! A workspace as probes read it.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::control::Control;
use crate::domain::probe::Index;
use crate::lightrag::Error;
use crate::lightrag::files::{Files, StoreFile, store_files};
use crate::lightrag::formats::matrix::{Matrix, Visit, read_vectors};
use crate::lightrag::formats::pieces::{Pieces, Stop};
use crate::lightrag::formats::vectors::{Form, VectorFields, read_index, read_shape};
use crate::lightrag::workspace::Store;

/// The store files of a workspace that stands still.
pub(super) struct Workspace<'a> {
    files: &'a dyn Files,
    store_files: Vec<StoreFile>,
    control: &'a Control,
}

impl<'a> Workspace<'a> {
    pub(super) fn open(files: &'a dyn Files, control: &'a Control) -> Result<Self, Error> {
        let store_files = store_files(files).map_err(|source| Error::ProbeRead { path: PathBuf::new(), source })?;
        Ok(Self { files, store_files, control })
    }

    fn file(&self, store: Store) -> Option<&StoreFile> {
        self.store_files.iter().find(|file| file.store == store)
    }

    /// Reads a store to its end; nothing where it has no file.
    pub(super) fn read(&self, store: Store, parse: impl FnOnce(Pieces<'_>) -> Result<(), Stop>) -> Result<(), Error> {
        self.file(store).map_or(Ok(()), |file| self.read_file(file, parse))
    }

    /// The vectors that an index holds; none where there are none. Of Faiss both files must be there, or LightRAG begins with an empty
    /// index.
    pub(super) fn vectors(&self, index: Index) -> Result<Option<Vectors<'_>>, Error> {
        let (rows, matrix) = match index {
            Index::Entities => (Store::EntityVectors, Store::EntityIndex),
            Index::Relations => (Store::RelationVectors, Store::RelationIndex),
            Index::Chunks => (Store::ChunkVectors, Store::ChunkIndex),
        };
        let Some(rows) = self.file(rows) else { return Ok(None) };
        let form = Form::of(&rows.path);
        let Some(file) = (if form == Form::Faiss { self.file(matrix) } else { Some(rows) }) else { return Ok(None) };
        let shape = self.read_file(file, |pieces| if form == Form::Faiss { read_index(pieces) } else { read_shape(pieces) })?;
        if shape.rows == 0 {
            return Ok(None);
        }
        if let Some(problem) = shape.misfit() {
            return Err(Error::ProbeDamaged { path: file.path.clone(), at_byte: shape.matrix_at, problem });
        }
        Ok(Some(Vectors { workspace: self, rows, matrix: Matrix { path: file.path.clone(), shape } }))
    }

    fn read_file<T>(&self, file: &StoreFile, parse: impl FnOnce(Pieces<'_>) -> Result<T, Stop>) -> Result<T, Error> {
        self.control.add_total(file.size_bytes);
        let pieces = Pieces::open(self.files, &file.path, self.control);
        let pieces = pieces.and_then(|pieces| pieces.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let read = parse(pieces.map_err(|source| Error::ProbeRead { path: file.path.clone(), source })?);
        self.checked(&file.path, read)
    }

    /// What a reading of a file came to. What was read must be what the file still is.
    fn checked<T>(&self, path: &Path, read: Result<T, Stop>) -> Result<T, Error> {
        let path = path.to_path_buf();
        match (self.files.is_as_fixed(&path), read) {
            (_, Err(Stop::Cancelled(cancelled))) => Err(Error::Cancelled(cancelled)),
            (Ok(false), _) => Err(Error::ProbeChanged { path }),
            (Err(source), _) | (_, Err(Stop::Read(source))) => Err(Error::ProbeRead { path, source }),
            (Ok(true), Err(Stop::Malformed { at_byte, problem })) => Err(Error::ProbeDamaged { path, at_byte, problem }),
            // Only an engine cuts its own taps short.
            (Ok(true), Err(Stop::Cut)) => Err(Error::ProbeRead { path, source: io::Error::other("it was cut short") }),
            (Ok(true), Ok(read)) => Ok(read),
        }
    }
}

/// The vectors of an index.
pub(super) struct Vectors<'w> {
    workspace: &'w Workspace<'w>,
    rows: &'w StoreFile,
    matrix: Matrix,
}

impl Vectors<'_> {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.matrix.shape.rows
    }

    /// That a probe's vector, if it has one for this index, has the dimension of these.
    pub(super) fn check_dimension(&self, probe: &str, given: Option<usize>) -> Result<(), Error> {
        let stored = self.matrix.shape.dimensions.unwrap_or(0);
        match given.map(|given| given as u64).filter(|given| *given != stored) {
            Some(given) => Err(Error::ProbeDimension { probe: probe.to_owned(), given, path: self.matrix.path.clone(), stored }),
            None => Ok(()),
        }
    }

    /// Goes over them.
    pub(super) fn read(&self, visit: Visit<'_>) -> Result<(), Error> {
        let Workspace { files, control, .. } = self.workspace;
        control.add_total(self.rows.size_bytes);
        match read_vectors(*files, self.rows, &self.matrix, VectorFields::default(), control, visit) {
            Ok(passed) => {
                let problem = "its rows are not in the order of their vectors".to_owned();
                let in_order = if passed == 0 { Ok(()) } else { Err(Stop::Malformed { at_byte: 0, problem }) };
                self.workspace.checked(&self.rows.path, in_order)?;
                self.workspace.checked(&self.matrix.path, Ok(()))
            }
            Err(broken) => self.workspace.checked(&broken.path, Err(broken.stop)),
        }
    }
}
