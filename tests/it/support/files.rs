//! Trees of files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The real sample workspace.
pub(crate) fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workspaces/sample")
}

/// Makes a directory with one small file.
pub(crate) fn small(directory: &Path) -> PathBuf {
    fs::create_dir(directory).unwrap();
    fs::write(directory.join("note"), "a note").unwrap();
    directory.to_owned()
}

/// Copies a directory with all that is in it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All there is below a directory, one line each: path, type, mode, modification time, content. Equal lines mean equal trees.
pub(crate) fn describe(directory: &Path) -> Vec<String> {
    let mut lines = vec![];
    walk(directory, directory, &mut lines);
    lines.sort();
    lines
}

fn walk(root: &Path, directory: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap();
        let (mode, seconds, nanos) = (metadata.permissions().mode(), metadata.mtime(), metadata.mtime_nsec());
        let content = if metadata.is_symlink() {
            format!("-> {:?}", fs::read_link(&path).unwrap())
        } else if metadata.is_file() {
            format!("{} bytes, hash {:x}", metadata.len(), crc(&fs::read(&path).unwrap()))
        } else {
            String::new()
        };
        lines.push(format!("{name:?} {mode:o} {seconds}.{nanos:09} {content}"));
        if metadata.is_dir() {
            walk(root, &path, lines);
        }
    }
}

/// Tells different contents apart, in a test where nobody means harm.
fn crc(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What Lightkeep has left below a directory for its own use.
pub(crate) fn staged(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".lightkeep-")) {
            found.push(path);
        } else if path.is_dir() && !path.is_symlink() {
            found.extend(staged(&path));
        }
    }
    found
}

/// What restores have kept of a directory's earlier states.
pub(crate) fn kept(target: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}_pre_restore_", target.file_name().unwrap().to_str().unwrap());
    let entries = fs::read_dir(target.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let mut kept: Vec<PathBuf> = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(&prefix)).collect();
    kept.sort();
    kept
}
