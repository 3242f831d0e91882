//! What probes retrieve, against the real LightRAG's own answers and after damage.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::domain::probe::{Index, Probe, QueryVector, Retrieved, compare};
use lightkeep::domain::validate::Violations;
use lightkeep::lightrag::Error;
use lightkeep::lightrag::capture::capture;
use lightkeep::lightrag::files::{Captured, Directory};
use lightkeep::lightrag::probes::{retrieve, sample};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::workspaces::{Workspace, change, copy, faiss_rows, remove_node, remove_vector, write_faiss_rows};

const GRAPH: &str = "graph_chunk_entity_relation.graphml";
const LIGHTHOUSE: &str = "Gull Lighthouse";
const QUESTION: &str = "Who built the Gull Lighthouse?";

fn retrieved(root: &Path, probes: &[Probe]) -> Vec<Retrieved> {
    retrieve(&Directory(root.to_path_buf()), probes, &Control::default()).unwrap()
}

fn failure(root: &Path, probes: &[Probe]) -> Error {
    retrieve(&Directory(root.to_path_buf()), probes, &Control::default()).unwrap_err()
}

fn sampled(root: &Path, count: usize) -> Vec<Probe> {
    sample(&Directory(root.to_path_buf()), count, &Control::default()).unwrap()
}

fn names(probes: &[Probe]) -> Vec<&str> {
    probes.iter().map(|probe| probe.name.as_str()).collect()
}

/// A probe that asks all indexes.
fn probe(numbers: Vec<f32>, top_k: u32) -> Probe {
    Probe { name: "probe".to_owned(), top_k, vectors: vec![QueryVector { asks: Index::ALL.into(), numbers }] }
}

/// A workspace with four entities in two dimensions: two of the same direction, one across, one that has no direction.
fn small_workspace() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_path_buf();
    let names = ["Zebra", "Ant", "Across", "Nowhere"];
    let rows: Vec<Value> =
        ["ent-1", "ent-0", "ent-2", "ent-3"].iter().zip(names).map(|(id, name)| json!({"__id__": id, "entity_name": name})).collect();
    // 3, 4; 3, 4; -4, 3; 0, 0: LightRAG normalises what it loads.
    let matrix = "AABAQAAAgEAAAEBAAACAQAAAgMAAAEBAAAAAAAAAAAA=";
    fs::write(root.join("vdb_entities.json"), json!({"embedding_dim": 2, "data": rows, "matrix": matrix}).to_string()).unwrap();
    let nodes: String = names.iter().map(|name| format!("<node id=\"{name}\"></node>")).collect();
    fs::write(root.join(GRAPH), format!("<graphml><graph>{nodes}</graph></graphml>")).unwrap();
    (directory, root)
}

#[test]
fn it_retrieves_what_the_real_lightrag_does() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/retrievals.json");
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert!(cases.len() >= 7, "all workspaces are asked");
    for case in cases {
        let name = case["workspace"].as_str().unwrap();
        let workspaces = [Workspace::Sample, Workspace::Tenant, Workspace::Faiss, Workspace::V1_4_9, Workspace::V1_3_9];
        let workspace = workspaces.into_iter().find(|workspace| workspace.path().ends_with(name)).unwrap();
        let (_directory, root) = copy(workspace);
        let without = case["without"].as_str().unwrap();
        if !without.is_empty() {
            remove_node(&root, without);
        }
        let probes: Vec<Probe> = serde_json::from_value(case["probes"].clone()).unwrap();
        let expected: Vec<Retrieved> = serde_json::from_value(case["retrieved"].clone()).unwrap();
        assert_eq!(retrieved(&root, &probes), expected, "{name} without `{without}`");
    }
}

#[test]
fn a_graph_that_lost_an_entity_is_told_by_its_probes() {
    for workspace in [Workspace::Sample, Workspace::Faiss] {
        let (_directory, root) = copy(workspace);
        let probes = sampled(&root, 5);
        let before = retrieved(&root, &probes);
        assert!(before.iter().all(|retrieved| Index::ALL.iter().all(|index| !retrieved.of(*index).is_empty())), "{before:#?}");
        let again = retrieved(&root, &probes);
        assert!(before.iter().zip(&again).all(|(before, again)| compare(before, again).recall.overall == 1.0));
        remove_node(&root, LIGHTHOUSE);
        remove_vector(&root, LIGHTHOUSE);
        let after = retrieved(&root, &probes);
        let asked = names(&probes).iter().position(|name| *name == QUESTION).unwrap();
        let comparison = compare(&before[asked], &after[asked]);
        assert!(comparison.recall.overall < 1.0 && comparison.recall.entities < 1.0, "{comparison:?}");
        assert_eq!(comparison.missing.entities, [LIGHTHOUSE]);
        let lost = |relation: &String| relation.split("<SEP>").any(|end| end == LIGHTHOUSE);
        assert!(!comparison.missing.relations.is_empty() && comparison.missing.relations.iter().all(lost), "{comparison:?}");
        assert_eq!((comparison.recall.chunks, comparison.missing.chunks.len()), (1.0, 0));
    }
}

#[test]
fn questions_come_first_and_chunks_fill_up() {
    let root = Workspace::Sample.path();
    let ids: Vec<String> = {
        let chunks: Value = serde_json::from_slice(&fs::read(root.join("vdb_chunks.json")).unwrap()).unwrap();
        chunks["data"].as_array().unwrap().iter().map(|row| row["__id__"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(sampled(&root, 0), []);
    assert_eq!(names(&sampled(&root, 1)), [QUESTION]);
    // Two of six, evenly.
    assert_eq!(names(&sampled(&root, 3)), [QUESTION, &ids[0], &ids[3]]);
    let all = sampled(&root, usize::MAX);
    let expected: Vec<&str> = std::iter::once(QUESTION).chain(ids.iter().map(String::as_str)).collect();
    assert_eq!(names(&all), expected);
    assert_eq!(all, sampled(&root, usize::MAX), "the same for the same content");
    let mut violations = Violations::default();
    Probe::parse(&mut violations, "probes", all.clone());
    violations.finish().unwrap();
    // A chunk is most similar to itself; the question has one keyword that is an entity, and so its direction.
    let retrieved = retrieved(&root, &all);
    assert_eq!(retrieved[0].entities[0], LIGHTHOUSE);
    for (id, retrieved) in ids.iter().zip(&retrieved[1..]) {
        assert_eq!(&retrieved.chunks[0], id);
    }
}

#[test]
fn questions_are_read_from_caches_of_all_versions() {
    let cache = "kv_store_llm_response_cache.json";
    let answer = |prompt: &str, keywords: &[&str]| {
        let answer = json!({"high_level_keywords": ["x"], "low_level_keywords": keywords}).to_string();
        json!({"return": answer, "cache_type": "keywords", "original_prompt": prompt, "queryparam": {"mode": "local"}})
    };
    let mean = |root: &Path, keywords: &[&str]| {
        change(root, cache, |rows| *rows = json!({"mix:keywords:1": answer("Which?", keywords)}));
        sampled(root, 1)
    };
    let (_directory, root) = copy(Workspace::Sample);
    let both = mean(&root, &["gull LIGHTHOUSE ", "Harbour", "harbour", "nobody"]);
    let [lighthouse, harbour] = ["Gull Lighthouse", "Harbour"].map(|name| mean(&root, &[name]).remove(0).vectors.remove(0).numbers);
    let sum: Vec<f32> = lighthouse.iter().zip(&harbour).map(|(a, b)| a + b).collect();
    let length = sum.iter().map(|number| number * number).sum::<f32>().sqrt();
    assert!(both[0].vectors[0].numbers.iter().zip(sum).all(|(number, sum)| (number - sum / length).abs() < 1e-6));
    assert_eq!(both[0].name, "Which?");

    // In several modes a question is one; what is no question, or asks for nobody, is none; a nested cache is LightRAG's before 1.4.
    change(&root, cache, |rows| {
        *rows = json!({
            "local:keywords:1": answer("Where is\n the harbour?", &["Nobody"]),
            "mix:keywords:2": answer("Where is the harbour?", &["Harbour"]),
            "mix:keywords:3": answer("Who is nobody?", &["Nobody"]),
            "mix:keywords:4": answer("", &["Harbour"]),
            "mix:query:5": {"return": "A text.", "cache_type": "query", "original_prompt": "Harbour"},
            "default:extract:6": {"return": "{\"low_level_keywords\": [\"Harbour\"]}", "cache_type": "extract", "original_prompt": "Extract"},
            "mix:keywords:7": {"return": "no JSON", "cache_type": "keywords", "original_prompt": "Harbour?"},
            "global": {"8": answer("Nested?", &["Harbour"])},
            "mix:keywords:9": answer(&"é".repeat(300), &["Harbour"]),
        });
    });
    let probes = sampled(&root, 5);
    let long = "é".repeat(128);
    let asked: BTreeSet<&str> = names(&probes)[..4].iter().copied().collect();
    assert_eq!(asked, BTreeSet::from(["Where is the harbour?", "Harbour", "Nested?", &long]));
    assert!(probes[4].name.starts_with("doc-"), "a chunk fills up: {}", probes[4].name);
}

#[test]
fn the_most_similar_come_first_and_equal_ones_by_their_ids() {
    let (_directory, root) = small_workspace();
    let entities = |numbers: [f32; 2], top_k| retrieved(&root, &[probe(numbers.to_vec(), top_k)]).remove(0).entities;
    assert_eq!(entities([3.0, 4.0], 10), ["Ant", "Zebra"], "across is 0, less than the threshold, and nowhere is similar to nothing");
    assert_eq!(entities([3.0, 4.0], 1), ["Ant"]);
    assert_eq!(entities([0.0, 100.0], 10), ["Ant", "Zebra", "Across"]);
    assert_eq!(entities([-3.0, -4.0], 10), Vec::<String>::new());
    // What the graph does not have is dropped after the nearest were chosen, as LightRAG does.
    remove_node(&root, "Ant");
    assert_eq!(entities([3.0, 4.0], 1), Vec::<String>::new());
    assert_eq!(entities([3.0, 4.0], 2), ["Zebra"]);
    assert_eq!(retrieved(&root, &[]), []);
}

#[test]
fn a_faiss_vector_without_a_row_takes_a_place() {
    let (_directory, root) = copy(Workspace::Faiss);
    let probes = sampled(&root, 1);
    let first = Probe { top_k: 1, ..probes[0].clone() };
    assert_eq!(retrieved(&root, std::slice::from_ref(&first))[0].entities, [LIGHTHOUSE]);
    let rows = faiss_rows(&root);
    write_faiss_rows(&root, rows.iter().enumerate().filter(|(_, row)| row["entity_name"] != LIGHTHOUSE));
    assert_eq!(retrieved(&root, &[first])[0].entities, Vec::<String>::new());
    // LightRAG writes them in order: others would be asked wrongly.
    write_faiss_rows(&root, rows.iter().enumerate().rev());
    let error = failure(&root, &probes);
    assert!(error.to_string().ends_with("its rows are not in the order of their vectors"), "{error}");
}

#[test]
fn missing_stores_retrieve_nothing_and_unusable_ones_are_named() {
    let probes = sampled(&Workspace::Sample.path(), 2);
    for (name, lost) in [
        ("vdb_entities.json", &[Index::Entities][..]),
        ("vdb_chunks.json", &[Index::Chunks]),
        ("kv_store_text_chunks.json", &[Index::Chunks]),
        (GRAPH, &[Index::Entities, Index::Relations]),
    ] {
        let (_directory, root) = copy(Workspace::Sample);
        let before = retrieved(&root, &probes);
        fs::remove_file(root.join(name)).unwrap();
        for (before, after) in before.iter().zip(retrieved(&root, &probes)) {
            for index in Index::ALL {
                let expected = if lost.contains(&index) { &[][..] } else { before.of(index) };
                assert_eq!(after.of(index), expected, "{name} {index}");
            }
        }
    }
    for name in ["vdb_entities.json", "vdb_relationships.json", "kv_store_text_chunks.json", GRAPH] {
        let (_directory, root) = copy(Workspace::Sample);
        let content = fs::read(root.join(name)).unwrap();
        fs::write(root.join(name), &content[..content.len() * 2 / 3]).unwrap();
        let error = failure(&root, &probes);
        assert!(matches!(&error, Error::ProbeDamaged { path, .. } if path == Path::new(name)), "{error}");
    }
    type Damage = fn(&mut Value);
    let damages: [(&str, Damage); 2] = [
        ("a row too many", |store| store["data"].as_array_mut().unwrap().push(json!({"__id__": "ent-x"}))),
        ("no base64", |store| store["matrix"] = json!(store["matrix"].as_str().unwrap().replacen(char::is_alphanumeric, "%", 1))),
    ];
    for (what, damage) in damages {
        let (_directory, root) = copy(Workspace::Sample);
        change(&root, "vdb_entities.json", damage);
        let error = failure(&root, &probes);
        assert!(matches!(&error, Error::ProbeDamaged { path, .. } if path == Path::new("vdb_entities.json")), "{what}: {error}");
    }
    // Of Faiss one file alone is none.
    for name in ["faiss_index_entities.index", "faiss_index_entities.index.meta.json"] {
        let (_directory, root) = copy(Workspace::Faiss);
        fs::remove_file(root.join(name)).unwrap();
        assert!(retrieved(&root, &probes)[0].entities.is_empty() && !retrieved(&root, &probes)[0].chunks.is_empty(), "{name}");
    }
}

#[test]
fn a_file_that_changes_under_a_capture_is_told() {
    let (_directory, root) = copy(Workspace::Sample);
    let probes = sampled(&root, 2);
    let control = Control::default();
    let captured = capture(&root, "0001", &control).unwrap();
    let files = Captured(captured.entries());
    assert_eq!(retrieve(&files, &probes, &control).unwrap(), retrieved(&root, &probes));
    // As LightRAG before 1.5 writes: in place, so that a link does not keep what was there.
    let mut file = fs::OpenOptions::new().append(true).open(root.join(GRAPH)).unwrap();
    file.write_all(b"\n").unwrap();
    let error = retrieve(&files, &probes, &control).unwrap_err();
    assert!(matches!(&error, Error::ProbeChanged { path } if path == Path::new(GRAPH)), "{error}");
}

#[test]
fn vectors_of_another_model_are_refused() {
    let error = failure(&Workspace::Sample.path(), &[probe(vec![1.0; 32], 10)]);
    let expected = "probe `probe` has vectors of dimension 32, `vdb_entities.json` has 64: give probes of the graph's embedding model";
    assert_eq!(error.to_string(), expected);
    // An index that is not asked is not compared with.
    let only_chunks = Probe { vectors: vec![QueryVector { asks: [Index::Chunks].into(), numbers: vec![1.0; 32] }], ..probe(vec![], 10) };
    assert!(
        matches!(failure(&Workspace::Sample.path(), &[only_chunks]), Error::ProbeDimension { path, .. } if path == Path::new("vdb_chunks.json"))
    );
}

#[test]
fn it_stops_when_told_to() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let control = Control::new(cancel);
    let files = Directory(Workspace::Sample.path());
    assert!(matches!(sample(&files, 3, &control), Err(Error::Cancelled(_))));
    assert!(matches!(retrieve(&files, &[probe(vec![1.0; 64], 3)], &control), Err(Error::Cancelled(_))));
}
