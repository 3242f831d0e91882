//! Where targets are: addresses, and directories on other disks.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use crate::base::ids::TargetId;
use crate::domain::peer;
use crate::domain::target::Place;
use crate::store::entity::target::Model;
use crate::store::targets;

/// The file by which a directory is known to be a target's: where its disk is not mounted, it is missing.
const MARK: &str = ".lightkeep-target";

impl Services {
    /// The place of a target as it is registered: a checked address, or a directory with its links resolved.
    ///
    /// # Errors
    /// It is not fit.
    pub(super) async fn resolve_place(&self, place: &Place, name: &str) -> Result<Place, Error> {
        let rules = self.settings().replication.addresses;
        match place {
            Place::Peer { base_url, grpc_url } => {
                let checked = |field: &str, url: &str| rules.parse_url(url).map_err(|must| Error::invalid(field, must));
                let grpc_url = grpc_url.as_deref().map(|url| checked("grpc_url", url)).transpose()?;
                if !has_root_path(grpc_url.as_deref().unwrap_or(base_url)) {
                    let field = if grpc_url.is_some() { "grpc_url" } else { "base_url" };
                    let must = format_args!("must have no path, as gRPC knows none: give `grpc_url` beside a `base_url` with one");
                    return Err(Error::invalid(field, must));
                }
                Ok(Place::Peer { base_url: checked("base_url", base_url)?, grpc_url })
            }
            Place::Directory(path) => {
                if !peer::is_name(name) {
                    let must = format!("must have letters, digits, `_` and `-` only where the target is a directory: {name}");
                    return Err(Error::invalid("name", must));
                }
                let (services, path, link) = (self.clone(), path.clone(), self.copies_of(name));
                let resolved = self.blocking(move || {
                    let resolved = services.resolve_directory(&path)?;
                    match fs::read_link(&link) {
                        Ok(there) if there == resolved => Ok(resolved),
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(resolved),
                        _ => Err(Error::invalid("name", format_args!("is that of copies that lie here already, choose another"))),
                    }
                });
                Ok(Place::Directory(resolved.await?))
            }
        }
    }

    fn resolve_directory(&self, path: &Path) -> Result<PathBuf, Error> {
        let (show, places) = (path.display(), &self.settings().places);
        let wrong = |must: String| Error::invalid("path", must);
        let resolved = path.canonicalize().map_err(|error| wrong(format!("must be an existing directory: {show}: {error}")))?;
        if !resolved.is_dir() {
            return Err(wrong(format!("must be a directory: {show}")));
        }
        let roots = &self.settings().replication.roots;
        if !roots.iter().any(|root| resolved.starts_with(root)) {
            let message = format!("the directory of a target must lie in one of `LIGHTKEEP_REPLICATION_ROOTS`: {show}");
            return Err(Error::refused(ErrorKind::PermissionDenied, "PATH_FORBIDDEN", message));
        }
        if resolved.starts_with(&places.storage) || places.storage.starts_with(&resolved) {
            return Err(wrong(format!("must not overlap the storage: a copy beside the original is none: {show}")));
        }
        Ok(resolved)
    }

    /// That a directory is not another target's. One whose target is not registered here, such as that of a lost installation, may be taken.
    pub(super) async fn check_unowned(&self, path: &Path) -> Result<(), Error> {
        let marked = path.join(MARK);
        let read = self.blocking(move || match fs::read_to_string(&marked) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| Error::invalid("path", format_args!("must be readable: {}: {error}", marked.display()))),
        });
        let mark = read.await?;
        let Some(id) = TargetId::parse(mark.trim()) else { return Ok(()) };
        match targets::find(self.store().read(), id).await? {
            Some(other) => Err(Error::invalid("path", format_args!("must not be that of target `{}`: {}", other.name, path.display()))),
            None => Ok(()),
        }
    }

    /// Whether the directory of a target is there: its disk is mounted, and it is this target's.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check_mounted(&self, target: &Model) -> Result<(), Error> {
        let path = Path::new(target.path.as_deref().unwrap_or_default());
        let marked = fs::read_to_string(path.join(MARK)).map(|mark| mark.trim() == target.target_id.to_string());
        if matches!(marked, Ok(true)) {
            return Ok(());
        }
        let message = format!("`{}` is not the target's directory, is its disk mounted? it lacks `{MARK}` of this target", path.display());
        Err(Error::refused(ErrorKind::Unavailable, "TARGET_NOT_MOUNTED", message))
    }
}

/// Whether an address has no path.
fn has_root_path(url: &str) -> bool {
    url.split_once("://").is_none_or(|(_, rest)| !rest.trim_end_matches('/').contains('/'))
}

/// Marks a directory as a target's.
pub(super) fn mark_directory(path: &Path, mark: &str) -> Result<(), Error> {
    let write = || {
        let mut file = fs::File::create(path.join(MARK))?;
        file.write_all(mark.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| unwritable(path, &error))
}

/// Lets the copies in a target's directory be found below the storage.
pub(super) fn link_directory(path: &Path, link: &Path) -> Result<(), Error> {
    let made = fs::create_dir_all(link.parent().unwrap_or(Path::new("/"))).and_then(|()| symlink(path, link));
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(|error| unwritable(link, &error)),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("the directory of the target cannot be written: `{}`: {error}", path.display());
    Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
}
