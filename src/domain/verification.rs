//! How deep a snapshot is verified, and how much of a repository is checked.

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// How deep a snapshot is verified. Each level includes those before it.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum VerificationLevel {
        /// Record, directories, index, and the presence of packs.
        Record = "record",
        /// Also every piece of content.
        Data = "data",
        /// Also the rules between the stores.
        Content = "content",
    }
}

impl VerificationLevel {
    /// The levels that ask for more than this one.
    pub fn deeper(self) -> impl Iterator<Item = Self> {
        [Self::Record, Self::Data, Self::Content].into_iter().filter(move |other| *other > self)
    }
}

words! {
    /// How much of a repository is checked. Each depth includes those before it.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RepositoryCheckDepth {
        /// Records, directories, index, and the presence and length of packs.
        Structure = "structure",
        /// Also some packs, chosen at random.
        Sample = "sample",
        /// Also every byte of every pack.
        AllData = "all_data",
    }
}
