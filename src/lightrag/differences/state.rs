//! One of two compared states, and reading a store of it.

use std::path::PathBuf;

use super::base::{Digest, digest};
use super::rows::{Sink, read_chunks, read_documents, read_graph, read_texts};
use crate::base::control::Control;
use crate::domain::difference::Side;
use crate::lightrag::Error;
use crate::lightrag::files::Files;
use crate::lightrag::formats::pieces::{Pieces, Stop};
use crate::lightrag::workspace::Store;

/// A store of a state.
pub(super) struct State<'a> {
    store: Store,
    side: Side,
    files: &'a dyn Files,
    control: &'a Control,
    /// The md5 of those documents' texts that `doc_status` does not tell, by the digest of their ids: 32 bytes each.
    texts: Vec<(Digest, Option<Digest>)>,
}

impl<'a> State<'a> {
    /// A store whose rows are compared.
    pub(super) fn of(store: Store, side: Side, files: &'a dyn Files, control: &'a Control) -> Result<Self, Error> {
        let mut state = Self::without_texts(store, side, files, control);
        if store == Store::DocStatus {
            state.texts = state.read_untold_texts()?;
        }
        Ok(state)
    }

    /// A store whose rows are counted.
    pub(super) fn without_texts(store: Store, side: Side, files: &'a dyn Files, control: &'a Control) -> Self {
        Self { store, side, files, control, texts: Vec::new() }
    }

    /// Reads the store to its end; nothing where there is no file.
    pub(super) fn rows(&self, sink: Sink<'_>) -> Result<(), Error> {
        self.read(self.store, |pieces| match self.store {
            Store::DocStatus => read_documents(pieces, &mut |id| self.text_of(id), sink),
            Store::TextChunks => read_chunks(pieces, sink),
            _ => read_graph(pieces, sink),
        })
    }

    fn text_of(&self, id: &[u8]) -> Option<Digest> {
        let id = digest(&[id]);
        let at = self.texts.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.texts[at].1
    }

    fn read_untold_texts(&self) -> Result<Vec<(Digest, Option<Digest>)>, Error> {
        let mut texts = Vec::new();
        let mut note = |id: &[u8]| {
            texts.push((digest(&[id]), None));
            None
        };
        self.read(Store::DocStatus, |pieces| read_documents(pieces, &mut note, &mut |_| {}))?;
        texts.sort_unstable();
        if !texts.is_empty() {
            let keep = &mut |id: &[u8], text| {
                if let Ok(at) = texts.binary_search_by_key(&digest(&[id]), |(id, _)| *id) {
                    texts[at].1 = Some(text);
                }
            };
            self.read(Store::FullDocs, |pieces| read_texts(pieces, keep))?;
        }
        Ok(texts)
    }

    fn read(&self, store: Store, parse: impl FnOnce(Pieces<'_>) -> Result<(), Stop>) -> Result<(), Error> {
        let (side, path) = (self.side, PathBuf::from(store.file_name()));
        let file = match self.files.open(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            Err(source) => return Err(Error::CompareRead { side, path, source }),
        };
        parse(Pieces::of_disk(file, self.control)).map_err(|stop| match stop {
            Stop::Malformed { at_byte, problem } => Error::CompareDamaged { side, path, at_byte, problem },
            Stop::Read(source) => Error::CompareRead { side, path, source },
            Stop::Cancelled(cancelled) => Error::Cancelled(cancelled),
            // Only an engine cuts its own taps short.
            Stop::Cut => Error::CompareRead { side, path, source: std::io::Error::other("it was cut short") },
        })
    }
}
