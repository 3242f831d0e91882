//! What the snapshots of a repository use.

use super::prune::PruneRequest;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, FileId, IdMap, IdSet};
use crate::repository::format::node::NodeKind;
use crate::repository::read::blobs::BlobReader;

/// The blobs that all snapshots together use: 32 bytes and a little for each piece of content, 64 for each tree.
#[derive(Debug, Default)]
pub(super) struct Used {
    data: IdSet<BlobId>,
    /// Each with the pack that it was read from: of several copies one may be damaged, and this one is not.
    trees: IdMap<BlobId, FileId>,
    /// Snapshot records that were read.
    pub(super) snapshots: u64,
}

impl Used {
    /// Reads all records that are there now and walks their trees, each tree once. `None` when the time of the run is over.
    ///
    /// # Errors
    /// Whatever cannot be listed or read: what it uses would not be known.
    pub(super) fn find(repository: &Repository, request: &PruneRequest<'_>) -> Result<Option<Self>, Error> {
        let mut used = Self::default();
        let mut reader = BlobReader::new();
        for record in repository.records_alone()? {
            used.snapshots += 1;
            let mut open = vec![(record.tree, format!("snapshot `{}`", record.id))];
            while let Some((tree, name)) = open.pop() {
                request.control.go_on()?;
                if used.trees.contains_key(&tree) {
                    continue;
                }
                if request.is_out_of_time() {
                    return Ok(None);
                }
                let (pack, nodes) = repository.find_tree(&mut reader, &tree, &name)?;
                used.trees.insert(tree, pack);
                for node in nodes {
                    if node.kind == NodeKind::File {
                        used.data.extend(node.content);
                    }
                    if let Some(subtree) = node.subtree {
                        open.push((subtree, format!("{name}/{}", String::from_utf8_lossy(&node.name))));
                    }
                }
            }
        }
        Ok(Some(used))
    }

    /// Whether a snapshot uses this blob and it may be kept in this pack.
    pub(super) fn may_keep(&self, kind: BlobKind, id: &BlobId, pack: &FileId) -> bool {
        match kind {
            BlobKind::Data => self.data.contains(id),
            BlobKind::Tree => self.trees.get(id) == Some(pack),
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BlobKind, &BlobId)> {
        let data = self.data.iter().map(|id| (BlobKind::Data, id));
        data.chain(self.trees.keys().map(|id| (BlobKind::Tree, id)))
    }

    /// How many.
    pub(super) fn len(&self) -> u64 {
        (self.data.len() + self.trees.len()) as u64
    }
}
