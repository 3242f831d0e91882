//! Probes: named queries whose vectors are stored with them, so that what a LightRAG retrieves for them can be told from a workspace's
//! files alone. A restored graph that answers differently is not recovered.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::validate::Violations;
use super::words::words;

/// How many probes a graph has at most.
pub const PROBES_MAX: usize = 100;

/// How many ids a probe asks an index for at most.
pub const TOP_K_MAX: u32 = 200;

/// The longest name, bytes.
pub const NAME_BYTES_MAX: usize = 256;

words! {
    /// An index of vectors, by what it finds.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Index {
        /// Entities, as LightRAG's mode `local` asks for.
        Entities = "entities",
        /// Relations, as its mode `global` asks for.
        Relations = "relations",
        /// Chunks, as its mode `naive` asks for.
        Chunks = "chunks",
    }
}

impl Index {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Entities, Self::Relations, Self::Chunks];
}

/// A query whose vectors are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// For people: a question, or what else the vectors stand for. Unique within a graph.
    pub name: String,
    /// How many ids each index is asked for, 1 to [`TOP_K_MAX`].
    pub top_k: u32,
    /// The vectors. An index is asked by one of them or by none.
    pub vectors: Vec<QueryVector>,
}

/// A vector and what it asks. Its length does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryVector {
    /// The indexes that are asked by it.
    pub asks: BTreeSet<Index>,
    /// Its numbers, in the dimension of the graph's embeddings. In JSON base64 of little-endian float32, as LightRAG stores them.
    #[serde(with = "float32")]
    pub numbers: Vec<f32>,
}

impl Probe {
    /// The vector that asks this index.
    pub fn vector(&self, index: Index) -> Option<&[f32]> {
        self.vectors.iter().find(|vector| vector.asks.contains(&index)).map(|vector| vector.numbers.as_slice())
    }

    /// Checks the probes of a graph; what is wrong is added under `field`.
    pub fn parse(violations: &mut Violations, field: &str, probes: Vec<Self>) -> Vec<Self> {
        if probes.len() > PROBES_MAX {
            violations.add(field, format_args!("must be at most {PROBES_MAX}: {}", probes.len()));
            return probes;
        }
        let mut names = HashSet::new();
        let dimension = probes.iter().flat_map(|probe| &probe.vectors).map(|vector| vector.numbers.len()).find(|dimension| *dimension > 0);
        for (at, probe) in probes.iter().enumerate() {
            let field = format!("{field}[{at}]");
            if let Err(problem) = check_name(&probe.name) {
                violations.add(&format!("{field}.name"), problem);
            } else if !names.insert(&probe.name) {
                violations.add(&format!("{field}.name"), format_args!("must be unique: {}", probe.name));
            }
            if !(1..=TOP_K_MAX).contains(&probe.top_k) {
                violations.add(&format!("{field}.top_k"), format_args!("must be from 1 to {TOP_K_MAX}: {}", probe.top_k));
            }
            if probe.vectors.is_empty() {
                violations.add(&format!("{field}.vectors"), "must not be empty: give the vector of a query");
            }
            let mut asked = BTreeSet::new();
            for (at, vector) in probe.vectors.iter().enumerate() {
                let field = format!("{field}.vectors[{at}]");
                if vector.asks.is_empty() {
                    violations.add(&format!("{field}.asks"), "must not be empty: name `entities`, `relations` or `chunks`");
                }
                for index in vector.asks.iter().filter(|index| !asked.insert(**index)) {
                    violations.add(&format!("{field}.asks"), format_args!("must name an index once in a probe: {index}"));
                }
                if let Err(problem) = check_numbers(&vector.numbers, dimension) {
                    violations.add(&format!("{field}.numbers"), problem);
                }
            }
        }
        probes
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("must be at most {NAME_BYTES_MAX} bytes long: {}", name.len()));
    }
    if name.contains(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

/// `dimension` is that of the first vector which has any.
fn check_numbers(numbers: &[f32], dimension: Option<usize>) -> Result<(), String> {
    if numbers.is_empty() {
        return Err("must not be empty: give a vector of the graph's embedding model".to_owned());
    }
    if let Some(dimension) = dimension.filter(|dimension| *dimension != numbers.len()) {
        return Err(format!("must have the dimension of the first vector, {dimension}: {}", numbers.len()));
    }
    if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
        return Err(format!("must be finite, but that at position {at} is not: {}", numbers[at]));
    }
    if numbers.iter().all(|number| *number == 0.0) {
        return Err("must not all be zero: such a vector has no direction".to_owned());
    }
    Ok(())
}

/// What the indexes find for a probe, the most similar first; of an index that it does not ask, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retrieved {
    /// Names of entities.
    pub entities: Vec<String>,
    /// Both names of each relation, the smaller first, joined by `<SEP>`.
    pub relations: Vec<String>,
    /// Ids of chunks.
    pub chunks: Vec<String>,
}

impl Retrieved {
    /// What one index finds.
    pub fn of(&self, index: Index) -> &[String] {
        match index {
            Index::Entities => &self.entities,
            Index::Relations => &self.relations,
            Index::Chunks => &self.chunks,
        }
    }

    /// As [`Self::of`], to be filled.
    pub fn of_mut(&mut self, index: Index) -> &mut Vec<String> {
        match index {
            Index::Entities => &mut self.entities,
            Index::Relations => &mut self.relations,
            Index::Chunks => &mut self.chunks,
        }
    }

    /// How many ids there are in all.
    pub fn count(&self) -> usize {
        Index::ALL.iter().map(|index| self.of(*index).len()).sum()
    }
}

/// The share of what was retrieved before that is retrieved after, 0 to 1; 1 where nothing was retrieved before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Of entities.
    pub entities: f64,
    /// Of relations.
    pub relations: f64,
    /// Of chunks.
    pub chunks: f64,
    /// Of all ids together.
    pub overall: f64,
}

/// How what is retrieved for a probe differs between two states of a graph. The order within an index does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How much of it is still retrieved.
    pub recall: Recall,
    /// What only the earlier state retrieves, in its order.
    pub missing: Retrieved,
    /// What only the later state retrieves, in its order.
    pub new: Retrieved,
}

/// Compares what is retrieved for a probe in two states of a graph: recall at k, k being the probe's.
pub fn compare(before: &Retrieved, after: &Retrieved) -> Comparison {
    let (mut missing, mut new) = (Retrieved::default(), Retrieved::default());
    for index in Index::ALL {
        *missing.of_mut(index) = without(before.of(index), after.of(index));
        *new.of_mut(index) = without(after.of(index), before.of(index));
    }
    let recall_of = |index: Index| share(before.of(index).len(), missing.of(index).len());
    let recall = Recall {
        entities: recall_of(Index::Entities),
        relations: recall_of(Index::Relations),
        chunks: recall_of(Index::Chunks),
        overall: share(before.count(), missing.count()),
    };
    Comparison { recall, missing, new }
}

fn without(ids: &[String], others: &[String]) -> Vec<String> {
    let others: HashSet<&String> = others.iter().collect();
    ids.iter().filter(|id| !others.contains(id)).cloned().collect()
}

fn share(wanted: usize, missing: usize) -> f64 {
    if wanted == 0 { 1.0 } else { (wanted - missing) as f64 / wanted as f64 }
}

/// Numbers in JSON: base64 of little-endian float32, which is exact and a third as long as decimal digits.
mod float32 {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::{Deserialize as _, Error as _};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(numbers: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a vector's bytes are no multiple of 4"));
        }
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
