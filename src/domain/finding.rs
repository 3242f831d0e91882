//! What an audit says about a graph: which rules are broken, for whom, and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::census::Census;
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
    /// R9: every chunk vector's id is in `text_chunks`.
    R9,
    /// R11: both ends of an edge are nodes.
    R11,
    /// R12: a node's `entity_id` is its id.
    R12,
    /// R13: every node has an entity vector, `ent-` + md5 of its name.
    R13,
    /// R16: every entity vector's `entity_name` is a node.
    R16,
    /// R18: every edge has a relation vector, `rel-` + md5 of both names in either order.
    R18,
    /// R21: every relation vector's pair is an edge.
    R21,
    /// R33: a vector store's matrix has 4 bytes for each dimension of each row.
    R33,
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
            Self::R9 => "a chunk vector has no chunk in `text_chunks`",
            Self::R11 => "an edge of the graph ends in a node that is missing",
            Self::R12 => "a node's `entity_id` differs from its id",
            Self::R13 => "an entity of the graph has no vector",
            Self::R16 => "an entity vector's entity is missing in the graph",
            Self::R18 => "a relation of the graph has no vector",
            Self::R21 => "a relation vector's relation is missing in the graph",
            Self::R33 => "a vector store's matrix does not fit its rows",
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
        }
    }

    /// The verdict that follows from findings: consistent unless one of them is broken.
    pub fn of(census: Census, mut findings: Vec<Finding>, documents_in_flight: u64, documents_in_flight_examples: Vec<String>) -> Self {
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.rule));
        let broken = findings.iter().any(|finding| finding.severity == Severity::Broken);
        let consistency = if broken { Consistency::Inconsistent } else { Consistency::Consistent };
        Self { consistency, census, findings, documents_in_flight, documents_in_flight_examples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_finding_makes_a_graph_inconsistent() {
        let finding = |severity| Finding { rule: Rule::R16, severity, count: 1, examples: vec!["Ellmouth".into()] };
        let harmless = Verdict::of(Census::default(), vec![finding(Severity::Warning), finding(Severity::InFlight)], 1, Vec::new());
        assert_eq!(harmless.consistency, Consistency::Consistent);
        assert_eq!(harmless.findings[0].severity, Severity::InFlight);
        let broken = Verdict::of(Census::default(), vec![finding(Severity::Warning), finding(Severity::Broken)], 0, Vec::new());
        assert_eq!(broken.consistency, Consistency::Inconsistent);
        assert_eq!(broken.findings[0].severity, Severity::Broken);
    }
}
