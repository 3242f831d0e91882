//! The sample workspace that comes with the program: written by a real LightRAG 1.5.7.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

macro_rules! sample_files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/workspaces/sample/", $name)))),+]
    };
}

/// Each file's name and content.
pub(super) const FILES: &[(&str, &[u8])] = sample_files![
    "graph_chunk_entity_relation.graphml",
    "kv_store_doc_status.json",
    "kv_store_entity_chunks.json",
    "kv_store_full_docs.json",
    "kv_store_full_entities.json",
    "kv_store_full_relations.json",
    "kv_store_llm_response_cache.json",
    "kv_store_relation_chunks.json",
    "kv_store_text_chunks.json",
    "vdb_chunks.json",
    "vdb_entities.json",
    "vdb_relationships.json",
];

/// Writes the sample into a directory, each file by rename as LightRAG does.
///
/// # Errors
/// The directory cannot be written.
pub(super) fn write(directory: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot write the sample workspace: {}", directory.display());
    fs::create_dir_all(directory).with_context(context)?;
    for (name, content) in FILES {
        let (file, temporary) = (directory.join(name), directory.join(format!("{name}.tmp.1.1.1")));
        if fs::read(&file).is_ok_and(|present| present == *content) {
            continue;
        }
        fs::write(&temporary, content).with_context(context)?;
        fs::rename(&temporary, &file).with_context(context)?;
    }
    Ok(())
}

/// The names of the files that differ from the sample, or are missing.
pub(super) fn differences(directory: &Path) -> Vec<&'static str> {
    let differs = |(name, content): &&(&'static str, &[u8])| !fs::read(directory.join(name)).is_ok_and(|present| present == *content);
    FILES.iter().filter(differs).map(|(name, _)| *name).collect()
}
