//! Those that may bring copies here: other Lightkeeps, each with a name and a key.

use std::time::Duration;

use crate::base::secret::Secret;

/// The longest message between Lightkeeps, bytes: the names of all packs of a snapshot, 32 bytes each, and their index files.
pub const LARGEST_MESSAGE: usize = 64 << 20;

/// How long the other side may take for the next piece of a file.
pub const PIECE_LIMIT: Duration = Duration::from_secs(60);

/// What may be sent ahead of what is read, bytes, on one stream and on one connection of HTTP/2: enough for some hundred megabytes a second
/// over some ten milliseconds.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest frame of HTTP/2 that is taken, bytes: with the protocol's 16 KiB a file comes in too many pieces.
pub const LARGEST_FRAME: u32 = 256 << 10;

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
