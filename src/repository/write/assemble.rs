//! Building trees bottom-up from what the walk found, in its order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::content::Content;
use super::data_hash::DataHash;
use super::pack::PackWriter;
use super::reader::LARGEST_PIECE_BYTES;
use super::seal::Sealer;
use super::work::Shared;
use super::{Figures, Part, Stored};
use crate::repository::error::Error;
use crate::repository::format::FormatError;
use crate::repository::format::id::{BlobId, BlobKind};
use crate::repository::format::node::Node;
use crate::repository::format::snapshot::Summary;
use crate::repository::format::tree::TreeWriter;
use crate::repository::manifest;
use crate::repository::read::blobs::BlobReader;

/// What the parent snapshot says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    New,
    Changed,
    Unchanged,
}

/// What the walk found, in depth-first order, the entries of each directory sorted by name.
pub(crate) enum Found {
    /// A directory begins; `parent` is its tree in the parent snapshot.
    Enter { node: Node, parent: Option<BlobId> },
    /// The directory that began last ends.
    Leave,
    /// A file; `path` is relative to its source. `content` says what its node's content will be, if the node has not got it.
    File { part: Part, node: Node, path: Vec<u8>, content: Option<Arc<Content>>, change: Change },
    /// A link, device or pipe.
    Other(Node),
}

struct OpenDirectory {
    node: Node,
    parent: Option<BlobId>,
    tree: TreeWriter,
}

/// The files of one source.
struct Counted {
    hash: DataHash,
    files: u64,
    size_bytes: u64,
}

impl Counted {
    fn new() -> Self {
        Self { hash: DataHash::new(), files: 0, size_bytes: 0 }
    }

    fn add(&mut self, path: &[u8], node: &Node) {
        self.hash.add(path, node.size_bytes, &node.content);
        self.files += 1;
        self.size_bytes += node.size_bytes;
    }

    fn finish(self) -> Figures {
        Figures { files: self.files, size_bytes: self.size_bytes, data_hash: self.hash.finish() }
    }
}

struct Assembler<'s, 'a> {
    shared: &'s Shared<'a>,
    finished: &'s Sender<PackWriter>,
    sealer: Sealer,
    tree_reader: BlobReader,
    root: TreeWriter,
    open: Vec<OpenDirectory>,
    /// The first directories of the recorded paths, kept until the manifest beside them is known: a tree is written in order.
    tops: Vec<Node>,
    source: Counted,
    beside: Counted,
    summary: Summary,
}

/// Takes what the walk found until it ends, and gives what was stored.
pub(crate) fn run(shared: &Shared<'_>, found: &Receiver<Found>, finished: &Sender<PackWriter>) -> Result<Stored, Error> {
    let mut assembler = Assembler {
        shared,
        finished,
        sealer: Sealer::new(),
        tree_reader: BlobReader::new(),
        root: TreeWriter::new(),
        open: Vec::new(),
        tops: Vec::new(),
        source: Counted::new(),
        beside: Counted::new(),
        summary: Summary::default(),
    };
    for found in found {
        shared.go_on()?;
        assembler.take(found)?;
    }
    shared.go_on()?; // the walk may have ended by an error
    assembler.finish()
}

impl Assembler<'_, '_> {
    fn tree(&mut self) -> &mut TreeWriter {
        self.open.last_mut().map_or(&mut self.root, |directory| &mut directory.tree)
    }

    fn take(&mut self, found: Found) -> Result<(), Error> {
        match found {
            Found::Enter { node, parent } => self.open.push(OpenDirectory { node, parent, tree: TreeWriter::new() }),
            Found::Leave => self.leave()?,
            Found::Other(node) => self.tree().add(&node),
            Found::File { part, mut node, path, content, change } => {
                if let Some(content) = content {
                    node.content = content.wait(|| self.shared.go_on())?;
                }
                match part {
                    Part::Source => self.source.add(&path, &node),
                    Part::Beside => self.beside.add(&path, &node),
                }
                match change {
                    Change::New => self.summary.files_new += 1,
                    Change::Changed => self.summary.files_changed += 1,
                    Change::Unchanged => self.summary.files_unmodified += 1,
                }
                self.tree().add(&node);
            }
        }
        Ok(())
    }

    /// Stores a tree unless the repository has it and it can be read. That of the parent the walk has read already.
    fn store_tree(&mut self, plain: &[u8], parent: Option<BlobId>) -> Result<BlobId, Error> {
        let id = BlobId::of(plain);
        if parent != Some(id) && self.shared.has_blob(BlobKind::Tree, &id) {
            let loaded = self.shared.repository.load_tree(&mut self.tree_reader, &id, "an earlier snapshot");
            if loaded.is_err() {
                self.shared.doubt(BlobKind::Tree, &id);
            }
        }
        self.shared.store(&mut self.sealer, self.finished, BlobKind::Tree, plain)
    }

    fn leave(&mut self) -> Result<(), Error> {
        let Some(OpenDirectory { mut node, parent, tree }) = self.open.pop() else { return Ok(()) };
        let id = self.store_tree(&tree.finish(), parent)?;
        match parent {
            None => self.summary.dirs_new += 1,
            Some(parent) if parent == id => self.summary.dirs_unmodified += 1,
            Some(_) => self.summary.dirs_changed += 1,
        }
        node.subtree = Some(id);
        if self.open.is_empty() && self.shared.request.manifest.is_some() {
            self.tops.push(node);
        } else {
            self.tree().add(&node);
        }
        Ok(())
    }

    /// Asks for the manifest, stores it and completes the root tree. All files are stored by now, so that it goes into the packs
    /// that are open still.
    fn add_manifest(&mut self, source: &Figures, beside: Option<&Figures>) -> Result<(), Error> {
        let Some(make) = self.shared.request.manifest else { return Ok(()) };
        let mut nodes = std::mem::take(&mut self.tops);
        if let Some(bytes) = make(source, beside)? {
            nodes.push(self.store_manifest(&bytes)?);
        }
        self.shared.go_on()?;
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.iter().for_each(|node| self.root.add(node));
        Ok(())
    }

    fn store_manifest(&mut self, bytes: &[u8]) -> Result<Node, Error> {
        if bytes.len() > manifest::LARGEST_BYTES {
            let source = FormatError::new(format!("it has {} bytes, more than {}", bytes.len(), manifest::LARGEST_BYTES));
            return Err(Error::Encode { subject: "the manifest".into(), source });
        }
        let mut content = Vec::new();
        for piece in bytes.chunks(LARGEST_PIECE_BYTES) {
            content.push(self.shared.store(&mut self.sealer, self.finished, BlobKind::Data, piece)?);
        }
        let mut tree = TreeWriter::new();
        tree.add(&manifest::file(bytes.len() as u64, content));
        Ok(manifest::directory(self.store_tree(&tree.finish(), None)?))
    }

    fn finish(mut self) -> Result<Stored, Error> {
        let figures = std::mem::replace(&mut self.source, Counted::new()).finish();
        let beside = std::mem::replace(&mut self.beside, Counted::new()).finish();
        let beside = self.shared.request.beside.as_ref().map(|_| beside);
        self.add_manifest(&figures, beside.as_ref())?;
        let root = std::mem::replace(&mut self.root, TreeWriter::new());
        let tree = self.store_tree(&root.finish(), None)?;
        let counts = &self.shared.counts;
        let summary = Summary {
            data_blobs: counts.data_blobs.load(Ordering::Relaxed),
            tree_blobs: counts.tree_blobs.load(Ordering::Relaxed),
            data_added: counts.plain_bytes.load(Ordering::Relaxed),
            data_added_packed: counts.sealed_bytes.load(Ordering::Relaxed),
            total_files_processed: figures.files + beside.map_or(0, |beside| beside.files),
            total_bytes_processed: figures.size_bytes + beside.map_or(0, |beside| beside.size_bytes),
            ..self.summary
        };
        Ok(Stored {
            tree,
            files: figures.files,
            size_bytes: figures.size_bytes,
            data_hash: figures.data_hash,
            beside,
            added_bytes: 0, // known when the last pack is written
            files_unchanged: summary.files_unmodified,
            summary,
        })
    }
}
