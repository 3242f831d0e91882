//! What the walk does with each directory and file: compare with the parent, give to the workers, tell the assembler.

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};

use super::Part;
use super::assemble::{Change, Found};
use super::attributes;
use super::blocks::Blocks;
use super::content::Content;
use super::names::Names;
use super::parent::ParentTree;
use super::reader::{self, SMALLEST_PIECE_BYTES};
use super::work::{Job, Shared, SmallFile};
use crate::domain::entry::{Entry, Meta};
use crate::repository::error::Error;
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::read::blobs::BlobReader;

/// Small files are given to workers in batches, to spare them waiting for each other.
const BATCH_FILES: usize = 32;

/// The thread that walks the sources.
pub(crate) struct Walk<'s, 'a> {
    pub(crate) shared: &'s Shared<'a>,
    /// The source that it is in.
    pub(crate) part: Part,
    jobs: Sender<Job>,
    found: Sender<Found>,
    batch: Vec<SmallFile>,
    /// The parent's tree of each directory that the walk is in, from the root on.
    parents: Vec<Option<ParentTree>>,
    tree_reader: BlobReader,
    names: Names,
    blocks: Blocks,
}

impl<'s, 'a> Walk<'s, 'a> {
    /// A walk at the root of the recorded paths.
    pub(crate) fn new(shared: &'s Shared<'a>, jobs: Sender<Job>, found: Sender<Found>) -> Self {
        let mut tree_reader = BlobReader::new();
        let root = shared.request.parent.and_then(|record| ParentTree::root(shared, &mut tree_reader, &record));
        let (names, blocks) = (Names::load(), Blocks::new());
        Self { shared, part: Part::Source, jobs, found, batch: Vec::new(), parents: vec![root], tree_reader, names, blocks }
    }

    fn node(&self, name: &[u8], kind: NodeKind, meta: &Meta, read_from: &Path) -> Result<Node, Error> {
        // restic records no attributes of links
        let attributes = match kind {
            NodeKind::Symlink => Vec::new(),
            _ if read_from.as_os_str().is_empty() => Vec::new(),
            _ => attributes::read(read_from)?,
        };
        Ok(Node {
            name: name.to_vec(),
            kind,
            mode: meta.mode,
            modified: meta.modified,
            accessed: meta.modified,
            changed: meta.changed,
            uid: meta.uid,
            gid: meta.gid,
            user: self.names.user(meta.uid),
            group: self.names.group(meta.gid),
            inode: meta.inode,
            device_id: meta.device,
            size_bytes: if kind == NodeKind::File { meta.size_bytes } else { 0 },
            links: if matches!(kind, NodeKind::Directory | NodeKind::Fifo) { 0 } else { meta.links },
            link_target: Vec::new(),
            attributes,
            device: 0,
            content: Vec::new(),
            subtree: None,
        })
    }

    fn tell(&mut self, found: Found) -> Result<(), Error> {
        match self.found.try_send(found) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(Error::WorkerStopped),
            Err(TrySendError::Full(found)) => {
                // the assembler may be waiting for a file that stands in the batch
                self.flush()?;
                self.found.send(found).map_err(|_| Error::WorkerStopped)
            }
        }
    }

    /// Gives the batch of small files to the workers.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.jobs.send(Job::Small(std::mem::take(&mut self.batch))).map_err(|_| Error::WorkerStopped)
    }

    /// Begins a directory. Its extended attributes are read from `read_from`, unless that is empty.
    pub(crate) fn enter(&mut self, name: &[u8], meta: &Meta, read_from: &Path) -> Result<(), Error> {
        let node = self.node(name, NodeKind::Directory, meta, read_from)?;
        self.enter_node(name, node)
    }

    /// Begins a directory above the source. Its extended attributes are not the source's own: they may be unreadable.
    pub(crate) fn enter_above(&mut self, name: &[u8], meta: &Meta, path: &Path) -> Result<(), Error> {
        let mut node = self.node(name, NodeKind::Directory, meta, Path::new(""))?;
        node.attributes = attributes::read(path).unwrap_or_default();
        self.enter_node(name, node)
    }

    fn enter_node(&mut self, name: &[u8], node: Node) -> Result<(), Error> {
        self.shared.go_on()?;
        let parent = self.parents.last().and_then(Option::as_ref).and_then(|tree| tree.subtree(name));
        let tree = parent.and_then(|id| ParentTree::load(self.shared, &mut self.tree_reader, &id));
        self.parents.push(tree);
        self.tell(Found::Enter { node, parent })
    }

    /// Ends the directory that began last.
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        self.parents.pop();
        self.tell(Found::Leave)
    }

    /// A regular file.
    pub(crate) fn file(&mut self, name: &[u8], entry: &Entry) -> Result<(), Error> {
        use std::os::unix::ffi::OsStrExt as _;
        self.shared.go_on()?;
        let mut node = self.node(name, NodeKind::File, &entry.meta, &entry.read_from)?;
        let parent = self.parents.last().and_then(Option::as_ref);
        let mut change = if parent.is_some_and(|tree| tree.has_file(name)) { Change::Changed } else { Change::New };
        let mut content = None;
        if let Some(known) = parent.and_then(|tree| tree.unchanged(self.shared, self.part, name, &entry.meta)) {
            node.content = known;
            change = Change::Unchanged;
            self.shared.request.control.add_done(entry.meta.size_bytes);
        } else {
            content = self.read(entry)?;
        }
        let path = entry.path.as_os_str().as_bytes().to_vec();
        self.tell(Found::File { part: self.part, node, path, content, change })
    }

    fn read(&mut self, entry: &Entry) -> Result<Option<Arc<Content>>, Error> {
        let content = Arc::new(Content::default());
        if entry.meta.size_bytes == 0 {
            reader::read_small(self.shared, self.part, entry, &mut Vec::new())?;
            return Ok(None);
        }
        if entry.meta.size_bytes < SMALLEST_PIECE_BYTES as u64 {
            self.batch.push(SmallFile { part: self.part, entry: entry.clone(), content: Arc::clone(&content) });
            if self.batch.len() >= BATCH_FILES {
                self.flush()?;
            }
        } else {
            self.flush()?;
            reader::read_large(self.shared, &self.blocks, self.part, entry, &self.jobs, &content)?;
        }
        Ok(Some(content))
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, name: &[u8], meta: &Meta, target: &Path) -> Result<(), Error> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut node = self.node(name, NodeKind::Symlink, meta, Path::new(""))?;
        node.link_target = target.as_os_str().as_bytes().to_vec();
        self.tell(Found::Other(node))
    }

    /// A device or a named pipe; `device` is its device number.
    pub(crate) fn special(&mut self, name: &[u8], kind: NodeKind, meta: &Meta, device: u64, read_from: &Path) -> Result<(), Error> {
        let mut node = self.node(name, kind, meta, read_from)?;
        if kind != NodeKind::Fifo {
            node.device = device;
        }
        self.tell(Found::Other(node))
    }
}
