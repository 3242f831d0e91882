//! The audit of all layouts that LightRAG has had, and of Faiss.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lightkeep::base::control::Control;
use lightkeep::domain::census::Census;
use lightkeep::domain::finding::{Consistency, Rule, Severity, Verdict};
use lightkeep::domain::lightrag_layout::LightragLayout;
use lightkeep::lightrag::audit::audit_directory;

use super::workspaces::{Workspace, copy};

const ROWS: &str = "faiss_index_entities.index.meta.json";
const INDEX: &str = "faiss_index_entities.index";

fn audit(directory: &Path) -> Verdict {
    audit_directory(directory, &Control::default()).unwrap()
}

fn found(verdict: &Verdict) -> Vec<(Rule, Severity, &str)> {
    verdict.findings.iter().map(|finding| (finding.rule, finding.severity, finding.examples[0].as_str())).collect()
}

#[test]
fn real_workspaces_of_all_versions_are_whole() {
    let census = |documents, chunks, entities, relations| Census {
        documents,
        processed_documents: documents,
        chunks,
        entities,
        relations,
        vectors: chunks + entities + relations,
    };
    for (workspace, layout, expected) in [
        (Workspace::Sample, LightragLayout::V1_5, census(6, 6, 34, 44)),
        (Workspace::Tenant, LightragLayout::V1_5, census(2, 2, 12, 13)),
        (Workspace::Faiss, LightragLayout::V1_5, census(6, 6, 34, 44)),
        (Workspace::V1_4_9, LightragLayout::V1_4, census(6, 6, 34, 44)),
        (Workspace::V1_3_9, LightragLayout::V1_3, census(6, 6, 34, 44)),
    ] {
        let verdict = audit(&workspace.path());
        assert_eq!(verdict.findings, [], "{workspace:?}");
        assert_eq!((verdict.consistency, verdict.layout), (Consistency::Consistent, Some(layout)), "{workspace:?}");
        assert_eq!((verdict.census, verdict.embedding_dimension), (expected, Some(64)), "{workspace:?}");
    }
}

#[test]
fn derived_stores_that_are_missing_are_told_where_the_version_has_them() {
    for name in
        ["kv_store_entity_chunks.json", "kv_store_relation_chunks.json", "kv_store_full_entities.json", "kv_store_full_relations.json"]
    {
        let (_directory, root) = copy(Workspace::Sample);
        fs::remove_file(root.join(name)).unwrap();
        let verdict = audit(&root);
        assert_eq!(found(&verdict), [(Rule::Present, Severity::Warning, name)]);
        assert_eq!(verdict.consistency, Consistency::Consistent);
    }
}

#[test]
fn a_faiss_index_and_its_rows_must_fit() {
    type Damage = (&'static str, fn(&Path), Rule, Severity);
    let damages: [Damage; 7] = [
        ("no index", |root| fs::remove_file(root.join(INDEX)).unwrap(), Rule::Present, Severity::Broken),
        ("no rows", |root| fs::remove_file(root.join(ROWS)).unwrap(), Rule::Present, Severity::Broken),
        ("cut index", |root| cut(&root.join(INDEX), 100), Rule::Parses, Severity::Broken),
        ("cut rows", |root| cut(&root.join(ROWS), 100), Rule::Parses, Severity::Broken),
        ("a row less", |root| keep_rows(&root.join(ROWS), 33), Rule::R33, Severity::Warning),
        ("a vector less", |root| keep_vectors(&root.join(INDEX), 33), Rule::R33, Severity::Broken),
        ("a vector of length 2", |root| double_first(&root.join(INDEX)), Rule::R34, Severity::Broken),
    ];
    for (what, damage, rule, severity) in damages {
        let (_directory, root) = copy(Workspace::Faiss);
        damage(&root);
        let verdict = audit(&root);
        let finding = verdict.findings.iter().find(|finding| finding.rule == rule);
        assert_eq!(finding.map(|finding| finding.severity), Some(severity), "{what}: {:#?}", verdict.findings);
    }
}

fn cut(path: &Path, bytes: usize) {
    let content = fs::read(path).unwrap();
    fs::write(path, &content[..content.len() - bytes]).unwrap();
}

fn keep_rows(path: &Path, count: usize) {
    let rows: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let kept: serde_json::Map<_, _> = (0..count).map(|row| (row.to_string(), rows[row.to_string()].clone())).collect();
    fs::write(path, serde_json::to_vec(&kept).unwrap()).unwrap();
}

/// The head tells the number of vectors at byte 8 and that of the floats at byte 37.
fn keep_vectors(path: &Path, count: u64) {
    let mut content = fs::read(path).unwrap();
    content[8..16].copy_from_slice(&count.to_le_bytes());
    content[37..45].copy_from_slice(&(count * 64).to_le_bytes());
    content.truncate(45 + usize::try_from(count).unwrap() * 256);
    fs::write(path, content).unwrap();
}

fn double_first(path: &Path) {
    let mut content = fs::read(path).unwrap();
    for number in content[45..45 + 256].chunks_mut(4) {
        let doubled = f32::from_le_bytes(number.try_into().unwrap()) * 2.0;
        number.copy_from_slice(&doubled.to_le_bytes());
    }
    fs::write(path, content).unwrap();
}

#[test]
fn of_two_stores_of_vectors_the_one_in_use_is_audited() {
    let (_directory, root) = copy(Workspace::Sample);
    for item in fs::read_dir(Workspace::Faiss.path()).unwrap().map(Result::unwrap) {
        if item.file_name().to_str().unwrap().starts_with("faiss_") {
            fs::copy(item.path(), root.join(item.file_name())).unwrap();
        }
    }
    fs::write(root.join(INDEX), "damaged").unwrap();
    let touch = |name: &str, ago: u64| {
        let file = fs::File::options().append(true).open(root.join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 - ago)).unwrap();
    };
    touch(ROWS, 1000);
    touch("vdb_entities.json", 10);
    for (rows, nano) in
        [("faiss_index_relationships.index.meta.json", "vdb_relationships.json"), ("faiss_index_chunks.index.meta.json", "vdb_chunks.json")]
    {
        touch(rows, 1000);
        touch(nano, 10);
    }
    assert_eq!(audit(&root).findings, []);
    touch(ROWS, 1);
    assert_eq!(found(&audit(&root)).first().map(|(rule, ..)| *rule), Some(Rule::Parses));
}
