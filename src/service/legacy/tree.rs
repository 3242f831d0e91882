//! The old server's storage: `<graph_id>/<backup_id>/`, each a plain copy of a graph's directory. It is only read.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::LeftOut;
use super::details::Details;
use crate::base::ids::SnapshotId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;

/// Files that the old server may have left in a copy, or beside it, to say what it is. They count where they name the copy.
const NOTES: [&str; 2] = ["backup_metadata.json", "metadata.json"];

/// A note is no graph: a larger file is none.
const NOTE_BYTES_MAX: u64 = 1024 * 1024;

/// A copy, as it lies there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) graph_id: GraphId,
    pub(super) snapshot_id: SnapshotId,
    pub(super) directory: PathBuf,
    /// What a file in it or beside it says.
    pub(super) note: Details,
    /// When its directory was changed last.
    pub(super) modified_at: Timestamp,
    pub(super) figures: Figures,
}

/// What is in a copy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Regular files.
    pub(super) files: u64,
    /// Sum of their sizes, bytes.
    pub(super) size_bytes: u64,
    /// Links.
    pub(super) links: u64,
    /// Those that lead out of the copy.
    pub(super) links_out: u64,
    /// What is neither file, directory nor link.
    pub(super) others: u64,
}

/// What lies in the old storage.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) copies: Vec<Found>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Looks at all copies of these graphs, or of all where none is named.
///
/// # Errors
/// The directory itself cannot be listed.
pub(super) fn look(root: &Path, only: &BTreeSet<GraphId>) -> io::Result<Tree> {
    let mut tree = Tree::default();
    for (path, kind) in list(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let graph_id = GraphId::parse(&name);
        if !only.is_empty() && !graph_id.as_ref().is_ok_and(|graph_id| only.contains(graph_id)) {
            continue;
        }
        match (kind, graph_id) {
            (Kind::Other, _) => tree.left_out.push(LeftOut::beside(&path, "it is no directory")),
            (Kind::Link, _) => {
                tree.left_out.push(LeftOut::failed(&path, "it is a link, and links are not followed: copy what it leads to"))
            }
            (Kind::Unreadable(error), _) => tree.left_out.push(LeftOut::failed(&path, format!("it cannot be read: {error}"))),
            (Kind::Directory, Err(error)) => tree.left_out.push(LeftOut::failed(&path, format!("its name is no graph id: {error}"))),
            (Kind::Directory, Ok(graph_id)) if graph_id.is_copy() => {
                tree.left_out.push(LeftOut::failed(&path, "its name is no graph id: `@` names copies from other places"));
            }
            (Kind::Directory, Ok(graph_id)) => look_at_graph(&path, &graph_id, &mut tree),
        }
    }
    Ok(tree)
}

fn look_at_graph(directory: &Path, graph_id: &GraphId, tree: &mut Tree) {
    let entries = match list(directory) {
        Ok(entries) => entries,
        Err(error) => return tree.left_out.push(LeftOut::failed(directory, format!("it cannot be read: {error}"))),
    };
    if entries.is_empty() {
        return tree.left_out.push(LeftOut::beside(directory, "it is empty"));
    }
    for (path, kind) in entries {
        let id = id_of(&path);
        match (kind, id) {
            // The note of a copy beside it.
            (Kind::Other, _) if path.extension() == Some(OsStr::new("json")) && id_of(&path.with_extension("")).is_some() => {}
            (Kind::Other, _) => tree.left_out.push(LeftOut::beside(&path, "it is no directory")),
            (Kind::Link, _) => {
                tree.left_out.push(LeftOut::failed(&path, "it is a link, and links are not followed: copy what it leads to"))
            }
            (Kind::Unreadable(error), _) => tree.left_out.push(LeftOut::failed(&path, format!("it cannot be read: {error}"))),
            (Kind::Directory, None) => tree.left_out.push(LeftOut::failed(&path, "its name is no UUID")),
            (Kind::Directory, Some(snapshot_id)) => match look_at_copy(&path, graph_id, snapshot_id) {
                Ok(found) if found.figures.files + found.figures.links == 0 => {
                    tree.left_out.push(LeftOut::failed(&path, "it holds no file"));
                }
                Ok(found) => tree.copies.push(found),
                Err((at, error)) => {
                    let at = at.strip_prefix(&path).unwrap_or(&at).display();
                    tree.left_out.push(LeftOut::failed(&path, format!("it cannot be read: `{at}`: {error}")));
                }
            },
        }
    }
}

fn id_of(path: &Path) -> Option<SnapshotId> {
    SnapshotId::parse(path.file_name()?.to_str()?)
}

fn look_at_copy(directory: &Path, graph_id: &GraphId, snapshot_id: SnapshotId) -> Result<Found, (PathBuf, io::Error)> {
    let metadata = fs::metadata(directory).map_err(|error| (directory.to_path_buf(), error))?;
    let mut figures = Figures::default();
    count(directory, directory, &mut figures)?;
    let mut notes: Vec<PathBuf> = NOTES.iter().map(|name| directory.join(name)).collect();
    notes.push(directory.with_file_name(format!("{}.json", directory.file_name().unwrap_or_default().to_string_lossy())));
    let note = notes.iter().filter_map(|path| note(path, snapshot_id)).fold(Details::default(), Details::or);
    let directory = directory.to_path_buf();
    Ok(Found { graph_id: graph_id.clone(), snapshot_id, directory, note, modified_at: modified_at(&metadata), figures })
}

fn modified_at(metadata: &Metadata) -> Timestamp {
    Timestamp::from_micros(metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000))
}

/// Counts what is below `directory`, and tries whether each file can be opened.
fn count(root: &Path, directory: &Path, figures: &mut Figures) -> Result<(), (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        |error| (path, error)
    };
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let path = entry.map_err(at(directory))?.path();
        let metadata = fs::symlink_metadata(&path).map_err(at(&path))?;
        if metadata.is_dir() {
            count(root, &path, figures)?;
        } else if metadata.is_file() {
            File::open(&path).map_err(at(&path))?;
            figures.files += 1;
            figures.size_bytes += metadata.len();
        } else if metadata.is_symlink() {
            figures.links += 1;
            figures.links_out += u64::from(leads_out(root, &path, &fs::read_link(&path).map_err(at(&path))?));
        } else {
            figures.others += 1;
        }
    }
    Ok(())
}

/// Whether a link leads out of the copy, by its text alone.
fn leads_out(root: &Path, link: &Path, target: &Path) -> bool {
    let mut place = PathBuf::new();
    for component in link.parent().unwrap_or(root).join(target).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(place.pop()),
            other => place.push(other),
        }
    }
    !place.starts_with(root)
}

/// What a file says about the copy, if it is about this one: a graph may have a file of that name too.
fn note(path: &Path, snapshot_id: SnapshotId) -> Option<Details> {
    fs::symlink_metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() <= NOTE_BYTES_MAX)?;
    let Value::Object(fields) = serde_json::from_slice(&fs::read(path).ok()?).ok()? else { return None };
    let named = fields.get("backup_id")?.as_str().and_then(SnapshotId::parse)?;
    (named == snapshot_id).then(|| Details::new(fields))
}

enum Kind {
    Directory,
    Link,
    Other,
    Unreadable(io::Error),
}

/// What lies in a directory, by its names.
fn list(directory: &Path) -> io::Result<Vec<(PathBuf, Kind)>> {
    let mut paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    let kind = |path: &PathBuf| match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Kind::Directory,
        Ok(metadata) if metadata.is_symlink() => Kind::Link,
        Ok(_) => Kind::Other,
        Err(error) => Kind::Unreadable(error),
    };
    Ok(paths.into_iter().map(|path| (kind(&path), path)).map(|(kind, path)| (path, kind)).collect())
}
