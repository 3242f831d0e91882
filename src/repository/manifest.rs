//! The manifest: a small file of our own in a snapshot, `/.lightkeep/manifest.json`, beside the recorded source and no part of it.
//! To restic it is a file as any other.

use std::ffi::OsStr;
use std::path::Path;

use rustix::process::{getegid, geteuid};

use super::Repository;
use super::error::Error;
use super::format::FormatError;
use super::format::id::{BlobId, RecordId};
use super::format::node::{Node, NodeKind};
use super::lock::{Lock, LockKind};
use super::read::blobs::BlobReader;
use super::read::content::Content;

/// No manifest is larger.
pub(crate) const LARGEST_BYTES: usize = 16 << 20;

/// The directory in a snapshot's root that holds the manifest.
pub(crate) const DIRECTORY: &str = ".lightkeep";
const PATH: &str = "/.lightkeep/manifest.json";

impl Repository {
    /// The manifest of a snapshot, as the backup's [`BackupRequest::manifest`](crate::repository::BackupRequest::manifest) gave
    /// it; `None` when it has none. At most 16 MiB.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`]; [`Error::Damaged`], [`Error::MissingBlob`] and [`Error::Io`] when it cannot be read;
    /// [`Error::WrongLock`], [`Error::LockLost`].
    pub fn read_manifest(&self, record: &RecordId, lock: &Lock) -> Result<Option<Vec<u8>>, Error> {
        lock.protect(self, "reading a manifest", LockKind::Shared)?;
        self.load_manifest(record)
    }

    pub(crate) fn load_manifest(&self, record: &RecordId) -> Result<Option<Vec<u8>>, Error> {
        self.load_manifest_in(self.record(record)?.tree)
    }

    /// The manifest in a root tree.
    pub(crate) fn load_manifest_in(&self, root: BlobId) -> Result<Option<Vec<u8>>, Error> {
        let path = Path::new(PATH);
        let node = self.find_in_tree(&mut BlobReader::new(), root, path)?.filter(|node| node.kind == NodeKind::File);
        let Some(node) = node else { return Ok(None) };
        let mut content = Content::of(self, node, path)?;
        let length = usize::try_from(content.size_bytes()).ok().filter(|length| *length <= LARGEST_BYTES);
        let Some(length) = length else {
            let source = FormatError::new(format!("it has {} bytes", content.size_bytes()));
            return Err(Error::Damaged { subject: format!("`{PATH}` in the snapshot"), source });
        };
        let (mut bytes, mut filled) = (vec![0; length], 0);
        while filled < length {
            filled += content.read_at(self, filled as u64, &mut bytes[filled..])?;
        }
        Ok(Some(bytes))
    }
}

/// Fails where a recorded path, given as its names, leaves no room for a manifest beside it.
pub(crate) fn check_room(path: &Path, names: &[&OsStr], is_wanted: bool) -> Result<(), Error> {
    let unusable = |reason| Error::UnusablePath { path: path.to_path_buf(), reason };
    match names.first() {
        None if is_wanted => Err(unusable("the root directory cannot have a manifest beside it")),
        Some(first) if *first == DIRECTORY => Err(unusable("this name is that of the snapshots' manifests")),
        _ => Ok(()),
    }
}

/// The manifest's file.
pub(crate) fn file(size_bytes: u64, content: Vec<BlobId>) -> Node {
    let name = PATH.rsplit('/').next().unwrap_or_default();
    Node { mode: 0o100_600, size_bytes, links: 1, content, ..node(name, NodeKind::File) }
}

/// Its directory, whose tree holds the file alone.
pub(crate) fn directory(tree: BlobId) -> Node {
    Node { mode: 0o040_700, subtree: Some(tree), ..node(DIRECTORY, NodeKind::Directory) }
}

/// Without times and inode, so that the same manifest makes the same tree.
fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        name: name.as_bytes().to_vec(),
        kind,
        mode: 0,
        modified: (0, 0),
        accessed: (0, 0),
        changed: (0, 0),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        user: String::new(),
        group: String::new(),
        inode: 0,
        device_id: 0,
        size_bytes: 0,
        links: 0,
        link_target: Vec::new(),
        attributes: Vec::new(),
        device: 0,
        content: Vec::new(),
        subtree: None,
    }
}
