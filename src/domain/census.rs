//! What a graph holds, in numbers.

use serde::{Deserialize, Serialize};

/// Counts of a LightRAG workspace; all zero for a directory that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Census {
    /// Rows of the document status store, of every status, duplicates too.
    pub documents: u64,
    /// Those of them that are processed.
    pub processed_documents: u64,
    /// Text chunks.
    pub chunks: u64,
    /// Nodes of the knowledge graph.
    pub entities: u64,
    /// Edges of the knowledge graph.
    pub relations: u64,
    /// Rows of the three vector stores together.
    pub vectors: u64,
}
