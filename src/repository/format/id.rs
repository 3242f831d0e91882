//! Names of things in a repository: the SHA-256 of their bytes.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

macro_rules! hash_id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub(crate) [u8; 32]);

        impl $name {
            /// The id that `text` names: 64 lower-case hexadecimal digits.
            pub fn parse(text: &str) -> Option<Self> {
                let lower_case = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let mut bytes = [0; 32];
                (lower_case && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(Self(bytes))
            }

            /// The id's bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                // one write of the bytes alone, as `IdHasher` wants it
                state.write(&self.0);
            }
        }

        impl fmt::Display for $name {
            /// 64 lower-case hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..4]))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(HexVisitor).map(Self)
            }
        }
    )+};
}

hash_id! {
    /// Names a piece of content or a tree: the SHA-256 of its plain bytes.
    BlobId,
    /// Names a file of the repository (pack, index, key, lock): the SHA-256 of its bytes as stored.
    FileId,
    /// Names a snapshot record: the SHA-256 of its file as stored.
    RecordId,
}

impl BlobId {
    /// The id of these plain bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl FileId {
    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The id of these stored bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl From<RecordId> for FileId {
    fn from(id: RecordId) -> Self {
        Self(id.0)
    }
}

impl From<FileId> for RecordId {
    fn from(id: FileId) -> Self {
        Self(id.0)
    }
}

/// Reads an id straight into its bytes: trees hold many, and a string for each costs.
struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = [u8; 32];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; 32], E> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| E::custom("an id is not 64 hexadecimal digits"))?;
        Ok(bytes)
    }
}

/// Ids are SHA-256 values: their first bytes are a good hash already.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

/// A map keyed by ids.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
/// A set of ids.
pub(crate) type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// Which of the two kinds of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BlobKind {
    /// File content.
    Data,
    /// A directory.
    Tree,
}

impl BlobKind {
    /// The name that an index file uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tree => "tree",
        }
    }
}

impl<'de> Deserialize<'de> for BlobKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match <&str>::deserialize(deserializer)? {
            "data" => Ok(Self::Data),
            "tree" => Ok(Self::Tree),
            other => Err(D::Error::custom(format!("unknown kind of blob `{other}`"))),
        }
    }
}
