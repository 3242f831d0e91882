//! The quick audit: whether a workspace's stores fit together. One streaming pass over each file, of which keys and lengths are kept.
//!
//! Files are read beside an engine that reads them anyway (a [`Tap`]), or here. Rules are those of a quiet LightRAG 1.5.7 workspace; what
//! breaks them for documents that LightRAG has not finished is in flight, not broken.

mod cache;
mod extract;
pub(in crate::lightrag) mod graphml;
mod join;
pub(in crate::lightrag) mod json;
pub(in crate::lightrag) mod pieces;
mod read;
mod rows;
mod utf8;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::control::Control;
use crate::base::tap::Tap;
use crate::domain::census::Census;
use crate::domain::entry::{Entry, EntryKind, Generation, Meta};
use crate::domain::finding::{Rule, Severity, Verdict};
use crate::lightrag::Error;
use crate::lightrag::workspace::{Layout, Store};

pub use cache::AuditCache;
use extract::Extract;
use join::{Stores, Tally};
use read::Tapped;

/// The audit of one capture.
#[derive(Debug)]
pub struct Audit {
    cache: Option<AuditCache>,
    tapped: Arc<Mutex<BTreeMap<Store, (Generation, Tapped)>>>,
}

impl Audit {
    /// An audit that reads what `cache` does not know yet.
    pub fn new(cache: Option<&AuditCache>) -> Self {
        Self { cache: cache.cloned(), tapped: Arc::default() }
    }

    /// A tap for a file that is being read anyway: for store files of which nothing is known yet, else none. Ask and feed from any
    /// thread, and drop all taps before [`Self::finish`].
    pub fn tap(&self, entry: &Entry) -> Option<Tap> {
        let store = store_of(entry)?;
        let generation = entry.meta.generation();
        if generation.size_bytes == 0 || self.cache.as_ref().is_some_and(|cache| cache.has_extract(store, generation)) {
            return None;
        }
        Some(read::tap(store, generation, &self.tapped))
    }

    /// The verdict on a capture with these entries. Store files that were not tapped to their end, and are not cached, are read here.
    /// For a workspace without any store file (a plain directory) it is [`Verdict::not_applicable`].
    ///
    /// # Errors
    /// [`Error::AuditRead`] and [`Error::Cancelled`]; damaged files are findings, not errors.
    pub fn finish(&self, entries: &[Entry], control: &Control) -> Result<Verdict, Error> {
        let files: BTreeMap<Store, &Entry> = entries.iter().filter_map(|entry| Some((store_of(entry)?, entry))).collect();
        if files.is_empty() {
            return Ok(Verdict::not_applicable());
        }
        let generations = files.iter().map(|(store, entry)| (*store, entry.meta.generation())).collect();
        if let Some(verdict) = self.cache.as_ref().and_then(|cache| cache.verdict(&generations)) {
            return Ok(verdict);
        }
        let mut tapped = std::mem::take(&mut *self.tapped.lock().unwrap_or_else(PoisonError::into_inner));
        let mut extracts = BTreeMap::new();
        let mut unread = Vec::new();
        for (store, entry) in &files {
            let generation = entry.meta.generation();
            let seen = tapped.remove(store).filter(|(tapped, _)| *tapped == generation).and_then(|(_, tapped)| tapped.extract());
            if let Some(extract) = seen {
                if let Some(cache) = &self.cache {
                    cache.keep_extract(*store, generation, &extract);
                }
                extracts.insert(*store, extract);
            } else if let Some(extract) = self.cache.as_ref().and_then(|cache| cache.extract(*store, generation)) {
                extracts.insert(*store, extract);
            } else {
                unread.push((*store, *entry));
            }
        }
        for (store, entry, extract) in read::extracts(unread, control)? {
            if let Some(cache) = &self.cache {
                cache.keep_extract(store, entry.meta.generation(), &extract);
            }
            extracts.insert(store, extract);
        }
        let verdict = evaluate(&Stores::new(extracts), &files, control)?;
        if let Some(cache) = &self.cache {
            cache.keep_verdict(&generations, &verdict);
        }
        Ok(verdict)
    }
}

/// Audits a workspace that stands still, such as a restored one.
///
/// # Errors
/// As [`Audit::finish`], and [`Error::SourceUnreadable`].
pub fn audit_directory(directory: &Path, control: &Control) -> Result<Verdict, Error> {
    let Layout::LightRag { stores } = Layout::detect(directory)? else { return Ok(Verdict::not_applicable()) };
    let mut entries = Vec::new();
    for store in stores {
        let read_from = directory.join(store.file_name());
        let metadata = fs::metadata(&read_from).map_err(|source| Error::SourceUnreadable { path: read_from.clone(), source })?;
        let path = PathBuf::from(store.file_name());
        entries.push(Entry { path, kind: EntryKind::File, meta: Meta::from(&metadata), read_from });
    }
    Audit::new(None).finish(&entries, control)
}

fn store_of(entry: &Entry) -> Option<Store> {
    if entry.kind == EntryKind::File { Store::of_path(&entry.path) } else { None }
}

fn evaluate(stores: &Stores, files: &BTreeMap<Store, &Entry>, control: &Control) -> Result<Verdict, Error> {
    let mut tally = Tally::default();
    for (store, entry) in files {
        let Some(extract) = stores.extracts().get(store) else { continue };
        if let Some(failure) = &extract.failure {
            tally.count(Rule::Parses, Severity::Broken, &[failure.as_bytes()]);
        }
        if let Some(matrix) = &extract.matrix {
            tally.count(Rule::R33, Severity::Broken, &[format!("{}: {matrix}", store.file_name()).as_bytes()]);
        }
        if stores.is_suspicious(*store) {
            read::rows(*store, &entry.read_from, control, &mut |row| stores.judge(&row, &mut tally))?;
        }
    }
    for store in Store::ALL {
        if stores.is_missing(store)
            && let Some(severity) = stores.absence(store, &tally)
        {
            tally.count(Rule::Present, severity, &[OsStr::new(store.file_name()).as_encoded_bytes()]);
        }
    }
    let of = |store| stores.get(store);
    let rows = |store| of(store).map_or(0, |extract: &Extract| extract.rows);
    let census = Census {
        documents: rows(Store::DocStatus),
        processed_documents: of(Store::DocStatus).map_or(0, |documents| documents.processed),
        chunks: rows(Store::TextChunks),
        entities: rows(Store::Graph),
        relations: of(Store::Graph).map_or(0, |graph| graph.edges.len() as u64),
        vectors: rows(Store::EntityVectors) + rows(Store::RelationVectors) + rows(Store::ChunkVectors),
    };
    let (in_flight, examples) =
        of(Store::DocStatus).map_or((0, Vec::new()), |documents| (documents.in_flight, documents.in_flight_examples.clone()));
    Ok(Verdict::of(census, tally.into_findings(), in_flight, examples))
}
