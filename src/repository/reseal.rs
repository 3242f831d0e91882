//! A copy with another key: each blob is opened, verified, and sealed again into new packs. Compression is kept.

use std::cmp::Reverse;
use std::sync::Arc;

use super::backend::FileKind;
use super::copy::Reached;
use super::error::Error;
use super::files::{index_parts, subject};
use super::format::id::{BlobId, BlobKind, FileId, IdSet, RecordId};
use super::format::index::IndexedPack;
use super::index::Location;
use super::keyring::Keyring;
use super::lock::{Lock, LockKind};
use super::read::blobs::BlobReader;
use super::unlock::Opener;
use super::write::pack::{OpenPacks, WrittenPack};
use super::{Repository, write_file, write_named};
use crate::base::control::Control;
use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;

/// A blob that another repository lacks, and where it is here.
#[derive(Debug, Clone, Copy)]
struct Lacking {
    kind: BlobKind,
    id: BlobId,
    pack: FileId,
    location: Location,
}

/// A pack that was sealed again. It lies in the mirror until it is [dropped](Resealer::forget_pack) there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResealedPack {
    /// Its name.
    pub id: FileId,
    /// Its size, bytes.
    pub bytes: u64,
}

/// Brings what a snapshot needs into a mirror: a repository with another key, of which only config, keys, index and records are here, as
/// they are in the copy. Its packs are made one by one, to be sent and removed.
pub struct Resealer {
    from: Arc<Repository>,
    mirror: Arc<Repository>,
    /// In the order in which they are read, from the last to the first.
    lacking: Vec<Lacking>,
    /// Packs of the copy that hold the rest.
    relied: IdSet<FileId>,
    reader: BlobReader,
    open: OpenPacks,
    unindexed: Vec<WrittenPack>,
}

impl std::fmt::Debug for Resealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resealer").field("lacking", &self.lacking.len()).finish_non_exhaustive()
    }
}

impl Resealer {
    /// Finds what the mirror lacks of a snapshot; what lies in `distrusted` packs only counts as lacking.
    ///
    /// # Errors
    /// As [`Repository::plan_copy`].
    pub fn new(
        from: &Arc<Repository>,
        mirror: &Arc<Repository>,
        record: RecordId,
        distrusted: &[FileId],
        control: &Control,
        lock: &Lock,
    ) -> Result<Self, Error> {
        lock.protect(from, "copying", LockKind::Shared)?;
        let (mut lacking, mut relied) = (Vec::new(), IdSet::default());
        let distrusted: IdSet<FileId> = distrusted.iter().copied().collect();
        let (mut reader, mut reached) = (BlobReader::new(), Reached::default());
        reached.walk(from, &mut reader, &record, &Reached::default(), control)?;
        for (kind, id) in reached.iter() {
            let places = mirror.with_index(|index| index.places(kind, id));
            if let Some((pack, _)) = places.iter().find(|(pack, _)| !distrusted.contains(pack)) {
                relied.insert(*pack);
                continue;
            }
            let (pack, location) = from.with_index(|index| {
                let location = index.require(kind, id, || format!("snapshot `{record}`"))?;
                Ok::<_, Error>((index.pack_of(&location), location))
            })?;
            lacking.extend(pack.map(|pack| Lacking { kind, id: *id, pack, location }));
        }
        // Content first: a tree that is there has all that it names. From the last to the first.
        lacking.sort_unstable_by_key(|blob| (blob.kind == BlobKind::Data, blob.pack, Reverse(blob.location.offset)));
        let (from, mirror) = (Arc::clone(from), Arc::clone(mirror));
        Ok(Self { from, mirror, lacking, relied, reader, open: OpenPacks::default(), unindexed: Vec::new() })
    }

    /// The packs of the copy that hold what is not made anew.
    pub fn relied(&self) -> Vec<FileId> {
        self.relied.iter().copied().collect()
    }

    /// Bytes that are to be read here.
    pub fn bytes(&self) -> u64 {
        self.lacking.iter().map(|blob| u64::from(blob.location.stored_bytes)).sum()
    }

    /// Makes the next pack; none when there is nothing left.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a blob that is damaged here; [`Error::Io`], [`Error::Cancelled`].
    pub fn next_pack(&mut self, control: &Control) -> Result<Option<ResealedPack>, Error> {
        while let Some(blob) = self.lacking.pop() {
            control.go_on()?;
            let mut pack = self.open.take(&self.mirror, blob.kind)?;
            let resealed = self.reseal(&blob)?;
            pack.add(blob.id, &resealed, blob.location.compressed_from)?;
            if pack.is_full() {
                let written = pack.finish(&self.mirror)?;
                return Ok(Some(self.note(written)));
            }
            self.open.put(pack);
        }
        // Content before the trees that name it.
        let mut rest = self.open.drain();
        rest.sort_by_key(|pack| pack.kind() == BlobKind::Data);
        let Some(last) = rest.pop() else { return Ok(None) };
        rest.into_iter().for_each(|pack| self.open.put(pack));
        let written = last.finish(&self.mirror)?;
        Ok(Some(self.note(written)))
    }

    fn note(&mut self, written: WrittenPack) -> ResealedPack {
        let pack = ResealedPack { id: written.id, bytes: written.bytes };
        self.unindexed.push(written);
        pack
    }

    fn reseal(&mut self, blob: &Lacking) -> Result<Vec<u8>, Error> {
        let damaged = || Error::damaged(format!("blob `{}` in pack `{}`", blob.id, blob.pack));
        let mut sealed = vec![0; blob.location.stored_bytes as usize];
        let read = self.from.backend.read_range(FileKind::Pack, &blob.pack, u64::from(blob.location.offset), &mut sealed);
        read.map_err(|error| match error.is_missing_file() {
            // A prune has rewritten it since.
            true => Error::Lacking { subject: subject(FileKind::Pack, &blob.pack) },
            false => error,
        })?;
        let packed = self.from.key.open_in_place(&mut sealed).map_err(damaged())?;
        self.reader.verify(packed, blob.location.compressed_from, &blob.id).map_err(damaged())?;
        self.mirror.key.seal(packed).map_err(Error::encode("a blob"))
    }

    /// Removes a pack from the mirror that was sent.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget_pack(&self, pack: &FileId) -> Result<(), Error> {
        self.mirror.backend.delete(FileKind::Pack, pack).map(|_| ())
    }

    /// Writes the index files of the packs that were made since the last ones into the mirror, but for one that was not sent yet; gives
    /// their names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn index(&mut self, unsent: Option<FileId>) -> Result<Vec<FileId>, Error> {
        let (waiting, sent) = std::mem::take(&mut self.unindexed).into_iter().partition(|written| Some(written.id) == unsent);
        self.unindexed = waiting;
        let sent: Vec<WrittenPack> = sent;
        let packs: Vec<IndexedPack> = sent.into_iter().map(|written| IndexedPack::of_written(written.id, &written.blobs)).collect();
        let mut files = Vec::new();
        for part in index_parts(&packs, |pack| pack.blobs.len()) {
            let (id, sealed) = self.mirror.seal_index(part)?;
            write_named(&self.mirror.backend, FileKind::Index, &id, &sealed)?;
            files.push(id);
        }
        self.mirror.refresh_index()?;
        Ok(files)
    }

    /// The snapshot's record, sealed again, which is written into the mirror too.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn record(&self, record: RecordId) -> Result<(RecordId, Vec<u8>), Error> {
        let json = self.from.load(FileKind::Snapshot, &record.into())?;
        let (id, sealed) = self.mirror.seal_file(FileKind::Snapshot, &json)?;
        write_named(&self.mirror.backend, FileKind::Snapshot, &id, &sealed)?;
        Ok((id.into(), sealed))
    }
}

impl Repository {
    /// Lets another password open this repository, and no other any more: the files of other keys are removed.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Io`].
    pub fn change_password(&self, password: &Secret, now: Timestamp, host: &str) -> Result<(), Error> {
        let keyring = Keyring::default();
        let opener = Opener { backend: &self.backend, password, keyring: &keyring };
        let fresh = write_file(&self.backend, FileKind::Key, &opener.key_file(&self.key, now, host)?)?;
        for (id, _) in self.backend.list(FileKind::Key)? {
            if id != fresh {
                self.backend.delete(FileKind::Key, &id)?;
            }
        }
        Ok(())
    }
}
