//! The vectors that are most similar to a query's, as nano-vectordb finds them.

use std::cmp::Ordering;

use crate::domain::probe::Index;
use crate::lightrag::formats::matrix::length_of;
use crate::lightrag::formats::pair;
use crate::lightrag::formats::vectors::VectorFields;

/// Vectors that are less similar are not retrieved: LightRAG's `COSINE_THRESHOLD`, as it is unless set.
const SIMILARITY_MIN: f32 = 0.2;

/// A query to one index, and what it has found so far.
pub(super) struct Query {
    index: Index,
    /// Of length 1.
    direction: Vec<f32>,
    top_k: usize,
    /// The most similar first.
    found: Vec<Found>,
}

struct Found {
    similarity: f32,
    /// The row's; empty where no row names the vector. Such a vector takes a place all the same, as Faiss knows nothing of rows.
    id: Vec<u8>,
    /// What is retrieved by it.
    name: Vec<u8>,
}

impl Found {
    /// The most similar comes first; of those that are equally so, the one with the smaller id.
    fn order(&self, similarity: f32, id: &[u8]) -> Ordering {
        similarity.total_cmp(&self.similarity).then_with(|| self.id.as_slice().cmp(id))
    }
}

impl Query {
    pub(super) fn new(index: Index, vector: &[f32], top_k: u32) -> Self {
        let length = length_of(vector);
        let direction = vector.iter().map(|number| (f64::from(*number) / length) as f32).collect();
        Self { index, direction, top_k: usize::try_from(top_k).unwrap_or(usize::MAX), found: Vec::new() }
    }

    /// How many numbers it has.
    pub(super) fn dimension(&self) -> usize {
        self.direction.len()
    }

    /// Takes a vector of the index with its length, and the row that names it.
    pub(super) fn see(&mut self, fields: Option<&VectorFields>, numbers: &[f32], length: f64) {
        // LightRAG normalises what it loads. What has no length is similar to nothing.
        let similarity = (f64::from(product(&self.direction, numbers)) / length) as f32;
        if similarity.is_nan() || similarity < SIMILARITY_MIN {
            return;
        }
        let id = fields.map_or(&b""[..], |fields| &fields.id);
        let at = self.found.partition_point(|found| found.order(similarity, id).is_lt());
        if at >= self.top_k {
            return;
        }
        self.found.truncate(self.top_k - 1);
        let name = fields.map_or(Vec::new(), |fields| match self.index {
            Index::Entities => fields.name.clone(),
            Index::Relations => pair([&fields.first, &fields.second]),
            Index::Chunks => fields.id.clone(),
        });
        self.found.insert(at, Found { similarity, id: id.to_vec(), name });
    }

    /// What was found, the most similar first.
    pub(super) fn into_found(self) -> Vec<Vec<u8>> {
        self.found.into_iter().filter(|found| !found.id.is_empty()).map(|found| found.name).collect()
    }
}

/// The inner product. Eight sums side by side, always in the same order: the same content gives the same bits.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let ((eights_a, rest_a), (eights_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (eight_a, eight_b) in eights_a.iter().zip(eights_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(eight_a.iter().zip(eight_b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}
