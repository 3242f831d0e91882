//! By what a directory is known again that nobody has written to.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// A hash over the names, modes, sizes and times of modification of all that is below a directory. Not over contents: whoever writes a file
/// gives it another time. Blocks.
///
/// # Errors
/// Something cannot be looked at.
pub(super) fn fingerprint(directory: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    add_entries(&mut hash, directory)?;
    Ok(hex::encode(hash.finalize()))
}

fn add(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    hash.update(metadata.mode().to_le_bytes());
    hash.update(metadata.mtime().to_le_bytes());
    hash.update(metadata.mtime_nsec().to_le_bytes());
    if !metadata.is_dir() {
        hash.update(metadata.len().to_le_bytes());
        return Ok(());
    }
    add_entries(hash, path)
}

fn add_entries(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    hash.update((names.len() as u64).to_le_bytes());
    for name in names {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        add(hash, &path.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_seen_and_a_move_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (stood, moved) = (directory.path().join("a"), directory.path().join("b"));
        fs::create_dir_all(stood.join("inner")).unwrap();
        fs::write(stood.join("inner/file"), "one").unwrap();
        let before = fingerprint(&stood).unwrap();
        fs::rename(&stood, &moved).unwrap();
        assert_eq!(fingerprint(&moved).unwrap(), before);
        let old = fs::metadata(moved.join("inner/file")).unwrap().modified().unwrap();
        fs::write(moved.join("inner/file"), "two").unwrap();
        let written = fs::File::options().write(true).open(moved.join("inner/file")).unwrap();
        written.set_modified(old + std::time::Duration::from_millis(1)).unwrap();
        assert_ne!(fingerprint(&moved).unwrap(), before);
        written.set_modified(old).unwrap();
        assert_eq!(fingerprint(&moved).unwrap(), before);
        fs::write(moved.join("inner/more"), "").unwrap();
        assert_ne!(fingerprint(&moved).unwrap(), before);
        assert!(fingerprint(&stood).is_err());
    }
}
