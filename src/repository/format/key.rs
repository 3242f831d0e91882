//! Key files: the master key, sealed by a key that scrypt derives from the password.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::FormatError;
use super::crypto::{self, Key};

/// What scrypt is given beside the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// Random bytes, 64 in files of ours.
    pub(crate) salt: Vec<u8>,
    /// Cost, a power of two.
    pub(crate) n: u64,
    /// Block size.
    pub(crate) r: u32,
    /// Parallelism.
    pub(crate) p: u32,
}

impl Parameters {
    /// restic's defaults with a fresh salt: 80 ms and 32 MB.
    pub(crate) fn fresh() -> Result<Self, FormatError> {
        let mut salt = vec![0; 64];
        crypto::fill_random(&mut salt)?;
        Ok(Self { salt, n: 1 << 15, r: 8, p: 1 })
    }

    /// What deriving takes: its table, and its blocks, bytes.
    fn bytes(&self) -> (u128, u128) {
        let block = u128::from(self.r) * 128;
        (u128::from(self.n) * block, u128::from(self.p) * block)
    }

    /// Whether deriving takes 128 MiB, 16 times the work of restic's defaults, and so a second or two at most: for files that others bring.
    pub(crate) fn are_modest(&self) -> bool {
        let (table, blocks) = self.bytes();
        // Each 32 bytes of blocks cost one pass over the salt.
        table <= 1 << 27 && blocks <= 1 << 17 && table * u128::from(self.p) <= 1 << 29 && self.salt.len() <= 128
    }

    /// Derives the key that seals the master key.
    pub(crate) fn derive(&self, password: &str) -> Result<Key, FormatError> {
        // the file is not authenticated before this: bounds keep a forged one from taking all memory
        let (table, blocks) = self.bytes();
        if !self.n.is_power_of_two() || self.n < 2 || table > 1 << 30 || blocks > 1 << 24 || self.p > 64 || self.salt.len() > 1024 {
            return Err(FormatError::new("its scrypt parameters are out of bounds"));
        }
        let unusable = |error: &dyn std::fmt::Display| FormatError::new(format!("its scrypt parameters are unusable: {error}"));
        let log_n = u8::try_from(self.n.trailing_zeros()).map_err(|error| unusable(&error))?;
        let parameters = scrypt::Params::new(log_n, self.r, self.p).map_err(|error| unusable(&error))?;
        let mut raw = Zeroizing::new([0; 64]);
        scrypt::scrypt(password.as_bytes(), &self.salt, &parameters, raw.as_mut_slice()).map_err(|error| unusable(&error))?;
        Key::new(raw)
    }
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: String,
    r: String,
}

#[derive(Serialize, Deserialize)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

impl Drop for MasterJson {
    fn drop(&mut self) {
        for text in [&mut self.mac.k, &mut self.mac.r, &mut self.encrypt] {
            text.zeroize();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct KeyJson {
    created: String,
    username: String,
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// A key file that has been read but not opened.
pub(crate) struct KeyFile {
    /// How its key is derived from the password.
    pub(crate) parameters: Parameters,
    sealed: Vec<u8>,
}

impl KeyFile {
    /// Reads a key file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let json: KeyJson = serde_json::from_slice(bytes)?;
        if json.kdf != "scrypt" {
            return Err(FormatError::new(format!("unknown key derivation `{}`", json.kdf)));
        }
        let parameters = Parameters { salt: decode(&json.salt)?, n: json.n, r: json.r, p: json.p };
        Ok(Self { parameters, sealed: decode(&json.data)? })
    }

    /// Opens the master key; `None` when the password was another one.
    pub(crate) fn open(&self, derived: &Key) -> Result<Option<Key>, FormatError> {
        let mut sealed = Zeroizing::new(self.sealed.clone());
        let Ok(plain) = derived.open_in_place(&mut sealed) else { return Ok(None) };
        let json: MasterJson = serde_json::from_slice(plain)?;
        let mut raw = Zeroizing::new([0; 64]);
        for (range, text) in [(0..32, &json.encrypt), (32..48, &json.mac.k), (48..64, &json.mac.r)] {
            let part = Zeroizing::new(decode(text)?);
            if part.len() != range.len() {
                return Err(FormatError::new("its master key has a wrong length"));
            }
            raw[range].copy_from_slice(&part);
        }
        Key::new(raw).map(Some)
    }

    /// Writes a key file that wraps `master`.
    pub(crate) fn encode(master: &Key, derived: &Key, parameters: &Parameters, created: &str, host: &str) -> Result<Vec<u8>, FormatError> {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let raw = master.raw();
        let master = MasterJson { mac: MacJson { k: encode(&raw[32..48]), r: encode(&raw[48..]) }, encrypt: encode(&raw[..32]) };
        let plain = Zeroizing::new(serde_json::to_vec(&master)?);
        let file = KeyJson {
            created: created.into(),
            username: "lightkeep".into(),
            hostname: host.into(),
            kdf: "scrypt".into(),
            n: parameters.n,
            r: parameters.r,
            p: parameters.p,
            salt: encode(&parameters.salt),
            data: encode(&derived.seal(&plain)?),
        };
        Ok(serde_json::to_vec(&file)?)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, FormatError> {
    BASE64_STANDARD.decode(text).map_err(|_| FormatError::new("a field is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_opens_the_master_key() {
        let parameters = Parameters { n: 16, ..Parameters::fresh().unwrap() };
        let (master, derived) = (Key::random().unwrap(), parameters.derive("right").unwrap());
        let bytes = KeyFile::encode(&master, &derived, &parameters, "2026-01-01T00:00:00Z", "host").unwrap();
        let file = KeyFile::parse(&bytes).unwrap();
        assert_eq!(file.parameters, parameters);
        assert_eq!(file.open(&derived).unwrap().unwrap().raw(), master.raw());
        assert!(file.open(&parameters.derive("wrong").unwrap()).unwrap().is_none());
    }

    #[test]
    fn parameters_that_would_take_all_memory_are_refused() {
        for (n, r, p) in [(1 << 40, 8, 1), (1 << 15, u32::MAX, 1), (3, 8, 1), (1, 8, 1), (1 << 15, 8, u32::MAX)] {
            assert!(Parameters { salt: vec![], n, r, p }.derive("x").is_err());
        }
    }
}
