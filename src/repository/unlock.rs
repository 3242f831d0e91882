//! Opening a repository: its keys are tried until one opens the config. For a repair, what of both is lost or damaged is made anew.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use super::backend::FileKind;
use super::backend::local::Local;
use super::error::Error;
use super::files::{OTHER_CONTENT, subject};
use super::format::config::{Config, VERSION};
use super::format::crypto::Key;
use super::format::id::FileId;
use super::format::key::KeyFile;
use super::format::{FormatError, time};
use super::keyring::Keyring;
use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;

/// With what a repository is opened, or made.
#[derive(Clone, Copy)]
pub(super) struct Opener<'a> {
    pub(super) backend: &'a Local,
    pub(super) password: &'a Secret,
    pub(super) keyring: &'a Keyring,
}

/// What a repair writes anew, as that in its place is gone or cannot be used.
#[derive(Debug, Default)]
pub(super) struct Rescue {
    /// The sealed config.
    pub(super) config: Option<Vec<u8>>,
    /// A key file for the password.
    pub(super) key_file: Option<Vec<u8>>,
}

/// The key of a repository, and the name of the config that it opens: the hash of its sealed bytes.
pub(super) struct Unlocked {
    pub(super) key: Arc<Key>,
    pub(super) config_id: FileId,
}

/// A master key that the password opens.
struct Opened {
    key: Arc<Key>,
    /// Whether its file is as it was written.
    is_whole: bool,
}

impl Opener<'_> {
    /// The master key of the repository, once its config says that this program can read it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongPassword`], [`Error::UnsupportedVersion`], [`Error::Damaged`], [`Error::Io`].
    pub(super) fn unlock(self) -> Result<Unlocked, Error> {
        self.open().map(|(opened, config_id)| Unlocked { key: opened.key, config_id })
    }

    /// As [`Opener::unlock`], and what a repair is to write. `known` is the key that a handle still has which was opened before the
    /// damage. A lost config is made anew with the key that opens a record or an index file; the chunker that restic found in it is
    /// another one then.
    ///
    /// # Errors
    /// As [`Opener::unlock`], where no key fits to what is there. That the password is wrong is no damage.
    pub(super) fn rescue(self, known: Option<Arc<Key>>, now: Timestamp, host: &str) -> Result<(Unlocked, Rescue), Error> {
        let error = match self.open() {
            Ok((Opened { key, is_whole }, config_id)) => {
                let key_file = (!is_whole).then(|| self.key_file(&key, now, host)).transpose()?;
                return Ok((Unlocked { key, config_id }, Rescue { config: None, key_file }));
            }
            Err(error @ (Error::NotFound { .. } | Error::Damaged { .. })) => error,
            Err(error) => return Err(error),
        };
        let found = self.read_config()?;
        let (mut candidates, mut is_damaged, mut is_others) = (Vec::new(), false, false);
        for (id, _) in self.backend.list(FileKind::Key)? {
            match self.try_key(&id) {
                Ok(Some(opened)) => candidates.push(opened),
                Ok(None) => is_others = true,
                Err(_) => is_damaged = true,
            }
        }
        // Where all keys are whole and another password's, somebody has changed the password: the old one is not let in again.
        let known = known.filter(|_| is_damaged || !is_others);
        candidates.extend(known.map(|key| Opened { key, is_whole: false }));
        for Opened { key, is_whole } in candidates {
            let opens_config = found.as_ref().is_some_and(|sealed| key.open_in_place(&mut sealed.clone()).is_ok());
            if !opens_config && !self.opens_a_file(&key)? {
                continue;
            }
            let config = (!opens_config).then(|| fresh_config(&key)).transpose()?;
            let key_file = (!is_whole).then(|| self.key_file(&key, now, host)).transpose()?;
            let config_id = config.as_ref().or(found.as_ref()).map_or(FileId([0; 32]), |sealed| FileId::of(sealed));
            return Ok((Unlocked { key, config_id }, Rescue { config, key_file }));
        }
        Err(error)
    }

    /// Where there is no config, there must be nothing else: a repository that has lost it needs its keys for whoever repairs it.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the config; [`Error::Io`].
    pub(super) fn check_nothing_stored(self) -> Result<(), Error> {
        for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
            let found = match self.backend.list(kind) {
                Err(error) if error.is_missing_file() => Vec::new(),
                other => other?,
            };
            if !found.is_empty() {
                let missing = FormatError::new(format!("it is missing, but there is a {} beside it", kind.noun()));
                return Err(Error::damaged(format!("`{}`", self.backend.config_path().display()))(missing));
            }
        }
        Ok(())
    }

    /// A key file that opens `master` with the password.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub(super) fn key_file(self, master: &Key, now: Timestamp, host: &str) -> Result<Vec<u8>, Error> {
        let encode = || Error::encode("a key file");
        let (parameters, derived) = self.keyring.any(self.password).map_err(encode())?;
        let created = time::to_text(time::from_timestamp(now));
        KeyFile::encode(master, &derived, &parameters, &created, host).map_err(encode())
    }

    /// Tries all keys, as an operator may have added some by `restic key add`, until one opens and is that of the config.
    fn open(self) -> Result<(Opened, FileId), Error> {
        let root = || self.backend.root().to_path_buf();
        let Some(config) = self.read_config()? else {
            self.check_nothing_stored()?;
            return Err(Error::NotFound { root: root() });
        };
        let config_id = FileId::of(&config);
        let (mut unreadable, mut other_config) = (None, None);
        for (id, _) in self.backend.list(FileKind::Key)? {
            let opened = match self.try_key(&id) {
                Ok(Some(opened)) => opened,
                Ok(None) => continue,
                // another key may still open
                Err(error) => {
                    unreadable = Some(error);
                    continue;
                }
            };
            let mut sealed = config.clone();
            match opened.key.open_in_place(&mut sealed) {
                Ok(plain) => {
                    let config: Config = serde_json::from_slice(plain).map_err(|error| Error::damaged("the config")(error.into()))?;
                    let is_known = config.version == VERSION;
                    return if is_known {
                        Ok((opened, config_id))
                    } else {
                        Err(Error::UnsupportedVersion { root: root(), version: config.version })
                    };
                }
                // a key that a broken creation left behind
                Err(error) => other_config = Some(Error::damaged("the config")(error)),
            }
        }
        if self.backend.list(FileKind::Key)?.is_empty() {
            return Err(Error::damaged("the repository")(FormatError::new("it has no key file any more")));
        }
        Err(other_config.or(unreadable).unwrap_or_else(|| Error::WrongPassword { root: root() }))
    }

    /// Nothing where it is another password's.
    fn try_key(self, id: &FileId) -> Result<Option<Opened>, Error> {
        let bytes = self.backend.read(FileKind::Key, id)?;
        let is_whole = FileId::of(&bytes) == *id;
        let damaged = || Error::damaged(subject(FileKind::Key, id));
        let opened = KeyFile::parse(&bytes).and_then(|file| file.open(&*self.keyring.derive(self.password, &file.parameters)?));
        match opened.map_err(damaged())? {
            Some(key) => Ok(Some(Opened { key: Arc::new(key), is_whole })),
            None if is_whole => Ok(None),
            // that the password is wrong cannot be said
            None => Err(damaged()(FormatError::new(OTHER_CONTENT))),
        }
    }

    fn read_config(self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.backend.config_path();
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(Error::io("read", path)),
        }
    }

    /// Whether a key is that of any record or index file.
    fn opens_a_file(self, key: &Key) -> Result<bool, Error> {
        for kind in [FileKind::Snapshot, FileKind::Index] {
            for (id, _) in self.backend.list(kind)? {
                if self.backend.read(kind, &id).is_ok_and(|mut sealed| key.open_in_place(&mut sealed).is_ok()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// A config for a new repository, sealed.
///
/// # Errors
/// [`Error::Encode`].
pub(super) fn fresh_config(master: &Key) -> Result<Vec<u8>, Error> {
    let json = Config::fresh().and_then(|config| Ok(serde_json::to_vec(&config)?)).map_err(Error::encode("the config"))?;
    master.seal(&json).map_err(Error::encode("the config"))
}
