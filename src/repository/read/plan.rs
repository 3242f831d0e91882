//! What a restore has to do: all trees are read, and all content is found, before anything is written.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::blobs::BlobReader;
use super::metadata::Restorable;
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
    pub(crate) directories: Vec<PlannedDirectory>,
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) links: Vec<PlannedLink>,
    pub(crate) others: Vec<PlannedOther>,
    pub(crate) pieces: Vec<PlannedPiece>,
    /// The packs that locations count into: those of the index when the plan was complete.
    pub(crate) packs: Vec<FileId>,
    pub(crate) total_bytes: u64,
    pub(crate) file_count: u64,
    pub(crate) data_hash: [u8; 32],
}

struct Planner {
    plan: Plan,
    hash: DataHash,
    /// Files of several names by device, inode and content: a number that was given to another file while the source was walked
    /// must not make one file of two.
    linked: HashMap<(u64, u64, Vec<BlobId>), u32>,
}

/// Plans the restore of a directory.
pub(crate) fn make(repository: &Repository, mut top: Node, control: &Control) -> Result<Plan, Error> {
    let mut reader = BlobReader::new();
    let root = PlannedDirectory { path: PathBuf::new(), restorable: Restorable::of(&mut top) };
    let plan = Plan {
        directories: vec![root],
        files: Vec::new(),
        links: Vec::new(),
        others: Vec::new(),
        pieces: Vec::new(),
        packs: Vec::new(),
        total_bytes: 0,
        file_count: 0,
        data_hash: [0; 32],
    };
    let mut planner = Planner { plan, hash: DataHash::new(), linked: HashMap::new() };
    // a stack of our own: a forged repository may have trees as deep as it likes
    let mut open = vec![(0, repository.entries(&mut reader, &top, Path::new("the restored directory"))?.into_iter())];
    while let Some((directory, nodes)) = open.last_mut() {
        control.go_on()?;
        let directory = *directory;
        let Some(node) = nodes.next() else {
            open.pop();
            continue;
        };
        if let Some(entered) = planner.take(repository, directory, node)? {
            let (number, node) = entered;
            let path = &planner.plan.directories[number].path;
            open.push((number, repository.entries(&mut reader, &node, path)?.into_iter()));
        }
    }
    // at the end, so that no location counts beyond: numbers stay when the index is loaded again meanwhile
    planner.plan.packs = repository.with_index(|index| index.packs().to_vec());
    planner.plan.data_hash = planner.hash.finish();
    Ok(planner.plan)
}

impl Planner {
    /// Plans one entry; gives a directory's number and node, to go on in it.
    fn take(&mut self, repository: &Repository, directory: usize, mut node: Node) -> Result<Option<(usize, Node)>, Error> {
        let path = self.plan.directories[directory].path.join(OsStr::from_bytes(&node.name));
        match node.kind {
            NodeKind::Directory => {
                let restorable = Restorable::of(&mut node);
                self.plan.directories.push(PlannedDirectory { path, restorable });
                return Ok(Some((self.plan.directories.len() - 1, node)));
            }
            NodeKind::File => self.file(repository, directory, node, path)?,
            NodeKind::Socket => {}
            kind => {
                let restorable = Restorable::of(&mut node);
                let (target, device) = (node.link_target, node.device);
                self.plan.others.push(PlannedOther { path, kind, target, device, restorable });
            }
        }
        Ok(None)
    }

    fn file(&mut self, repository: &Repository, directory: usize, mut node: Node, path: PathBuf) -> Result<(), Error> {
        self.hash.add(path.as_os_str().as_bytes(), node.size_bytes, &node.content);
        self.plan.file_count += 1;
        self.plan.total_bytes = self.plan.total_bytes.checked_add(node.size_bytes).ok_or_else(|| {
            let subject = format!("`{}` in the snapshot", path.display());
            Error::Damaged { subject, source: FormatError::new("its size is impossible") }
        })?;
        let number = number(self.plan.files.len());
        if node.links > 1 {
            let first = *self.linked.entry((node.device_id, node.inode, node.content.clone())).or_insert(number);
            if first != number {
                self.plan.total_bytes -= node.size_bytes;
                self.plan.links.push(PlannedLink { path, file: first });
                return Ok(());
            }
        }
        let pieces = &mut self.plan.pieces;
        let mut at = 0;
        repository.with_index(|index| {
            for id in &node.content {
                let location = index.require(BlobKind::Data, id, || format!("`{}`", path.display()))?;
                pieces.push(PlannedPiece { location, id: *id, file: number, at });
                at += u64::from(location.plain_bytes());
            }
            Ok::<_, Error>(())
        })?;
        if at != node.size_bytes {
            let subject = format!("`{}` in the snapshot", path.display());
            return Err(Error::Damaged { subject, source: FormatError::new("its size is not that of its content") });
        }
        self.plan.files.push(PlannedFile {
            directory: self::number(directory),
            pieces: self::number(node.content.len()),
            size_bytes: node.size_bytes,
            restorable: Restorable::of(&mut node),
            name: node.name.into_boxed_slice(),
        });
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
}
