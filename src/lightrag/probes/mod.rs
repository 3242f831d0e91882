//! What a LightRAG would retrieve for a probe, told from a workspace's files alone: no language model and no embedding is asked.
//!
//! As LightRAG does it: the index of vectors gives the `top_k` most similar ones, and what it names but the graph does not have is
//! dropped. All probes are asked in one pass over each store of vectors; of it the lists of the nearest and one row are held.

mod nearest;
mod questions;
mod sample;
mod workspace;

use std::collections::{BTreeMap, HashSet};

use crate::base::control::Control;
use crate::domain::probe::{Index, Probe, Retrieved};
use crate::lightrag::Error;
use crate::lightrag::files::Files;
use crate::lightrag::formats::graphml::read_elements;
use crate::lightrag::formats::json::read_object;
use crate::lightrag::formats::matrix::length_of;
use crate::lightrag::formats::pair;
use crate::lightrag::workspace::Store;

use nearest::Query;
pub use sample::sample;
use workspace::Workspace;

/// Ids of LightRAG's, as bytes: half surrogate pairs occur in them.
type Ids = HashSet<Vec<u8>>;

/// What is retrieved for each probe, in the order of the probes. A store that is missing retrieves nothing, as LightRAG begins with an
/// empty one.
///
/// # Errors
/// [`Error::ProbeRead`], [`Error::ProbeDamaged`] and [`Error::ProbeChanged`] name the file; [`Error::ProbeDimension`] names a probe whose
/// vectors are of another embedding model than the store's; and [`Error::Cancelled`].
pub fn retrieve(files: &dyn Files, probes: &[Probe], control: &Control) -> Result<Vec<Retrieved>, Error> {
    control.begin_stage("probe", 0);
    let workspace = Workspace::open(files, control)?;
    let mut found = BTreeMap::new();
    for index in Index::ALL {
        found.insert(index, nearest(&workspace, index, probes)?);
    }
    let there = Existing::among(&found, &workspace)?;
    let mut retrieved = vec![Retrieved::default(); probes.len()];
    for (index, lists) in found {
        for (of_probe, ids) in retrieved.iter_mut().zip(lists) {
            let mut told = HashSet::new();
            let kept = ids.into_iter().filter(|id| there.has(index, id) && told.insert(id.clone()));
            *of_probe.of_mut(index) = kept.map(|id| String::from_utf8_lossy(&id).into_owned()).collect();
        }
    }
    Ok(retrieved)
}

/// What an index finds for each probe, the most similar first.
fn nearest(workspace: &Workspace<'_>, index: Index, probes: &[Probe]) -> Result<Vec<Vec<Vec<u8>>>, Error> {
    let query = |probe: &Probe| probe.vector(index).map(|vector| Query::new(index, vector, probe.top_k));
    let mut queries: Vec<Option<Query>> = probes.iter().map(query).collect();
    if queries.iter().any(Option::is_some)
        && let Some(vectors) = workspace.vectors(index)?
    {
        for (probe, query) in probes.iter().zip(&queries) {
            vectors.check_dimension(&probe.name, query.as_ref().map(Query::dimension))?;
        }
        vectors.read(&mut |fields, numbers| {
            let length = length_of(numbers);
            queries.iter_mut().flatten().for_each(|query| query.see(fields, numbers, length));
        })?;
    }
    Ok(queries.into_iter().map(|query| query.map_or(Vec::new(), Query::into_found)).collect())
}

/// Which of the ids that were found are in the graph, or are chunks.
#[derive(Default)]
struct Existing(BTreeMap<Index, Ids>);

impl Existing {
    fn among(found: &BTreeMap<Index, Vec<Vec<Vec<u8>>>>, workspace: &Workspace<'_>) -> Result<Self, Error> {
        let wanted: BTreeMap<Index, HashSet<&[u8]>> =
            found.iter().map(|(index, lists)| (*index, lists.iter().flatten().map(Vec::as_slice).collect())).collect();
        let wants = |index: Index, id: &[u8]| wanted.get(&index).is_some_and(|ids| ids.contains(id));
        let wants_any = |indexes: &[Index]| indexes.iter().any(|index| wanted.get(index).is_some_and(|ids| !ids.is_empty()));
        let mut there = Self::default();
        if wants_any(&[Index::Entities, Index::Relations]) {
            workspace.read(Store::Graph, |pieces| {
                read_elements(pieces, &[], &mut |element| {
                    let [first, second] = &element.ends;
                    let (index, id) = if element.is_node {
                        (Index::Entities, first.as_bytes().to_vec())
                    } else {
                        (Index::Relations, pair([first.as_bytes(), second.as_bytes()]))
                    };
                    if wants(index, &id) {
                        there.insert(index, id);
                    }
                })
            })?;
        }
        if wants_any(&[Index::Chunks]) {
            workspace.read(Store::TextChunks, |pieces| {
                read_object(pieces, &mut |scanner, id| {
                    if wants(Index::Chunks, id) {
                        there.insert(Index::Chunks, id.to_vec());
                    }
                    scanner.pass()
                })
            })?;
        }
        Ok(there)
    }

    fn insert(&mut self, index: Index, id: Vec<u8>) {
        self.0.entry(index).or_default().insert(id);
    }

    fn has(&self, index: Index, id: &[u8]) -> bool {
        self.0.get(&index).is_some_and(|ids| ids.contains(id))
    }
}
