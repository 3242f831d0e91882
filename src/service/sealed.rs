//! Keys of other servers in our tables: sealed, so that the database alone gives nothing away.
//!
//! Form: base64 of nonce (12 bytes) and ciphertext of ChaCha20-Poly1305, under a key that scrypt derives from the repository password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};

use super::error::{Error, ErrorKind};
use crate::base::secret::Secret;

const SALT: &[u8] = b"lightkeep/sealed-column/1";
const NONCE_BYTES: usize = 12;

fn cipher(password: &Secret) -> Result<ChaCha20Poly1305, Error> {
    let parameters = scrypt::Params::new(15, 8, 1).map_err(|error| Error::internal("derive a key", error))?;
    let mut key = Key::default();
    scrypt::scrypt(password.expose().as_bytes(), SALT, &parameters, &mut key).map_err(|error| Error::internal("derive a key", error))?;
    Ok(ChaCha20Poly1305::new(&key))
}

/// Seals a secret. Takes a tenth of a second: blocking.
///
/// # Errors
/// The machine gives no random bytes.
pub(super) fn seal(password: &Secret, secret: &Secret) -> Result<String, Error> {
    let mut bytes = vec![0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal("get random bytes", error))?;
    let nonce = Nonce::try_from(bytes.as_slice()).map_err(|error| Error::internal("make a nonce", error))?;
    let sealed = cipher(password)?.encrypt(&nonce, secret.expose().as_bytes());
    bytes.extend(sealed.map_err(|_| Error::internal("seal a secret", "encryption failed"))?);
    Ok(BASE64_STANDARD.encode(bytes))
}

/// Opens a sealed secret. Takes a tenth of a second: blocking.
///
/// # Errors
/// It was sealed with another password, or is damaged.
pub(super) fn open(password: &Secret, sealed: &str) -> Result<Secret, Error> {
    let refused = || {
        let message = "the LightRAG server's key cannot be opened: it was sealed with another repository password, register it again";
        Error::refused(ErrorKind::FailedPrecondition, "SEALED_KEY_UNREADABLE", message)
    };
    let bytes = BASE64_STANDARD.decode(sealed).map_err(|_| refused())?;
    let (nonce, text) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(refused)?;
    let nonce = Nonce::try_from(nonce).map_err(|_| refused())?;
    let opened = cipher(password)?.decrypt(&nonce, text).map_err(|_| refused())?;
    String::from_utf8(opened).map(Secret::new).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_the_same_password_only() {
        let (password, other) = (Secret::new("one".into()), Secret::new("two".into()));
        let sealed = seal(&password, &Secret::new("lr-key".into())).unwrap();
        assert!(!sealed.contains("lr-key"));
        assert_eq!(open(&password, &sealed).unwrap().expose(), "lr-key");
        assert_eq!(open(&other, &sealed).unwrap_err().reason(), "SEALED_KEY_UNREADABLE");
        assert_eq!(open(&password, "AAAA").unwrap_err().reason(), "SEALED_KEY_UNREADABLE");
    }
}
