//! Looking into the directories of a snapshot.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::blobs::BlobReader;
use super::locate::SnapshotRoot;
use crate::domain::entry::{Listed, ListedKind};
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::format::time;
use crate::repository::lock::{Lock, LockKind};

impl ListedKind {
    pub(crate) fn of(kind: NodeKind) -> Self {
        match kind {
            NodeKind::File => Self::File,
            NodeKind::Directory => Self::Directory,
            NodeKind::Symlink => Self::Symlink,
            NodeKind::BlockDevice | NodeKind::CharacterDevice | NodeKind::Fifo | NodeKind::Socket => Self::Other,
        }
    }
}

impl From<Node> for Listed {
    fn from(node: Node) -> Self {
        let kind = ListedKind::of(node.kind);
        Self {
            name: OsString::from_vec(node.name),
            kind,
            size_bytes: if kind == ListedKind::File { node.size_bytes } else { 0 },
            modified: time::to_timestamp(node.modified),
            mode: node.mode & 0o7777,
            link_target: (kind == ListedKind::Symlink).then(|| OsString::from_vec(node.link_target).into()),
        }
    }
}

impl Repository {
    /// The entries directly in the directory `below` of the snapshot, ordered by the bytes of their names. `below` is relative to
    /// the source; the empty path is the source itself. Memory is that of one directory.
    ///
    /// # Errors
    /// [`Error::PathNotRecorded`] when that is no directory of the snapshot, also for absolute paths and those with `..`;
    /// [`Error::RecordNotFound`]; [`Error::Damaged`], [`Error::MissingBlob`] and [`Error::Io`] when its trees cannot be read;
    /// [`Error::WrongLock`], [`Error::LockLost`].
    pub fn list_directory(&self, root: &SnapshotRoot, below: &Path, lock: &Lock) -> Result<Vec<Listed>, Error> {
        lock.protect(self, "reading a snapshot", LockKind::Shared)?;
        let Some(path) = root.absolute(below) else {
            return Err(Error::PathNotRecorded { id: root.record, path: below.to_path_buf() });
        };
        let mut reader = BlobReader::new();
        let directory = self.find_directory(&mut reader, &root.record, &path)?;
        let mut nodes = self.entries(&mut reader, &directory, &path)?;
        nodes.sort_by(|a, b| a.name.cmp(&b.name)); // as they are already, unless their writer was a strange one
        Ok(nodes.into_iter().map(Listed::from).collect())
    }
}
