//! What an audit says about a graph: which rules are broken, for whom, and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::census::Census;
use super::lightrag_layout::LightragLayout;
use super::words::words;

/// How many examples a finding names at most.
pub const EXAMPLES_MAX: usize = 10;

/// A rule that holds between the stores of a quiet LightRAG 1.5.7 workspace. The numbers are those of the LightRAG storage reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Every file parses to its end.
    Parses,
    /// A store file that others need is there.
    Present,
    /// R1: every document that has not failed has its text in `full_docs`.
    R1,
    /// R2: every text in `full_docs` has a row in `doc_status`.
    R2,
    /// R3: a processed document's `chunks_count` is the length of its `chunks_list`.
    R3,
    /// R4: a processed document's chunks are in `text_chunks`.
    R4,
    /// R5: a processed document's chunks are in the chunk vectors.
    R5,
    /// R6: every chunk's document is in `doc_status`.
    R6,
    /// R7: every chunk is in its document's `chunks_list`.
    R7,
    /// R8: the answers that a chunk was extracted from are in the cache; only a matter of cost.
    R8,
    /// R9: every chunk vector's id is in `text_chunks`.
    R9,
    /// R10: a chunk vector's content and document are those of its chunk.
    R10,
    /// R11: both ends of an edge are nodes.
    R11,
    /// R12: a node's `entity_id` is its id.
    R12,
    /// R13: every node has an entity vector, `ent-` + md5 of its name.
    R13,
    /// R14: every node is in `entity_chunks`.
    R14,
    /// R15: every chunk in a node's `source_id` is in `text_chunks`.
    R15,
    /// R16: every entity vector's `entity_name` is a node.
    R16,
    /// R17: an entity vector's id is `ent-` + md5 of its `entity_name`.
    R17,
    /// R18: every edge has a relation vector, `rel-` + md5 of both names in either order.
    R18,
    /// R19: every edge is in `relation_chunks`, its smaller end first.
    R19,
    /// R20: every chunk in an edge's `source_id` is in `text_chunks`.
    R20,
    /// R21: every relation vector's pair is an edge.
    R21,
    /// R22: every key of `entity_chunks` is a node, of `relation_chunks` an edge.
    R22,
    /// R23: the `count` of a list of chunks is its length.
    R23,
    /// R24: every chunk in such a list is in `text_chunks`.
    R24,
    /// R25: a node's `source_id` is its list in `entity_chunks`, or a part of it where it was cut.
    R25,
    /// R26: every key of `full_entities` is in `doc_status`.
    R26,
    /// R27: the `count` of a document's list of entities or relations is its length.
    R27,
    /// R28: every name in `full_entities` is a node.
    R28,
    /// R29: every key of `full_relations` is in `doc_status`.
    R29,
    /// R30: every pair in `full_relations` is an edge.
    R30,
    /// R31: a node is in the list of each document that it comes from.
    R31,
    /// R32: an edge is in the list of each document that it comes from.
    R32,
    /// R33: a vector store's matrix has 4 bytes for each dimension of each row.
    R33,
    /// R34: every row of a matrix has length 1.
    R34,
    /// R35: a row's own `vector`, stored with half precision, is that of the matrix.
    R35,
    /// W1: the chunk of every extraction in the cache is in `text_chunks`; of no weight.
    W1,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 38] = [
        Self::Parses,
        Self::Present,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::R16,
        Self::R17,
        Self::R18,
        Self::R19,
        Self::R20,
        Self::R21,
        Self::R22,
        Self::R23,
        Self::R24,
        Self::R25,
        Self::R26,
        Self::R27,
        Self::R28,
        Self::R29,
        Self::R30,
        Self::R31,
        Self::R32,
        Self::R33,
        Self::R34,
        Self::R35,
        Self::W1,
    ];
}

impl fmt::Display for Rule {
    /// For an operator: what is wrong, without numbers of rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parses => "a store file cannot be parsed to its end",
            Self::Present => "a store file is missing though other stores need it",
            Self::R1 => "a document has no text in `full_docs`",
            Self::R2 => "a text in `full_docs` has no row in `doc_status`",
            Self::R3 => "a processed document's number of chunks differs from its list of chunks",
            Self::R4 => "a processed document's chunk is missing in `text_chunks`",
            Self::R5 => "a processed document's chunk has no vector",
            Self::R6 => "a chunk's document has no row in `doc_status`",
            Self::R7 => "a chunk is in no document's list of chunks",
            Self::R8 => "an answer that a chunk was extracted from is missing in the cache",
            Self::R9 => "a chunk vector has no chunk in `text_chunks`",
            Self::R10 => "a chunk vector's content or document differs from its chunk's",
            Self::R11 => "an edge of the graph ends in a node that is missing",
            Self::R12 => "a node's `entity_id` differs from its id",
            Self::R13 => "an entity of the graph has no vector",
            Self::R14 => "an entity of the graph has no list of chunks",
            Self::R15 => "an entity's source is missing in `text_chunks`",
            Self::R16 => "an entity vector's entity is missing in the graph",
            Self::R17 => "an entity vector's id is not that of its entity",
            Self::R18 => "a relation of the graph has no vector",
            Self::R19 => "a relation of the graph has no list of chunks",
            Self::R20 => "a relation's source is missing in `text_chunks`",
            Self::R21 => "a relation vector's relation is missing in the graph",
            Self::R22 => "a list of chunks belongs to an entity or relation that is missing in the graph",
            Self::R23 => "a list of chunks has another length than its count",
            Self::R24 => "a chunk in an entity's or relation's list is missing in `text_chunks`",
            Self::R25 => "an entity's sources differ from its list of chunks",
            Self::R26 => "a list of entities belongs to a document that is missing in `doc_status`",
            Self::R27 => "a document's list of entities or relations has another length than its count",
            Self::R28 => "an entity in a document's list is missing in the graph",
            Self::R29 => "a list of relations belongs to a document that is missing in `doc_status`",
            Self::R30 => "a relation in a document's list is missing in the graph",
            Self::R31 => "an entity is missing in the list of a document that it comes from",
            Self::R32 => "a relation is missing in the list of a document that it comes from",
            Self::R33 => "a vector store's matrix does not fit its rows",
            Self::R34 => "a vector does not have length 1",
            Self::R35 => "a vector differs from its row of the matrix",
            Self::W1 => "an answer in the cache belongs to a chunk that is missing in `text_chunks`",
        })
    }
}

/// How bad a finding is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It belongs to no document that is known (entities made by hand, imported graphs): perhaps meant.
    Warning,
    /// It belongs to documents that are not processed, which LightRAG repairs when it goes on with them.
    InFlight,
    /// It belongs to a processed document, or to a whole file: LightRAG does not repair it.
    Broken,
}

/// A broken rule and where it is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How bad it is. One rule can be found broken in several severities, in a finding each.
    pub severity: Severity,
    /// How many times.
    pub count: u64,
    /// Readable places, at most [`EXAMPLES_MAX`].
    pub examples: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} times", self.rule, self.count)?;
        if let Some(example) = self.examples.first() {
            write!(f, ", such as `{example}`")?;
        }
        Ok(())
    }
}

words! {
    /// Whether a graph is whole.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Consistency {
        /// Every file parses and no rule is broken for a processed document.
        Consistent = "consistent",
        /// Something is broken that LightRAG does not repair.
        Inconsistent = "inconsistent",
        /// A plain directory: there are no rules.
        NotApplicable = "not_applicable",
    }
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the graph is whole.
    pub consistency: Consistency,
    /// What it holds.
    pub census: Census,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Documents that LightRAG has not finished: pending, parsing, analyzing or processing.
    pub documents_in_flight: u64,
    /// Their ids, at most [`EXAMPLES_MAX`].
    pub documents_in_flight_examples: Vec<String>,
    /// How the stores are laid out; none for a plain directory, and while there is no document.
    #[serde(default)]
    pub layout: Option<LightragLayout>,
    /// Numbers in each vector, where there is one.
    #[serde(default)]
    pub embedding_dimension: Option<u64>,
}

impl Verdict {
    /// The verdict on a plain directory.
    pub fn not_applicable() -> Self {
        Self {
            consistency: Consistency::NotApplicable,
            census: Census::default(),
            findings: Vec::new(),
            documents_in_flight: 0,
            documents_in_flight_examples: Vec::new(),
            layout: None,
            embedding_dimension: None,
        }
    }

    /// The verdict that follows from findings: consistent unless one of them is broken.
    pub fn of(census: Census, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.rule));
        let broken = findings.iter().any(|finding| finding.severity == Severity::Broken);
        let consistency = if broken { Consistency::Inconsistent } else { Consistency::Consistent };
        Self { consistency, census, findings, ..Self::not_applicable() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_finding_makes_a_graph_inconsistent() {
        let finding = |severity| Finding { rule: Rule::R16, severity, count: 1, examples: vec!["Ellmouth".into()] };
        let harmless = Verdict::of(Census::default(), vec![finding(Severity::Warning), finding(Severity::InFlight)]);
        assert_eq!(harmless.consistency, Consistency::Consistent);
        assert_eq!(harmless.findings[0].severity, Severity::InFlight);
        let broken = Verdict::of(Census::default(), vec![finding(Severity::Warning), finding(Severity::Broken)]);
        assert_eq!(broken.consistency, Consistency::Inconsistent);
        assert_eq!(broken.findings[0].severity, Severity::Broken);
    }
}
