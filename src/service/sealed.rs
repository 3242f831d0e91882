//! Keys of other servers in our tables: sealed, so that the database alone gives nothing away.
//!
//! Form: `1:` and base64 of nonce (12 bytes) and ciphertext of ChaCha20-Poly1305, under a key of the file `secrets.key`. Without `1:`, as
//! earlier versions wrote them: under a key that scrypt derives from the repository password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use zeroize::Zeroizing;

use super::Services;
use super::error::{Error, ErrorKind};
use crate::base::secret::Secret;
use crate::store::{self, graphs, targets};

const SALT: &[u8] = b"lightkeep/sealed-column/1";
/// What everything begins with that is sealed with the file of keys.
pub const PREFIX: &str = "1:";
const NONCE_BYTES: usize = 12;

/// A key that seals.
pub type SecretKey = Zeroizing<[u8; 32]>;

/// The keys of the file `secrets.key`.
#[derive(Clone)]
pub struct SecretKeys {
    /// Seals and opens.
    pub current: SecretKey,
    /// Only opens: what a rotation that broke off has not sealed again.
    pub earlier: Vec<SecretKey>,
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKeys(..)")
    }
}

fn cipher(key: &SecretKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(**key))
}

/// Takes a tenth of a second.
fn derived(password: &Secret) -> Result<SecretKey, Error> {
    let parameters = scrypt::Params::new(15, 8, 1).map_err(|error| Error::internal("derive a key", error))?;
    let mut key = SecretKey::default();
    let derived = scrypt::scrypt(password.expose().as_bytes(), SALT, &parameters, &mut *key);
    derived.map_err(|error| Error::internal("derive a key", error))?;
    Ok(key)
}

fn seal(keys: &SecretKeys, secret: &Secret) -> Result<String, Error> {
    let mut bytes = vec![0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal("get random bytes", error))?;
    let nonce = Nonce::try_from(bytes.as_slice()).map_err(|error| Error::internal("make a nonce", error))?;
    let sealed = cipher(&keys.current).encrypt(&nonce, secret.expose().as_bytes());
    bytes.extend(sealed.map_err(|_| Error::internal("seal a secret", "encryption failed"))?);
    Ok(format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)))
}

fn open(keys: &SecretKeys, password: &Secret, sealed: &str) -> Result<Secret, Error> {
    let refused = || {
        let message = "the key of another server cannot be opened, as it was sealed with another `secrets.key` or repository password: \
                       put that back, or give the key again";
        Error::refused(ErrorKind::FailedPrecondition, "SEALED_KEY_UNREADABLE", message)
    };
    let (text, candidates) = match sealed.strip_prefix(PREFIX) {
        Some(text) => (text, [&keys.current].into_iter().chain(&keys.earlier).cloned().collect()),
        None => (sealed, vec![derived(password)?]),
    };
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| refused())?;
    let (nonce, text) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(refused)?;
    let nonce = Nonce::try_from(nonce).map_err(|_| refused())?;
    let opened = candidates.iter().find_map(|key| cipher(key).decrypt(&nonce, text).ok()).ok_or_else(refused)?;
    String::from_utf8(opened).map(Secret::new).map_err(|_| refused())
}

impl Services {
    /// Seals a key of another server.
    ///
    /// # Errors
    /// The machine gives no random bytes.
    pub(super) fn seal(&self, secret: &Secret) -> Result<String, Error> {
        seal(&self.settings().secret_keys, secret)
    }

    /// Opens a sealed key.
    ///
    /// # Errors
    /// It was sealed with another key.
    pub(super) async fn open_sealed(&self, sealed: String) -> Result<Secret, Error> {
        let services = self.clone();
        self.blocking(move || open(&services.settings().secret_keys, &services.settings().repository_password, &sealed)).await
    }

    /// As [`Services::open_sealed`], of a key that need not be there.
    pub(super) async fn open_optional(&self, sealed: Option<String>) -> Result<Option<Secret>, Error> {
        match sealed {
            Some(sealed) => self.open_sealed(sealed).await.map(Some),
            None => Ok(None),
        }
    }

    /// Seals all keys of other servers again, with the current key; gives how many. For a process that has the database for itself.
    ///
    /// # Errors
    /// One of them cannot be opened: then nothing is changed.
    pub async fn seal_again(&self) -> Result<usize, Error> {
        let (transaction, mut count) = (self.store().begin().await?, 0);
        for graph in graphs::list_all(&*transaction).await? {
            let Some(sealed) = graph.server_api_key.clone() else { continue };
            let again = self.seal(&self.open_sealed(sealed).await?)?;
            graphs::update_server_api_key(&*transaction, &graph.graph_id, &again).await?;
            count += 1;
        }
        for target in targets::list_all(&*transaction).await? {
            let mut again = [target.api_key.clone(), target.repository_password.clone()];
            for sealed in again.iter_mut().flatten() {
                *sealed = self.seal(&self.open_sealed(sealed.clone()).await?)?;
                count += 1;
            }
            let [api_key, repository_password] = again;
            targets::update_sealed(&*transaction, target.target_id, api_key, repository_password).await?;
        }
        store::commit(transaction).await?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: u8, earlier: &[u8]) -> SecretKeys {
        let key = |byte| SecretKey::new([byte; 32]);
        SecretKeys { current: key(current), earlier: earlier.iter().copied().map(key).collect() }
    }

    #[test]
    fn opens_with_the_same_key_only() {
        let (password, secret) = (Secret::new("one".into()), Secret::new("lr-key".into()));
        let sealed = seal(&keys(1, &[]), &secret).unwrap();
        assert!(!sealed.contains("lr-key"));
        assert_eq!(open(&keys(1, &[]), &password, &sealed).unwrap().expose(), "lr-key");
        assert_eq!(open(&keys(2, &[1]), &password, &sealed).unwrap().expose(), "lr-key");
        for sealed in [sealed.as_str(), "1:AAAA", "1:", "?"] {
            assert_eq!(open(&keys(2, &[]), &password, sealed).unwrap_err().reason(), "SEALED_KEY_UNREADABLE", "{sealed}");
        }
    }

    #[test]
    fn what_earlier_versions_have_sealed_is_opened() {
        let (password, nonce) = (Secret::new("one".into()), [7; NONCE_BYTES]);
        let text = cipher(&derived(&password).unwrap()).encrypt(&Nonce::from(nonce), b"lr-key".as_slice()).unwrap();
        let sealed = BASE64_STANDARD.encode([nonce.as_slice(), &text].concat());
        assert_eq!(open(&keys(1, &[]), &password, &sealed).unwrap().expose(), "lr-key");
        assert!(open(&keys(1, &[]), &Secret::new("two".into()), &sealed).is_err());
    }
}
