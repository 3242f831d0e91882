//! What a snapshot says of itself, inside the snapshot: `/.lightkeep/manifest.json`, which restic reads too. With it, nothing that
//! matters is known to the database alone. The record says the rest: the snapshot's id is in its tags, and when it was asked for is its
//! time. So the manifest of an unchanged graph is the same, and costs nothing again.

use serde::{Deserialize, Serialize};

use crate::domain::finding::Verdict;

/// The form of manifests that this program writes; it reads all forms up to this.
const FORM: u32 = 1;

/// A snapshot's manifest. Fields may be added; a reader takes what it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    /// The form, from 1.
    pub(super) form: u32,
    /// The program that wrote it.
    pub(super) lightkeep_version: String,
    /// The graph.
    pub(super) graph_id: String,
    /// The directory that it was taken from.
    pub(super) source_dir: String,
    /// Regular files.
    pub(super) files: u64,
    /// Sum of their sizes, bytes.
    pub(super) size_bytes: u64,
    /// SHA-256 over paths, lengths and content, hex.
    pub(super) data_hash: String,
    /// The inputs directory that the snapshot holds too; none, as the figures, for one without.
    pub(super) inputs_dir: Option<String>,
    /// Regular files in it.
    pub(super) inputs_files: Option<u64>,
    /// Sum of their sizes, bytes.
    pub(super) inputs_size_bytes: Option<u64>,
    /// SHA-256 over their paths, lengths and content, hex.
    pub(super) inputs_data_hash: Option<String>,
    /// The layout of the stores, such as `1.5`.
    pub(super) lightrag_layout: Option<String>,
    /// The LightRAG server's version, where one was asked.
    pub(super) lightrag_version: Option<String>,
    /// The embedding model, where the server tells.
    pub(super) embedding_model: Option<String>,
    /// The dimension of the vectors.
    pub(super) embedding_dimension: Option<u64>,
    /// The store files, by their names.
    pub(super) storages: Vec<String>,
    /// What the audit of the capture said: census, findings, documents in flight.
    pub(super) verdict: Option<Verdict>,
    /// JSON as the caller gave it.
    pub(super) metadata: Option<String>,
}

impl Manifest {
    /// The manifest as a document.
    ///
    /// # Errors
    /// It has no form in JSON, which is a bug.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(&Self { form: FORM, lightkeep_version: env!("CARGO_PKG_VERSION").to_owned(), ..self.clone() })
    }

    /// Reads a manifest; none for one that is damaged or of a later form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        (1..=FORM).contains(&manifest.form).then_some(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_no_later_form() {
        let manifest = Manifest { graph_id: "g".into(), files: 3, ..Manifest::default() };
        let bytes = manifest.to_bytes().unwrap();
        let read = Manifest::parse(&bytes).unwrap();
        assert_eq!((read.graph_id.as_str(), read.files, read.form), ("g", 3, FORM));
        assert_eq!(Manifest::parse(br#"{"form": 99, "graph_id": "g"}"#), None);
        assert_eq!(Manifest::parse(b"{"), None);
    }
}
