//! What is checked of a restore's target before any byte is restored.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use crate::lightrag::Error;

/// A target that can be restored into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The directory itself, links resolved.
    pub directory: PathBuf,
    /// Whether there is something now.
    pub exists: bool,
    /// The directory beside it, where the restored tree is made.
    pub parent: PathBuf,
}

/// Checks a target, and makes its missing parent directories.
///
/// # Errors
/// [`Error::TargetNotDirectory`], [`Error::TargetNameless`], [`Error::TargetUnwritable`], and [`Error::TargetFull`] when fewer than
/// `needed_bytes` are free.
pub fn preflight_target(target: &Path, needed_bytes: u64) -> Result<Target, Error> {
    if let Some(parent) = target.parent()
        && !parent.as_os_str().is_empty()
    {
        fs::create_dir_all(parent).map_err(|source| Error::TargetUnwritable { path: parent.to_path_buf(), source })?;
    }
    let found = resolve(target)?;
    let unwritable = |source: io::Error| Error::TargetUnwritable { path: found.parent.clone(), source };
    access(&found.parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|errno| unwritable(errno.into()))?;
    for place in places_written(&found.directory) {
        let free_bytes = free_bytes(&place)?;
        if free_bytes < needed_bytes {
            return Err(Error::TargetFull { path: place, free_bytes, needed_bytes });
        }
    }
    Ok(found)
}

/// The directories where a restore needs room: the one beside the target, where the restored tree is made, or the one around it that is
/// there already; and a target that is there, since its entries are copied into it where it is a file system of its own.
pub fn places_written(target: &Path) -> Vec<PathBuf> {
    let around = target.ancestors().skip(1).find(|place| place.is_dir()).unwrap_or(Path::new("/"));
    let itself = target.is_dir().then(|| target.to_path_buf());
    std::iter::once(around.to_path_buf()).chain(itself).collect()
}

/// How much may be written on the file system of a directory, bytes.
///
/// # Errors
/// [`Error::TargetUnwritable`] when that cannot be told.
pub fn free_bytes(place: &Path) -> Result<u64, Error> {
    Ok(room(place)?.0)
}

/// How much of the file system of a place is free for us, and how large it is, bytes.
///
/// # Errors
/// It cannot be asked.
pub fn room(place: &Path) -> Result<(u64, u64), Error> {
    let room = statvfs(place).map_err(|errno| Error::TargetUnwritable { path: place.to_path_buf(), source: errno.into() })?;
    Ok((room.f_bavail.saturating_mul(room.f_frsize), room.f_blocks.saturating_mul(room.f_frsize)))
}

/// Whether files may be made in a directory.
pub fn is_writable(place: &Path) -> bool {
    access(place, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Finds the directory that a target's name means.
pub(super) fn resolve(target: &Path) -> Result<Target, Error> {
    let nameless = || Error::TargetNameless { path: target.to_path_buf() };
    let unwritable = |source| Error::TargetUnwritable { path: target.to_path_buf(), source };
    let exists = match fs::symlink_metadata(target) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::TargetNotDirectory { path: target.to_path_buf() });
        }
        Err(error) => return Err(unwritable(error)),
    };
    let directory = if exists {
        // A link that points nowhere is in the way as a file is.
        let real = fs::canonicalize(target).map_err(|_| Error::TargetNotDirectory { path: target.to_path_buf() })?;
        if !real.is_dir() {
            return Err(Error::TargetNotDirectory { path: target.to_path_buf() });
        }
        real
    } else {
        let name = target.file_name().ok_or_else(nameless)?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::canonicalize(parent).map_err(unwritable)?.join(name)
    };
    if directory.to_str().is_none() {
        return Err(nameless());
    }
    let parent = directory.parent().ok_or_else(nameless)?.to_path_buf();
    Ok(Target { directory, exists, parent })
}
