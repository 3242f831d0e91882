//! A consistent read of a source, although LightRAG goes on writing.
//!
//! LightRAG 1.5 and later replaces each store file by rename, in any order but `doc_status` last: a document is committed when it is
//! `processed` there. Files that are fixed `doc_status` first therefore never show a processed document without its data.

mod scan;
mod staging;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::control::Control;
use crate::base::failpoint;
use crate::domain::entry::{Entry, EntryKind};
use crate::lightrag::Error;
use crate::lightrag::workspace::{Layout, Store, is_own};

pub(super) use scan::scan;
use staging::{Fixed, Staging, open_all, stage};
pub use staging::{INPUTS_SUFFIX, sweep_staging};

/// How often a source that changes under the capture is captured anew before it is taken as it is.
const TRIES_MAX: u32 = 20;

/// How long a source must not have changed to be at rest. LightRAG before 1.5 writes one file after the other, some for seconds each,
/// but never pauses for so long within them.
const STILL: Duration = Duration::from_millis(500);

/// A source, fixed. Its staging directory goes when it is finished or dropped.
#[derive(Debug)]
pub struct Capture {
    source: PathBuf,
    layout: Layout,
    entries: Vec<Entry>,
    /// What the source looked like, links not yet made, to compare with later.
    seen: Vec<Entry>,
    settled: bool,
    staging: Option<Staging>,
    /// Keeps the files open that are read through `/proc/self/fd`.
    held: Vec<File>,
}

/// Fixes a source. A plain directory is only looked at: it is read where it is.
///
/// # Errors
/// [`Error::SourceNotFound`], [`Error::SourceNotDirectory`], [`Error::SourceUnreadable`] and [`Error::Cancelled`].
pub fn capture(source: &Path, operation_id: &str, control: &Control) -> Result<Capture, Error> {
    let source = real_source(source)?;
    let layout = Layout::detect(&source)?;
    if layout == Layout::Plain {
        return Ok(Capture { source, layout, entries: Vec::new(), seen: Vec::new(), settled: true, staging: None, held: Vec::new() });
    }
    let mut places: Vec<PathBuf> = source.parent().into_iter().chain([source.as_path()]).map(Path::to_path_buf).collect();
    let mut tries = 0;
    loop {
        tries += 1;
        control.go_on()?;
        let seen = scan(&source, control)?;
        let mut held = Vec::new();
        let (staging, entries, fixed) = match stage(&mut places, &source, operation_id, &seen)? {
            Some((staging, entries, fixed)) => (Some(staging), entries, fixed),
            None => {
                let mut entries = seen.clone();
                let fixed = open_all(&mut entries, &mut held)?;
                (None, entries, fixed)
            }
        };
        failpoint::reach("capture.linked");
        let settled = fixed == Fixed::AsScanned && scan::same(&seen, &scan(&source, control)?);
        if settled || tries == TRIES_MAX {
            let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
            let layout = Layout::LightRag { stores: files.filter_map(|entry| Store::of_path(&entry.path)).collect() };
            return Ok(Capture { source, layout, entries, seen, settled, staging, held });
        }
    }
}

fn real_source(source: &Path) -> Result<PathBuf, Error> {
    let path = source.to_path_buf();
    let told = fs::canonicalize(source).and_then(|real| fs::metadata(&real).map(|metadata| (real, metadata)));
    match told {
        Ok((real, metadata)) if metadata.is_dir() => Ok(real),
        Ok(_) => Err(Error::SourceNotDirectory { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::SourceNotFound { path }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::SourceNotDirectory { path }),
        Err(source) => Err(Error::SourceUnreadable { path, source }),
    }
}

/// Waits until a source has come to rest, but no longer than `patience`, from which it takes the time that it waited. What is written in
/// place, by LightRAG before 1.5 or as logs are, can be captured then only.
///
/// # Errors
/// As [`capture`].
pub fn wait_until_still(source: &Path, patience: &mut Duration, control: &Control) -> Result<(), Error> {
    let source = real_source(source)?;
    let mut seen = scan(&source, control)?;
    while !patience.is_zero() {
        let pause = STILL.min(*patience);
        control.pause(pause)?;
        *patience -= pause;
        let before = std::mem::replace(&mut seen, scan(&source, control)?);
        if scan::same(&before, &seen) {
            break;
        }
    }
    Ok(())
}

impl Capture {
    /// What the source is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The source directory, its links resolved.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// What is in the source: depth first, names in each directory by their bytes, a directory before what is in it, first the source
    /// itself with the empty path. Empty for a plain directory, which is walked in place, leaving out what [`Self::skips`] says.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the source stood still while it was fixed. Where it never did within 20 tries, the last try is taken: fixed `doc_status`
    /// first it shows no processed document without its data, though perhaps data ahead of it.
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Whether the walk of a plain directory leaves the entry of this path below the source out: our own staging and journals.
    pub fn skips(path: &Path) -> bool {
        path.file_name().is_some_and(is_own)
    }

    /// Whether the source looks different now than when it was fixed: other paths, or files of another inode, size or time. Files that
    /// are written in place (LightRAG before 1.5) must not have, for the capture to hold. Always false for a plain directory.
    ///
    /// # Errors
    /// [`Error::SourceUnreadable`] when it cannot be looked at.
    pub fn source_has_changed(&self) -> Result<bool, Error> {
        if self.layout == Layout::Plain {
            return Ok(false);
        }
        Ok(!scan::same(&self.seen, &scan(&self.source, &Control::default())?))
    }

    /// Removes the staging directory.
    ///
    /// # Errors
    /// [`Error::Staging`]; a sweep removes it later.
    pub fn finish(mut self) -> Result<(), Error> {
        self.held.clear();
        match self.staging.take() {
            Some(staging) => staging.remove(),
            None => Ok(()),
        }
    }
}
