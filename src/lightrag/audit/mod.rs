//! The audit: whether a workspace's stores fit together. One streaming pass over each file, of which digests and lengths are kept; a file
//! with a suspicious row is read once more for names.
//!
//! Files are read beside an engine that reads them anyway (a [`Tap`]), or here. Rules are those of a quiet LightRAG 1.5.7 workspace; what
//! breaks them for documents that LightRAG has not finished is in flight, not broken.

mod cache;
mod extract;
mod read;
mod rows;
mod rules;
mod stores;
mod suspicion;
mod tally;
mod vector_rows;
mod vectors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::control::Control;
use crate::base::tap::Tap;
use crate::domain::census::Census;
use crate::domain::entry::{Entry, EntryKind, Generation};
use crate::domain::finding::{Rule, Severity, Verdict};
use crate::lightrag::Error;
use crate::lightrag::files::{self, Captured, Directory, Files, StoreFile};
use crate::lightrag::formats::matrix::Matrix;
use crate::lightrag::formats::vectors::Shape;
use crate::lightrag::workspace::{Store, is_faiss};

pub use cache::AuditCache;
use extract::Extract;
use read::{Tapped, side_by_side};
use stores::Stores;
use tally::Tally;

/// The audit of one capture, by all rules but those that read the numbers of vectors (R34, R35).
#[derive(Debug)]
pub struct Audit {
    cache: Option<AuditCache>,
    tapped: Arc<Mutex<BTreeMap<PathBuf, (Generation, Tapped)>>>,
}

impl Audit {
    /// An audit that reads what `cache` does not know yet.
    pub fn new(cache: Option<&AuditCache>) -> Self {
        Self { cache: cache.cloned(), tapped: Arc::default() }
    }

    /// A tap for a file that is being read anyway: for store files of which nothing is known yet, else none. Ask and feed from any
    /// thread, and drop all taps before [`Self::finish`].
    pub fn tap(&self, entry: &Entry) -> Option<Tap> {
        let store = Store::of_path(&entry.path).filter(|_| entry.kind == EntryKind::File)?;
        let generation = entry.meta.generation();
        if generation.size_bytes == 0 || self.cache.as_ref().is_some_and(|cache| cache.has_extract(store, generation)) {
            return None;
        }
        Some(read::tap(store, entry, &self.tapped))
    }

    /// The verdict on a capture with these entries. Store files that were not tapped to their end, and are not cached, are read here.
    /// For a workspace without any store file (a plain directory) it is [`Verdict::not_applicable`].
    ///
    /// # Errors
    /// [`Error::AuditRead`] and [`Error::Cancelled`]; damaged files are findings, not errors.
    pub fn finish(&self, entries: &[Entry], control: &Control) -> Result<Verdict, Error> {
        let captured = Captured(entries);
        let files = store_files(&captured)?;
        if files.is_empty() {
            return Ok(Verdict::not_applicable());
        }
        let generation = |file: &StoreFile| {
            let entry = entries.iter().find(|entry| entry.path == file.path);
            entry.map_or(Generation { inode: 0, size_bytes: 0, modified: (0, 0) }, |entry| entry.meta.generation())
        };
        let generations = files.iter().map(|file| (file.store, generation(file))).collect();
        if let Some(verdict) = self.cache.as_ref().and_then(|cache| cache.verdict(&generations)) {
            return Ok(verdict);
        }
        let (mut extracts, mut unread) = (BTreeMap::new(), Vec::new());
        for file in &files {
            match self.extract_of(file, generation(file)) {
                Some(extract) => {
                    extracts.insert(file.store, extract);
                }
                None => unread.push(file.clone()),
            }
        }
        for (file, extract) in side_by_side(unread, control, &|file| read::extract(&captured, file, control))? {
            self.keep(&file, generation(&file), &extract);
            extracts.insert(file.store, extract);
        }
        let workspace = Workspace { files: &captured, store_files: files, stores: Stores::new(extracts) };
        let verdict = workspace.judge(Tally::default(), control)?;
        if let Some(cache) = &self.cache {
            cache.keep_verdict(&generations, &verdict);
        }
        Ok(verdict)
    }

    /// What was tapped of a file, or is cached of it.
    fn extract_of(&self, file: &StoreFile, generation: Generation) -> Option<Extract> {
        let tapped = self.tapped.lock().unwrap_or_else(PoisonError::into_inner).remove(&file.path);
        let seen = tapped.filter(|(tapped, _)| *tapped == generation).and_then(|(_, tapped)| tapped.extract());
        if let Some(extract) = seen {
            self.keep(file, generation, &extract);
            return Some(extract);
        }
        self.cache.as_ref().and_then(|cache| cache.extract(file.store, generation))
    }

    fn keep(&self, file: &StoreFile, generation: Generation, extract: &Extract) {
        if let Some(cache) = &self.cache {
            cache.keep_extract(file.store, generation, extract);
        }
    }
}

/// Audits a workspace that stands still by all rules, those that read the numbers of vectors too.
///
/// # Errors
/// [`Error::AuditRead`] and [`Error::Cancelled`]; damaged files are findings, not errors.
pub fn audit_files(files: &dyn Files, control: &Control) -> Result<Verdict, Error> {
    let store_files = store_files(files)?;
    if store_files.is_empty() {
        return Ok(Verdict::not_applicable());
    }
    let read = side_by_side(store_files.clone(), control, &|file| read::extract(files, file, control))?;
    let stores = Stores::new(read.into_iter().map(|(file, extract)| (file.store, extract)).collect());
    let workspace = Workspace { files, store_files, stores };
    let tally = workspace.judge_numbers(control)?;
    workspace.judge(tally, control)
}

/// Audits a directory as [`audit_files`] does, such as a restored one.
///
/// # Errors
/// As [`audit_files`].
pub fn audit_directory(directory: &Path, control: &Control) -> Result<Verdict, Error> {
    audit_files(&Directory(directory.to_path_buf()), control)
}

/// The store files of a workspace that are in use.
fn store_files(files: &dyn Files) -> Result<Vec<StoreFile>, Error> {
    files::store_files(files).map_err(|source| Error::AuditRead { path: PathBuf::new(), source })
}

/// A workspace of which everything is read that digests tell.
struct Workspace<'f> {
    files: &'f dyn Files,
    store_files: Vec<StoreFile>,
    stores: Stores,
}

impl Workspace<'_> {
    fn file(&self, store: Store) -> Option<&StoreFile> {
        self.store_files.iter().find(|file| file.store == store)
    }

    /// R34 and R35, where there is a matrix that fits.
    fn judge_numbers(&self, control: &Control) -> Result<Tally, Error> {
        let mut matrices = BTreeMap::new();
        let mut row_files = Vec::new();
        for (rows, index) in Store::VECTORS {
            let Some(file) = self.file(rows) else { continue };
            let holder = if is_faiss(&file.path) { index } else { rows };
            let Some((matrix, shape)) = self.file(holder).zip(self.stores.get(holder).and_then(|extract| extract.head.shape)) else {
                continue;
            };
            if shape.misfit().is_none() && self.stores.get(rows).is_some() {
                matrices.insert(rows, Matrix { path: matrix.path.clone(), shape });
                row_files.push(file.clone());
            }
        }
        let judged = side_by_side(row_files, control, &|file| match matrices.get(&file.store) {
            Some(matrix) => vectors::judge_vectors(self.files, file, matrix, &self.stores, control),
            None => Ok(Tally::default()),
        })?;
        let mut tally = Tally::default();
        judged.into_iter().for_each(|(_, more)| tally.add(more));
        Ok(tally)
    }

    fn judge(&self, mut tally: Tally, control: &Control) -> Result<Verdict, Error> {
        for file in &self.store_files {
            let Some(extract) = self.stores.extracts().get(&file.store) else { continue };
            if let Some(failure) = &extract.failure {
                tally.count(Rule::Parses, Severity::Broken, &[failure.as_bytes()]);
            }
            if self.stores.is_suspicious(file.store) {
                read::rows(self.files, file, control, &mut |row| self.stores.judge(&row, &mut tally))?;
            }
        }
        self.judge_shapes(&mut tally);
        for store in Store::ALL {
            if self.stores.is_missing(store)
                && let Some(severity) = self.stores.absence(store, &tally)
            {
                tally.count(Rule::Present, severity, &[store.file_name().as_bytes()]);
            }
        }
        Ok(self.verdict(tally))
    }

    /// R33, and that a Faiss index is there with its rows. A newer index has more vectors than rows: LightRAG passes over them.
    fn judge_shapes(&self, tally: &mut Tally) {
        for (rows, index) in Store::VECTORS {
            let name = |store| self.file(store).map(|file| file.path.display().to_string()).unwrap_or_default();
            let shape = |store| self.stores.extracts().get(&store).and_then(|extract| extract.head.shape);
            let is_faiss = self.file(rows).is_some_and(|file| is_faiss(&file.path)) || self.file(index).is_some();
            if !is_faiss {
                if let Some(misfit) = shape(rows).as_ref().and_then(Shape::misfit) {
                    tally.count(Rule::R33, Severity::Broken, &[format!("{}: {misfit}", name(rows)).as_bytes()]);
                }
                continue;
            }
            match (self.file(rows), self.file(index)) {
                (Some(_), None) => tally.count(Rule::Present, Severity::Broken, &[index.file_name().as_bytes()]),
                (None, _) => tally.count(Rule::Present, Severity::Broken, &[format!("{}.meta.json", index.file_name()).as_bytes()]),
                _ => {}
            }
            if let Some(misfit) = shape(index).as_ref().and_then(Shape::misfit) {
                tally.count(Rule::R33, Severity::Broken, &[format!("{}: {misfit}", name(index)).as_bytes()]);
            }
            if let Some((named, stored)) = shape(rows).zip(shape(index)).filter(|(named, stored)| named.rows != stored.rows) {
                let severity = if named.rows < stored.rows { Severity::Warning } else { Severity::Broken };
                let text = format!("{}: {} vectors, {} rows", name(index), stored.rows, named.rows);
                tally.count(Rule::R33, severity, &[text.as_bytes()]);
            }
        }
    }

    fn verdict(&self, tally: Tally) -> Verdict {
        let stores = &self.stores;
        let head = |store| stores.get(store).map(|extract| &extract.head);
        let vectors = Store::VECTORS.into_iter().map(|(rows, _)| stores.rows(rows)).sum();
        let census = Census {
            documents: stores.rows(Store::DocStatus),
            processed_documents: head(Store::DocStatus).map_or(0, |documents| documents.processed),
            chunks: stores.rows(Store::TextChunks),
            entities: stores.rows(Store::Graph),
            relations: stores.get(Store::Graph).map_or(0, |graph| graph.edges.len() as u64),
            vectors,
        };
        let documents = head(Store::DocStatus);
        Verdict {
            documents_in_flight: documents.map_or(0, |documents| documents.in_flight),
            documents_in_flight_examples: documents.map_or(Vec::new(), |documents| documents.in_flight_examples.clone()),
            layout: stores.layout(),
            embedding_dimension: stores.dimensions(),
            ..Verdict::of(census, tally.into_findings())
        }
    }
}
