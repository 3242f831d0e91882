//! Snapshots whose manifest is lost, and nothing else: they are recorded anew without it.

use crate::base::failpoint;
use crate::repository::Repository;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::subject;
use crate::repository::format::id::{BlobId, BlobKind, RecordId};
use crate::repository::format::snapshot;
use crate::repository::format::tree::TreeWriter;
use crate::repository::lock::{Lock, LockKind};
use crate::repository::manifest::DIRECTORY;
use crate::repository::read::blobs::BlobReader;
use crate::repository::record::Record;
use crate::repository::write::pack::OpenPacks;
use crate::repository::write::seal::Sealer;

impl Repository {
    /// Records a snapshot anew without its manifest, and removes the old record. Everything else of it stays as it is. Gives the name
    /// of the new record: that of an earlier call which ended before the old one was removed, if there was one.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::LockLost`]; [`Error::Io`], [`Error::Damaged`] and
    /// [`Error::MissingBlob`] when a record or the root cannot be read; then nothing has changed.
    pub fn drop_manifest(&self, id: &RecordId, lock: &Lock) -> Result<RecordId, Error> {
        lock.protect(self, "recording a snapshot anew", LockKind::Exclusive)?;
        let record = self.record(id)?;
        let mut reader = BlobReader::new();
        let mut root = TreeWriter::new();
        for node in self.load_tree(&mut reader, &record.tree, "the snapshot's root")? {
            if node.name != DIRECTORY.as_bytes() {
                root.add(&node);
            }
        }
        let plain = root.finish();
        let tree = BlobId::of(&plain);
        let is_same = |other: &Record| {
            let all_but_tree = |record: &Record| (record.time, record.tags.clone(), record.paths.clone(), record.hostname.clone());
            other.id != *id && other.tree == tree && all_but_tree(other) == all_but_tree(&record)
        };
        let before = self.records_alone()?.into_iter().find(is_same);
        self.store_root(&plain, tree, &mut reader)?;
        let new = match before {
            Some(record) => record.id,
            None => {
                let damaged = Error::damaged(subject(FileKind::Snapshot, &(*id).into()));
                let text = snapshot::with_tree(&self.load(FileKind::Snapshot, &(*id).into())?, &tree).map_err(damaged)?;
                self.save(FileKind::Snapshot, &text)?.into()
            }
        };
        failpoint::reach("repair.recorded_anew");
        self.remove_record(id, lock)?;
        Ok(new)
    }

    /// Stores a tree unless the repository has it and it can be read.
    fn store_root(&self, plain: &[u8], id: BlobId, reader: &mut BlobReader) -> Result<(), Error> {
        match self.load_tree(reader, &id, "the snapshot without its manifest") {
            Err(error) if error.is_damage() || matches!(error, Error::MissingBlob { .. }) => {}
            other => return other.map(drop),
        }
        let mut sealer = Sealer::new();
        let (sealed, plain_bytes) = sealer.seal(&self.key, plain).map_err(Error::encode("a tree"))?;
        let mut pack = OpenPacks::default().take(self, BlobKind::Tree)?;
        pack.add(id, sealed, plain_bytes)?;
        let written = pack.finish(self)?;
        self.add_packs(&[(written.id, written.blobs)])
    }
}
