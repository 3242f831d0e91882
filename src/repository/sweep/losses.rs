//! Which snapshots lack content.

use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::{BlobId, BlobKind, IdMap, RecordId};
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::lock::{Lock, LockKind};
use crate::repository::manifest::DIRECTORY;
use crate::repository::read::blobs::BlobReader;

/// How many files a loss names.
const EXAMPLES_MAX: usize = 10;

/// What a snapshot has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Its record.
    pub record: RecordId,
    /// The record's tags.
    pub tags: Vec<String>,
    /// Files that lack content.
    pub files: u64,
    /// Some of these, and of the directories that cannot be read, by their absolute paths.
    pub examples: Vec<String>,
    /// Directories that cannot be read, with all that was in them.
    pub whole_trees: u64,
}

/// Trees that were walked, and whether everything below them is there.
type Seen = IdMap<BlobId, bool>;

/// Whether a path is that of the manifest or of its directory.
fn is_of_manifest(path: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(DIRECTORY));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A directory on the way down.
struct Open {
    tree: BlobId,
    path: String,
    nodes: std::vec::IntoIter<Node>,
    is_whole: bool,
}

impl Repository {
    /// The snapshots that lack content now. Trees that are whole are read once, however many snapshots have them. Content counts as
    /// there when the index names it: whether it can be read, a check or a repair says.
    ///
    /// # Errors
    /// [`Error::WrongLock`] unless the lock is exclusive: beside a backup what it adds would count as lost; [`Error::LockLost`],
    /// [`Error::Cancelled`]; [`Error::Damaged`] for records and index files; [`Error::Io`] for these, and for trees that may be whole
    /// and cannot be read for now.
    pub fn find_losses(&self, control: &Control, lock: &Lock) -> Result<Vec<Loss>, Error> {
        lock.protect(self, "looking for losses", LockKind::Exclusive)?;
        control.begin_stage("losses", 0);
        self.complete_index()?;
        let (mut seen, mut reader, mut losses) = (Seen::default(), BlobReader::new(), Vec::new());
        for record in self.records_alone()? {
            let mut loss = Loss { record: record.id, tags: record.tags, files: 0, examples: Vec::new(), whole_trees: 0 };
            self.walk(record.tree, &mut seen, &mut reader, &mut loss, control)?;
            if loss.files > 0 || loss.whole_trees > 0 {
                losses.push(loss);
            }
        }
        Ok(losses)
    }

    fn walk(&self, root: BlobId, seen: &mut Seen, reader: &mut BlobReader, loss: &mut Loss, control: &Control) -> Result<(), Error> {
        let mut open: Vec<Open> = Vec::new();
        self.enter(root, String::new(), &mut open, seen, reader, loss)?;
        while let Some(mut directory) = open.pop() {
            control.go_on()?;
            let Some(node) = directory.nodes.next() else {
                seen.insert(directory.tree, directory.is_whole);
                if let Some(parent) = open.last_mut() {
                    parent.is_whole &= directory.is_whole;
                }
                continue;
            };
            let path = format!("{}/{}", directory.path, String::from_utf8_lossy(&node.name));
            if node.kind == NodeKind::File && !node.content.iter().all(|id| self.has_blob(BlobKind::Data, id)) {
                directory.is_whole = false;
                loss.files += 1;
                loss.name(&path);
            }
            match node.subtree {
                Some(tree) if seen.get(&tree) != Some(&true) => {
                    let entered = open.len();
                    open.push(directory);
                    self.enter(tree, path, &mut open, seen, reader, loss)?;
                    if open.len() == entered + 1
                        && let Some(directory) = open.last_mut()
                    {
                        directory.is_whole = false;
                    }
                }
                _ => open.push(directory),
            }
        }
        Ok(())
    }

    /// Opens a directory, or counts it as lost.
    fn enter(
        &self,
        tree: BlobId,
        path: String,
        open: &mut Vec<Open>,
        seen: &Seen,
        reader: &mut BlobReader,
        loss: &mut Loss,
    ) -> Result<(), Error> {
        if seen.get(&tree) == Some(&true) {
            return Ok(());
        }
        match self.load_tree(reader, &tree, &path) {
            Ok(nodes) => open.push(Open { tree, path, nodes: nodes.into_iter(), is_whole: true }),
            Err(error) if error.is_damage() || matches!(error, Error::MissingBlob { .. }) => {
                loss.whole_trees += 1;
                loss.name(if path.is_empty() { "/" } else { &path });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Loss {
    /// Whether nothing of the source is lost, only what the snapshot says of itself.
    pub fn is_manifest_only(&self) -> bool {
        let own = self.examples.iter().filter(|path| is_of_manifest(path)).count() as u64;
        own > 0 && own == self.files + self.whole_trees
    }

    fn name(&mut self, path: &str) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(path.to_owned());
        }
    }
}
