//! Those that may bring copies here: other Lightkeeps, each with a name and a key.

use crate::base::secret::Secret;

/// The longest name, bytes: it is a part of the ids of the graphs that it brings.
const MOST_NAME_BYTES: usize = 50;

/// A shorter key could be guessed.
const LEAST_KEY_BYTES: usize = 16;

/// The key of another Lightkeep.
#[derive(Debug, Clone)]
pub struct PeerKey {
    /// What it is called here.
    pub name: String,
    /// Its key.
    pub key: Secret,
}

impl PeerKey {
    /// Checks a name and a key.
    ///
    /// # Errors
    /// What is wrong; the key is not shown.
    pub fn parse(name: &str, key: &str) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("must have names of 1 to {MOST_NAME_BYTES} letters, digits, `_` and `-`: {name}"));
        }
        if key.len() < LEAST_KEY_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("must have keys of at least {LEAST_KEY_BYTES} visible ASCII characters: the key of {name}"));
        }
        Ok(Self { name: name.to_owned(), key: Secret::new(key.to_owned()) })
    }
}

/// Whether a text can be the name of a peer.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MOST_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}
