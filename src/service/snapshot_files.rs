//! A snapshot's files as the LightRAG floor reads them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::repository_lock::HeldLock;
use crate::lightrag::files::{Files, Listed};
use crate::repository::{self, Error, ListedKind, Repository, SnapshotRoot};

/// The files of a snapshot, decrypted and verified while they are read.
#[derive(Debug)]
pub(super) struct SnapshotFiles {
    repository: Arc<Repository>,
    root: SnapshotRoot,
    lock: HeldLock,
}

impl SnapshotFiles {
    /// The files of this snapshot; the lock is held as long.
    pub(super) fn new(repository: Arc<Repository>, root: SnapshotRoot, lock: HeldLock) -> Self {
        Self { repository, root, lock }
    }
}

impl Files for SnapshotFiles {
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        let file = self.repository.open_file(&self.root, path, self.lock.lock()).map_err(into_io)?;
        Ok(file.map(|file| Box::new(file.at(offset)) as Box<dyn Read + Send>))
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let entries = self.repository.list_directory(&self.root, Path::new(""), self.lock.lock()).map_err(into_io)?;
        let files = entries.into_iter().filter(|entry| entry.kind == ListedKind::File);
        let listed = |entry: repository::Listed| Listed {
            path: PathBuf::from(entry.name),
            size_bytes: entry.size_bytes,
            modified_micros: entry.modified.micros(),
        };
        Ok(files.map(listed).collect())
    }
}

fn into_io(error: Error) -> io::Error {
    io::Error::other(error)
}
