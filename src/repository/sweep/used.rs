//! What the snapshots of a repository use.

use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, IdSet};
use crate::repository::format::node::NodeKind;
use crate::repository::read::blobs::BlobReader;

/// The blobs that all snapshots together use: 32 bytes and a little for each.
#[derive(Debug, Default)]
pub(super) struct Used {
    data: IdSet<BlobId>,
    trees: IdSet<BlobId>,
    /// Snapshot records that were read.
    pub(super) snapshots: u64,
}

impl Used {
    /// Reads all records that are there now and walks their trees, each tree once.
    ///
    /// # Errors
    /// Whatever cannot be listed or read: what it uses would not be known.
    pub(super) fn find(repository: &Repository, control: &Control) -> Result<Self, Error> {
        let mut used = Self::default();
        let mut reader = BlobReader::new();
        for record in repository.records_alone()? {
            used.snapshots += 1;
            let mut open = vec![(record.tree, format!("snapshot `{}`", record.id))];
            while let Some((tree, name)) = open.pop() {
                control.go_on()?;
                if !used.trees.insert(tree) {
                    continue;
                }
                for node in repository.load_tree(&mut reader, &tree, &name)? {
                    if node.kind == NodeKind::File {
                        used.data.extend(node.content);
                    }
                    if let Some(subtree) = node.subtree {
                        open.push((subtree, format!("{name}/{}", String::from_utf8_lossy(&node.name))));
                    }
                }
            }
        }
        Ok(used)
    }

    /// Whether a snapshot uses this blob.
    pub(super) fn contains(&self, kind: BlobKind, id: &BlobId) -> bool {
        match kind {
            BlobKind::Data => self.data.contains(id),
            BlobKind::Tree => self.trees.contains(id),
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BlobKind, &BlobId)> {
        let data = self.data.iter().map(|id| (BlobKind::Data, id));
        data.chain(self.trees.iter().map(|id| (BlobKind::Tree, id)))
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        (self.data.len() + self.trees.len()) as u64
    }
}
