//! The staging directory: hard links that keep a moment's files while LightRAG goes on replacing them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::base::failpoint;
use crate::domain::entry::{Entry, EntryKind, Meta};
use crate::lightrag::Error;
use crate::lightrag::apply::journal_name;
use crate::lightrag::workspace::{OWN_PREFIX, Store};

/// What ends the name of the directory beside an inputs directory's place where it is restored: its operation restores another
/// directory too, often to beside it.
pub const INPUTS_SUFFIX: &str = "-inputs";

/// How many files are held open at most where no links can be made. The stores always are among them.
const OPEN_FILES_MAX: usize = 512;

/// A staging directory, removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes an empty one in `place`; a former attempt's is removed first. `None` where that cannot be done, or no links reach.
    fn make(place: &Path, source: &Path, operation_id: &str) -> Option<Self> {
        let path = place.join(format!("{OWN_PREFIX}{operation_id}"));
        let _ = fs::remove_dir_all(&path);
        // Its mode keeps others from reading through it what the source's directory keeps from them.
        DirBuilder::new().mode(0o700).create(&path).ok()?;
        let staging = Self { path };
        staging.takes_links_of(source).then_some(staging)
    }

    /// Whether both are on one file system. That it is mounted twice, which forbids links too, is seen at the first link.
    fn takes_links_of(&self, source: &Path) -> bool {
        let device = |path: &Path| fs::metadata(path).ok().map(|metadata| Meta::from(&metadata).device);
        device(&self.path) == device(source)
    }

    /// Removes the directory and what is in it.
    pub(super) fn remove(mut self) -> Result<(), Error> {
        let path = std::mem::take(&mut self.path);
        fs::remove_dir_all(&path).map_err(|source| Error::Staging { path, source })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "staging directory not removed: the next start's sweep does it");
        }
    }
}

/// How fixing the files went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixed {
    /// All are as they were scanned.
    AsScanned,
    /// Some were replaced meanwhile, or are gone.
    Changed,
    /// Hard links cannot be made here.
    Impossible,
}

/// The positions of the files among `entries`, in the order of capture: `doc_status` first, files of unknown use after the stores, the
/// cache last.
fn capture_order(entries: &[Entry]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].kind == EntryKind::File).collect();
    order.sort_by_key(|&at| match Store::of_path(&entries[at].path) {
        Some(Store::LlmCache) => (2, None),
        Some(store) => (0, Some(store)),
        None => (1, None),
    });
    order
}

/// Hard-links all files into a staging directory in the first of `places` where that can be done; places where it cannot are removed
/// from the list, so that a further try does not try them again.
pub(super) fn stage(
    places: &mut Vec<PathBuf>,
    source: &Path,
    operation_id: &str,
    seen: &[Entry],
) -> Result<Option<(Staging, Vec<Entry>, Fixed)>, Error> {
    while let Some(place) = places.first() {
        if let Some(staging) = Staging::make(place, source, operation_id) {
            failpoint::reach("capture.staged");
            let mut entries = seen.to_vec();
            let fixed = link_all(&staging, &mut entries)?;
            if fixed != Fixed::Impossible {
                return Ok(Some((staging, entries, fixed)));
            }
        }
        places.remove(0);
    }
    Ok(None)
}

/// Entries get the links to read from; those that are gone are dropped.
fn link_all(staging: &Staging, entries: &mut Vec<Entry>) -> Result<Fixed, Error> {
    let mut fixed = Fixed::AsScanned;
    let mut gone = Vec::new();
    for at in capture_order(entries) {
        let entry = &mut entries[at];
        let link = staging.path.join(at.to_string());
        match fs::hard_link(&entry.read_from, &link) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                gone.push(at);
                fixed = Fixed::Changed;
                continue;
            }
            Err(_) => return Ok(Fixed::Impossible),
        }
        let metadata = fs::symlink_metadata(&link).map_err(|source| Error::SourceUnreadable { path: link.clone(), source })?;
        let linked = Meta::from(&metadata);
        if linked.generation() != entry.meta.generation() {
            // Replaced since it was scanned. The link counts itself, which the source's file did not.
            entry.meta = Meta { links: linked.links.saturating_sub(1), ..linked };
            fixed = Fixed::Changed;
        }
        if metadata.is_file() { entry.read_from = link } else { gone.push(at) }
    }
    drop_entries(entries, &gone);
    Ok(fixed)
}

/// Opens all files, where they cannot be linked: an open file stays what it is when LightRAG replaces it. Entries are read through the
/// open file. Of very many files those beyond [`OPEN_FILES_MAX`] are read in place.
pub(super) fn open_all(entries: &mut Vec<Entry>, held: &mut Vec<File>) -> Result<Fixed, Error> {
    let mut fixed = Fixed::AsScanned;
    let mut gone = Vec::new();
    for at in capture_order(entries) {
        let entry = &mut entries[at];
        // Not following links, and not waiting for a pipe's writer, should the file have become one of those.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let opened = if held.len() < OPEN_FILES_MAX || Store::of_path(&entry.path).is_some() {
            fs::OpenOptions::new().read(true).custom_flags(flags).open(&entry.read_from)
        } else {
            continue;
        };
        let described = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        match described {
            Ok((file, metadata)) if metadata.is_file() => {
                let meta = Meta::from(&metadata);
                if meta.generation() != entry.meta.generation() {
                    entry.meta = meta;
                    fixed = Fixed::Changed;
                }
                entry.read_from = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
                held.push(file);
            }
            Ok(_) => {
                gone.push(at);
                fixed = Fixed::Changed;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                gone.push(at);
                fixed = Fixed::Changed;
            }
            Err(source) => return Err(Error::SourceUnreadable { path: entry.read_from.clone(), source }),
        }
    }
    drop_entries(entries, &gone);
    Ok(fixed)
}

fn drop_entries(entries: &mut Vec<Entry>, gone: &[usize]) {
    let mut at = 0;
    entries.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
}

/// Removes the staging directories, beside and inside `source`, of operations that are over. Restored trees that wait to be put in place
/// go by the same names and are removed by the same rule, but for those that a journal tells of.
///
/// # Errors
/// [`Error::Staging`] for the first that cannot be removed; the others are removed all the same.
pub fn sweep_staging(source: &Path, is_over: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    // The directory may be gone, or be a link: staging lies beside the real one.
    let real = fs::canonicalize(source).unwrap_or_else(|_| source.to_path_buf());
    let places: Vec<&Path> = real.parent().into_iter().chain([real.as_path()]).collect();
    // A journal lies beside its target, also where the restored entries wait inside the target.
    let is_journaled = |name: &OsStr| places.iter().any(|place| place.join(journal_name(name)).exists());
    let mut result = Ok(());
    for place in &places {
        let Ok(listing) = fs::read_dir(place) else { continue };
        for item in listing.flatten() {
            let name = item.file_name();
            let Some(operation_id) = name.to_str().and_then(|name| name.strip_prefix(OWN_PREFIX)) else { continue };
            let operation_id = operation_id.strip_suffix(INPUTS_SUFFIX).unwrap_or(operation_id);
            let is_directory = item.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_directory || is_journaled(&name) || !is_over(operation_id) {
                continue;
            }
            if let Err(error) = fs::remove_dir_all(item.path()) {
                result = result.and(Err(Error::Staging { path: item.path(), source: error }));
            }
        }
    }
    result
}
