//! Repair: the index is made anew from the packs themselves, what is damaged is set aside, what of it is good is saved.
//!
//! Nothing is deleted but index files that are made anew: damaged packs, records and index files are moved to `set-aside` in the
//! repository, which restic does not look into. The order is that of a prune, so a process may end anywhere on the way.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::examine::{Examined, examine};
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
    /// [`Error::WrongLock`] unless the lock is exclusive; [`Error::Io`] when the repository cannot be listed or written;
    /// [`Error::LockLost`], [`Error::Cancelled`]: the next repair goes on.
    pub fn repair(&self, control: &Control, lock: &Lock) -> Result<Repaired, Error> {
        lock.protect(self, "repairing", LockKind::Exclusive)?;
        let mut repaired = Repaired::default();
        self.repair_small_files(&mut repaired)?;
        let (indexed, unreadable) = self.read_index_files(control)?;
        let examined = self.examine_packs(&indexed, control)?;
        let (whole, damaged): (Vec<_>, Vec<_>) = examined.into_iter().partition(|pack| pack.is_whole);
        let fits = unreadable.is_empty() && damaged.is_empty() && is_as_found(&indexed, &whole);
        if !fits {
            let saved = self.save_good(&whole, &damaged, control)?;
            repaired.blobs_saved = saved.iter().map(|pack| pack.blobs.len() as u64).sum();
            lock.protect(self, "repairing", LockKind::Exclusive)?;
            self.make_index_anew(&whole, &saved, &unreadable)?;
            repaired.index_rebuilt = true;
            failpoint::reach("repair.index_written");
            for pack in &damaged {
                self.backend.set_aside(FileKind::Pack, &pack.id)?;
                repaired.packs_set_aside.push(pack.id.to_string());
                failpoint::reach("repair.pack_set_aside");
            }
            for file in &unreadable {
                self.backend.set_aside(FileKind::Index, file)?;
                repaired.index_files_set_aside.push(file.to_string());
            }
            self.forget_index();
            self.refresh_index()?;
        }
        for (id, _) in self.backend.list(FileKind::Snapshot)? {
            control.go_on()?;
            match self.read_record_anew(&id.into()) {
                Err(error) if error.is_of_the_bytes() => {
                    self.backend.set_aside(FileKind::Snapshot, &id)?;
                    repaired.records_set_aside.push(id.to_string());
                }
                other => drop(other?),
            }
        }
        Ok(repaired)
    }

    fn read_index_files(&self, control: &Control) -> Result<(Indexed, Vec<FileId>), Error> {
        let (mut indexed, mut unreadable) = (Indexed::new(), Vec::new());
        for (file, _) in self.backend.list(FileKind::Index)? {
            control.go_on()?;
            match self.load_index_file(&file) {
                Ok(packs) => indexed.extend(packs.into_iter().map(|pack| (pack.id, pack.blobs))),
                Err(error) if error.is_of_the_bytes() => unreadable.push(file),
                Err(error) => return Err(error),
            }
        }
        Ok((indexed, unreadable))
    }

    /// The config and the key that opens it first: without them, nobody can open the repository.
    fn repair_small_files(&self, repaired: &mut Repaired) -> Result<(), Error> {
        if let Some(sealed) = &self.rescue.config {
            if self.backend.set_aside_config()? {
                repaired.others_set_aside.push("config".to_owned());
            }
            if self.backend.write_config(sealed)? {
                repaired.written_anew.push("config".to_owned());
            }
        }
        if let Some(bytes) = &self.rescue.key_file {
            repaired.written_anew.push(subject(FileKind::Key, &write_file(&self.backend, FileKind::Key, bytes)?));
        }
        for (id, _) in self.backend.list(FileKind::Key)? {
            if FileId::of(&self.backend.read(FileKind::Key, &id)?) != id && self.backend.set_aside(FileKind::Key, &id)? {
                repaired.others_set_aside.push(id.to_string());
            }
        }
        for (id, bytes) in self.backend.list(FileKind::Lock)? {
            let is_damaged = bytes > 0 && matches!(self.load(FileKind::Lock, &id), Err(Error::Damaged { .. }));
            if is_damaged && self.backend.set_aside(FileKind::Lock, &id)? {
                repaired.others_set_aside.push(id.to_string());
            }
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

    /// Copies the good blobs of damaged packs that no whole pack has.
    fn save_good(&self, whole: &[Examined], damaged: &[Examined], control: &Control) -> Result<Vec<WrittenPack>, Error> {
        let mut there: HashSet<(BlobKind, BlobId)> = whole.iter().flat_map(|pack| &pack.good).map(|blob| (blob.kind, blob.id)).collect();
        let (open, mut written) = (OpenPacks::default(), Vec::new());
        for pack in damaged {
            for blob in pack.good.iter().filter(|blob| there.insert((blob.kind, blob.id))) {
                control.go_on()?;
                let mut sealed = vec![0; blob.length as usize];
                self.backend.read_range(FileKind::Pack, &pack.id, u64::from(blob.offset), &mut sealed)?;
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

    fn make_index_anew(&self, whole: &[Examined], saved: &[WrittenPack], unreadable: &[FileId]) -> Result<(), Error> {
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
            self.backend.delete(FileKind::Index, file)?;
        }
        Ok(())
    }
}

/// Whether the index names exactly the packs that are there, and their blobs where they lie. A pack that no index names may be left
/// over from a snapshot that broke off, or all that is left where an index file was lost: it is named again, and a prune decides.
fn is_as_found(indexed: &Indexed, whole: &[Examined]) -> bool {
    let places = |blobs: &[IndexedBlob]| -> BTreeMap<u32, (BlobId, u32, u32)> {
        blobs.iter().map(|blob| (blob.offset, (blob.id, blob.length, blob.uncompressed_length))).collect()
    };
    let found: HashMap<FileId, &Examined> = whole.iter().map(|pack| (pack.id, pack)).collect();
    indexed.len() == whole.len() && indexed.iter().all(|(id, blobs)| found.get(id).is_some_and(|pack| places(blobs) == places(&pack.good)))
}
