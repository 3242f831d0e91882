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
/// committed once it is `processed` there and LightRAG writes that last; the cache last, because nothing depends on it. A Faiss index
/// comes after the rows that name its vectors: LightRAG writes it first, and vectors without rows are harmless, rows without are not.
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
    /// Vectors of entities: rows and matrix of nano-vectordb, or the rows that belong to a Faiss index.
    EntityVectors,
    /// Vectors of relations.
    RelationVectors,
    /// Vectors of chunks.
    ChunkVectors,
    /// The Faiss index of the entities.
    EntityIndex,
    /// The Faiss index of the relations.
    RelationIndex,
    /// The Faiss index of the chunks.
    ChunkIndex,
    /// Answers of language models.
    LlmCache,
}

/// All store files by their names in a workspace's directory. The rows of vectors have two forms, nano-vectordb's (the default, named
/// first) and those of Faiss.
const FILES: [(Store, &str); 18] = [
    (Store::DocStatus, "kv_store_doc_status.json"),
    (Store::FullDocs, "kv_store_full_docs.json"),
    (Store::TextChunks, "kv_store_text_chunks.json"),
    (Store::FullEntities, "kv_store_full_entities.json"),
    (Store::FullRelations, "kv_store_full_relations.json"),
    (Store::EntityChunks, "kv_store_entity_chunks.json"),
    (Store::RelationChunks, "kv_store_relation_chunks.json"),
    (Store::Graph, "graph_chunk_entity_relation.graphml"),
    (Store::EntityVectors, "vdb_entities.json"),
    (Store::RelationVectors, "vdb_relationships.json"),
    (Store::ChunkVectors, "vdb_chunks.json"),
    (Store::EntityVectors, "faiss_index_entities.index.meta.json"),
    (Store::RelationVectors, "faiss_index_relationships.index.meta.json"),
    (Store::ChunkVectors, "faiss_index_chunks.index.meta.json"),
    (Store::EntityIndex, "faiss_index_entities.index"),
    (Store::RelationIndex, "faiss_index_relationships.index"),
    (Store::ChunkIndex, "faiss_index_chunks.index"),
    (Store::LlmCache, "kv_store_llm_response_cache.json"),
];

impl Store {
    /// All of them, in the order of capture.
    pub const ALL: [Self; 15] = [
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
        Self::EntityIndex,
        Self::RelationIndex,
        Self::ChunkIndex,
        Self::LlmCache,
    ];

    /// The stores of vectors, each with the index that it has if it is Faiss's.
    pub const VECTORS: [(Self, Self); 3] =
        [(Self::EntityVectors, Self::EntityIndex), (Self::RelationVectors, Self::RelationIndex), (Self::ChunkVectors, Self::ChunkIndex)];

    /// The name of its file in the workspace's directory; of rows of vectors, that of nano-vectordb's.
    pub fn file_name(self) -> &'static str {
        FILES.iter().find(|(store, _)| *store == self).map_or("", |(_, name)| name)
    }

    /// The store that a path below the workspace's directory is a file of.
    pub fn of_path(path: &Path) -> Option<Self> {
        FILES.iter().find(|(_, name)| path.as_os_str() == *name).map(|(store, _)| *store)
    }
}

/// Whether these rows of vectors belong to a Faiss index.
pub fn is_faiss(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"faiss_index_")
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
        for (store, name) in FILES {
            let path = directory.join(name);
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
        assert_eq!(Store::of_path(Path::new("faiss_index_entities.index.meta.json")), Some(Store::EntityVectors));
        assert_eq!(Store::of_path(Path::new("tenant_b/kv_store_doc_status.json")), None);
    }
}
