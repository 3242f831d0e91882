//! Paths as the rest of the program wants them: absolute, without `.` and `..`, links resolved where roots are compared.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The path from the working directory, without `.` and `..`. Links are left as they are, and nothing need exist.
pub(super) fn absolute(path: &Path, working_dir: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in working_dir.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

/// The path with its links resolved as far as it exists.
pub(super) fn resolved(path: &Path, working_dir: &Path) -> PathBuf {
    let path = working_dir.join(path);
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(ancestor), path.strip_prefix(ancestor)) {
            return absolute(rest, &real);
        }
    }
    absolute(&path, working_dir)
}

/// The real path of a directory that must exist. The error is the rest of a sentence.
pub(super) fn existing_directory(path: &Path, working_dir: &Path) -> Result<PathBuf, String> {
    let wrong = |what: &str| format!("{what}: {}", path.display());
    match fs::canonicalize(working_dir.join(path)) {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => Err(wrong("names something that is no directory, name directories only")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(wrong("names a directory that does not exist, create or remove it")),
        Err(error) => Err(format!("{}: {error}", wrong("names a directory that cannot be reached"))),
    }
}
