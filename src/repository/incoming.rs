//! A file of a repository that comes piece by piece, and is what its name says or is not taken.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::backend::FileKind;
use super::backend::local::Local;
use super::backend::staged::Staged;
use super::error::Error;
use super::files::OTHER_CONTENT;
use super::format::id::FileId;
use super::replica::mismatch;
use crate::base::failpoint;

/// A file that is being received. It vanishes when dropped before it is [finished](Incoming::finish).
#[derive(Debug)]
pub struct Incoming {
    backend: Local,
    kind: FileKind,
    id: FileId,
    staged: Staged,
    hash: Sha256,
    left_bytes: u64,
}

impl Incoming {
    pub(super) fn begin(backend: &Local, kind: FileKind, id: FileId, size_bytes: u64) -> Result<Self, Error> {
        let (backend, staged) = (backend.clone(), backend.stage()?);
        Ok(Self { backend, kind, id, staged, hash: Sha256::new(), left_bytes: size_bytes })
    }

    /// The directory of the repository that it comes to.
    pub fn root(&self) -> &Path {
        self.backend.root()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for more than was announced; [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let more = || mismatch(self.kind, &self.id, "more bytes came than were announced");
        self.left_bytes = self.left_bytes.checked_sub(bytes.len() as u64).ok_or_else(more)?;
        self.hash.update(bytes);
        self.staged.write(bytes)
    }

    /// A file whose length was not announced, only its limit, now that it has ended.
    #[must_use]
    pub fn of_any_length(self) -> Self {
        Self { left_bytes: 0, ..self }
    }

    /// Gives the file its name, if that is what it is.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is not, or bytes are missing; [`Error::Io`].
    pub fn finish(self) -> Result<(), Error> {
        if self.left_bytes > 0 {
            return Err(mismatch(self.kind, &self.id, "fewer bytes came than were announced"));
        }
        if <[u8; 32]>::from(self.hash.finalize()) != *self.id.as_bytes() {
            return Err(mismatch(self.kind, &self.id, OTHER_CONTENT));
        }
        failpoint::reach("replica.file_received");
        self.backend.write_once(self.kind, &self.id, self.staged)?;
        failpoint::reach("replica.file_written");
        Ok(())
    }
}
