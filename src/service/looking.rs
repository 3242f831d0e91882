//! Looking into snapshots without restoring them: directories and files.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Services;
use super::error::{Error, ErrorKind};
use super::inputs::inputs_root;
use super::manifest::Manifest;
use super::repository_lock::HeldLock;
use super::snapshots::{check_restorable, snapshot_root};
use crate::base::control::Control;
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageRequest};
use crate::repository::{self, LockKind, Repository, SnapshotFile, SnapshotRoot};
use crate::store::entity::snapshot::Model;

pub use crate::repository::{Listed, ListedKind};

/// How much of a file is read and sent at once, bytes.
const PIECE_BYTES: usize = 256 << 10;

/// A snapshot that is being looked into: nobody deletes from its repository meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) repository: Arc<Repository>,
    pub(super) root: SnapshotRoot,
    pub(super) lock: HeldLock,
}

/// A directory of a snapshot.
#[derive(Debug)]
pub struct Directory {
    /// Its path below the snapshot's source; empty for the source itself.
    pub path: PathBuf,
    /// A page of its entries, by the bytes of their names.
    pub entries: Page<Listed>,
    /// JSON of what the snapshot says of itself, with the first page of the source itself.
    pub manifest: Option<String>,
}

/// A file of a snapshot that is being read.
#[derive(Debug)]
pub struct OpenFile {
    file: SnapshotFile,
    offset: u64,
    end: u64,
    /// The whole file's size, bytes.
    pub size_bytes: u64,
    _lock: HeldLock,
}

impl Services {
    /// Opens the repository of a snapshot to read from it.
    ///
    /// # Errors
    /// No such snapshot; it is not complete; its repository cannot be opened or is locked.
    pub(super) async fn open_snapshot(&self, snapshot: &Model) -> Result<Opened, Error> {
        check_restorable(snapshot)?;
        let id = snapshot.snapshot_id.to_string();
        let root = snapshot_root(snapshot).ok_or(Error::NotFound { kind: "Snapshot", id })?;
        let (services, path) = (self.clone(), self.repository_root(&snapshot.graph_id));
        let repository = self.blocking(move || services.repositories().get_or_open(&path)).await?;
        let lock = HeldLock::take(self, &repository, LockKind::Shared, &Control::default()).await?;
        Ok(Opened { repository, root, lock })
    }

    /// A directory of a snapshot's source, or of its inputs.
    ///
    /// # Errors
    /// No such snapshot; it has no such directory, or no inputs.
    pub async fn browse_snapshot(
        &self,
        graph_id: &GraphId,
        snapshot_id: &str,
        inputs: bool,
        path: &str,
        page: PageRequest<String>,
    ) -> Result<Directory, Error> {
        let snapshot = self.get_snapshot(graph_id, snapshot_id).await?;
        let below = plain_path(path)?;
        let opened = self.open_part(&snapshot, inputs).await?;
        let with_manifest = !inputs && below.as_os_str().is_empty() && page.after.is_none();
        let missing = not_in_snapshot(snapshot_id, path);
        let listed = self
            .blocking(move || {
                let Opened { repository, root, lock } = opened;
                let listed = match repository.list_directory(&root, &below, lock.lock()) {
                    Err(repository::Error::PathNotRecorded { .. }) => return Err(missing),
                    other => other?,
                };
                let manifest = if with_manifest { repository.read_manifest(&root.record, lock.lock())? } else { None };
                let manifest = manifest.filter(|bytes| Manifest::parse(bytes).is_some()).and_then(|bytes| String::from_utf8(bytes).ok());
                let after = page.after.as_deref().map(str::as_bytes);
                let name = |entry: &Listed| hex::encode(entry.name.as_encoded_bytes());
                let rest = listed.into_iter().filter(|entry| after.is_none_or(|after| name(entry).as_bytes() > after));
                let items = rest.take(usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1)).collect();
                Ok(Directory { path: below, entries: page.page(items, name), manifest })
            })
            .await?;
        Ok(listed)
    }

    /// As [`Services::open_snapshot`], of its inputs where these are wanted.
    async fn open_part(&self, snapshot: &Model, inputs: bool) -> Result<Opened, Error> {
        let opened = self.open_snapshot(snapshot).await?;
        if inputs { Ok(Opened { root: inputs_root(&opened.root, snapshot)?, ..opened }) } else { Ok(opened) }
    }

    /// Opens a file of a snapshot's source, or of its inputs, from `offset` on; `length` 0 reads to its end.
    ///
    /// # Errors
    /// No such snapshot; it has no such file, or no inputs; it has no byte at the offset.
    pub async fn open_snapshot_file(
        &self,
        graph_id: &GraphId,
        snapshot_id: &str,
        inputs: bool,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<OpenFile, Error> {
        let snapshot = self.get_snapshot(graph_id, snapshot_id).await?;
        let wanted = plain_path(path)?;
        let Opened { repository, root, lock } = self.open_part(&snapshot, inputs).await?;
        let held = lock.clone();
        let file = self.blocking(move || repository.open_file(&root, &wanted, held.lock())).await?;
        let file = file.ok_or_else(|| not_in_snapshot(snapshot_id, path))?;
        let size_bytes = file.size_bytes();
        // An empty file can be read from its start.
        if offset > 0 && offset >= size_bytes {
            return Err(Error::OutOfRange { size_bytes, offset });
        }
        let end = if length == 0 { size_bytes } else { offset.saturating_add(length).min(size_bytes) };
        Ok(OpenFile { file, offset, end, size_bytes, _lock: lock })
    }

    /// The next piece of a file, and the rest; nothing at its end.
    ///
    /// # Errors
    /// The repository is damaged or cannot be read.
    pub async fn read_on(&self, mut open: OpenFile) -> Result<Option<(Bytes, OpenFile)>, Error> {
        self.blocking(move || {
            let wanted = usize::try_from(open.end - open.offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
            if wanted == 0 {
                return Ok(None);
            }
            let mut buffer = vec![0; wanted];
            let length = open.file.read_at(open.offset, &mut buffer)?;
            if length == 0 {
                let short = "the file ends before its recorded size";
                return Err(Error::refused(ErrorKind::DataLoss, "REPOSITORY_DAMAGED", short));
            }
            buffer.truncate(length);
            open.offset += length as u64;
            Ok(Some((Bytes::from(buffer), open)))
        })
        .await
    }
}

/// A path below a snapshot's source.
fn plain_path(text: &str) -> Result<PathBuf, Error> {
    let path = Path::new(text.trim_matches('/'));
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(path.to_path_buf());
    }
    Err(Error::invalid("path", format_args!("must be relative to the snapshot's source, without `.` and `..`: {text}")))
}

fn not_in_snapshot(snapshot_id: &str, path: &str) -> Error {
    Error::NotFound { kind: "File", id: format!("{path} of snapshot {snapshot_id}") }
}
