//! restic's locks: files that say who works on the repository. Shared for reading and adding, exclusive for deleting.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{getgid, getuid};

use super::backend::FileKind;
use super::backend::local::Local;
use super::error::Error;
use super::files::subject;
use super::format::crypto::Key;
use super::format::id::FileId;
use super::format::lock::{self, LockFile};
use super::format::{time, unpacked};
use super::{Repository, threads, write_file};
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;

/// restic's limit: a lock that was not refreshed for so long is of a process that is gone.
const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// An empty lock file is what a power cut left of one: it says nothing, and after so long nobody is about to fill it.
const EMPTY_STALE_AFTER: Duration = Duration::from_secs(60);

/// So often the locks are listed again when one vanished meanwhile: each time somebody refreshed or released one just then.
const MOST_LISTINGS: usize = 10;

/// The locks that this run of the program holds: those with our process id beside them are of an earlier run.
static HELD: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());

/// What a lock allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Reading and adding, beside others that do so.
    Shared,
    /// Deleting, alone.
    Exclusive,
}

/// A lock on a repository; its file is removed when it is dropped. It is to be refreshed every five minutes: others take it for
/// left over after thirty.
pub struct Lock {
    backend: Local,
    key: Arc<Key>,
    kind: LockKind,
    host: String,
    file: Mutex<FileId>,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lock").field("root", &self.backend.root()).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Repository {
    /// Takes a lock; left-over locks are removed. `host` names this computer to other users of the repository, and
    /// should be its host name, so that a restic on it can tell whether our process is alive. Under the lock the index is loaded
    /// again if others changed it.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process holds the repository; [`Error::Io`] and [`Error::Damaged`] when its files cannot be
    /// read.
    pub fn lock(&self, kind: LockKind, now: Timestamp, host: &str) -> Result<Lock, Error> {
        self.yield_to_others(kind, now, host, None)?;
        let file = write_lock(&self.backend, &self.key, kind, now, host)?;
        let (backend, key) = (self.backend.clone(), Arc::clone(&self.key));
        let lock = Lock { backend, key, kind, host: host.to_owned(), file: Mutex::new(file) };
        // Once more, for those who wrote theirs after we had looked; both sides see each other then, and at least one gives way.
        // restic waits 200 ms before this, for object stores that list late; a local file system does not.
        self.yield_to_others(kind, now, host, Some(file))?;
        failpoint::reach("repository.locked");
        self.refresh_index()?;
        Ok(lock)
    }

    fn yield_to_others(&self, kind: LockKind, now: Timestamp, host: &str, own: Option<FileId>) -> Result<(), Error> {
        for _ in 0..MOST_LISTINGS {
            if self.look_at_others(kind, now, host, own)? {
                break;
            }
        }
        Ok(())
    }

    /// Fails when a lock is in the way. False when one vanished while it was looked at: its owner may have refreshed it, and the
    /// fresh one was not listed.
    fn look_at_others(&self, kind: LockKind, now: Timestamp, host: &str, own: Option<FileId>) -> Result<bool, Error> {
        let mut complete = true;
        for (id, size_bytes) in self.backend.list(FileKind::Lock)? {
            if own == Some(id) {
                continue;
            }
            if size_bytes == 0 {
                if self.backend.modified(FileKind::Lock, &id)?.is_some_and(|written| now.since(written) > EMPTY_STALE_AFTER) {
                    self.backend.delete(FileKind::Lock, &id)?;
                }
                continue;
            }
            let bytes = match self.load(FileKind::Lock, &id) {
                Err(error) if error.is_missing_file() => {
                    complete = false;
                    continue;
                }
                // It says nothing any more: a check names it, and a repair, whose caller has seen to it that nobody works here, sets
                // it aside.
                Err(Error::Damaged { .. }) if self.is_tolerant => continue,
                other => other?,
            };
            let found = LockFile::parse(&bytes).map_err(Error::damaged(subject(FileKind::Lock, &id)))?;
            // Also those that are not in our way: restic waits for a left-over lock until somebody removes it.
            if is_stale(&id, &found, now, host)? {
                complete &= self.backend.delete(FileKind::Lock, &id)?;
                continue;
            }
            if kind == LockKind::Shared && !found.exclusive {
                continue;
            }
            let (host, username, pid) = (found.hostname, found.username, found.pid);
            return Err(Error::Locked { root: self.root().to_path_buf(), host, username, pid, exclusive: found.exclusive });
        }
        Ok(complete)
    }
}

fn is_stale(id: &FileId, found: &LockFile, now: Timestamp, host: &str) -> Result<bool, Error> {
    let written = found.time().map_err(Error::damaged(subject(FileKind::Lock, id)))?;
    if now.since(time::to_timestamp(written)) > STALE_AFTER {
        return Ok(true);
    }
    // An operator's restic may run on the same computer beside our container: its processes are not to be seen from here.
    if found.hostname != host || !found.is_ours() {
        return Ok(false);
    }
    match u32::try_from(found.pid) {
        // an earlier run had our process id, as every run in a container has
        Ok(pid) if pid == std::process::id() => Ok(!held().contains(id)),
        Ok(pid) => Ok(!threads::is_process_alive(pid)),
        Err(_) => Ok(false),
    }
}

fn held() -> std::sync::MutexGuard<'static, BTreeSet<FileId>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_lock(backend: &Local, key: &Key, kind: LockKind, now: Timestamp, host: &str) -> Result<FileId, Error> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let json = lock::encode(time::from_timestamp(now), kind == LockKind::Exclusive, host, std::process::id(), uid, gid);
    let sealed = unpacked::encode(&json).and_then(|plain| key.seal(&plain)).map_err(Error::encode("a lock file"))?;
    // known as ours before anybody can see it
    let id = FileId::of(&sealed);
    held().insert(id);
    // no sync: a lock need not outlive a power cut
    let unsynced = Local::new(backend.root(), false);
    write_file(&unsynced, FileKind::Lock, &sealed).inspect_err(|_| {
        held().remove(&id);
    })
}

impl Lock {
    /// Writes a fresh lock file and removes the old one. May be called while other threads work under the lock.
    ///
    /// # Errors
    /// [`Error::LockLost`] when somebody removed the old one: the work under it must end. [`Error::Io`] when the fresh one cannot
    /// be written; the old one stays.
    pub fn refresh(&self, now: Timestamp) -> Result<(), Error> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.backend.exists(FileKind::Lock, &file)? {
            return Err(Error::LockLost { root: self.backend.root().to_path_buf() });
        }
        let fresh = write_lock(&self.backend, &self.key, self.kind, now, &self.host)?;
        let removed = self.backend.delete(FileKind::Lock, &file);
        if matches!(removed, Ok(false)) {
            // somebody took ours for left over since we looked, and may hold the repository exclusively by now
            let _ = self.backend.delete(FileKind::Lock, &fresh);
            held().remove(&fresh);
            return Err(Error::LockLost { root: self.backend.root().to_path_buf() });
        }
        let old = std::mem::replace(&mut *file, fresh);
        removed?;
        held().remove(&old);
        Ok(())
    }

    /// Fails unless the lock is of this repository, allows the operation and still lies there.
    pub(crate) fn protect(&self, repository: &Repository, operation: &'static str, needed: LockKind) -> Result<(), Error> {
        let root = || repository.root().to_path_buf();
        if self.backend.root() != repository.root() {
            return Err(Error::WrongLock { operation, root: root(), needed: "a lock of that repository" });
        }
        if needed == LockKind::Exclusive && self.kind != LockKind::Exclusive {
            return Err(Error::WrongLock { operation, root: root(), needed: "an exclusive lock" });
        }
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if self.backend.exists(FileKind::Lock, &file)? { Ok(()) } else { Err(Error::LockLost { root: root() }) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let file = *self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // one that cannot be removed is seen as left over later
        let _ = self.backend.delete(FileKind::Lock, &file);
        held().remove(&file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_locks_are_left_over_when_their_process_is_gone() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let encoded = |pid| String::from_utf8(lock::encode(time::from_timestamp(now), true, "host", pid, 0, 0)).unwrap();
        let stale = |json: &str, minutes: u64, host| {
            let now = now.plus(Duration::from_secs(minutes * 60));
            is_stale(&FileId([1; 32]), &LockFile::parse(json.as_bytes()).unwrap(), now, host).unwrap()
        };
        let (gone, living, own) = (encoded(4_194_303), encoded(std::os::unix::process::parent_id()), encoded(std::process::id()));
        assert!(stale(&gone, 1, "host") && !stale(&living, 1, "host") && stale(&own, 1, "host"));
        assert!(!stale(&gone, 1, "other host") && stale(&gone, 31, "other host"));
        for json in [gone, living, own].map(|json| json.replace("lightkeep", "operator")) {
            assert!(!stale(&json, 1, "host") && !stale(&json, 30, "host") && stale(&json, 31, "host"), "{json}");
        }
    }
}
