//! The files of a workspace, wherever they lie.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The files of a workspace that stands still: a directory, or a snapshot in a repository. Asked from several threads.
pub trait Files: Sync {
    /// Opens a file by its path below the workspace, from its beginning; `None` when there is none, or it is no regular file.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send + '_>>>;

    /// What names a file's content: two files with the same id have the same content, in whatever workspaces they lie. `None` where it
    /// is not known without reading, or there is no such file.
    ///
    /// # Errors
    /// It cannot be looked up.
    fn content_id(&self, path: &Path) -> io::Result<Option<[u8; 32]>> {
        let _ = path;
        Ok(None)
    }

    /// The names of the files and directories directly in the workspace, in the order of their bytes.
    ///
    /// # Errors
    /// They cannot be listed.
    fn names(&self) -> io::Result<Vec<PathBuf>>;
}

/// The files in a directory.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl Files for Directory {
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        let path = self.0.join(path);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(Box::new(File::open(path)?))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            names.push(PathBuf::from(entry?.file_name()));
        }
        names.sort_unstable();
        Ok(names)
    }
}
