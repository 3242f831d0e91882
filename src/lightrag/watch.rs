//! Noticing that a graph's files have changed, at once where the kernel tells, else by looking.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Error;
use super::capture::scan;
use super::workspace::{Layout, Store, is_own, is_transient};
use crate::base::control::Control;
use crate::domain::entry::{Entry, EntryKind};

/// A directory that is watched by the kernel's help, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// What a directory looks like.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    digest: u64,
    /// All that is no directory.
    pub files: u64,
    /// Sum of their sizes, bytes.
    pub size_bytes: u64,
    /// The last change of any file's content: microseconds since the epoch; none without files.
    pub modified_micros: Option<i64>,
}

impl Look {
    /// Whether nothing has changed between two looks that counts: the cache of answers does not.
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Watch {
    /// Watches a source; `changed` is called, from a thread of its own, for each change that matters. Subdirectories of a workspace are
    /// not watched: [`Look`] finds their changes.
    ///
    /// # Errors
    /// The kernel does not watch it: too many watches, or a file system that cannot.
    pub fn new(source: &Path, changed: impl Fn() + Send + 'static) -> Result<Self, notify::Error> {
        let root = source.to_path_buf();
        let told = move |event: Result<Event, notify::Error>| match event {
            Ok(event) if !matters(&root, &event) => {}
            // After an overflow, or an error, anything may have changed.
            _ => changed(),
        };
        let mut watcher = notify::recommended_watcher(told)?;
        let is_workspace = matches!(Layout::detect(source), Ok(Layout::LightRag { .. }));
        let mode = if is_workspace { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        watcher.watch(source, mode)?;
        Ok(Self { _watcher: watcher })
    }
}

/// Looks at a source.
///
/// # Errors
/// [`Error::SourceUnreadable`] and [`Error::Cancelled`].
pub fn look(source: &Path, control: &Control) -> Result<Look, Error> {
    let entries = scan(source, control)?;
    let mut digest = DefaultHasher::new();
    let (mut modified_micros, mut files, mut size_bytes) = (None, 0, 0);
    for file in entries.iter().filter(|entry| entry.kind != EntryKind::Directory) {
        (files, size_bytes) = (files + 1, size_bytes + file.meta.size_bytes);
    }
    for entry in entries.iter().filter(|entry| counts(entry)) {
        (entry.path.as_os_str(), entry.meta.generation()).hash(&mut digest);
        let (seconds, nanos) = entry.meta.modified;
        modified_micros = modified_micros.max(Some(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1000))));
    }
    Ok(Look { digest: digest.finish(), files, size_bytes, modified_micros })
}

/// Directories change with LightRAG's unfinished writes and our own staging; and whoever only asks a graph fills its cache of answers.
fn counts(entry: &Entry) -> bool {
    entry.kind != EntryKind::Directory && Store::of_path(&entry.path) != Some(Store::LlmCache)
}

fn matters(root: &Path, event: &Event) -> bool {
    if matches!(event.kind, EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_))) {
        return false;
    }
    let is_noise = |path: &PathBuf| {
        let below = path.strip_prefix(root).unwrap_or(path);
        let name = path.file_name().unwrap_or(OsStr::new(""));
        is_own(name) || is_transient(name) || Store::of_path(below) == Some(Store::LlmCache)
    };
    event.need_rescan() || event.paths.is_empty() || !event.paths.iter().all(is_noise)
}
