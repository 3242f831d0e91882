//! Root trees that say by a manifest what they hold: of such a snapshot nothing is lost with its record.

use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind};
use crate::repository::format::node::NodeKind;
use crate::repository::lock::{Lock, LockKind};
use crate::repository::manifest::DIRECTORY;
use crate::repository::read::blobs::BlobReader;

/// A root tree, with or without a record that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRoot {
    /// The tree.
    pub tree: BlobId,
    /// Its manifest, as the backup gave it.
    pub manifest: Vec<u8>,
}

impl Repository {
    /// All root trees that have a readable manifest. Each tree of the repository is read once.
    ///
    /// # Errors
    /// [`Error::WrongLock`], [`Error::LockLost`], [`Error::Cancelled`]. What cannot be read is no root.
    pub fn find_roots(&self, control: &Control, lock: &Lock) -> Result<Vec<FoundRoot>, Error> {
        lock.protect(self, "looking for root trees", LockKind::Shared)?;
        control.begin_stage("roots", 0);
        let trees: Vec<BlobId> = self.with_index(|index| index.blobs(BlobKind::Tree).map(|(id, _)| *id).collect());
        let (mut reader, mut roots) = (BlobReader::new(), Vec::new());
        for tree in trees {
            control.go_on()?;
            let Ok(nodes) = self.load_tree(&mut reader, &tree, "a snapshot") else { continue };
            let is_root = nodes.iter().any(|node| node.kind == NodeKind::Directory && node.name == DIRECTORY.as_bytes());
            if is_root && let Ok(Some(manifest)) = self.load_manifest_in(tree) {
                roots.push(FoundRoot { tree, manifest });
            }
        }
        Ok(roots)
    }
}
