//! One file, directory or link of a source, as it is recorded in a snapshot.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::base::timestamp::Timestamp;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, never followed.
    Symlink {
        /// Where it points, byte for byte.
        target: PathBuf,
    },
}

/// The metadata that a snapshot keeps of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Unix mode bits, with the file type.
    pub mode: u32,
    /// Last change of the content: seconds and nanoseconds since the epoch.
    pub modified: (i64, u32),
    /// Last change of the inode: seconds and nanoseconds since the epoch.
    pub changed: (i64, u32),
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number.
    pub inode: u64,
    /// Device that the inode is on.
    pub device: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Number of hard links.
    pub links: u64,
}

impl From<&Metadata> for Meta {
    fn from(metadata: &Metadata) -> Self {
        let nanos = |n: i64| u32::try_from(n).unwrap_or(0);
        Self {
            mode: metadata.mode(),
            modified: (metadata.mtime(), nanos(metadata.mtime_nsec())),
            changed: (metadata.ctime(), nanos(metadata.ctime_nsec())),
            uid: metadata.uid(),
            gid: metadata.gid(),
            inode: metadata.ino(),
            device: metadata.dev(),
            size_bytes: metadata.size(),
            links: metadata.nlink(),
        }
    }
}

/// An entry of a captured source.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its path below the source directory; empty for the source directory itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// Its metadata in the source, taken before the capture touched it.
    pub meta: Meta,
    /// Where a file's bytes are read: a hard link in the staging directory, or the place itself.
    pub read_from: PathBuf,
}

/// Says that a file is the same as it was: compared before and after reading, and with the last snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last change of the content: seconds and nanoseconds since the epoch.
    pub modified: (i64, u32),
}

impl Meta {
    /// The generation of the file that this describes.
    pub fn generation(&self) -> Generation {
        Generation { inode: self.inode, size_bytes: self.size_bytes, modified: self.modified }
    }
}

/// What an entry of a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListedKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device or a named pipe.
    Other,
}

/// An entry of a directory of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the directory, any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is.
    pub kind: ListedKind,
    /// Size of a file in bytes; 0 for others.
    pub size_bytes: u64,
    /// Last change of its content, cut to the microsecond.
    pub modified: Timestamp,
    /// Unix permissions with set-user-id, set-group-id and sticky bit, without the file type.
    pub mode: u32,
    /// Where a symbolic link points; `None` for others.
    pub link_target: Option<PathBuf>,
}
