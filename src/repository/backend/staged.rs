//! Files that are being written, and the removal of those that nobody will finish.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::repository::error::Error;

const PREFIX: &str = ".lightkeep-";
const SUFFIX: &str = ".tmp";

/// A file that is being written. It vanishes when dropped before it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Staged {
    /// A new empty file `.lightkeep-<pid>-<n>.tmp` in `root`, which restic neither lists nor minds.
    pub(crate) fn create(root: &Path) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{PREFIX}{}-{}{count:x}{SUFFIX}", std::process::id(), run_mark()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(Error::io("create", &path))?;
        Ok(Self { file, path, published: false })
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))
    }

    /// As [`Staged::publish`], but never takes the place of another file; false when there is one.
    pub(crate) fn publish_new(mut self, to: &Path, sync: bool) -> Result<bool, Error> {
        if sync {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        }
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => self.published = true,
            Err(Errno::EXIST) => return Ok(false),
            // a file system that cannot rename so; the temporary name goes when this is dropped
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match fs::hard_link(&self.path, to) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                other => other.map_err(Error::io("publish", to))?,
            },
            Err(error) => return Err(Error::io("publish", to)(error.into())),
        }
        if sync {
            sync_directory(to.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(true)
    }

    /// Gives the file its name. With `sync`, its bytes and its name outlive a power cut.
    pub(crate) fn publish(mut self, to: &Path, sync: bool) -> Result<(), Error> {
        if sync {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        }
        let directory = to.parent().unwrap_or(Path::new("/"));
        match fs::rename(&self.path, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // the 256 directories of packs are made when they are needed
                super::local::create_directory(directory, sync)?;
                fs::rename(&self.path, to).map_err(Error::io("publish", to))?;
            }
            other => other.map_err(Error::io("publish", to))?,
        }
        self.published = true;
        if sync {
            sync_directory(directory)?;
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // what stays behind is swept by a later run
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), Error> {
    let handle = File::open(directory).map_err(Error::io("open", directory))?;
    handle.sync_all().map_err(Error::io("sync", directory))
}

/// Tells this run of the program from an earlier one that had the same process id, as in a container.
fn run_mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| {
        let mut bytes = [0; 4];
        // without random numbers all runs share a mark, and only files of other processes are swept
        let _ = getrandom::fill(&mut bytes);
        hex::encode(bytes)
    })
}

/// Removes from the repository directory `root` the temporary files of processes that are gone and of earlier runs with this
/// process's id; gives how many. A root that does not exist has none. `unchanged_since` spares files that were written later:
/// where other computers share the directory, their processes look gone from here.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be listed or a file cannot be removed.
pub fn sweep_temporary_files(root: &Path, unchanged_since: Option<SystemTime>) -> Result<usize, Error> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        other => other.map_err(Error::io("list", root))?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(Error::io("list", root))?;
        if !entry.file_name().to_str().is_some_and(is_left_over) {
            continue;
        }
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        if unchanged_since.is_some_and(|limit| written.is_ok_and(|written| written > limit)) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("remove", entry.path())(error)),
        }
    }
    Ok(removed)
}

fn is_left_over(name: &str) -> bool {
    let Some((pid, rest)) = name.strip_prefix(PREFIX).and_then(|n| n.strip_suffix(SUFFIX)).and_then(|n| n.split_once('-')) else {
        return false;
    };
    match pid.parse::<u32>() {
        Ok(pid) if pid == std::process::id() => !rest.starts_with(run_mark()),
        Ok(pid) => !crate::repository::threads::is_process_alive(pid),
        Err(_) => false,
    }
}
