//! Open repositories, kept for the next call.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::keyring::Keyring;
use super::{Error, Options, Repository};
use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;

/// Open repositories by their directories; those not used for longest are closed. All have one password, but for those below directories
/// with [another one](Repositories::set_password). Those that were created with the same share one derivation of their keys, so that
/// opening one costs a millisecond instead of a hundred.
pub struct Repositories {
    own: Arc<Opening>,
    others: Mutex<Vec<(PathBuf, Arc<Opening>)>>,
    options: Options,
    open: Mutex<LruCache<PathBuf, Arc<Repository>>>,
}

/// With what repositories are opened.
struct Opening {
    password: Secret,
    keyring: Keyring,
}

impl Opening {
    fn new(password: Secret) -> Arc<Self> {
        Arc::new(Self { password, keyring: Keyring::default() })
    }
}

impl std::fmt::Debug for Repositories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repositories").finish_non_exhaustive()
    }
}

impl Repositories {
    /// Keeps at most `most_open` repositories open.
    pub fn new(password: Secret, most_open: NonZeroUsize) -> Self {
        Self::with_options(password, most_open, Options::default())
    }

    /// As [`Repositories::new`], with other options.
    pub fn with_options(password: Secret, most_open: NonZeroUsize, options: Options) -> Self {
        Self { own: Opening::new(password), others: Mutex::default(), options, open: Mutex::new(LruCache::new(most_open)) }
    }

    /// As [`Repositories::new`], but keys of repositories below a directory are derived apart: those who bring them choose what that costs,
    /// and whoever opens others does not wait for it.
    pub fn with_apart(password: Secret, most_open: NonZeroUsize, directory: &Path) -> Self {
        let repositories = Self::new(password.clone(), most_open);
        let apart = (directory.to_path_buf(), Opening::new(password));
        Self { others: Mutex::new(vec![apart]), ..repositories }
    }

    /// Says what the password of the repositories below a directory is; none for that of all others.
    pub fn set_password(&self, directory: &Path, password: Option<Secret>) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let known = others.iter().find(|(place, _)| place == directory).map(|(_, opening)| opening.password.clone());
        let is_same = match (&known, &password) {
            (Some(known), Some(password)) => known.matches(password.expose().as_bytes()),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        others.retain(|(place, _)| place != directory);
        others.extend(password.map(|password| (directory.to_path_buf(), Opening::new(password))));
        drop(others);
        // What was opened with the old one is opened again.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let stale: Vec<PathBuf> = open.iter().map(|(root, _)| root.clone()).filter(|root| root.starts_with(directory)).collect();
        for root in stale {
            open.pop(&root);
        }
    }

    fn opening(&self, root: &Path) -> Arc<Opening> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let other = others.iter().filter(|(place, _)| root.starts_with(place)).max_by_key(|(place, _)| place.components().count());
        Arc::clone(other.map_or(&self.own, |(_, opening)| opening))
    }

    /// The repository at `root`.
    ///
    /// # Errors
    /// As [`Repository::open`]; [`Error::Io`] when its directory cannot be read.
    pub fn get_or_open(&self, root: &Path) -> Result<Arc<Repository>, Error> {
        if let Some(repository) = self.known(root)? {
            return Ok(repository);
        }
        let opening = self.opening(root);
        let repository = Repository::open_from(root, &opening.password, self.options.clone(), &opening.keyring)?;
        Ok(self.keep(repository))
    }

    /// The repository at `root`, created if there is none.
    ///
    /// # Errors
    /// As [`Repository::open`] and [`Repository::init`].
    pub fn get_or_init(&self, root: &Path, now: Timestamp, host: &str) -> Result<Arc<Repository>, Error> {
        match self.get_or_open(root) {
            Err(Error::NotFound { .. }) => {}
            other => return other,
        }
        let opening = self.opening(root);
        match Repository::init_with(root, &opening.password, now, host, self.options.clone(), &opening.keyring) {
            // another thread was faster
            Err(Error::AlreadyExists { .. }) => self.get_or_open(root),
            other => Ok(self.keep(other?)),
        }
    }

    /// The repository at `root`, which may be damaged, to check it. It is not kept.
    ///
    /// # Errors
    /// As [`Repository::open_damaged`].
    pub fn open_damaged(&self, root: &Path) -> Result<Arc<Repository>, Error> {
        let opening = self.opening(root);
        Repository::open_damaged_from(root, &opening.password, self.options.clone(), &opening.keyring).map(Arc::new)
    }

    /// The repository at `root`, which may be damaged, to repair it: as [`Repository::open_for_repair`], and where no key file opens any
    /// more, the key of a repository that is still open serves. It is not kept.
    ///
    /// # Errors
    /// As [`Repository::open_for_repair`].
    pub fn open_for_repair(&self, root: &Path, now: Timestamp, host: &str) -> Result<Arc<Repository>, Error> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(root).cloned();
        let opening = self.opening(root);
        Repository::rescue_from(root, &opening.password, self.options.clone(), &opening.keyring, known.as_deref(), now, host).map(Arc::new)
    }

    /// Closes the repository at `root`, as before its directory is taken away.
    pub fn forget(&self, root: &Path) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).pop(root);
    }

    /// The one that is open, if it is still that of its directory: another instance may have deleted it and made it anew. Else it stays
    /// until another one opens in its place: where config and keys are lost, it has the only key.
    fn known(&self, root: &Path) -> Result<Option<Arc<Repository>>, Error> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(root).cloned();
        let Some(repository) = known else { return Ok(None) };
        Ok(repository.is_still_there()?.then_some(repository))
    }

    /// Keeps a repository, or gives the one that another thread opened meanwhile: one index is enough.
    fn keep(&self, repository: Repository) -> Arc<Repository> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let same = open.get(repository.root()).filter(|known| known.config_id == repository.config_id);
        if let Some(known) = same {
            return Arc::clone(known);
        }
        let (root, repository) = (repository.root().to_path_buf(), Arc::new(repository));
        open.put(root, Arc::clone(&repository));
        repository
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_repository_is_worked_with_as_any_other() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { sync: false, threads: NonZeroUsize::new(7).unwrap() };
        let repositories = Repositories::with_options(Secret::new("secret".into()), NonZeroUsize::MIN, options);
        repositories.get_or_init(directory.path(), Timestamp::from_micros(0), "host").unwrap();
        let repository = repositories.open_damaged(directory.path()).unwrap();
        assert_eq!((repository.options.sync, repository.options.threads.get()), (false, 7));
        assert!(repository.is_tolerant);
    }
}
