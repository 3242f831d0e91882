//! What is different between two snapshots, file by file.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use super::blobs::BlobReader;
use super::locate::SnapshotRoot;
use crate::base::control::Control;
use crate::domain::entry::ListedKind;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::id::BlobId;
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::lock::{Lock, LockKind};

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Only the other snapshot has it.
    Added,
    /// Only the base has it.
    Removed,
    /// Its content is another: a file's pieces, a link's target, or what it is.
    Changed,
    /// Its content is the same; permissions, owner, extended attributes or the time of modification are others. The times of
    /// directories do not count, as they change with what is in them.
    MetadataOnly,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its path, relative to the source.
    pub path: PathBuf,
    /// How it differs.
    pub change: Change,
    /// What it is in the base, and its size in bytes if it is a file; `None` when it is not there.
    pub before: Option<(ListedKind, u64)>,
    /// The same in the other snapshot.
    pub after: Option<(ListedKind, u64)>,
}

/// Regular files and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileCount {
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub size_bytes: u64,
}

/// All regular files of both snapshots, each counted once. A file that became something else is removed, and what became a file
/// is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DifferenceCounts {
    /// Files that only the other snapshot has.
    pub added: FileCount,
    /// Files that only the base has.
    pub removed: FileCount,
    /// Files with another content, with their sizes in the other snapshot.
    pub changed: FileCount,
    /// Files with the same content, whether or not their metadata is the same.
    pub unchanged: FileCount,
}

impl FileCount {
    fn add(&mut self, node: &Node) {
        self.files += 1;
        self.size_bytes = self.size_bytes.saturating_add(node.size_bytes);
    }
}

type Nodes = Peekable<IntoIter<Node>>;

/// One directory of both snapshots; of one that only one has, the other side is empty.
struct Open {
    path: PathBuf,
    base: Nodes,
    other: Nodes,
    /// Its trees are the same: it is gone through to count its files.
    is_same: bool,
}

struct Comparison<'a> {
    repository: &'a Repository,
    reader: BlobReader,
    counts: DifferenceCounts,
    open: Vec<Open>,
    found: &'a mut dyn FnMut(Difference) -> Result<(), Error>,
}

impl Repository {
    /// Compares the sources of two snapshots of this repository and calls `found` for each entry that differs, depth-first, the
    /// entries of each directory ordered by the bytes of their names, a directory before what is in it. An error of `found` ends
    /// the comparison.
    ///
    /// Content is compared by the ids of its pieces and not read. So a file that restic stored and one that we stored may count as
    /// changed while they have the same bytes: they were cut into pieces differently. Directories whose trees have the same id are
    /// not compared; they are read once, for the count of their files. Memory is that of the trees from the source down to one
    /// directory.
    ///
    /// # Errors
    /// [`Error::RecordNotFound`], [`Error::PathNotRecorded`]; [`Error::Damaged`], [`Error::MissingBlob`] and [`Error::Io`] for
    /// trees that cannot be read; [`Error::Cancelled`], [`Error::WrongLock`], [`Error::LockLost`]; those of `found`.
    pub fn differences(
        &self,
        base: &SnapshotRoot,
        other: &SnapshotRoot,
        control: &Control,
        lock: &Lock,
        found: &mut dyn FnMut(Difference) -> Result<(), Error>,
    ) -> Result<DifferenceCounts, Error> {
        lock.protect(self, "comparing snapshots", LockKind::Shared)?;
        control.go_on()?;
        let mut reader = BlobReader::new();
        let tops = (
            self.find_directory(&mut reader, &base.record, &base.recorded_path)?,
            self.find_directory(&mut reader, &other.record, &other.recorded_path)?,
        );
        let (counts, open) = (DifferenceCounts::default(), Vec::new());
        let mut comparison = Comparison { repository: self, reader, counts, open, found };
        if metadata_differs(&tops.0, &tops.1) {
            let directory = Some((ListedKind::Directory, 0));
            let change = Change::MetadataOnly;
            (comparison.found)(Difference { path: PathBuf::new(), change, before: directory, after: directory })?;
        }
        comparison.enter(PathBuf::new(), Some(tops.0), Some(tops.1))?;
        while let Some(open) = comparison.open.last_mut() {
            control.go_on()?;
            match next_pair(open) {
                None => drop(comparison.open.pop()),
                Some((before, after)) => {
                    let name = before.as_ref().or(after.as_ref()).map(|node| node.name.as_slice()).unwrap_or_default();
                    let path = open.path.join(OsStr::from_bytes(name));
                    let is_same = open.is_same;
                    comparison.compare(path, before, after, is_same)?;
                }
            }
        }
        Ok(comparison.counts)
    }
}

/// The next name of a directory with what each side has of it.
fn next_pair(open: &mut Open) -> Option<(Option<Node>, Option<Node>)> {
    let order = match (open.base.peek(), open.other.peek()) {
        (None, None) => return None,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(before), Some(after)) => before.name.cmp(&after.name),
    };
    Some(match order {
        Ordering::Less => (open.base.next(), None),
        Ordering::Greater => (None, open.other.next()),
        Ordering::Equal => (open.base.next(), open.other.next()),
    })
}

impl Comparison<'_> {
    fn nodes(&mut self, directory: Option<&Node>, path: &Path) -> Result<Nodes, Error> {
        let path = if path.as_os_str().is_empty() { Path::new("the source") } else { path };
        let mut nodes = match directory {
            Some(directory) => self.repository.entries(&mut self.reader, directory, path)?,
            None => Vec::new(),
        };
        nodes.sort_by(|a, b| a.name.cmp(&b.name)); // as they are already, unless their writer was a strange one
        Ok(nodes.into_iter().peekable())
    }

    fn enter(&mut self, path: PathBuf, before: Option<Node>, after: Option<Node>) -> Result<(), Error> {
        let tree = |node: &Option<Node>| -> Option<BlobId> { node.as_ref()?.subtree };
        let is_same = tree(&before).is_some() && tree(&before) == tree(&after);
        let base = if is_same { Vec::new().into_iter().peekable() } else { self.nodes(before.as_ref(), &path)? };
        let other = self.nodes(after.as_ref(), &path)?;
        self.open.push(Open { path, base, other, is_same });
        Ok(())
    }

    /// Compares what both sides have of a name, and enters it if it is a directory.
    fn compare(&mut self, path: PathBuf, before: Option<Node>, after: Option<Node>, is_same: bool) -> Result<(), Error> {
        let directory = |node: Option<Node>| node.filter(|node| node.kind == NodeKind::Directory);
        if is_same {
            match after.as_ref() {
                Some(file) if file.kind == NodeKind::File => self.counts.unchanged.add(file),
                _ => {}
            }
            return match directory(after) {
                Some(below) => self.enter(path, Some(below.clone()), Some(below)),
                None => Ok(()),
            };
        }
        if let Some(change) = self.count(before.as_ref(), after.as_ref()) {
            let side = |node: Option<&Node>| {
                let node = node?;
                Some((ListedKind::of(node.kind), if node.kind == NodeKind::File { node.size_bytes } else { 0 }))
            };
            let (before, after) = (side(before.as_ref()), side(after.as_ref()));
            (self.found)(Difference { path: path.clone(), change, before, after })?;
        }
        match (directory(before), directory(after)) {
            (None, None) => Ok(()),
            (before, after) => self.enter(path, before, after),
        }
    }

    /// Says how an entry differs, and counts files.
    fn count(&mut self, before: Option<&Node>, after: Option<&Node>) -> Option<Change> {
        let file = |node: Option<&Node>| node.is_some_and(|node| node.kind == NodeKind::File);
        let change = match (before, after) {
            (None, None) => return None,
            (None, Some(_)) => Some(Change::Added),
            (Some(_), None) => Some(Change::Removed),
            (Some(before), Some(after)) if content_differs(before, after) => Some(Change::Changed),
            (Some(before), Some(after)) => metadata_differs(before, after).then_some(Change::MetadataOnly),
        };
        match (before, after) {
            (Some(_), Some(after)) if file(before) && file(Some(after)) => match change {
                Some(Change::Changed) => self.counts.changed.add(after),
                _ => self.counts.unchanged.add(after),
            },
            (before, after) => {
                before.filter(|_| file(before)).into_iter().for_each(|node| self.counts.removed.add(node));
                after.filter(|_| file(after)).into_iter().for_each(|node| self.counts.added.add(node));
            }
        }
        change
    }
}

/// What is in directories is compared entry by entry.
fn content_differs(before: &Node, after: &Node) -> bool {
    if before.kind != after.kind {
        return true;
    }
    let differs = before.content != after.content || before.link_target != after.link_target || before.device != after.device;
    before.kind != NodeKind::Directory && differs
}

fn metadata_differs(before: &Node, after: &Node) -> bool {
    let times_differ = before.kind != NodeKind::Directory && before.modified != after.modified;
    let rest = |node: &Node| (node.mode & 0o7777, node.uid, node.gid);
    times_differ || rest(before) != rest(after) || before.attributes != after.attributes
}
