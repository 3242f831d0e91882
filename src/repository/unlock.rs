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
    /// The key file that it was opened by.
    pub(super) key_file: FileId,
}

/// The key that a handle still has which was opened before the damage, and the key file that it was opened by.
pub(super) struct Known {
    pub(super) key: Arc<Key>,
    pub(super) key_file: FileId,
}

/// A master key that the password opens.
struct Opened {
    key: Arc<Key>,
    file: FileId,
    /// Whether its file is as it was written.
    is_whole: bool,
}

impl Opener<'_> {
    /// The master key of the repository, once its config says that this program can read it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongPassword`], [`Error::UnsupportedVersion`], [`Error::Damaged`], [`Error::Io`].
    pub(super) fn unlock(self) -> Result<Unlocked, Error> {
        self.open().map(|(Opened { key, file, .. }, config_id)| Unlocked { key, config_id, key_file: file })
    }

    /// As [`Opener::unlock`], and what a repair is to write. A lost config is made anew with the key that opens a record or an index
    /// file; the chunker that restic found in it is another one then.
    ///
    /// # Errors
    /// As [`Opener::unlock`], where no key fits to what is there. That the password is wrong is no damage.
    pub(super) fn rescue(self, known: Option<Known>, now: Timestamp, host: &str) -> Result<(Unlocked, Rescue), Error> {
        let error = match self.open() {
            Ok((opened, config_id)) => return self.rescued(opened, config_id, None, now, host),
            Err(error) if error.is_damage() || matches!(error, Error::NotFound { .. }) => error,
            Err(error) => return Err(error),
        };
        let found = match self.read_config() {
            Err(error) if error.is_damage() => None,
            other => other?,
        };
        let (listed, mut candidates) = (self.list(FileKind::Key)?, Vec::new());
        for id in &listed {
            match self.try_key(id) {
                Ok(opened) => candidates.extend(opened),
                Err(error) if error.is_damage() || error.is_missing_file() => {}
                Err(error) => return Err(error),
            }
        }
        // Where its file is gone and others are there, somebody has changed the password: the old one is not let in again.
        let known = known.filter(|known| listed.is_empty() || listed.contains(&known.key_file));
        candidates.extend(known.map(|Known { key, key_file }| Opened { key, file: key_file, is_whole: false }));
        for opened in candidates {
            let key = &opened.key;
            let opens_config = found.as_ref().is_some_and(|sealed| key.open_in_place(&mut sealed.clone()).is_ok());
            if !opens_config && !self.opens_a_file(key)? {
                continue;
            }
            let config = (!opens_config).then(|| fresh_config(key)).transpose()?;
            let config_id = config.as_ref().or(found.as_ref()).map_or(FileId([0; 32]), |sealed| FileId::of(sealed));
            return self.rescued(opened, config_id, config, now, host);
        }
        Err(error)
    }

    /// With a key file for a key whose own is not whole.
    fn rescued(
        self,
        opened: Opened,
        config_id: FileId,
        config: Option<Vec<u8>>,
        now: Timestamp,
        host: &str,
    ) -> Result<(Unlocked, Rescue), Error> {
        let Opened { key, file, is_whole } = opened;
        let anew = (!is_whole).then(|| self.key_file(&key, now, host)).transpose()?;
        let key_file = anew.as_ref().map_or(file, |bytes| FileId::of(bytes));
        Ok((Unlocked { key, config_id, key_file }, Rescue { config, key_file: anew }))
    }

    /// The files of a kind. A directory that is gone as a whole has none, as if each of them were.
    fn list(self, kind: FileKind) -> Result<Vec<FileId>, Error> {
        match self.backend.list(kind) {
            Err(error) if error.is_missing_file() => Ok(Vec::new()),
            other => Ok(other?.into_iter().map(|(id, _)| id).collect()),
        }
    }

    /// Where there is no config, there must be nothing else: a repository that has lost it needs its keys for whoever repairs it.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the config; [`Error::Io`].
    pub(super) fn check_nothing_stored(self) -> Result<(), Error> {
        for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
            if !self.list(kind)?.is_empty() {
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
        let listed = self.list(FileKind::Key)?;
        for id in &listed {
            let opened = match self.try_key(id) {
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
        if listed.is_empty() {
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
            Some(key) => Ok(Some(Opened { key: Arc::new(key), file: *id, is_whole })),
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
            for id in self.list(kind)? {
                let opened = self.backend.read(kind, &id).map(|mut sealed| key.open_in_place(&mut sealed).is_ok());
                match opened {
                    Ok(true) => return Ok(true),
                    Err(error) if !error.is_damage() && !error.is_missing_file() => return Err(error),
                    _ => {}
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
