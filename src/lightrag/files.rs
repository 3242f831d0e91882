//! The files of a workspace, wherever they lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::workspace::{Store, is_faiss};
use crate::domain::entry::{Entry, EntryKind, Meta};

/// The files of a workspace that stands still: a directory, or a snapshot in a repository. Asked from several threads.
pub trait Files: Sync {
    /// Opens a file by its path below the workspace, from `offset` bytes on; `None` when there is none, or it is no regular file.
    ///
    /// # Errors
    /// It cannot be read.
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send + '_>>>;

    /// Opens a file from its beginning.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        self.open_at(path, 0)
    }

    /// What names a file's content: two files with the same id have the same content, in whatever workspaces they lie. `None` where it
    /// is not known without reading, or there is no such file.
    ///
    /// # Errors
    /// It cannot be looked up.
    fn content_id(&self, path: &Path) -> io::Result<Option<[u8; 32]>> {
        let _ = path;
        Ok(None)
    }

    /// Whether a file still is what it was when the workspace was fixed. Always true where nobody can change it.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn is_as_fixed(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// The regular files directly in the workspace.
    ///
    /// # Errors
    /// They cannot be listed.
    fn list(&self) -> io::Result<Vec<Listed>>;
}

/// A file of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the workspace.
    pub path: PathBuf,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Last change of its content: microseconds since the epoch.
    pub modified_micros: i64,
}

/// The files in a directory.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl Files for Directory {
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        open_regular(&self.0.join(path), offset)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            // One that has just gone was a write that is over.
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            if metadata.is_file() {
                let modified_micros = micros(Meta::from(&metadata).modified);
                files.push(Listed { path: PathBuf::from(entry.file_name()), size_bytes: metadata.len(), modified_micros });
            }
        }
        Ok(files)
    }
}

/// The files that a capture holds, wherever it reads them.
#[derive(Debug, Clone, Copy)]
pub struct Captured<'a>(pub &'a [Entry]);

impl Files for Captured<'_> {
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        let entry = self.0.iter().find(|entry| entry.path == path && entry.kind == EntryKind::File);
        let Some(entry) = entry else { return Ok(None) };
        // A file that is held open is read by the link in `/proc`, which is followed.
        let mut file = File::open(&entry.read_from)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Some(Box::new(file)))
    }

    /// A link keeps a file that is replaced, not one that is written in place, as LightRAG before 1.5 does.
    fn is_as_fixed(&self, path: &Path) -> io::Result<bool> {
        let Some(entry) = self.0.iter().find(|entry| entry.path == path) else { return Ok(false) };
        match std::fs::metadata(&entry.read_from) {
            Ok(metadata) => Ok(Meta::from(&metadata).generation() == entry.meta.generation()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let files = self.0.iter().filter(|entry| entry.kind == EntryKind::File && entry.path.components().count() == 1);
        let listed = |entry: &Entry| {
            let (size_bytes, modified_micros) = (entry.meta.size_bytes, micros(entry.meta.modified));
            Listed { path: entry.path.clone(), size_bytes, modified_micros }
        };
        Ok(files.map(listed).collect())
    }
}

fn open_regular(path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send>>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Some(Box::new(file)))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn micros((seconds, nanos): (i64, u32)) -> i64 {
    seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1000))
}

/// A store's file in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lightrag) struct StoreFile {
    pub(in crate::lightrag) store: Store,
    /// Below the workspace.
    pub(in crate::lightrag) path: PathBuf,
    pub(in crate::lightrag) size_bytes: u64,
}

/// The store files of a workspace, one for each store. Where a workspace has changed from one store of vectors to another and the files
/// of both are there, those that were written last are in use.
pub(in crate::lightrag) fn store_files(files: &dyn Files) -> io::Result<Vec<StoreFile>> {
    let mut newest: BTreeMap<Store, Listed> = BTreeMap::new();
    for file in files.list()? {
        let Some(store) = Store::of_path(&file.path) else { continue };
        if newest.get(&store).is_none_or(|other| (other.modified_micros, &other.path) < (file.modified_micros, &file.path)) {
            newest.insert(store, file);
        }
    }
    for (rows, index) in Store::VECTORS {
        if newest.get(&rows).is_some_and(|file| !is_faiss(&file.path)) {
            newest.remove(&index);
        }
    }
    Ok(newest.into_iter().map(|(store, file)| StoreFile { store, path: file.path, size_bytes: file.size_bytes }).collect())
}
