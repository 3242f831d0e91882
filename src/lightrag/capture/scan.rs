//! Looking at a source: what is in it, in the order in which a snapshot records it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::control::Control;
use crate::domain::entry::{Entry, EntryKind, Generation, Meta};
use crate::lightrag::Error;
use crate::lightrag::workspace::{is_other_workspace, is_own, is_transient};

/// Lists a workspace: depth first, names in each directory by their bytes, a directory before what is in it, the source itself first.
/// Left out are other workspaces, LightRAG's unfinished writes, our own files, and what a snapshot cannot keep (sockets, pipes, devices).
pub(in crate::lightrag) fn scan(source: &Path, control: &Control) -> Result<Vec<Entry>, Error> {
    let unreadable = |error| Error::SourceUnreadable { path: source.to_path_buf(), source: error };
    let metadata = fs::metadata(source).map_err(unreadable)?;
    let mut entries =
        vec![Entry { path: PathBuf::new(), kind: EntryKind::Directory, meta: Meta::from(&metadata), read_from: source.to_path_buf() }];
    scan_below(source, Path::new(""), &mut entries, control)?;
    Ok(entries)
}

fn scan_below(source: &Path, below: &Path, entries: &mut Vec<Entry>, control: &Control) -> Result<(), Error> {
    control.go_on()?;
    let directory = source.join(below);
    let unreadable = |error| Error::SourceUnreadable { path: directory.clone(), source: error };
    let mut names = Vec::new();
    match fs::read_dir(&directory) {
        Ok(listing) => {
            for item in listing {
                names.push(item.map_err(unreadable)?.file_name());
            }
        }
        // It went away since its parent was listed; the comparison of generations finds out.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !below.as_os_str().is_empty() => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    }
    names.sort_unstable();
    for name in names {
        if let Some(entry) = look(source, below, &name)? {
            let descend = (entry.kind == EntryKind::Directory).then(|| entry.path.clone());
            entries.push(entry);
            if let Some(path) = descend {
                scan_below(source, &path, entries, control)?;
            }
        }
    }
    Ok(())
}

/// One entry, if it belongs to the workspace and is still there.
fn look(source: &Path, below: &Path, name: &OsStr) -> Result<Option<Entry>, Error> {
    if is_own(name) || is_transient(name) {
        return Ok(None);
    }
    let path = below.join(name);
    let read_from = source.join(&path);
    let unreadable = |error| Error::SourceUnreadable { path: read_from.clone(), source: error };
    let metadata = match fs::symlink_metadata(&read_from) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let kind = if metadata.is_file() {
        EntryKind::File
    } else if metadata.is_dir() {
        if below.as_os_str().is_empty() && is_other_workspace(&read_from).map_err(unreadable)? {
            return Ok(None);
        }
        EntryKind::Directory
    } else if metadata.is_symlink() {
        match fs::read_link(&read_from) {
            Ok(target) => EntryKind::Symlink { target },
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
    } else {
        tracing::warn!(path = %read_from.display(), "left out of the snapshot: neither a file, a directory nor a link");
        return Ok(None);
    };
    Ok(Some(Entry { path, kind, meta: Meta::from(&metadata), read_from }))
}

/// Whether two looks at a source saw the same: the same paths, and files and links of the same generation. Of directories only the
/// path counts, since LightRAG's unfinished writes (and our own staging directory) change their times.
pub(super) fn same(before: &[Entry], after: &[Entry]) -> bool {
    type Seen<'a> = HashMap<&'a Path, (&'a EntryKind, Option<Generation>)>;
    fn seen(entries: &[Entry]) -> Seen<'_> {
        let generation = |entry: &Entry| (entry.kind != EntryKind::Directory).then(|| entry.meta.generation());
        entries.iter().map(|entry| (entry.path.as_path(), (&entry.kind, generation(entry)))).collect()
    }
    before.len() == after.len() && seen(before) == seen(after)
}
