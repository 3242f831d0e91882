//! The snapshot before: what it says of the directory that the walk is in.

use super::Part;
use super::work::Shared;
use crate::domain::entry::{Generation, Meta};
use crate::repository::format::id::{BlobId, BlobKind, RecordId};
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::read::blobs::BlobReader;

/// One directory of the parent.
pub(crate) struct ParentTree {
    nodes: Vec<Node>,
}

impl ParentTree {
    /// A tree that cannot be read is as none: everything in it is read again, and the tree is stored again.
    pub(crate) fn load(shared: &Shared<'_>, reader: &mut BlobReader, tree: &BlobId) -> Option<Self> {
        let loaded = shared.repository.load_tree(reader, tree, "the parent snapshot");
        let mut nodes = loaded.inspect_err(|_| shared.doubt(BlobKind::Tree, tree)).ok()?;
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name)); // as they are already, unless its writer was a strange one
        Some(Self { nodes })
    }

    /// The root of a record.
    pub(crate) fn root(shared: &Shared<'_>, reader: &mut BlobReader, record: &RecordId) -> Option<Self> {
        Self::load(shared, reader, &shared.repository.record(record).ok()?.tree)
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
    pub(crate) fn unchanged(&self, shared: &Shared<'_>, part: Part, name: &[u8], meta: &Meta) -> Option<Vec<BlobId>> {
        let node = self.find(name).filter(|node| node.kind == NodeKind::File)?;
        let generation = Generation { inode: node.inode, size_bytes: node.size_bytes, modified: node.modified };
        // the ctime tells of a change that somebody hid by setting the time of modification back
        if generation != meta.generation() || (shared.compares_ctime(part) && node.changed != meta.changed) {
            return None;
        }
        let size = shared.repository.with_index(|index| {
            let mut size = 0;
            for id in &node.content {
                size += u64::from(index.find(BlobKind::Data, id)?.plain_bytes());
            }
            Some(size)
        })?;
        (size == node.size_bytes).then(|| node.content.clone())
    }
}
