//! The config file: version, id and chunker polynomial.

use serde::{Deserialize, Serialize};

use super::FormatError;

/// The version that this engine reads and writes.
pub(crate) const VERSION: u32 = 2;

/// The contents of the config file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Format version.
    pub(crate) version: u32,
    /// Random name of the repository, 64 hexadecimal digits.
    pub(crate) id: String,
    /// Hexadecimal without leading zeros.
    pub(crate) chunker_polynomial: String,
}

impl Config {
    /// A config for a new repository.
    pub(crate) fn fresh() -> Result<Self, FormatError> {
        let mut id = [0; 32];
        super::crypto::fill_random(&mut id)?;
        let chunker_polynomial = format!("{:x}", super::polynomial::random()?);
        Ok(Self { version: VERSION, id: hex::encode(id), chunker_polynomial })
    }
}
