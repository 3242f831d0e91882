//! How LightRAG lays out the stores of a workspace.

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// The layout of a workspace's stores, by the first LightRAG version that has it: which stores there are and what is in their rows.
    /// Those before 1.5 are written in place, not by renames.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    pub enum LightragLayout {
        /// Documents without lists of their chunks, and no derived stores.
        #[serde(rename = "1.3")]
        V1_3 = "1.3",
        /// With `full_entities` and `full_relations`.
        #[serde(rename = "1.4")]
        V1_4 = "1.4",
        /// Also with `entity_chunks` and `relation_chunks`.
        #[serde(rename = "1.4.10")]
        V1_4_10 = "1.4.10",
        /// Documents with hashes of their content; files replaced by renames.
        #[serde(rename = "1.5")]
        V1_5 = "1.5",
    }
}
