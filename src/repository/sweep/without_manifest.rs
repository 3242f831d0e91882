//! Snapshots whose manifest is lost, and nothing else: they are recorded anew without it.

use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, RecordId};
use crate::repository::format::tree::TreeWriter;
use crate::repository::lock::{Lock, LockKind};
use crate::repository::manifest::DIRECTORY;
use crate::repository::read::blobs::BlobReader;
use crate::repository::record::NewRecord;
use crate::repository::write::pack::OpenPacks;
use crate::repository::write::seal::Sealer;

impl Repository {
    /// Records a snapshot anew without its manifest, and removes the old record. Everything else of it stays as it is. Gives the name
    /// of the new record.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::LockLost`]; [`Error::Io`], [`Error::Damaged`] and
    /// [`Error::MissingBlob`] when the record or its root cannot be read; then nothing has changed.
    pub fn drop_manifest(&self, id: &RecordId, lock: &Lock) -> Result<RecordId, Error> {
        lock.protect(self, "recording a snapshot anew", LockKind::Exclusive)?;
        let record = self.record(id)?;
        let mut root = TreeWriter::new();
        for node in self.load_tree(&mut BlobReader::new(), &record.tree, "the snapshot's root")? {
            if node.name != DIRECTORY.as_bytes() {
                root.add(&node);
            }
        }
        let tree = self.store_root(&root.finish())?;
        let summary = record.summary.unwrap_or_default();
        let new = NewRecord {
            time: record.time,
            hostname: record.hostname,
            username: record.username,
            paths: record.paths,
            tags: record.tags,
            parent: record.parent,
        };
        let new = self.write_record_of(tree, summary, &new, lock)?;
        self.remove_record(id, lock)?;
        Ok(new)
    }

    fn store_root(&self, plain: &[u8]) -> Result<BlobId, Error> {
        let id = BlobId::of(plain);
        if self.has_blob(BlobKind::Tree, &id) {
            return Ok(id);
        }
        let (mut sealer, open) = (Sealer::new(), OpenPacks::default());
        let (sealed, plain_bytes) = sealer.seal(&self.key, plain).map_err(Error::encode("a tree"))?;
        let mut pack = open.take(self, BlobKind::Tree)?;
        pack.add(id, sealed, plain_bytes)?;
        let written = pack.finish(self)?;
        self.add_packs(&[(written.id, written.blobs)])?;
        Ok(id)
    }
}
