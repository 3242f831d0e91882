//! Putting a restored graph in place: afterwards, and after a crash and [`recover_apply`], the target is the old tree or the new, whole.
//!
//! The restored directory is exchanged with the target in one step, and the old tree kept. Where a directory cannot be exchanged (it is a
//! mount point, the file system refuses, it holds other workspaces' live directories) its entries are exchanged one by one, under a
//! journal that is followed to its end, by this process or the next.

mod entries;
mod journal;
mod preflight;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::base::failpoint;
use crate::lightrag::Error;

pub(in crate::lightrag) use journal::journal_name;
use journal::{Identity, Journal, Method, sync_directory};
pub use preflight::{Target, free_bytes, is_writable, places_written, preflight_target, room};

/// Called at each step where a crash matters. Production passes the fail points; tests stop here.
type Reach<'r> = &'r mut dyn FnMut(&'static str) -> Result<(), Error>;

/// Says of a directory directly in a target whether it is another's and stays in it.
pub type Stays<'s> = &'s dyn Fn(&Path) -> io::Result<bool>;

/// How a restored graph was put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Where the old tree is, if there was one. Beside the target, or inside it where that is a file system of its own.
    pub kept_as: Option<PathBuf>,
    /// Whether entries were exchanged one by one, so that a reader could see some old and some new for a moment.
    pub entry_by_entry: bool,
}

/// What became of an interrupted restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// There was none.
    Nothing,
    /// The target is the old tree; the restored one waits beside it.
    Undone,
    /// The target is the new tree.
    Completed,
}

/// Puts `restored`, a verified and flushed directory beside `target`, in `target`'s place; the old one becomes `keep_as`. What is
/// another's in the target stays in it, untouched: of a workspace, what [`is_other_workspace`](super::workspace::is_other_workspace) says.
///
/// # Errors
/// [`Error::TargetNotDirectory`], [`Error::KeepTaken`], [`Error::TargetConflict`], and [`Error::Apply`] for a step that failed: then
/// [`recover_apply`] finds out what holds.
pub fn apply(restored: &Path, target: &Path, keep_as: &Path, stays: Stays<'_>) -> Result<Applied, Error> {
    apply_with(restored, target, keep_as, stays, true, &mut |step| {
        failpoint::reach(step);
        Ok(())
    })
}

/// Checks what would keep [`apply`] from being done, as far as that can be known before.
///
/// # Errors
/// [`Error::TargetNotDirectory`], [`Error::KeepTaken`], [`Error::TargetConflict`]; [`Error::Apply`] when that cannot be seen.
pub fn check_apply(restored: &Path, target: &Path, keep_as: &Path, stays: Stays<'_>) -> Result<(), Error> {
    let found = preflight::resolve(target)?;
    kept_place(&found, keep_as)?;
    if found.exists { entries::check_names(restored, &found.directory, stays).map(drop) } else { Ok(()) }
}

/// The path that the old tree is kept as, which must be free.
fn kept_place(target: &Target, keep_as: &Path) -> Result<PathBuf, Error> {
    let keep_as = target.parent.join(keep_as.file_name().ok_or_else(|| Error::KeepTaken { path: keep_as.to_path_buf() })?);
    match Identity::of(&keep_as) {
        Ok(None) => Ok(keep_as),
        Ok(Some(_)) => Err(Error::KeepTaken { path: keep_as }),
        Err(source) => Err(Error::Apply { step: "looking at", path: keep_as, source }),
    }
}

fn apply_with(restored: &Path, target: &Path, keep_as: &Path, stays: Stays<'_>, whole: bool, reach: Reach<'_>) -> Result<Applied, Error> {
    let found = preflight::resolve(target)?;
    let keep_as = kept_place(&found, keep_as)?;
    let target = found.directory;
    let at = |step, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Apply { step, path, source }
    };
    let restored = fs::canonicalize(restored).map_err(at("finding", restored))?;
    let old = Identity::of(&target).map_err(at("looking at", &target))?;
    let Some(new) = Identity::of(&restored).map_err(at("looking at", &restored))? else {
        return Err(at("finding", &restored)(io::ErrorKind::NotFound.into()));
    };
    if whole && (old.is_none() || !entries::holds_others(&target, stays)?) {
        let method = Method::Whole { new, old };
        let journal = Journal { restored: restored.clone(), target: target.clone(), keep_as: keep_as.clone(), method };
        journal.write()?;
        reach("apply.journal_written")?;
        let flags = if old.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        match renameat_with(CWD, &restored, CWD, &target, flags) {
            Ok(()) => {
                reach("apply.exchanged")?;
                finish_whole(&journal, reach)?;
                return Ok(Applied { kept_as: old.map(|_| keep_as), entry_by_entry: false });
            }
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) if old.is_none() => {
                // No flags here, and nothing to lose: a plain rename never replaces a directory that has something in it.
                fs::rename(&restored, &target).map_err(at("renaming", &restored))?;
                finish_whole(&journal, reach)?;
                return Ok(Applied { kept_as: None, entry_by_entry: false });
            }
            Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP | Errno::BUSY | Errno::XDEV | Errno::PERM | Errno::ACCESS)
                if old.is_some() => {}
            Err(errno) => {
                journal.remove()?;
                return Err(at("exchanging", &target)(errno.into()));
            }
        }
        journal.remove()?;
    }
    let journal = entries::plan(&restored, &target, &keep_as, stays)?;
    journal.write()?;
    reach("apply.journal_written")?;
    entries::follow(&journal, reach)?;
    Ok(Applied { kept_as: Some(journal.keep_as), entry_by_entry: true })
}

/// After the directory has been exchanged: the old one, now where the restored one was, is given the name to keep it by.
fn finish_whole(journal: &Journal, reach: Reach<'_>) -> Result<(), Error> {
    let Method::Whole { old: Some(old), .. } = &journal.method else {
        flush_parent(&journal.target)?;
        return journal.remove();
    };
    let look = |path: &Path| Identity::of(path).map_err(|source| Error::Apply { step: "looking at", path: path.to_path_buf(), source });
    flush_parent(&journal.target)?;
    if look(&journal.restored)? == Some(*old) {
        if look(&journal.keep_as)?.is_some() {
            return Err(Error::KeepTaken { path: journal.keep_as.clone() });
        }
        let failed = |source| Error::Apply { step: "renaming", path: journal.restored.clone(), source };
        fs::rename(&journal.restored, &journal.keep_as).map_err(failed)?;
        flush_parent(&journal.target)?;
    }
    reach("apply.kept")?;
    journal.remove()
}

fn flush_parent(path: &Path) -> Result<(), Error> {
    sync_directory(path.parent()).map_err(|source| Error::Apply {
        step: "flushing the parent directory of",
        path: path.to_path_buf(),
        source,
    })
}

/// Completes or undoes a restore into `target` that was interrupted. To be called before the target is used, at each start.
///
/// # Errors
/// [`Error::Apply`] for a step that failed, [`Error::Journal`] for a journal that cannot be understood.
pub fn recover_apply(target: &Path) -> Result<Recovered, Error> {
    let target = match preflight::resolve(target) {
        Ok(found) => found.directory,
        // Without a parent directory there is no journal either.
        Err(Error::TargetUnwritable { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Recovered::Nothing),
        Err(error) => return Err(error),
    };
    let mut recovered = Recovered::Nothing;
    for journal in Journal::find(&target)? {
        recovered = match &journal.method {
            Method::Whole { new, .. } => {
                let there = Identity::of(&target).map_err(|source| Error::Apply { step: "looking at", path: target.clone(), source })?;
                if there == Some(*new) {
                    finish_whole(&journal, &mut |_| Ok(()))?;
                    Recovered::Completed
                } else {
                    journal.remove()?;
                    Recovered::Undone
                }
            }
            Method::Entries { .. } => entries::recover(&journal)?,
        };
        tracing::info!(target_directory = %target.display(), ?recovered, "interrupted restore put right");
    }
    Ok(recovered)
}

#[cfg(test)]
mod tests;
