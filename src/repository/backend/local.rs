//! A repository in a local directory, in restic's default layout.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::FileKind;
use super::staged::{Staged, sync_directory};
use crate::base::timestamp::Timestamp;
use crate::repository::error::Error;
use crate::repository::format::id::FileId;

/// A local directory.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    root: PathBuf,
    sync: bool,
}

impl Local {
    /// The repository at `root`; `sync` says whether what is written must outlive a power cut.
    pub(crate) fn new(root: &Path, sync: bool) -> Self {
        Self { root: root.to_path_buf(), sync }
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file lies.
    pub(crate) fn path(&self, kind: FileKind, id: &FileId) -> PathBuf {
        let (mut path, name) = (self.root.join(kind.directory()), id.to_string());
        if kind == FileKind::Pack {
            path.push(&name[..2]);
        }
        path.push(name);
        path
    }

    /// Where the config lies: the one file without an id.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.root.join("config")
    }

    /// Creates the directories of the layout.
    pub(crate) fn create_layout(&self) -> Result<(), Error> {
        create_directory(&self.root, self.sync)?;
        for kind in [FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
            create_directory(&self.root.join(kind.directory()), false)?;
        }
        if self.sync { sync_directory(&self.root) } else { Ok(()) }
    }

    /// All files of a kind with their sizes in bytes. Files with other names are not the repository's.
    pub(crate) fn list(&self, kind: FileKind) -> Result<Vec<(FileId, u64)>, Error> {
        let mut files = Vec::new();
        let directory = self.root.join(kind.directory());
        if kind == FileKind::Lock && !directory.try_exists().map_err(Error::io("look for", &directory))? {
            // a copy made by a tool that leaves out empty directories; of other kinds a missing one is damage
            return Ok(files);
        }
        if kind != FileKind::Pack {
            list_directory(&directory, &mut files)?;
            return Ok(files);
        }
        for entry in fs::read_dir(&directory).map_err(Error::io("list", &directory))? {
            let name = entry.map_err(Error::io("list", &directory))?.file_name();
            let Some(digits) = name.to_str().filter(|name| name.len() == 2) else { continue };
            let mut packs = Vec::new();
            match list_directory(&directory.join(digits), &mut packs) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {}
                other => other?,
            }
            // Where nobody looks for it, a pack is not there.
            files.extend(packs.into_iter().filter(|(id, _)| id.to_string().starts_with(digits)));
        }
        Ok(files)
    }

    /// All bytes of a file.
    pub(crate) fn read(&self, kind: FileKind, id: &FileId) -> Result<Vec<u8>, Error> {
        let path = self.path(kind, id);
        fs::read(&path).map_err(Error::io("read", path))
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read_range(&self, kind: FileKind, id: &FileId, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let path = self.path(kind, id);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        file.read_exact_at(buffer, offset).map_err(Error::io("read", path))
    }

    /// Begins a file whose id is known only when it is complete.
    pub(crate) fn stage(&self) -> Result<Staged, Error> {
        Staged::create(&self.root)
    }

    /// Publishes a complete file, once: its name is the hash of its bytes, so one of that name is the same.
    pub(crate) fn write_once(&self, kind: FileKind, id: &FileId, staged: Staged) -> Result<(), Error> {
        staged.publish(&self.path(kind, id), self.sync)
    }

    /// Publishes the config; false, and nothing changed, when there is one.
    pub(crate) fn write_config(&self, bytes: &[u8]) -> Result<bool, Error> {
        let mut staged = self.stage()?;
        staged.write(bytes)?;
        staged.publish_new(&self.config_path(), self.sync)
    }

    /// Keeps other runs of ours from creating the same repository until the handle is dropped; `None` where the file system
    /// cannot do that.
    pub(crate) fn lock_creation(&self) -> Result<Option<File>, Error> {
        let root = File::open(&self.root).map_err(Error::io("open", &self.root))?;
        Ok(flock(&root, FlockOperation::LockExclusive).is_ok().then_some(root))
    }

    /// Removes a file; false when it was gone already.
    pub(crate) fn delete(&self, kind: FileKind, id: &FileId) -> Result<bool, Error> {
        let path = self.path(kind, id);
        match fs::remove_file(&path) {
            Ok(()) => {
                if self.sync && kind != FileKind::Lock {
                    sync_directory(path.parent().unwrap_or(&self.root))?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }

    /// Moves a file to `set-aside/<kind>` in the repository, where nobody looks for it; false when it was gone already.
    pub(crate) fn set_aside(&self, kind: FileKind, id: &FileId) -> Result<bool, Error> {
        let directory = self.aside(kind);
        create_directory(&directory, self.sync)?;
        let path = self.path(kind, id);
        match fs::rename(&path, directory.join(id.to_string())) {
            Ok(()) => {
                if self.sync {
                    sync_directory(&directory)?;
                    sync_directory(path.parent().unwrap_or(&self.root))?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("set aside", path)(error)),
        }
    }

    /// Whether a file was set aside.
    pub(crate) fn is_set_aside(&self, kind: FileKind, id: &FileId) -> Result<bool, Error> {
        let path = self.aside(kind).join(id.to_string());
        path.try_exists().map_err(Error::io("look for", path))
    }

    fn aside(&self, kind: FileKind) -> PathBuf {
        self.root.join("set-aside").join(kind.directory())
    }

    /// As [`Local::set_aside`], for the config. It is named by its hash there, if it can be read: another one may follow some day.
    pub(crate) fn set_aside_config(&self) -> Result<bool, Error> {
        let (path, directory) = (self.config_path(), self.root.join("set-aside"));
        let name = match fs::read(&path).map_err(Error::io("read", &path)) {
            Err(error) if error.is_missing_file() => return Ok(false),
            Err(error) if error.is_damage() => "config-unreadable".to_owned(),
            other => format!("config-{}", FileId::of(&other?)),
        };
        create_directory(&directory, self.sync)?;
        fs::rename(&path, directory.join(name)).map_err(Error::io("set aside", &path))?;
        if self.sync {
            sync_directory(&directory)?;
            sync_directory(&self.root)?;
        }
        Ok(true)
    }

    /// When a file was written; `None` when it is gone.
    pub(crate) fn modified(&self, kind: FileKind, id: &FileId) -> Result<Option<Timestamp>, Error> {
        let path = self.path(kind, id);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(Timestamp::from_micros(metadata.mtime().saturating_mul(1_000_000)))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path)(error)),
        }
    }

    /// A file's length in bytes; `None` when it is gone.
    pub(crate) fn length(&self, kind: FileKind, id: &FileId) -> Result<Option<u64>, Error> {
        let path = self.path(kind, id);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path)(error)),
        }
    }

    /// Whether a file is there.
    pub(crate) fn exists(&self, kind: FileKind, id: &FileId) -> Result<bool, Error> {
        let path = self.path(kind, id);
        path.try_exists().map_err(Error::io("look for", path))
    }
}

fn list_directory(directory: &Path, files: &mut Vec<(FileId, u64)>) -> Result<(), Error> {
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        let Some(id) = entry.file_name().to_str().and_then(FileId::parse) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(metadata) => files.push((id, metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => {} // removed since: a lock, mostly
            Err(error) => return Err(Error::io("look at", entry.path())(error)),
        }
    }
    Ok(())
}

/// Creates a directory that only its owner may enter, with its parents. With `sync`, the names of all that were made outlive a power
/// cut.
pub(crate) fn create_directory(directory: &Path, sync: bool) -> Result<(), Error> {
    // the last one always: another thread may have made it just now, and not have synced its name yet
    let made = directory.ancestors().skip(1).take_while(|above| !above.is_dir()).count() + 1;
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(Error::io("create", directory))?;
    let parents = directory.ancestors().skip(1).take(made).filter(|parent| sync && !parent.as_os_str().is_empty());
    parents.into_iter().try_for_each(sync_directory)
}
