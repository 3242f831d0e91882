//! What files a LightRAG workspace consists of. Facts of LightRAG 1.5.7 (and of 1.3.9 and 1.4.9, which have fewer stores).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Error;

/// What the names of our own files and directories in and beside a source begin with.
pub const OWN_PREFIX: &str = ".lightkeep-";

/// What follows a directory's name in the name under which a restore keeps it.
pub const KEPT_INFIX: &str = "_pre_restore_";

/// A file-backed store of a workspace, in the order in which they are captured: `doc_status` first, because a document counts as
/// committed once it is `processed` there and LightRAG writes that last; the cache last, because nothing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// One row for each document: the commit record.
    DocStatus,
    /// Whole texts of documents.
    FullDocs,
    /// Chunks of texts.
    TextChunks,
    /// Entity names of each document.
    FullEntities,
    /// Relation pairs of each document.
    FullRelations,
    /// Chunk ids of each entity.
    EntityChunks,
    /// Chunk ids of each relation.
    RelationChunks,
    /// The knowledge graph.
    Graph,
    /// Vectors of entities.
    EntityVectors,
    /// Vectors of relations.
    RelationVectors,
    /// Vectors of chunks.
    ChunkVectors,
    /// Answers of language models.
    LlmCache,
}

impl Store {
    /// All of them, in the order of capture.
    pub const ALL: [Self; 12] = [
        Self::DocStatus,
        Self::FullDocs,
        Self::TextChunks,
        Self::FullEntities,
        Self::FullRelations,
        Self::EntityChunks,
        Self::RelationChunks,
        Self::Graph,
        Self::EntityVectors,
        Self::RelationVectors,
        Self::ChunkVectors,
        Self::LlmCache,
    ];

    /// The name of its file in the workspace's directory.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::DocStatus => "kv_store_doc_status.json",
            Self::FullDocs => "kv_store_full_docs.json",
            Self::TextChunks => "kv_store_text_chunks.json",
            Self::FullEntities => "kv_store_full_entities.json",
            Self::FullRelations => "kv_store_full_relations.json",
            Self::EntityChunks => "kv_store_entity_chunks.json",
            Self::RelationChunks => "kv_store_relation_chunks.json",
            Self::Graph => "graph_chunk_entity_relation.graphml",
            Self::EntityVectors => "vdb_entities.json",
            Self::RelationVectors => "vdb_relationships.json",
            Self::ChunkVectors => "vdb_chunks.json",
            Self::LlmCache => "kv_store_llm_response_cache.json",
        }
    }

    /// The store that a path below the workspace's directory is the file of.
    pub fn of_path(path: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|store| path.as_os_str() == store.file_name())
    }
}

/// What a source directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A LightRAG workspace.
    LightRag {
        /// The store files that are there. A file appears when its store is first written.
        stores: BTreeSet<Store>,
    },
    /// Anything else: plain files.
    Plain,
}

impl Layout {
    /// Looks what a directory is: a workspace if any known store file lies in it.
    ///
    /// # Errors
    /// [`Error::SourceUnreadable`] when its files cannot be looked at.
    pub fn detect(directory: &Path) -> Result<Self, Error> {
        let mut stores = BTreeSet::new();
        for store in Store::ALL {
            let path = directory.join(store.file_name());
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    stores.insert(store);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(source) => return Err(Error::SourceUnreadable { path, source }),
            }
        }
        Ok(if stores.is_empty() { Self::Plain } else { Self::LightRag { stores } })
    }
}

/// Whether a directory entry of a plain source is left out of snapshots: our own staging and journals are.
pub fn is_own(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OWN_PREFIX.as_bytes())
}

/// Whether a file of a workspace is one of LightRAG's unfinished writes, `<file>.tmp.<pid>.<thread>.<nanoseconds>`, which it renames
/// or deletes soon.
pub fn is_transient(name: &OsStr) -> bool {
    let mut parts = name.as_bytes().rsplitn(5, |&byte| byte == b'.');
    let numbers = (0..3).all(|_| parts.next().is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit)));
    numbers && parts.next() == Some(b"tmp") && parts.next().is_some_and(|file| !file.is_empty())
}

/// Whether a directory directly below a workspace's is not part of it: another workspace (it has a document status store of its own;
/// LightRAG keeps all others in directories below the default one's), or an old state that a restore has kept.
///
/// # Errors
/// Why it cannot be told.
pub fn is_other_workspace(directory: &Path) -> io::Result<bool> {
    let kept = directory.file_name().is_some_and(|name| memchr::memmem::find(name.as_bytes(), KEPT_INFIX.as_bytes()).is_some());
    if kept {
        return Ok(true);
    }
    match fs::symlink_metadata(directory.join(Store::DocStatus.file_name())) {
        Ok(metadata) => Ok(!metadata.is_dir()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_unfinished_writes_by_their_whole_form() {
        for name in ["kv_store_doc_status.json.tmp.41.140230.1795374369114241653", "a.tmp.1.2.3"] {
            assert!(is_transient(OsStr::new(name)), "{name}");
        }
        for name in ["kv_store_doc_status.json", "a.tmp", "a.tmp.1.2", "a.tmp.1.2.x", ".tmp.1.2.3", "a.tmp.1..3", "notes.1.2.3"] {
            assert!(!is_transient(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn each_store_is_found_by_its_file_name() {
        for store in Store::ALL {
            assert_eq!(Store::of_path(Path::new(store.file_name())), Some(store));
        }
        assert_eq!(Store::of_path(Path::new("tenant_b/kv_store_doc_status.json")), None);
    }
}
