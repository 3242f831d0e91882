//! How two states of a graph differ.

use super::words::words;

words! {
    /// What a graph consists of, in the order in which differences are listed.
    #[derive(PartialOrd, Ord)]
    pub enum Part {
        /// Rows of the document status store.
        Documents = "documents",
        /// Text chunks.
        Chunks = "chunks",
        /// Nodes of the knowledge graph.
        Entities = "entities",
        /// Edges of the knowledge graph.
        Relations = "relations",
    }
}

words! {
    /// What became of something from one state to the other.
    pub enum Change {
        /// Only the later state has it.
        Added = "added",
        /// Only the earlier state has it.
        Removed = "removed",
        /// Both have it, with other content.
        Changed = "changed",
    }
}

words! {
    /// One of two states that are compared.
    pub enum Side {
        /// The earlier state, or whatever the other is compared with.
        Before = "before",
        /// The later state.
        After = "after",
    }
}

/// How much of one part differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartCounts {
    /// How many there were.
    pub before: u64,
    /// How many there are.
    pub after: u64,
    /// How many only the later state has.
    pub added: u64,
    /// How many only the earlier state has.
    pub removed: u64,
    /// How many both have, with other content.
    pub changed: u64,
}

/// How much of a graph differs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Differences {
    /// Documents, of every status.
    pub documents: PartCounts,
    /// Text chunks.
    pub chunks: PartCounts,
    /// Entities.
    pub entities: PartCounts,
    /// Relations.
    pub relations: PartCounts,
    /// The share of the earlier state's entities that the later one does not have, 0 to 1; 0 where there were none.
    pub entities_lost_share: f64,
}

impl Differences {
    /// The counts of one part.
    pub fn part_mut(&mut self, part: Part) -> &mut PartCounts {
        match part {
            Part::Documents => &mut self.documents,
            Part::Chunks => &mut self.chunks,
            Part::Entities => &mut self.entities,
            Part::Relations => &mut self.relations,
        }
    }
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub part: Part,
    /// What became of it.
    pub change: Change,
    /// A document's or chunk's id, an entity's name, or both names of a relation, the smaller first, joined by `<SEP>`.
    pub key: String,
    /// For people: a document's file path, an entity's type, of the later state where it is there; empty otherwise.
    pub detail: String,
}

/// Which differences are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of these parts; of all when empty.
    pub parts: Vec<Part>,
    /// Of these kinds; of all when empty.
    pub changes: Vec<Change>,
}

impl Filter {
    /// Whether a difference of this kind in this part is listed.
    pub fn wants(&self, part: Part, change: Change) -> bool {
        (self.parts.is_empty() || self.parts.contains(&part)) && (self.changes.is_empty() || self.changes.contains(&change))
    }
}
