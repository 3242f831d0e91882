//! The hash of a snapshot's content.

use sha2::{Digest as _, Sha256};

use crate::repository::format::id::BlobId;

/// Takes regular files in depth-first order, the entries of each directory sorted by the bytes of their names: the order in which
/// trees are walked, so that it is computed on the way. Content only: no times, no owners, no links.
pub(crate) struct DataHash(Sha256);

impl DataHash {
    /// Of no files.
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    fn field_length(&mut self, bytes: usize) {
        self.0.update((bytes as u64).to_le_bytes());
    }

    /// Adds a file: `path` relative to the source, its length in bytes and the ids of its pieces.
    pub(crate) fn add(&mut self, path: &[u8], size_bytes: u64, content: &[BlobId]) {
        self.field_length(path.len());
        self.0.update(path);
        self.field_length(8);
        self.0.update(size_bytes.to_le_bytes());
        self.field_length(content.len() * 32);
        for id in content {
            self.0.update(id.as_bytes());
        }
    }

    /// The hash.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
