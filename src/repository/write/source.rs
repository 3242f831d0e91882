//! Walking the sources, of two kinds.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::reader::unreadable;
use super::walk::Walk;
use super::{BackupRequest, Part, Skip, Source};
use crate::domain::entry::{Entry, EntryKind, Meta};
use crate::repository::error::Error;
use crate::repository::format::node::NodeKind;
use crate::repository::manifest;

/// A directory of which nothing is known.
const UNKNOWN_DIRECTORY: Meta =
    Meta { mode: 0o040_755, modified: (0, 0), changed: (0, 0), uid: 0, gid: 0, inode: 0, device: 0, size_bytes: 0, links: 0 };

/// The sources of a request by the names that their recorded paths consist of, in the order of trees.
pub(crate) fn roots<'a>(request: &'a BackupRequest<'_>) -> Result<Vec<(Vec<&'a OsStr>, Part)>, Error> {
    let beside = request.beside.as_ref().map(|beside| (beside.recorded_path, Part::Beside));
    let mut roots = Vec::new();
    for (path, part) in [(request.recorded_path, Part::Source)].into_iter().chain(beside) {
        let names = components(path)?;
        manifest::check_room(path, &names, request.manifest.is_some())?;
        roots.push((names, part));
    }
    if let Some((path, _)) = beside
        && (path.starts_with(request.recorded_path) || request.recorded_path.starts_with(path))
    {
        return Err(Error::UnusablePath { path: path.to_path_buf(), reason: "it lies in the source that it is beside, or around it" });
    }
    roots.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(roots)
}

/// The names that an absolute path consists of.
fn components(path: &Path) -> Result<Vec<&OsStr>, Error> {
    let unusable = |reason| Error::UnusablePath { path: path.to_path_buf(), reason };
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(unusable("it is not absolute"));
    }
    let name = |part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(unusable("it has `..` in it")),
    };
    parts.map(name).collect()
}

/// Walks the whole request.
pub(crate) fn walk(walk: &mut Walk<'_, '_>) -> Result<(), Error> {
    let mut inside: Vec<&OsStr> = Vec::new();
    for (names, part) in roots(walk.shared.request)? {
        // neither root is in the other: of the one before at least its own directory is left
        let shared = inside.iter().zip(&names).take_while(|(a, b)| a == b).count();
        for _ in inside.drain(shared..) {
            walk.leave()?;
        }
        root(walk, &names, shared, part)?;
        inside = names;
    }
    for _ in inside {
        walk.leave()?;
    }
    walk.flush()
}

/// Walks one source, down from the directories above it that the walk is in already.
fn root(walk: &mut Walk<'_, '_>, names: &[&OsStr], entered: usize, part: Part) -> Result<(), Error> {
    let request = walk.shared.request;
    let (source, recorded_path) = match (part, &request.beside) {
        (Part::Beside, Some(beside)) => (&beside.source, beside.recorded_path),
        _ => (&request.source, request.recorded_path),
    };
    walk.part = part;
    let mut above = PathBuf::from("/");
    for (position, name) in names.iter().enumerate() {
        above.push(name);
        if position < entered {
            continue;
        }
        if position + 1 < names.len() {
            // of the directories above the source, what can be had
            match fs::metadata(&above) {
                Ok(metadata) => walk.enter_above(name.as_bytes(), &Meta::from(&metadata), &above)?,
                Err(_) => walk.enter(name.as_bytes(), &UNKNOWN_DIRECTORY, Path::new(""))?,
            }
            continue;
        }
        let (meta, read_from) = source_directory(source, recorded_path)?;
        walk.enter(name.as_bytes(), &meta, &read_from)?;
    }
    match source {
        Source::Directory { root, skip } => directory(walk, root, Path::new(""), *skip),
        Source::Listed(entries) => listed(walk, entries),
    }
}

/// The metadata of the source directory itself.
fn source_directory(source: &Source<'_>, recorded_path: &Path) -> Result<(Meta, PathBuf), Error> {
    match source {
        Source::Directory { root, .. } => {
            let metadata = fs::metadata(root).map_err(unreadable(root))?;
            Ok((Meta::from(&metadata), root.to_path_buf()))
        }
        Source::Listed(entries) => {
            let own = entries.iter().find(|entry| entry.path.as_os_str().is_empty());
            Ok(match (own, fs::metadata(recorded_path)) {
                (Some(entry), _) => (entry.meta, attributes_of(entry).to_path_buf()),
                (None, Ok(metadata)) => (Meta::from(&metadata), recorded_path.to_path_buf()),
                (None, Err(_)) => (UNKNOWN_DIRECTORY, PathBuf::new()),
            })
        }
    }
}

/// Walks a directory in the order of its names' bytes, restic's order.
fn directory(walk: &mut Walk<'_, '_>, path: &Path, relative: &Path, skip: Skip<'_>) -> Result<(), Error> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable(path))? {
        names.push(entry.map_err(unreadable(path))?.file_name());
        if names.len().is_multiple_of(1024) {
            walk.shared.go_on()?;
        }
    }
    names.sort_unstable();
    for name in names {
        let relative = relative.join(&name);
        if skip(&relative) {
            continue;
        }
        let path = path.join(&name);
        let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
        child(walk, &name, path, relative, &metadata, skip)?;
    }
    Ok(())
}

fn child(
    walk: &mut Walk<'_, '_>,
    name: &OsStr,
    path: PathBuf,
    relative: PathBuf,
    metadata: &Metadata,
    skip: Skip<'_>,
) -> Result<(), Error> {
    let (name, meta) = (name.as_bytes(), Meta::from(metadata));
    match NodeKind::of_mode(meta.mode) {
        Some(NodeKind::Directory) => {
            walk.enter(name, &meta, &path)?;
            directory(walk, &path, &relative, skip)?;
            walk.leave()
        }
        Some(NodeKind::File) => {
            walk.shared.request.control.add_total(meta.size_bytes);
            walk.file(name, &Entry { path: relative, kind: EntryKind::File, meta, read_from: path })
        }
        Some(NodeKind::Symlink) => {
            let target = fs::read_link(&path).map_err(unreadable(&path))?;
            walk.symlink(name, &meta, &target)
        }
        Some(kind @ (NodeKind::BlockDevice | NodeKind::CharacterDevice | NodeKind::Fifo)) => {
            walk.special(name, kind, &meta, metadata.rdev(), &path)
        }
        // restic leaves sockets out: they are of the process that listens
        Some(NodeKind::Socket) | None => Ok(()),
    }
}

/// Where a listed directory's extended attributes are: a list need not say where a directory is read, as a staging directory may
/// have the files alone.
fn attributes_of(entry: &Entry) -> &Path {
    if fs::symlink_metadata(&entry.read_from).is_ok() { &entry.read_from } else { Path::new("") }
}

/// Walks a list. Directories that stand in a path but not in the list are recorded without metadata.
fn listed(walk: &mut Walk<'_, '_>, entries: &[Entry]) -> Result<(), Error> {
    let total = entries.iter().filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.meta.size_bytes).sum();
    walk.shared.request.control.add_total(total);
    // paths compare name by name: the order of a depth-first walk
    let mut sorted: Vec<&Entry> = entries.iter().filter(|entry| !entry.path.as_os_str().is_empty()).collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut inside = PathBuf::new();
    for entry in sorted {
        let unusable = |reason| Error::UnusablePath { path: entry.path.clone(), reason };
        if !entry.path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(unusable("it is not below the source"));
        }
        let (Some(parent), Some(name)) = (entry.path.parent(), entry.path.file_name()) else {
            return Err(unusable("it has no name"));
        };
        while !parent.starts_with(&inside) {
            walk.leave()?;
            inside.pop();
        }
        let missing: Vec<&OsStr> = parent.strip_prefix(&inside).map(|rest| rest.iter().collect()).unwrap_or_default();
        for name in missing {
            walk.enter(name.as_bytes(), &UNKNOWN_DIRECTORY, Path::new(""))?;
            inside.push(name);
        }
        match &entry.kind {
            EntryKind::Directory => {
                walk.enter(name.as_bytes(), &entry.meta, attributes_of(entry))?;
                inside.push(name);
            }
            EntryKind::File => walk.file(name.as_bytes(), entry)?,
            EntryKind::Symlink { target } => walk.symlink(name.as_bytes(), &entry.meta, target)?,
        }
    }
    for _ in inside.iter() {
        walk.leave()?;
    }
    Ok(())
}
