//! Copies of the real workspaces.

use std::fs;
use std::path::{Path, PathBuf};

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
