//! Copies of the real workspaces.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A real workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workspace {
    /// LightRAG 1.5.7.
    Sample,
    /// The second workspace in its directory.
    Tenant,
    /// LightRAG 1.4.9.
    V1_4_9,
    /// LightRAG 1.3.9.
    V1_3_9,
    /// LightRAG 1.5.7 with Faiss.
    Faiss,
}

impl Workspace {
    /// Where it lies.
    pub(super) fn path(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workspaces").join(match self {
            Self::Sample => "sample",
            Self::Tenant => "sample/tenant_b",
            Self::V1_4_9 => "sample-1.4.9",
            Self::V1_3_9 => "sample-1.3.9",
            Self::Faiss => "sample-faiss",
        })
    }
}

/// A copy that can be damaged.
pub(super) fn copy(workspace: Workspace) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("rag_storage");
    fs::create_dir(&root).unwrap();
    for item in fs::read_dir(workspace.path()).unwrap().map(Result::unwrap).filter(|item| item.path().is_file()) {
        fs::copy(item.path(), root.join(item.file_name())).unwrap();
    }
    (directory, root)
}

/// Changes a JSON store.
pub(super) fn change(root: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(root.join(name)).unwrap()).unwrap();
    change(&mut value);
    fs::write(root.join(name), value.to_string()).unwrap();
}

/// Takes an entity and its relations out of the graph.
pub(crate) fn remove_node(root: &Path, name: &str) {
    let path = root.join("graph_chunk_entity_relation.graphml");
    let text = fs::read_to_string(&path).unwrap();
    let (mut kept, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find("<node ").into_iter().chain(rest.find("<edge ")).min() {
        let end = at + rest[at..].find(if rest[at..].starts_with("<node ") { "</node>" } else { "</edge>" }).unwrap() + "</node>".len();
        let head = &rest[at..at + rest[at..].find('>').unwrap()];
        let is_gone = ["id", "source", "target"].iter().any(|attribute| head.contains(&format!(" {attribute}=\"{name}\"")));
        kept.push_str(&rest[..if is_gone { at } else { end }]);
        rest = &rest[end..];
    }
    assert_ne!(kept.len() + rest.len(), text.len(), "{name}");
    fs::write(path, kept + rest).unwrap();
}

/// Takes an entity's vector and its row out of their store.
pub(crate) fn remove_vector(root: &Path, name: &str) {
    let without = |numbers: &[u8], at: usize| {
        let (before, after) = numbers.split_at(at * 256);
        [before, &after[256..]].concat()
    };
    if root.join(FAISS_ROWS).exists() {
        let rows = faiss_rows(root);
        let gone = rows.iter().position(|row| row["entity_name"] == name).unwrap();
        let index = fs::read(root.join("faiss_index_entities.index")).unwrap();
        let (mut head, numbers) = (index[..45].to_vec(), without(&index[45..], gone));
        head[8..16].copy_from_slice(&(rows.len() as u64 - 1).to_le_bytes());
        head[37..45].copy_from_slice(&(numbers.len() as u64 / 4).to_le_bytes());
        fs::write(root.join("faiss_index_entities.index"), [head, numbers].concat()).unwrap();
        write_faiss_rows(root, rows.iter().filter(|row| row["entity_name"] != name).enumerate());
        return;
    }
    change(root, "vdb_entities.json", |store| {
        let rows = store["data"].as_array_mut().unwrap();
        let gone = rows.iter().position(|row| row["entity_name"] == name).unwrap();
        rows.remove(gone);
        let numbers = STANDARD.decode(store["matrix"].as_str().unwrap()).unwrap();
        store["matrix"] = Value::String(STANDARD.encode(without(&numbers, gone)));
    });
}

const FAISS_ROWS: &str = "faiss_index_entities.index.meta.json";

/// The rows of the entities in Faiss, in their order.
pub(super) fn faiss_rows(root: &Path) -> Vec<Value> {
    let rows: Value = serde_json::from_slice(&fs::read(root.join(FAISS_ROWS)).unwrap()).unwrap();
    (0..rows.as_object().unwrap().len()).map(|at| rows[at.to_string()].clone()).collect()
}

/// Writes rows of the entities in Faiss, each with the position of its vector, in this order.
pub(super) fn write_faiss_rows<'r>(root: &Path, rows: impl IntoIterator<Item = (usize, &'r Value)>) {
    let rows: Vec<String> = rows.into_iter().map(|(at, row)| format!("\"{at}\": {row}")).collect();
    fs::write(root.join(FAISS_ROWS), format!("{{{}}}", rows.join(", "))).unwrap();
}
