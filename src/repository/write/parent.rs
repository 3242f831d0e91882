//! The snapshot before: what it says of the directory that the walk is in.

use crate::domain::entry::{Generation, Meta};
use crate::repository::Repository;
use crate::repository::format::id::{BlobId, BlobKind, RecordId};
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::read::blobs::BlobReader;

/// One directory of the parent.
pub(crate) struct ParentTree {
    nodes: Vec<Node>,
}

impl ParentTree {
    /// A tree that cannot be read is as none: everything in it is read again, and stored again if its content is gone.
    pub(crate) fn load(repository: &Repository, reader: &mut BlobReader, tree: &BlobId) -> Option<Self> {
        let mut nodes = repository.load_tree(reader, tree, "the parent snapshot").ok()?;
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name)); // as they are already, unless its writer was a strange one
        Some(Self { nodes })
    }

    /// The root of a record.
    pub(crate) fn root(repository: &Repository, reader: &mut BlobReader, record: &RecordId) -> Option<Self> {
        Self::load(repository, reader, &repository.record(record).ok()?.tree)
    }

    fn find(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok().map(|position| &self.nodes[position])
    }

    /// The tree of a directory in it.
    pub(crate) fn subtree(&self, name: &[u8]) -> Option<BlobId> {
        self.find(name)?.subtree
    }

    /// Whether it has a file of this name.
    pub(crate) fn has_file(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|node| node.kind == NodeKind::File)
    }

    /// A file's content, if the file is of the same generation now and all its content is in the repository.
    pub(crate) fn unchanged(&self, repository: &Repository, name: &[u8], meta: &Meta) -> Option<Vec<BlobId>> {
        let node = self.find(name).filter(|node| node.kind == NodeKind::File)?;
        let generation = Generation { inode: node.inode, size_bytes: node.size_bytes, modified: node.modified };
        if generation != meta.generation() {
            return None;
        }
        let size = repository.with_index(|index| {
            let mut size = 0;
            for id in &node.content {
                size += u64::from(index.find(BlobKind::Data, id)?.plain_bytes());
            }
            Some(size)
        })?;
        (size == node.size_bytes).then(|| node.content.clone())
    }
}
