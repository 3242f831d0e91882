//! What has to be sent so that another repository with the same key holds a snapshot too.

use std::fs::File;

use super::Repository;
use super::backend::FileKind;
use super::error::Error;
use super::files::index_parts;
use super::format::id::{BlobId, BlobKind, FileId, IdSet, RecordId};
use super::format::index::{self, IndexedPack};
use super::format::node::NodeKind;
use super::lock::{Lock, LockKind};
use super::read::blobs::BlobReader;
use super::read::check_pack::read_header;
use super::replica::{self, Commit, Founding};
use crate::base::control::Control;

/// What a copy of a snapshot needs that a copy of its base has not brought.
#[derive(Debug, Clone)]
pub struct CopyPlan {
    /// The packs, with their sizes in bytes.
    pub packs: Vec<(FileId, u64)>,
    /// What makes them a snapshot, once all are there.
    pub commit: Commit,
}

/// The blobs of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Reached {
    data: IdSet<BlobId>,
    trees: IdSet<BlobId>,
}

impl Repository {
    /// The sealed config, and the key file that opens this repository, by which a copy is begun.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn founding(&self) -> Result<Founding, Error> {
        let path = self.backend.config_path();
        let config = std::fs::read(&path).map_err(Error::io("read", path))?;
        Ok(Founding { config, key: (self.key_file, self.backend.read(FileKind::Key, &self.key_file)?) })
    }

    /// Opens a file to send it; gives its length in bytes too.
    ///
    /// # Errors
    /// [`Error::Io`]: a prune may have removed it since it was planned.
    pub fn open_stored(&self, kind: FileKind, id: &FileId) -> Result<(File, u64), Error> {
        replica::open(&self.backend, kind, id)
    }

    /// Plans the copy of a snapshot to where its `base` is whole already: the packs that hold what the snapshot has and the base has not.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`]; [`Error::MissingBlob`], [`Error::Damaged`] when the snapshot is damaged here; [`Error::LockLost`],
    /// [`Error::Io`], [`Error::Cancelled`].
    pub fn plan_copy(&self, record: RecordId, base: Option<RecordId>, control: &Control, lock: &Lock) -> Result<CopyPlan, Error> {
        lock.protect(self, "copying", LockKind::Shared)?;
        let (mut reader, mut known) = (BlobReader::new(), Reached::default());
        if let Some(base) = base {
            known.walk(self, &mut reader, &base, &Reached::default(), control)?;
        }
        let mut wanted = Reached::default();
        wanted.walk(self, &mut reader, &record, &known, control)?;
        self.plan_of(record, base, &wanted, control)
    }

    /// Plans the copy of several snapshots to where nothing is known to be whole; `record` is the one whose record is written again.
    ///
    /// # Errors
    /// As [`Repository::plan_copy`].
    pub fn plan_copies(&self, record: RecordId, all: &[RecordId], control: &Control, lock: &Lock) -> Result<CopyPlan, Error> {
        lock.protect(self, "copying", LockKind::Shared)?;
        let (mut reader, mut wanted) = (BlobReader::new(), Reached::default());
        for record in all {
            wanted.walk(self, &mut reader, record, &Reached::default(), control)?;
        }
        self.plan_of(record, None, &wanted, control)
    }

    fn plan_of(&self, record: RecordId, base: Option<RecordId>, wanted: &Reached, control: &Control) -> Result<CopyPlan, Error> {
        let mut packs = IdSet::default();
        for (kind, id) in wanted.iter() {
            let location = self.with_index(|index| {
                let location = index.require(kind, id, || format!("snapshot `{record}`"))?;
                Ok::<_, Error>(index.pack_of(&location))
            })?;
            packs.extend(location);
        }
        let (mut sized, mut indexed) = (Vec::with_capacity(packs.len()), Vec::with_capacity(packs.len()));
        for id in packs {
            control.go_on()?;
            let (_, bytes) = self.open_stored(FileKind::Pack, &id)?;
            // All that it holds: an index that leaves something out is taken for a damaged one by restic's check.
            indexed.push(IndexedPack::of_written(id, &read_header(self, &id, bytes)?.0));
            sized.push((id, bytes));
        }
        let packs = sized.iter().map(|(id, _)| *id).collect();
        let indexes = index_parts(&indexed, |pack| pack.blobs.len()).map(|part| self.seal_index(part)).collect::<Result<_, _>>()?;
        let bytes = self.backend.read(FileKind::Snapshot, &record.into())?;
        Ok(CopyPlan { packs: sized, commit: Commit { base, packs, indexes, record: (record, bytes), replaced: Vec::new() } })
    }

    /// Packs that the index names and that are not there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Damaged`] when packs or index files cannot be listed or read.
    pub fn absent_packs(&self) -> Result<Vec<FileId>, Error> {
        self.refresh_index()?;
        let listed: IdSet<FileId> = self.backend.list(FileKind::Pack)?.into_iter().map(|(id, _)| id).collect();
        Ok(self.with_index(|index| index.present_packs().filter(|id| !listed.contains(*id)).copied().collect()))
    }

    /// An index file that is not written here.
    pub(super) fn seal_index(&self, packs: &[IndexedPack]) -> Result<(FileId, Vec<u8>), Error> {
        self.seal_file(FileKind::Index, &index::encode_indexed(packs))
    }
}

impl Reached {
    /// Adds what a snapshot needs and `known` has not.
    pub(super) fn walk(
        &mut self,
        repository: &Repository,
        reader: &mut BlobReader,
        record: &RecordId,
        known: &Self,
        control: &Control,
    ) -> Result<(), Error> {
        let mut open = vec![(repository.record(record)?.tree, format!("snapshot `{record}`"))];
        while let Some((tree, name)) = open.pop() {
            control.go_on()?;
            // What is below a known tree is known.
            if known.trees.contains(&tree) || !self.trees.insert(tree) {
                continue;
            }
            for node in repository.load_tree(reader, &tree, &name)? {
                if node.kind == NodeKind::File {
                    self.data.extend(node.content.into_iter().filter(|id| !known.data.contains(id)));
                }
                if let Some(subtree) = node.subtree {
                    open.push((subtree, format!("{name}/{}", String::from_utf8_lossy(&node.name))));
                }
            }
        }
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BlobKind, &BlobId)> {
        self.data.iter().map(|id| (BlobKind::Data, id)).chain(self.trees.iter().map(|id| (BlobKind::Tree, id)))
    }
}
