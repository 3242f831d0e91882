//! Exchanging a directory's entries one by one, where the directory itself has to stay.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use super::journal::{Identity, Journal, Method, Name, sync_directory};
use super::{Reach, Recovered, Stays};
use crate::lightrag::Error;
use crate::lightrag::workspace::{OWN_PREFIX, Store, is_own};

fn at(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Apply { step, path, source }
}

fn exists(path: &Path) -> Result<bool, Error> {
    Identity::of(path).map(|found| found.is_some()).map_err(at("looking at", path))
}

fn names_in(directory: &Path) -> Result<BTreeSet<Name>, Error> {
    let listing = fs::read_dir(directory).map_err(at("listing", directory))?;
    listing.map(|item| item.map(|item| Name::of(&item.file_name())).map_err(at("listing", directory))).collect()
}

/// The directories in `target` that a restore does not touch.
fn others_in(target: &Path, stays: Stays<'_>) -> Result<BTreeSet<Name>, Error> {
    let mut others = BTreeSet::new();
    for name in names_in(target)? {
        let path = target.join(name.as_os_str());
        let metadata = fs::symlink_metadata(&path).map_err(at("looking at", &path))?;
        if metadata.is_dir() && !is_own(name.as_os_str()) && stays(&path).map_err(at("looking at", &path))? {
            others.insert(name);
        }
    }
    Ok(others)
}

/// Whether `target` holds directories that have to stay in it.
pub(super) fn holds_others(target: &Path, stays: Stays<'_>) -> Result<bool, Error> {
    Ok(!others_in(target, stays)?.is_empty())
}

/// Refuses to restore an entry of the name of one that stays in the target. Gives the names of both.
pub(super) fn check_names(restored: &Path, target: &Path, stays: Stays<'_>) -> Result<(BTreeSet<Name>, BTreeSet<Name>), Error> {
    let (new, others) = (names_in(restored)?, others_in(target, stays)?);
    match new.intersection(&others).next() {
        None => Ok((new, others)),
        Some(taken) => {
            let name = taken.as_os_str().to_string_lossy().into_owned();
            Err(Error::TargetConflict { path: target.to_path_buf(), name })
        }
    }
}

/// Plans the exchange, and brings the restored entries onto the target's file system.
pub(super) fn plan(restored: &Path, target: &Path, keep_as: &Path, stays: Stays<'_>) -> Result<Journal, Error> {
    // Before names are listed: it takes away what an attempt has left that ended while it tried.
    let is_reached = restored.starts_with(target) || renames_reach(restored, target)?;
    let (new, others) = check_names(restored, target, stays)?;
    let mut new: Vec<Name> = new.into_iter().filter(|name| !is_own(name.as_os_str())).collect();
    let stays = |name: &Name| others.contains(name) || is_own(name.as_os_str());
    let mut old: Vec<Name> = names_in(target)?.into_iter().filter(|name| !stays(name)).collect();
    // The commit record leaves first and comes last, as LightRAG writes it.
    let is_commit = |name: &Name| name.as_os_str() == Store::DocStatus.file_name();
    old.sort_by_key(|name| (!is_commit(name), name.clone()));
    new.sort_by_key(|name| (is_commit(name), name.clone()));
    let inside = |path: &Path| target.join(path.file_name().unwrap_or_default());
    let (from, keep_as) = if restored.starts_with(target) {
        // What was kept in a target that is a file system of its own comes back.
        (restored.to_path_buf(), inside(keep_as))
    } else if is_reached {
        (restored.to_path_buf(), keep_as.to_path_buf())
    } else {
        // The target is a file system of its own: everything stays on it.
        let from = inside(restored);
        match fs::remove_dir_all(&from) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("removing", &from)(error)),
            _ => {}
        }
        let copied = copy_tree(restored, &from).and_then(|()| sync_directory(Some(target)));
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(&from);
            return Err(at("copying the restored files to", &from)(error));
        }
        (from, inside(keep_as))
    };
    if exists(&keep_as)? {
        return Err(Error::KeepTaken { path: keep_as });
    }
    let method = Method::Entries { from, old, new };
    Ok(Journal { restored: restored.to_path_buf(), target: target.to_path_buf(), keep_as, method })
}

/// Whether a file can be renamed from one directory to the other. Device numbers do not tell: a file system can be mounted twice.
fn renames_reach(restored: &Path, target: &Path) -> Result<bool, Error> {
    let name = format!("{OWN_PREFIX}probe");
    let (probe, moved) = (restored.join(&name), target.join(&name));
    File::create(&probe).map_err(at("writing", &probe))?;
    let renamed = fs::rename(&probe, &moved);
    let left = if renamed.is_ok() { moved } else { probe };
    fs::remove_file(&left).map_err(at("removing", &left))?;
    match renamed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Ok(false),
        Err(error) => Err(at("writing in", target)(error)),
    }
}

/// Copies a tree with modes, owners and times, and flushes it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if metadata.is_dir() {
        DirBuilder::new().mode(0o700).create(to)?;
        for item in fs::read_dir(from)? {
            let item = item?;
            copy_tree(&item.path(), &to.join(item.file_name()))?;
        }
    } else {
        fs::copy(from, to)?;
    }
    // Only root may give files away; without that they are ours, as the restored ones are.
    let _ = lchown(to, Some(metadata.uid()), Some(metadata.gid()));
    if !metadata.is_symlink() {
        fs::set_permissions(to, metadata.permissions())?;
        let file = File::open(to)?;
        file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        file.sync_all()?;
    }
    Ok(())
}

/// Follows a journal to its end. Each step is left out where it has been done.
pub(super) fn follow(journal: &Journal, reach: Reach<'_>) -> Result<(), Error> {
    let Method::Entries { from, old, new } = &journal.method else { return Ok(()) };
    let (target, keep_as) = (&journal.target, &journal.keep_as);
    match DirBuilder::new().mode(0o755).create(keep_as) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at("making", keep_as)(error)),
        _ => {}
    }
    // Once a new entry is in the target, an old name there can mean the new entry: then all old ones have left already.
    if !has_begun_to_move_in(from, new)? {
        for name in old {
            move_entry(name, target, keep_as)?;
            reach("apply.file_moved")?;
        }
        flush(keep_as)?;
        flush(target)?;
    }
    for name in new {
        move_entry(name, from, target)?;
        reach("apply.file_moved")?;
    }
    flush(target)?;
    sync_directory(keep_as.parent()).map_err(at("flushing", keep_as))?;
    reach("apply.kept")?;
    clear(journal, from)
}

/// Removes what is left beside a target that is whole, the journal last.
fn clear(journal: &Journal, from: &Path) -> Result<(), Error> {
    for left in [from, &journal.restored] {
        match fs::remove_dir_all(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("removing", left)(error)),
            _ => {}
        }
    }
    journal.remove()
}

fn has_begun_to_move_in(from: &Path, new: &[Name]) -> Result<bool, Error> {
    for name in new {
        if !exists(&from.join(name.as_os_str()))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Renames an entry, unless it has been, or is gone.
fn move_entry(name: &Name, from: &Path, to: &Path) -> Result<(), Error> {
    let source = from.join(name.as_os_str());
    match fs::rename(&source, to.join(name.as_os_str())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("moving", &source)(error)),
        _ => Ok(()),
    }
}

fn flush(directory: &Path) -> Result<(), Error> {
    sync_directory(Some(directory)).map_err(at("flushing", directory))
}

/// Completes an interrupted exchange; undoes it if the restored entries are not all there any more.
pub(super) fn recover(journal: &Journal) -> Result<Recovered, Error> {
    let Method::Entries { from, old, new } = &journal.method else { return Ok(Recovered::Nothing) };
    let mut in_target = Vec::new();
    let mut is_complete = true;
    for name in new {
        let waits = exists(&from.join(name.as_os_str()))?;
        let is_in = exists(&journal.target.join(name.as_os_str()))?;
        if !waits && is_in {
            in_target.push(name);
        }
        is_complete &= waits || is_in;
    }
    let mut has_begun = old.is_empty();
    for name in old {
        has_begun |= exists(&journal.keep_as.join(name.as_os_str()))?;
    }
    let is_reachable = exists(from)? || (has_begun && in_target.len() == new.len());
    if is_complete && is_reachable {
        follow(journal, &mut |_| Ok(()))?;
        return Ok(Recovered::Completed);
    }
    // Someone removed restored entries: the old tree is what can be whole.
    let aside: PathBuf = from.clone();
    fs::create_dir_all(&aside).map_err(at("making", &aside))?;
    let old_is_out = |name: &Name| exists(&journal.keep_as.join(name.as_os_str()));
    for name in in_target {
        if old_is_out(name)? || !old.contains(name) {
            move_entry(name, &journal.target, &aside)?;
        }
    }
    for name in old {
        if old_is_out(name)? {
            move_entry(name, &journal.keep_as, &journal.target)?;
        }
    }
    flush(&journal.target)?;
    let _ = fs::remove_dir(&journal.keep_as);
    journal.remove()?;
    Ok(Recovered::Undone)
}
