//! Reading one file of a snapshot.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::blobs::BlobReader;
use super::content::Content;
use super::locate::SnapshotRoot;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::node::NodeKind;
use crate::repository::lock::{Lock, LockKind};

/// A file of a snapshot, open for reading at any place. Each piece of it is authenticated and hashed before any of its bytes are
/// given. Read while the lock is held that it was opened under: a prune may move what it reads.
///
/// As [`Read`] it begins at the start of the file; reading from the start to the end is fastest.
pub struct SnapshotFile {
    repository: Arc<Repository>,
    content: Content,
    position: u64,
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile").field("size_bytes", &self.size_bytes()).finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens a file of the snapshot; `path` is relative to the source. `None` when there is no regular file of that path, also for
    /// absolute paths and those with `..`.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`]; [`Error::Damaged`], [`Error::MissingBlob`] and [`Error::Io`] when the trees above it cannot be
    /// read or a piece of it is not in the index; [`Error::WrongLock`], [`Error::LockLost`].
    pub fn open_file(self: &Arc<Self>, root: &SnapshotRoot, path: &Path, lock: &Lock) -> Result<Option<SnapshotFile>, Error> {
        lock.protect(self, "reading a snapshot", LockKind::Shared)?;
        let Some(absolute) = root.absolute(path) else { return Ok(None) };
        let node = self.find_node(&mut BlobReader::new(), &root.record, &absolute)?;
        let Some(node) = node.filter(|node| node.kind == NodeKind::File) else { return Ok(None) };
        let content = Content::of(self, node, path)?;
        Ok(Some(SnapshotFile { repository: Arc::clone(self), content, position: 0 }))
    }
}

impl SnapshotFile {
    /// The file's length in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.content.size_bytes()
    }

    /// The same file, to be read from `offset` bytes on.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { position: offset, ..self }
    }

    /// Fills `buffer` with the bytes from `offset` on and gives how many: fewer than asked for at the end of the file or before
    /// a damaged piece, 0 at or beyond the end.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::MissingBlob`] and [`Error::Io`] for the piece at `offset`.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.content.read_at(&self.repository, offset, buffer)
    }
}

impl Read for SnapshotFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(&self.repository, self.position, buffer).map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}
