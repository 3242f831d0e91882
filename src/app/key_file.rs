//! Files of keys in the storage: written whole or not at all, also after a power cut, for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file where there is none. False, and nothing changed, when there is one: another process was first.
pub(super) fn create(path: &Path, text: &str) -> io::Result<bool> {
    let unfinished = write_new(path, text)?;
    let placed = place(&unfinished, path);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return placed.and(Err(error)),
        _ => {}
    }
    let placed = placed?;
    sync_parent(path)?;
    Ok(placed)
}

/// Writes a file in the place of what is there.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    fs::rename(write_new(path, text)?, path)?;
    sync_parent(path)
}

/// Under a name of its own: two computers that share a storage may have the same process ids.
fn write_new(path: &Path, text: &str) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let unfinished = path.with_extension(format!("key.tmp.{}", hex::encode(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(unfinished)
}

/// A link does not replace a file that another process has put there; where there are no links, a rename has to do.
fn place(unfinished: &Path, path: &Path) -> io::Result<bool> {
    match fs::hard_link(unfinished, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(_) => fs::rename(unfinished, path).map(|()| true),
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
