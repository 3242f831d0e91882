//! Files that are being restored: pieces come in the order of the packs, so that many files are open at once.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;

use super::plan::{Plan, PlannedFile};
use crate::repository::error::Error;

/// Files that stay open between their pieces; others are opened for each.
const MOST_OPEN: usize = 128;
/// Zeros are left out of files from this length on: they become holes.
const HOLE_BYTES: usize = 4096;

#[derive(Default)]
struct State {
    written: u32,
    created: bool,
    file: Option<Arc<File>>,
}

/// All files of a restore.
pub(crate) struct Outputs<'a> {
    plan: &'a Plan,
    target: &'a Path,
    states: Vec<Mutex<State>>,
    open: AtomicUsize,
}

impl<'a> Outputs<'a> {
    /// Nothing is created yet.
    pub(crate) fn new(plan: &'a Plan, target: &'a Path) -> Self {
        let states = plan.files.iter().map(|_| Mutex::default()).collect();
        Self { plan, target, states, open: AtomicUsize::new(0) }
    }

    /// A file's path.
    pub(crate) fn path(&self, file: &PlannedFile) -> PathBuf {
        self.target.join(self.plan.path(file))
    }

    /// A file's path relative to the target.
    pub(crate) fn relative_path(&self, number: u32) -> PathBuf {
        self.plan.path(&self.plan.files[number as usize])
    }

    /// Creates a file without content.
    pub(crate) fn create_empty(&self, planned: &PlannedFile) -> Result<(), Error> {
        let path = self.path(planned);
        planned.restorable.apply(&create(&path, false)?, &path)
    }

    /// Writes a piece of a file; the last gives the file its metadata.
    pub(crate) fn write(&self, number: u32, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let planned = &self.plan.files[number as usize];
        let path = self.path(planned);
        let file = self.file(number, planned, &path)?;
        let hole = planned.pieces > 1 && bytes.len() >= HOLE_BYTES && bytes.iter().all(|byte| *byte == 0);
        if !hole {
            file.write_all_at(bytes, at).map_err(Error::io("write", &path))?;
        }
        let mut state = self.states[number as usize].lock().unwrap_or_else(PoisonError::into_inner);
        state.written += 1;
        if state.written == planned.pieces {
            if state.file.take().is_some() {
                self.open.fetch_sub(1, Ordering::Relaxed);
            }
            drop(state);
            planned.restorable.apply(&file, &path)?;
        }
        Ok(())
    }

    fn file(&self, number: u32, planned: &PlannedFile, path: &Path) -> Result<Arc<File>, Error> {
        let mut state = self.states[number as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &state.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(create(path, state.created)?);
        if !state.created && planned.pieces > 1 {
            // its length at once, so that pieces can be written in any order and zeros be left out
            file.set_len(planned.size_bytes).map_err(Error::io("set the length of", path))?;
        }
        state.created = true;
        if planned.pieces > 1 && self.open.fetch_add(1, Ordering::Relaxed) < MOST_OPEN {
            state.file = Some(Arc::clone(&file));
        } else if planned.pieces > 1 {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(file)
    }
}

fn create(path: &Path, created: bool) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    // never through a link that somebody put there meanwhile
    options.write(true).create_new(!created).mode(0o600).custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0));
    options.open(path).map_err(Error::io("create", path))
}
