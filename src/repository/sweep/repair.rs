//! Repair: the index is made anew from the packs themselves, what is damaged is set aside, what of it is good is saved.
//!
//! Nothing is deleted but index files that are made anew: damaged packs, records and index files are moved to `set-aside` in the
//! repository, which restic does not look into. The order is that of a prune, so a process may end anywhere on the way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::examine::{Examined, examine};
use super::proven;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::repository::backend::FileKind;
use crate::repository::error::Error;
use crate::repository::files::{IndexWriter, subject};
use crate::repository::format::id::{BlobId, BlobKind, FileId};
use crate::repository::format::index::{IndexedBlob, IndexedPack};
use crate::repository::lock::{Lock, LockKind};
use crate::repository::read::blobs::BlobReader;
use crate::repository::read::spans;
use crate::repository::write::pack::{OpenPacks, WrittenPack};
use crate::repository::{Repository, write_file};

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The index was made anew.
    pub index_rebuilt: bool,
    /// Damaged packs, by their names.
    pub packs_set_aside: Vec<String>,
    /// Blobs of these that were good and nowhere else.
    pub blobs_saved: u64,
    /// Records that could not be read: their snapshots are lost.
    pub records_set_aside: Vec<String>,
    /// Index files that could not be read.
    pub index_files_set_aside: Vec<String>,
    /// The config, key files and locks that were damaged.
    pub others_set_aside: Vec<String>,
    /// The config and key file that were lost or damaged and could be written anew.
    pub written_anew: Vec<String>,
}

/// Where the index says that the blobs of each pack lie.
type Indexed = HashMap<FileId, Vec<IndexedBlob>>;

impl Repository {
    /// Reads everything and repairs what can be repaired. The handle is best one that was opened for a damaged repository.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::Io`] when the repository cannot be listed or written, and for a
    /// file that may be whole and cannot be read for now, as without permission: then nothing has changed, but that a lost key file is
    /// there again; [`Error::LockLost`], [`Error::Cancelled`]: the next repair goes on.
    pub fn repair(&self, control: &Control, lock: &Lock) -> Result<Repaired, Error> {
        lock.protect(self, "repairing", LockKind::Exclusive)?;
        let mut repaired = Repaired::default();
        self.write_lost_key(&mut repaired)?;
        // All is read before anything moves: what may be whole and cannot be read for now ends the repair here.
        let (indexed, unreadable) = self.read_index_files(control)?;
        let damaged_records = self.find_damaged_records(control)?;
        let small = self.find_damaged_small_files()?;
        let examined = self.examine_packs(&indexed, control)?;
        let (whole, damaged): (Vec<_>, Vec<_>) = examined.into_iter().partition(|pack| pack.is_whole);
        let fits = unreadable.is_empty() && damaged.is_empty() && is_as_found(&indexed, &whole);
        // Asked each time: nothing may go when the lock is lost.
        let may_change = || {
            control.go_on()?;
            lock.protect(self, "repairing", LockKind::Exclusive)
        };
        self.repair_small_files(&small, &may_change, &mut repaired)?;
        if !fits {
            let saved = self.save_good(&whole, &damaged, control)?;
            repaired.blobs_saved = saved.iter().map(|pack| pack.blobs.len() as u64).sum();
            may_change()?;
            self.make_index_anew(&whole, &saved, &unreadable, &may_change)?;
            repaired.index_rebuilt = true;
            failpoint::reach("repair.index_written");
            for pack in &damaged {
                may_change()?;
                self.backend.set_aside(FileKind::Pack, &pack.id)?;
                repaired.packs_set_aside.push(pack.id.to_string());
                failpoint::reach("repair.pack_set_aside");
            }
            for file in &unreadable {
                may_change()?;
                self.backend.set_aside(FileKind::Index, file)?;
                repaired.index_files_set_aside.push(file.to_string());
            }
        }
        for id in &damaged_records {
            may_change()?;
            self.backend.set_aside(FileKind::Snapshot, id)?;
            repaired.records_set_aside.push(id.to_string());
            failpoint::reach("repair.record_set_aside");
        }
        // Also where nothing was to be done: the handle may know less than what is there.
        self.forget_index();
        self.complete_index()?;
        Ok(repaired)
    }

    /// Writes a lost key file anew, before all else: the only copy of the key may be the one in memory. A file is added, nothing moves.
    fn write_lost_key(&self, repaired: &mut Repaired) -> Result<(), Error> {
        if let Some(bytes) = &self.rescue.key_file {
            repaired.written_anew.push(subject(FileKind::Key, &write_file(&self.backend, FileKind::Key, bytes)?));
            failpoint::reach("repository.key_written");
        }
        Ok(())
    }

    fn read_index_files(&self, control: &Control) -> Result<(Indexed, Vec<FileId>), Error> {
        let (mut indexed, mut unreadable) = (Indexed::new(), Vec::new());
        for (file, _) in self.backend.list(FileKind::Index)? {
            control.go_on()?;
            match self.load_index_file(&file) {
                Ok(packs) => indexed.extend(packs.into_iter().map(|pack| (pack.id, pack.blobs))),
                Err(error) if error.is_damage() => unreadable.push(file),
                Err(error) => return Err(error),
            }
        }
        Ok((indexed, unreadable))
    }

    fn find_damaged_records(&self, control: &Control) -> Result<Vec<FileId>, Error> {
        let mut damaged = Vec::new();
        for (id, _) in self.backend.list(FileKind::Snapshot)? {
            control.go_on()?;
            match self.read_record_anew(&id.into()) {
                Err(error) if error.is_damage() => damaged.push(id),
                other => drop(other?),
            }
        }
        Ok(damaged)
    }

    /// Key files and locks. That the config is good, or to be written anew, the opening of the repository has found out.
    fn find_damaged_small_files(&self) -> Result<Vec<(FileKind, FileId)>, Error> {
        let mut damaged = Vec::new();
        for (id, _) in self.backend.list(FileKind::Key)? {
            match self.backend.read(FileKind::Key, &id) {
                Ok(bytes) if FileId::of(&bytes) == id => {}
                Err(error) if !error.is_damage() => return Err(error),
                _ => damaged.push((FileKind::Key, id)),
            }
        }
        for (id, bytes) in self.backend.list(FileKind::Lock)? {
            // An empty one may be about to be written; a lock sees to those that stay so.
            if bytes > 0 && self.load(FileKind::Lock, &id).is_err_and(|error| error.is_damage()) {
                damaged.push((FileKind::Lock, id));
            }
        }
        Ok(damaged)
    }

    /// Writes the config anew where that is needed, before damaged keys go: without it, nobody can open the repository.
    fn repair_small_files(
        &self,
        damaged: &[(FileKind, FileId)],
        may_change: &dyn Fn() -> Result<(), Error>,
        repaired: &mut Repaired,
    ) -> Result<(), Error> {
        if let Some(sealed) = &self.rescue.config {
            may_change()?;
            if self.backend.set_aside_config()? {
                repaired.others_set_aside.push("config".to_owned());
            }
            failpoint::reach("repair.config_set_aside");
            if self.backend.write_config(sealed)? {
                repaired.written_anew.push("config".to_owned());
            }
        }
        for (kind, id) in damaged {
            may_change()?;
            self.backend.set_aside(*kind, id)?;
            repaired.others_set_aside.push(id.to_string());
        }
        Ok(())
    }

    fn examine_packs(&self, indexed: &Indexed, control: &Control) -> Result<Vec<Examined>, Error> {
        let packs = self.backend.list(FileKind::Pack)?;
        control.begin_stage("repair", packs.iter().map(|(_, bytes)| bytes).sum());
        let examined = std::sync::Mutex::new(Vec::with_capacity(packs.len()));
        spans::for_each(self.options.threads.get(), &packs, BlobReader::new, |reader, (id, bytes)| {
            let known = indexed.get(id).map(Vec::as_slice).unwrap_or_default();
            let pack = examine(self, *id, *bytes, known, reader, control)?;
            examined.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(pack);
            Ok(())
        })?;
        Ok(examined.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Copies the good blobs of damaged packs that no whole pack has. One that is no longer good ends the repair: nothing has moved.
    fn save_good(&self, whole: &[Examined], damaged: &[Examined], control: &Control) -> Result<Vec<WrittenPack>, Error> {
        let mut there: HashSet<(BlobKind, BlobId)> = whole.iter().flat_map(|pack| &pack.good).map(|blob| (blob.kind, blob.id)).collect();
        let (open, mut reader, mut written) = (OpenPacks::default(), BlobReader::new(), Vec::new());
        for pack in damaged {
            for blob in pack.good.iter().filter(|blob| there.insert((blob.kind, blob.id))) {
                control.go_on()?;
                let sealed = proven::read(self, &pack.id, blob, &mut reader)?;
                let mut new = open.take(self, blob.kind)?;
                new.add(blob.id, &sealed, blob.uncompressed_length)?;
                if new.is_full() { written.push(new.finish(self)?) } else { open.put(new) }
            }
        }
        for pack in open.drain() {
            written.push(pack.finish(self)?);
            failpoint::reach("repair.pack_saved");
        }
        Ok(written)
    }

    fn make_index_anew(
        &self,
        whole: &[Examined],
        saved: &[WrittenPack],
        unreadable: &[FileId],
        may_change: &dyn Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let old: Vec<FileId> = self.backend.list(FileKind::Index)?.into_iter().map(|(id, _)| id).collect();
        let mut writer = IndexWriter::new(self);
        for pack in whole {
            writer.add(IndexedPack { id: pack.id, blobs: pack.good.clone() })?;
        }
        for pack in saved {
            writer.add(IndexedPack::of_written(pack.id, &pack.blobs))?;
        }
        let new = writer.finish()?;
        for file in old.iter().filter(|file| !new.contains(file) && !unreadable.contains(file)) {
            may_change()?;
            self.backend.delete(FileKind::Index, file)?;
        }
        Ok(())
    }
}

/// Whether the index names exactly the packs that are there, and their blobs where they lie. A pack that no index names may be left
/// over from a snapshot that broke off, or all that is left where an index file was lost: it is named again, and a prune decides.
fn is_as_found(indexed: &Indexed, whole: &[Examined]) -> bool {
    let places = |blobs: &[IndexedBlob]| -> BTreeMap<u32, (BlobId, &'static str, u32, u32)> {
        blobs.iter().map(|blob| (blob.offset, (blob.id, blob.kind.name(), blob.length, blob.uncompressed_length))).collect()
    };
    let found: HashMap<FileId, &Examined> = whole.iter().map(|pack| (pack.id, pack)).collect();
    indexed.len() == whole.len() && indexed.iter().all(|(id, blobs)| found.get(id).is_some_and(|pack| places(blobs) == places(&pack.good)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_takes_a_tree_for_content_is_not_as_found() {
        let blob = |kind| IndexedBlob { id: BlobId([1; 32]), kind, offset: 0, length: 50, uncompressed_length: 0 };
        let whole = [Examined { id: FileId([2; 32]), good: vec![blob(BlobKind::Tree)], is_whole: true }];
        for (kind, expected) in [(BlobKind::Tree, true), (BlobKind::Data, false)] {
            assert_eq!(is_as_found(&Indexed::from([(FileId([2; 32]), vec![blob(kind)])]), &whole), expected, "{kind:?}");
        }
    }
}
