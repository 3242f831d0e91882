//! The small sealed files of a repository: indexes, records, locks; and the index kept in step with them.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;

use super::backend::FileKind;
use super::error::Error;
use super::format::id::{BlobId, BlobKind, FileId};
use super::format::index::IndexedPack;
use super::format::node::Node;
use super::format::pack::PackedBlob;
use super::format::{FormatError, index, tree, unpacked};
use super::index::{Index, Location};
use super::read::blobs::BlobReader;
use super::{Repository, write_named};

/// At most so many packs in one index file: some megabytes.
const PACKS_PER_INDEX_FILE: usize = 500;
/// Nor more blobs than this, unless one pack has them: restic's limit. Small files fill packs with thousands.
const BLOBS_PER_INDEX_FILE: usize = 50_000;

/// Divides packs among index files; `count` says how many blobs a pack has.
pub(crate) fn index_parts<P>(mut packs: &[P], count: impl Fn(&P) -> usize) -> impl Iterator<Item = &[P]> {
    std::iter::from_fn(move || {
        let mut blobs = 0;
        let fits = |pack: &&P| {
            blobs += count(pack);
            blobs <= BLOBS_PER_INDEX_FILE
        };
        let fitting = packs.iter().take(PACKS_PER_INDEX_FILE).take_while(fits).count().max(1);
        let (part, rest) = packs.split_at_checked(fitting)?;
        packs = rest;
        Some(part)
    })
}

/// Writes index files of packs that come one by one. They are removed again when it is dropped before it has [finished](Self::finish):
/// what they name may be removed too then.
pub(crate) struct IndexWriter<'a> {
    repository: &'a Repository,
    packs: Vec<IndexedPack>,
    blobs: usize,
    written: HashSet<FileId>,
}

impl<'a> IndexWriter<'a> {
    /// A writer without packs.
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self { repository, packs: Vec::new(), blobs: 0, written: HashSet::new() }
    }

    /// Adds a pack.
    pub(crate) fn add(&mut self, pack: IndexedPack) -> Result<(), Error> {
        let full = self.packs.len() >= PACKS_PER_INDEX_FILE || self.blobs + pack.blobs.len() > BLOBS_PER_INDEX_FILE;
        if full && !self.packs.is_empty() {
            self.flush()?;
        }
        self.blobs += pack.blobs.len();
        self.packs.push(pack);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let json = index::encode_indexed(&self.packs);
        self.written.insert(self.repository.save(FileKind::Index, &json)?);
        self.packs.clear();
        self.blobs = 0;
        Ok(())
    }

    /// Writes the rest, and gives the names of all files.
    pub(crate) fn finish(mut self) -> Result<HashSet<FileId>, Error> {
        if !self.packs.is_empty() {
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.written))
    }
}

impl Drop for IndexWriter<'_> {
    fn drop(&mut self) {
        for file in &self.written {
            // One that stays names packs whose blobs lie elsewhere too; the next prune forgets it.
            let _ = self.repository.backend.delete(FileKind::Index, file);
        }
    }
}

/// What is wrong with a file whose name is not the hash of its bytes.
pub(crate) const OTHER_CONTENT: &str = "its content does not match its name";

/// What names a file in messages.
pub(crate) fn subject(kind: FileKind, id: &FileId) -> String {
    format!("{} `{id}`", kind.noun())
}

impl Repository {
    /// Reads, authenticates and unpacks one file.
    pub(crate) fn load(&self, kind: FileKind, id: &FileId) -> Result<Vec<u8>, Error> {
        let mut sealed = self.backend.read(kind, id)?;
        let damaged = || Error::damaged(subject(kind, id));
        if FileId::of(&sealed) != *id {
            return Err(damaged()(FormatError::new(OTHER_CONTENT)));
        }
        let plain = self.key.open_in_place(&mut sealed).map_err(damaged())?;
        unpacked::decode(plain).map_err(damaged())
    }

    /// Packs, seals and writes one file, and gives its id.
    pub(crate) fn save(&self, kind: FileKind, json: &[u8]) -> Result<FileId, Error> {
        let (id, sealed) = self.seal_file(kind, json)?;
        write_named(&self.backend, kind, &id, &sealed)?;
        Ok(id)
    }

    /// Packs and seals one file, and gives its id and bytes. It is not written.
    pub(super) fn seal_file(&self, kind: FileKind, json: &[u8]) -> Result<(FileId, Vec<u8>), Error> {
        let sealed = unpacked::encode(json).and_then(|plain| self.key.seal(&plain)).map_err(Error::encode(kind.noun()))?;
        Ok((FileId::of(&sealed), sealed))
    }

    /// Loads the index again if the set of index files is another than the one that is loaded: an operator's restic may have
    /// added to the repository or pruned it. A handle that was opened for a damaged repository goes without the files that it cannot
    /// read, and looks for them each time.
    pub(crate) fn refresh_index(&self) -> Result<(), Error> {
        self.load_index(self.is_tolerant)
    }

    /// As [`Repository::refresh_index`], but every file must be readable, whatever the handle was opened for: what is judged by the
    /// index, or deleted, is judged by all of it.
    pub(crate) fn complete_index(&self) -> Result<(), Error> {
        self.load_index(false)
    }

    fn load_index(&self, is_tolerant: bool) -> Result<(), Error> {
        // held over the IO: only other changes of the index wait for it, readers go on with the old one
        let mut known = self.index_files.lock().unwrap_or_else(PoisonError::into_inner);
        let listed: BTreeSet<FileId> = self.backend.list(FileKind::Index)?.into_iter().map(|(id, _)| id).collect();
        if known.as_ref() == Some(&listed) {
            return Ok(());
        }
        let (mut index, mut is_complete) = (self.with_index(Index::emptied), true);
        for id in &listed {
            let added = self.load_index_file(id).and_then(|packs| {
                let damaged = Error::damaged(subject(FileKind::Index, id));
                index.add_indexed(packs).map_err(damaged)
            });
            match added {
                Err(Error::Damaged { .. } | Error::Io { .. }) if is_tolerant => is_complete = false,
                other => other?,
            }
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        *known = is_complete.then_some(listed);
        Ok(())
    }

    /// Reads an index file.
    pub(crate) fn load_index_file(&self, id: &FileId) -> Result<Vec<IndexedPack>, Error> {
        let bytes = self.load(FileKind::Index, id)?;
        index::parse(&bytes).map_err(Error::damaged(subject(FileKind::Index, id)))
    }

    /// Has the index loaded anew when it is looked at next, as its files were changed by more than what was added.
    pub(crate) fn forget_index(&self) {
        *self.index_files.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes the index of new packs and makes their blobs known to this handle.
    pub(crate) fn add_packs(&self, packs: &[(FileId, Vec<PackedBlob>)]) -> Result<(), Error> {
        let mut known = self.index_files.lock().unwrap_or_else(PoisonError::into_inner);
        for part in index_parts(packs, |(_, blobs)| blobs.len()) {
            let json = index::encode(part.iter().map(|(id, blobs)| (id, blobs.as_slice())));
            let id = self.save(FileKind::Index, &json)?;
            if let Some(known) = known.as_mut() {
                known.insert(id);
            }
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for (id, blobs) in part {
                index.add_written(*id, blobs);
            }
        }
        Ok(())
    }

    /// Runs `look` on the index. It must not do IO: the index is locked meanwhile.
    pub(crate) fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a blob is in the repository.
    pub(crate) fn has_blob(&self, kind: BlobKind, id: &BlobId) -> bool {
        self.with_index(|index| index.find(kind, id).is_some())
    }

    /// Reads and verifies a directory's tree, from whichever pack has it whole; `needed_by` names the directory in messages. Only a
    /// tree that is damaged in all its places is called damaged.
    pub(crate) fn load_tree(&self, reader: &mut BlobReader, id: &BlobId, needed_by: &str) -> Result<Vec<Node>, Error> {
        self.find_tree(reader, id, needed_by).map(|(_, nodes)| nodes)
    }

    /// As [`Repository::load_tree`], and gives the pack that it was read from.
    pub(crate) fn find_tree(&self, reader: &mut BlobReader, id: &BlobId, needed_by: &str) -> Result<(FileId, Vec<Node>), Error> {
        let (mut sealed, mut failure) = (Vec::new(), None::<Error>);
        for (pack, location) in self.with_index(|index| index.places(BlobKind::Tree, id)) {
            let named = || format!("tree `{id}` of {needed_by} in pack `{pack}`");
            let read = self.read_blob(reader, &mut sealed, id, &pack, &location, named);
            let parsed = read.and_then(|plain| tree::parse(plain).map_err(Error::damaged(named())));
            match parsed {
                Ok(nodes) => return Ok((pack, nodes)),
                Err(error) if failure.as_ref().is_none_or(|failure| failure.is_damage() && !error.is_damage()) => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| Error::MissingBlob { id: *id, needed_by: needed_by.to_owned() }))
    }

    /// Reads a blob from one of its places and verifies it. `sealed` is a buffer; `named` names the blob in messages.
    pub(crate) fn read_blob<'r>(
        &self,
        reader: &'r mut BlobReader,
        sealed: &'r mut Vec<u8>,
        id: &BlobId,
        pack: &FileId,
        location: &Location,
        named: impl FnOnce() -> String,
    ) -> Result<&'r [u8], Error> {
        sealed.resize(location.stored_bytes as usize, 0);
        self.backend.read_range(FileKind::Pack, pack, u64::from(location.offset), sealed)?;
        reader.open(&self.key, sealed, location.compressed_from, id).map_err(|source| Error::Damaged { subject: named(), source })
    }

    /// The plain bytes of content that lies in several places and cannot be read from one of them; `None` where none has it whole.
    pub(crate) fn read_copy(&self, reader: &mut BlobReader, id: &BlobId) -> Option<Vec<u8>> {
        let mut sealed = Vec::new();
        let places = Some(self.with_index(|index| index.places(BlobKind::Data, id))).filter(|places| places.len() > 1)?;
        places.iter().find_map(|(pack, location)| {
            let read = self.read_blob(reader, &mut sealed, id, pack, location, String::new);
            read.ok().map(<[u8]>::to_vec)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_files_end_at_packs_and_blobs() {
        let counts = |packs: &[usize]| {
            let blob = || PackedBlob { kind: BlobKind::Data, id: BlobId([0; 32]), stored_bytes: 32, plain_bytes: 0 };
            let pack = |count: &usize| (FileId([0; 32]), (0..*count).map(|_| blob()).collect());
            let packs: Vec<_> = packs.iter().map(pack).collect();
            index_parts(&packs, |(_, blobs): &(FileId, Vec<PackedBlob>)| blobs.len()).map(<[_]>::len).collect::<Vec<_>>()
        };
        assert_eq!(counts(&[]), Vec::<usize>::new());
        assert_eq!(counts(&[1; 1001]), [500, 500, 1]);
        assert_eq!(counts(&[10_000; 11]), [5, 5, 1]);
        assert_eq!(counts(&[60_000, 60_000, 1]), [1, 1, 1]);
        assert_eq!(counts(&[49_999, 1, 1]), [2, 1]);
    }
}
