//! Each rule of the audit against a workspace that breaks it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lightkeep::base::control::Control;
use lightkeep::domain::finding::{Consistency, Rule, Severity, Verdict};
use lightkeep::lightrag::audit::{Audit, audit_directory};
use lightkeep::lightrag::capture::capture;
use serde_json::{Value, json};

use super::workspaces::{Workspace, change, copy};

const ORCHARD: &str = "doc-18f212e50d318526836c5b022e8ab7dd";
const CHUNK: &str = "doc-18f212e50d318526836c5b022e8ab7dd-chunk-000";
const GONE: &str = "doc-18f212e50d318526836c5b022e8ab7dd-chunk-999";
const GRAPH: &str = "graph_chunk_entity_relation.graphml";

fn audit(directory: &Path) -> Verdict {
    audit_directory(directory, &Control::default()).unwrap()
}

/// What a snapshot asks: all but the numbers of vectors.
fn audit_capture(directory: &Path) -> Verdict {
    let control = Control::default();
    let captured = capture(directory, "0001", &control).unwrap();
    Audit::new(None).finish(captured.entries(), &control).unwrap()
}

/// Replaces the first `from` after `behind` in the graph.
fn change_graph(root: &Path, behind: &str, from: &str, to: &str) {
    let text = fs::read_to_string(root.join(GRAPH)).unwrap();
    let at = text.find(behind).unwrap();
    let rest = text[at..].replacen(from, to, 1);
    assert_ne!(rest, text[at..], "{from}");
    fs::write(root.join(GRAPH), format!("{}{rest}", &text[..at])).unwrap();
}

/// The numbers of a matrix, a row after the other.
fn change_matrix(root: &Path, change_rows: impl FnOnce(&mut Vec<Vec<f32>>)) {
    change(root, "vdb_entities.json", |store| {
        let width = usize::try_from(store["embedding_dim"].as_u64().unwrap()).unwrap();
        let bytes = STANDARD.decode(store["matrix"].as_str().unwrap()).unwrap();
        let numbers: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let mut rows: Vec<Vec<f32>> = numbers.chunks(width).map(<[f32]>::to_vec).collect();
        change_rows(&mut rows);
        let bytes: Vec<u8> = rows.concat().iter().flat_map(|number| number.to_le_bytes()).collect();
        store["matrix"] = json!(STANDARD.encode(bytes));
    });
}

fn rename(value: &mut Value, from: &str, to: &str) {
    let row = value.as_object_mut().unwrap().remove(from).unwrap();
    value[to] = row;
}

/// A row of a vector store by a field.
fn row<'v>(store: &'v mut Value, field: &str, wanted: &str) -> &'v mut Value {
    store["data"].as_array_mut().unwrap().iter_mut().find(|row| row[field] == wanted).unwrap()
}

fn break_rule(rule: Rule, root: &Path) -> Severity {
    use Severity::{Broken, Warning};
    let edge_source = fs::read_to_string(root.join(GRAPH)).unwrap();
    let edge_source = &edge_source[edge_source.find("<edge ").unwrap()..];
    let at = edge_source.find("doc-").unwrap();
    let edge_source = &edge_source[at..at + CHUNK.len()];
    match rule {
        Rule::Parses => fs::write(root.join(GRAPH), "<graphml>").map(|()| Broken).unwrap(),
        Rule::Present => fs::remove_file(root.join(GRAPH)).map(|()| Broken).unwrap(),
        Rule::R1 => changed(root, "kv_store_full_docs.json", Broken, |texts| rename(texts, ORCHARD, "doc-other")),
        Rule::R2 => changed(root, "kv_store_full_docs.json", Warning, |texts| texts["doc-other"] = texts[ORCHARD].clone()),
        Rule::R3 => changed(root, "kv_store_doc_status.json", Broken, |documents| documents[ORCHARD]["chunks_count"] = json!(2)),
        Rule::R4 => changed(root, "kv_store_text_chunks.json", Broken, |chunks| drop(chunks.as_object_mut().unwrap().remove(CHUNK))),
        Rule::R5 => changed(root, "vdb_chunks.json", Broken, |store| row(store, "__id__", CHUNK)["__id__"] = json!("chunk-x")),
        Rule::R6 => changed(root, "kv_store_text_chunks.json", Warning, |chunks| chunks[CHUNK]["full_doc_id"] = json!("doc-other")),
        Rule::R7 => changed(root, "kv_store_text_chunks.json", Broken, |chunks| chunks[GONE] = chunks[CHUNK].clone()),
        Rule::R8 => {
            changed(root, "kv_store_text_chunks.json", Warning, |chunks| chunks[CHUNK]["llm_cache_list"] = json!(["default:extract:x"]))
        }
        Rule::R9 => changed(root, "vdb_chunks.json", Broken, |store| row(store, "__id__", CHUNK)["__id__"] = json!(GONE)),
        Rule::R10 => changed(root, "vdb_chunks.json", Broken, |store| row(store, "__id__", CHUNK)["content"] = json!("another")),
        Rule::R11 => graph_changed(root, Broken, "<edge ", "target=\"", "target=\"No "),
        Rule::R12 => graph_changed(root, Broken, "<node id=\"Harbour\"", ">Harbour<", ">Port<"),
        Rule::R13 | Rule::R17 => changed(root, "vdb_entities.json", Broken, |store| {
            row(store, "entity_name", "Harbour")["__id__"] = json!("ent-00000000000000000000000000000000");
        }),
        Rule::R14 => changed(root, "kv_store_entity_chunks.json", Broken, |lists| drop(lists.as_object_mut().unwrap().remove("Harbour"))),
        Rule::R15 => graph_changed(root, Broken, "<node id=\"Brother Anselm\"", CHUNK, GONE),
        Rule::R16 => {
            changed(root, "vdb_entities.json", Broken, |store| row(store, "entity_name", "Harbour")["entity_name"] = json!("Port"))
        }
        Rule::R18 => changed(root, "vdb_relationships.json", Broken, |store| store["data"][0]["__id__"] = json!("rel-x")),
        Rule::R19 => changed(root, "kv_store_relation_chunks.json", Broken, |lists| {
            let key = lists.as_object().unwrap().keys().next().unwrap().clone();
            let (first, second) = key.split_once("<SEP>").unwrap();
            rename(lists, &key, &format!("{second}<SEP>{first}"));
        }),
        Rule::R20 => graph_changed(root, Broken, "<edge ", edge_source, &edge_source.replace("chunk-000", "chunk-999")),
        Rule::R21 => changed(root, "vdb_relationships.json", Broken, |store| store["data"][0]["tgt_id"] = json!("Nobody")),
        Rule::R22 => {
            changed(root, "kv_store_entity_chunks.json", Broken, |lists| lists["Nobody"] = json!({"chunk_ids": [CHUNK], "count": 1}))
        }
        Rule::R23 => changed(root, "kv_store_relation_chunks.json", Broken, |lists| {
            lists.as_object_mut().unwrap().values_mut().next().unwrap()["count"] = json!(99);
        }),
        Rule::R24 => changed(root, "kv_store_entity_chunks.json", Broken, |lists| {
            let list = &mut lists["Brother Anselm"];
            list["chunk_ids"].as_array_mut().unwrap().push(json!(GONE));
            list["count"] = json!(list["chunk_ids"].as_array().unwrap().len());
        }),
        Rule::R25 => changed(root, "kv_store_entity_chunks.json", Warning, |lists| {
            lists["Ellmouth"]["chunk_ids"].as_array_mut().unwrap().pop();
            lists["Ellmouth"]["count"] = json!(lists["Ellmouth"]["chunk_ids"].as_array().unwrap().len());
        }),
        Rule::R26 => changed(root, "kv_store_full_entities.json", Warning, |lists| lists["doc-other"] = lists[ORCHARD].clone()),
        Rule::R27 => changed(root, "kv_store_full_entities.json", Broken, |lists| lists[ORCHARD]["count"] = json!(99)),
        Rule::R28 => changed(root, "kv_store_full_entities.json", Warning, |lists| {
            lists[ORCHARD]["entity_names"].as_array_mut().unwrap().push(json!("Nobody"));
        }),
        Rule::R29 => changed(root, "kv_store_full_relations.json", Warning, |lists| lists["doc-other"] = lists[ORCHARD].clone()),
        Rule::R30 => changed(root, "kv_store_full_relations.json", Warning, |lists| {
            lists[ORCHARD]["relation_pairs"].as_array_mut().unwrap().push(json!(["Brother Anselm", "Nobody"]));
        }),
        Rule::R31 => changed(root, "kv_store_full_entities.json", Warning, |lists| {
            drop(lists[ORCHARD]["entity_names"].as_array_mut().unwrap().pop())
        }),
        Rule::R32 => changed(root, "kv_store_full_relations.json", Warning, |lists| {
            drop(lists[ORCHARD]["relation_pairs"].as_array_mut().unwrap().pop())
        }),
        Rule::R33 => changed(root, "vdb_chunks.json", Broken, |store| store["embedding_dim"] = json!(128)),
        Rule::R34 => {
            change_matrix(root, |rows| rows[1].iter_mut().for_each(|number| *number *= 1.01));
            Broken
        }
        Rule::R35 => {
            change_matrix(root, |rows| rows.swap(0, 1));
            Broken
        }
        Rule::W1 => changed(root, "kv_store_llm_response_cache.json", Warning, |answers| {
            let extraction = answers.as_object_mut().unwrap().values_mut().find(|answer| answer["cache_type"] == "extract").unwrap();
            extraction["chunk_id"] = json!(GONE);
        }),
    }
}

fn changed(root: &Path, name: &str, severity: Severity, how: impl FnOnce(&mut Value)) -> Severity {
    change(root, name, how);
    severity
}

fn graph_changed(root: &Path, severity: Severity, behind: &str, from: &str, to: &str) -> Severity {
    change_graph(root, behind, from, to);
    severity
}

#[test]
fn each_rule_is_named_when_it_is_broken() {
    for rule in Rule::ALL {
        let (_directory, root) = copy(Workspace::Sample);
        let severity = break_rule(rule, &root);
        let verdict = audit(&root);
        let finding = verdict.findings.iter().find(|finding| finding.rule == rule);
        assert_eq!(finding.map(|finding| finding.severity), Some(severity), "{rule:?}: {:#?}", verdict.findings);
        assert!(finding.is_some_and(|finding| finding.count > 0 && !finding.examples.is_empty()), "{rule:?}");
        let broken = verdict.findings.iter().any(|finding| finding.severity == Severity::Broken);
        assert_eq!(verdict.consistency == Consistency::Inconsistent, broken, "{rule:?}");
        let mut quick = audit_capture(&root);
        let numbers = |rule: Rule| matches!(rule, Rule::R34 | Rule::R35);
        assert!(!quick.findings.iter().any(|finding| numbers(finding.rule)), "{rule:?}");
        quick.findings.extend(verdict.findings.iter().filter(|finding| numbers(finding.rule)).cloned());
        quick.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.rule));
        assert_eq!(quick.findings, verdict.findings, "{rule:?}: a snapshot says the same but for the numbers of vectors");
    }
}

#[test]
fn a_matrix_that_is_no_base64_is_broken() {
    let (_directory, root) = copy(Workspace::Sample);
    change(&root, "vdb_entities.json", |store| store["matrix"] = json!(store["matrix"].as_str().unwrap().replacen('A', "%", 1)));
    let verdict = audit(&root);
    let found: Vec<_> = verdict.findings.iter().map(|finding| (finding.rule, finding.severity, finding.examples[0].as_str())).collect();
    assert_eq!(found, [(Rule::R33, Severity::Broken, "vdb_entities.json: the matrix is no base64")]);
}

#[test]
fn what_only_edits_by_hand_break_is_no_damage() {
    // An entity is renamed through LightRAG's graph API: all stores follow but the lists of documents.
    let (_directory, root) = copy(Workspace::Sample);
    for name in [GRAPH, "vdb_entities.json", "vdb_relationships.json", "kv_store_entity_chunks.json", "kv_store_relation_chunks.json"] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        fs::write(root.join(name), text.replace("Brother Anselm", "Aaron")).unwrap();
    }
    change(&root, "vdb_entities.json", |store| {
        row(store, "entity_name", "Aaron")["__id__"] = json!("ent-1c0a11cc4ddc0dbd3fa4d77232a4e22e");
    });
    change(&root, "vdb_relationships.json", |store| {
        for row in store["data"].as_array_mut().unwrap() {
            let ends = [row["src_id"].as_str().unwrap().to_owned(), row["tgt_id"].as_str().unwrap().to_owned()];
            if ends.iter().any(|end| end == "Aaron") {
                use md5::Digest as _;
                let (first, second) = if ends[0] <= ends[1] { (&ends[0], &ends[1]) } else { (&ends[1], &ends[0]) };
                row["__id__"] = json!(format!("rel-{}", hex::encode(md5::Md5::digest(format!("{first}{second}")))));
            }
        }
    });
    change(&root, "kv_store_relation_chunks.json", |lists| {
        let keys: Vec<String> = lists.as_object().unwrap().keys().cloned().collect();
        for key in keys {
            let (first, second) = key.split_once("<SEP>").unwrap();
            if first > second {
                rename(lists, &key, &format!("{second}<SEP>{first}"));
            }
        }
    });
    let verdict = audit(&root);
    let rules: Vec<_> = verdict.findings.iter().map(|finding| (finding.rule, finding.severity)).collect();
    let expected = [Rule::R28, Rule::R30, Rule::R31, Rule::R32].map(|rule| (rule, Severity::Warning));
    assert_eq!(rules, expected, "{:#?}", verdict.findings);
    assert_eq!(verdict.consistency, Consistency::Consistent);
}
