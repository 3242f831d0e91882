//! Going down a snapshot's trees to a path.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::blobs::BlobReader;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::FormatError;
use crate::repository::format::id::{BlobId, RecordId};
use crate::repository::format::node::{Node, NodeKind};

/// What is looked at of a snapshot: its record, and the source path that it was recorded under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRoot {
    /// The snapshot's record.
    pub record: RecordId,
    /// The recorded path of the backup, absolute. Paths in the snapshot are relative to it.
    pub recorded_path: PathBuf,
}

impl SnapshotRoot {
    /// The absolute path of one below the source; `None` for one that leads out of it.
    pub(crate) fn absolute(&self, below: &Path) -> Option<PathBuf> {
        let leads_down = below.components().all(|part| matches!(part, Component::Normal(_)));
        leads_down.then(|| self.recorded_path.join(below))
    }
}

impl Repository {
    /// The entry of an absolute path, where `/` is the root tree; `None` when the snapshot holds nothing there.
    pub(crate) fn find_node(&self, reader: &mut BlobReader, record: &RecordId, path: &Path) -> Result<Option<Node>, Error> {
        self.find_in_tree(reader, self.record(record)?.tree, path)
    }

    /// As [`Repository::find_node`], in a root tree that may have no record.
    pub(crate) fn find_in_tree(&self, reader: &mut BlobReader, root: BlobId, path: &Path) -> Result<Option<Node>, Error> {
        let mut node = root_node(root);
        for part in path.components() {
            match part {
                Component::RootDir => {}
                Component::Normal(name) if node.kind == NodeKind::Directory => {
                    let entries = self.entries(reader, &node, path)?;
                    let Some(found) = entries.into_iter().find(|entry| entry.name == name.as_bytes()) else { return Ok(None) };
                    node = found;
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// The directory of an absolute path.
    pub(crate) fn find_directory(&self, reader: &mut BlobReader, record: &RecordId, path: &Path) -> Result<Node, Error> {
        let found = self.find_node(reader, record, path)?.filter(|node| node.kind == NodeKind::Directory);
        found.ok_or_else(|| Error::PathNotRecorded { id: *record, path: path.to_path_buf() })
    }

    /// The entries of a directory; `path` names it in messages.
    pub(crate) fn entries(&self, reader: &mut BlobReader, directory: &Node, path: &Path) -> Result<Vec<Node>, Error> {
        let needed_by = format!("`{}`", path.display());
        match &directory.subtree {
            Some(tree) => self.load_tree(reader, tree, &needed_by),
            None => Err(Error::Damaged { subject: needed_by, source: FormatError::new("it has no tree") }),
        }
    }
}

fn root_node(tree: BlobId) -> Node {
    Node {
        name: Vec::new(),
        kind: NodeKind::Directory,
        mode: 0o755,
        modified: (0, 0),
        accessed: (0, 0),
        changed: (0, 0),
        uid: 0,
        gid: 0,
        user: String::new(),
        group: String::new(),
        inode: 0,
        device_id: 0,
        size_bytes: 0,
        links: 0,
        link_target: Vec::new(),
        attributes: Vec::new(),
        device: 0,
        content: Vec::new(),
        subtree: Some(tree),
    }
}
