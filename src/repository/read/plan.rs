//! What a restore has to do: all trees are read, and all content is found, before anything is written.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::blobs::BlobReader;
use super::metadata::Restorable;
use super::selection::Selection;
use super::spans;
use crate::base::control::Control;
use crate::repository::Repository;
use crate::repository::error::Error;
use crate::repository::format::FormatError;
use crate::repository::format::id::{BlobId, BlobKind, FileId};
use crate::repository::format::node::{Node, NodeKind};
use crate::repository::index::Location;
use crate::repository::write::DataHash;

/// A directory; the first is the target itself, and each stands behind the one that it is in.
pub(crate) struct PlannedDirectory {
    /// Relative to the target.
    pub(crate) path: PathBuf,
    pub(crate) restorable: Restorable,
}

/// A regular file.
pub(crate) struct PlannedFile {
    pub(crate) directory: u32,
    pub(crate) name: Box<[u8]>,
    pub(crate) size_bytes: u64,
    pub(crate) pieces: u32,
    pub(crate) restorable: Restorable,
}

/// A file that is another name of one that is restored.
pub(crate) struct PlannedLink {
    pub(crate) path: PathBuf,
    pub(crate) file: u32,
}

/// A piece of content and where it goes.
pub(crate) struct PlannedPiece {
    pub(crate) location: Location,
    pub(crate) id: BlobId,
    pub(crate) file: u32,
    pub(crate) at: u64,
}

/// A symbolic link, device or pipe.
pub(crate) struct PlannedOther {
    pub(crate) path: PathBuf,
    pub(crate) kind: NodeKind,
    pub(crate) target: Vec<u8>,
    pub(crate) device: u64,
    pub(crate) restorable: Restorable,
}

/// What a restore has to do.
pub(crate) struct Plan {
    /// What messages name its files from; empty for the source.
    pub(crate) named_from: PathBuf,
    pub(crate) directories: Vec<PlannedDirectory>,
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) others: Vec<PlannedOther>,
    /// Sorted by their places.
    pub(crate) pieces: Vec<PlannedPiece>,
    /// The packs that locations count into: those of the index when the plan was complete.
    pub(crate) packs: Vec<FileId>,
    /// Bytes of content; hard links have it once.
    pub(crate) total_bytes: u64,
    /// Number of regular files, each name of a hard-linked one counted.
    pub(crate) file_count: u64,
    /// Sum of their sizes.
    pub(crate) size_bytes: u64,
    pub(crate) data_hash: [u8; 32],
    /// Whether all trees could be read.
    pub(crate) is_whole: bool,
}

/// Says what becomes of an entry that cannot be planned, named by its path, which is empty for the top: an error ends the planning,
/// else the entry is left out.
pub(crate) type Problem<'a> = &'a dyn Fn(&Path, Error) -> Result<(), Error>;

struct Planner {
    plan: Plan,
    hash: DataHash,
    /// Files of several names by device, inode and content: a number that was given to another file while the source was walked
    /// must not make one file of two.
    linked: HashMap<(u64, u64, Vec<BlobId>), u32>,
}

/// Plans the restore of what is chosen of a directory.
pub(crate) fn make(
    repository: &Repository,
    mut top: Node,
    mut selection: Selection<'_>,
    control: &Control,
    problem: Problem<'_>,
) -> Result<Plan, Error> {
    let mut reader = BlobReader::new();
    let root = PlannedDirectory { path: PathBuf::new(), restorable: Restorable::of(&mut top) };
    let plan = Plan {
        named_from: PathBuf::new(),
        directories: vec![root],
        files: Vec::new(),
        links: Vec::new(),
        others: Vec::new(),
        pieces: Vec::new(),
        packs: Vec::new(),
        total_bytes: 0,
        file_count: 0,
        size_bytes: 0,
        data_hash: [0; 32],
        is_whole: true,
    };
    let mut planner = Planner { plan, hash: DataHash::new(), linked: HashMap::new() };
    // a stack of our own: a forged repository may have trees as deep as it likes
    let mut open = Vec::new();
    let mut entered = Some((0, top, selection.top()));
    loop {
        control.go_on()?;
        if let Some((number, node, chosen)) = entered.take() {
            let path = &planner.plan.directories[number].path;
            let named = if number == 0 { Path::new("the source") } else { path };
            match repository.entries(&mut reader, &node, named) {
                Ok(nodes) => open.push((number, chosen, nodes.into_iter())),
                Err(error) => {
                    problem(path, error)?;
                    planner.plan.is_whole = false;
                }
            }
        }
        let Some((directory, chosen, nodes)) = open.last_mut() else { break };
        let Some(node) = nodes.next() else {
            open.pop();
            continue;
        };
        let name = OsStr::from_bytes(&node.name);
        let Some(chosen) = selection.of_entry(*chosen, name, node.kind == NodeKind::Directory) else { continue };
        let path = planner.plan.directories[*directory].path.join(name);
        match planner.take(repository, *directory, node, &path) {
            Ok(directory) => entered = directory.map(|(number, node)| (number, node, chosen)),
            Err(error) => problem(&path, error)?,
        }
    }
    selection.check_found()?;
    // at the end, so that no location counts beyond: numbers stay when the index is loaded again meanwhile
    planner.plan.packs = repository.with_index(|index| index.packs().to_vec());
    planner.plan.data_hash = planner.hash.finish();
    planner.plan.pieces.sort_unstable_by_key(|piece| {
        let Location { pack, offset, stored_bytes, compressed_from } = piece.location;
        // beyond the place only a forged index needs more
        (pack, offset, stored_bytes, compressed_from, piece.id, piece.file)
    });
    Ok(planner.plan)
}

impl Planner {
    /// Plans one entry; gives a directory's number and node, to go on in it.
    fn take(&mut self, repository: &Repository, directory: usize, mut node: Node, path: &Path) -> Result<Option<(usize, Node)>, Error> {
        match node.kind {
            NodeKind::Directory => {
                let restorable = Restorable::of(&mut node);
                self.plan.directories.push(PlannedDirectory { path: path.to_path_buf(), restorable });
                return Ok(Some((self.plan.directories.len() - 1, node)));
            }
            NodeKind::File => self.file(repository, directory, node, path)?,
            NodeKind::Socket => {}
            kind => {
                let restorable = Restorable::of(&mut node);
                let (target, device) = (node.link_target, node.device);
                self.plan.others.push(PlannedOther { path: path.to_path_buf(), kind, target, device, restorable });
            }
        }
        Ok(None)
    }

    fn file(&mut self, repository: &Repository, directory: usize, mut node: Node, path: &Path) -> Result<(), Error> {
        let damaged = |reason| {
            let subject = format!("`{}` in the snapshot", path.display());
            Error::Damaged { subject, source: FormatError::new(reason) }
        };
        self.hash.add(path.as_os_str().as_bytes(), node.size_bytes, &node.content);
        self.plan.file_count += 1;
        self.plan.size_bytes = self.plan.size_bytes.checked_add(node.size_bytes).ok_or_else(|| damaged("its size is impossible"))?;
        let names = (node.links > 1).then(|| (node.device_id, node.inode, node.content.clone()));
        if let Some(file) = names.as_ref().and_then(|names| self.linked.get(names)) {
            self.plan.links.push(PlannedLink { path: path.to_path_buf(), file: *file });
            return Ok(());
        }
        let number = number(self.plan.files.len());
        let pieces = &mut self.plan.pieces;
        let (before, mut at) = (pieces.len(), 0);
        let found = repository.with_index(|index| {
            for id in &node.content {
                let location = index.require(BlobKind::Data, id, || format!("`{}`", path.display()))?;
                pieces.push(PlannedPiece { location, id: *id, file: number, at });
                at += u64::from(location.plain_bytes());
            }
            if at == node.size_bytes { Ok(()) } else { Err(damaged("its size is not that of its content")) }
        });
        if let Err(error) = found {
            pieces.truncate(before);
            return Err(error);
        }
        self.plan.total_bytes += node.size_bytes;
        self.plan.files.push(PlannedFile {
            directory: self::number(directory),
            pieces: self::number(node.content.len()),
            size_bytes: node.size_bytes,
            restorable: Restorable::of(&mut node),
            name: node.name.into_boxed_slice(),
        });
        self.linked.extend(names.map(|names| (names, number)));
        Ok(())
    }
}

fn number(count: usize) -> u32 {
    // four billion files do not fit into memory
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Plan {
    /// A file's path relative to the target.
    pub(crate) fn path(&self, file: &PlannedFile) -> PathBuf {
        self.directories[file.directory as usize].path.join(OsStr::from_bytes(&file.name))
    }

    /// Ranges of pieces that are read at once.
    pub(crate) fn spans(&self) -> Vec<Range<usize>> {
        spans::divide(self.pieces.iter().map(|piece| (piece.location.pack, u64::from(piece.location.offset), piece.location.end())))
    }

    /// Bytes of a pack that reading a span takes.
    pub(crate) fn stored_bytes(&self, span: &Range<usize>) -> u64 {
        let pieces = &self.pieces[span.clone()];
        let end = pieces.iter().map(|piece| piece.location.end()).max().unwrap_or(0);
        end - pieces.first().map_or(0, |first| u64::from(first.location.offset))
    }
}
