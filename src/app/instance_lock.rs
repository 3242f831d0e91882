//! One process per SQLite database and per storage: a lock file that is held for life.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// Held as long as the process uses the place. The operating system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    /// Takes the lock of a place, a file of the name given.
    ///
    /// # Errors
    /// Another process has it; the line names that process.
    pub fn take(path: &Path, what: &str) -> anyhow::Result<Self> {
        let show = path.display();
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.with_context(|| format!("cannot open the lock file of the {what}: {show}"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                bail!("another lightkeep uses the {what}, stop it or choose another: {holder}, lock file {show}");
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("cannot lock the {what}: {show}")),
        }
        file.set_len(0).and_then(|()| file.rewind()).with_context(|| format!("cannot write the lock file of the {what}: {show}"))?;
        writeln!(file, "process {}", std::process::id()).with_context(|| format!("cannot write the lock file of the {what}: {show}"))?;
        Ok(Self { _file: file })
    }
}
