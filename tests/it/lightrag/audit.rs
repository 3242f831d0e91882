//! The audit on a real workspace, whole and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use lightkeep::base::control::Control;
use lightkeep::domain::finding::{Consistency, Rule, Severity, Verdict};
use lightkeep::lightrag::audit::{Audit, AuditCache, audit_directory};
use lightkeep::lightrag::capture::capture;

use super::workspaces::{Workspace, copy};

fn audit(directory: &Path) -> Verdict {
    audit_directory(directory, &Control::default()).unwrap()
}

fn broken(verdict: &Verdict) -> BTreeSet<Rule> {
    verdict.findings.iter().filter(|finding| finding.severity == Severity::Broken).map(|finding| finding.rule).collect()
}

fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_plain_directory_has_no_rules() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "x").unwrap();
    assert_eq!(audit(directory.path()), Verdict::not_applicable());
}

#[test]
fn damaged_files_are_named() {
    for name in fs::read_dir(Workspace::Sample.path())
        .unwrap()
        .map(|item| item.unwrap())
        .filter(|item| item.path().is_file())
        .map(|item| item.file_name())
    {
        let (_directory, root) = copy(Workspace::Sample);
        let path = root.join(&name);
        let whole = fs::read(&path).unwrap().trim_ascii_end().to_vec();
        for damaged in [&whole[..0], &whole[..whole.len() / 2], &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            fs::write(&path, damaged).unwrap();
            let verdict = audit(&root);
            assert_eq!(verdict.consistency, Consistency::Inconsistent, "{name:?} {} bytes", damaged.len());
            let finding = verdict.findings.iter().find(|finding| finding.rule == Rule::Parses).unwrap();
            assert!(finding.examples[0].contains(name.to_str().unwrap()), "{finding}");
        }
    }
}

#[test]
fn missing_files_are_named_if_others_need_them() {
    for (name, rule) in [
        ("kv_store_doc_status.json", None),
        ("kv_store_full_docs.json", Some(Rule::R1)),
        ("kv_store_text_chunks.json", Some(Rule::R4)),
        ("vdb_chunks.json", Some(Rule::R5)),
        ("vdb_entities.json", Some(Rule::R13)),
        ("vdb_relationships.json", Some(Rule::R18)),
        ("graph_chunk_entity_relation.graphml", Some(Rule::R16)),
    ] {
        let (_directory, root) = copy(Workspace::Sample);
        fs::remove_file(root.join(name)).unwrap();
        let verdict = audit(&root);
        assert_eq!(verdict.consistency, Consistency::Inconsistent, "{name}");
        let finding = verdict.findings.iter().find(|finding| finding.rule == Rule::Present).unwrap();
        assert_eq!((finding.severity, finding.examples[0].as_str()), (Severity::Broken, name));
        assert!(rule.is_none_or(|rule| broken(&verdict).contains(&rule)), "{name}: {:?}", verdict.findings);
    }
    let (_directory, root) = copy(Workspace::Sample);
    fs::remove_file(root.join("kv_store_llm_response_cache.json")).unwrap();
    assert_eq!(audit(&root).consistency, Consistency::Consistent);
}

const ORCHARD: &str = "doc-18f212e50d318526836c5b022e8ab7dd";

#[test]
fn a_status_ahead_of_its_data_is_broken_and_data_ahead_of_it_is_in_flight() {
    let (_directory, root) = copy(Workspace::Sample);
    change(&root.join("kv_store_text_chunks.json"), &format!("{ORCHARD}-chunk-000"), "doc-elsewhere-chunk-000");
    change(&root.join("vdb_chunks.json"), &format!("{ORCHARD}-chunk-000"), "doc-elsewhere-chunk-000");
    let verdict = audit(&root);
    assert_eq!(broken(&verdict), BTreeSet::from([Rule::R4, Rule::R5, Rule::R7, Rule::R15, Rule::R20, Rule::R24]), "{:?}", verdict.findings);
    let finding = verdict.findings.iter().find(|finding| finding.rule == Rule::R4).unwrap();
    assert_eq!((finding.count, finding.examples.as_slice()), (1, [format!("{ORCHARD}-chunk-000")].as_slice()));

    let (_directory, root) = copy(Workspace::Sample);
    let path = root.join("kv_store_doc_status.json");
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find(ORCHARD).unwrap();
    fs::write(&path, format!("{}{}", &text[..at], text[at..].replacen("\"processed\"", "\"processing\"", 1))).unwrap();
    // The entity that only this document names leaves the graph's vectors.
    change(&root.join("vdb_entities.json"), "\"entity_name\": \"Brother Anselm\"", "\"entity_name\": \"Brother Nobody\"");
    let verdict = audit(&root);
    assert_eq!(verdict.consistency, Consistency::Consistent, "{:?}", verdict.findings);
    assert_eq!((verdict.documents_in_flight, verdict.documents_in_flight_examples.as_slice()), (1, [ORCHARD.to_owned()].as_slice()));
    let finding = verdict.findings.iter().find(|finding| finding.rule == Rule::R16).unwrap();
    assert_eq!((finding.severity, finding.examples.as_slice()), (Severity::InFlight, ["Brother Nobody".to_owned()].as_slice()));
}

#[test]
fn entities_made_by_hand_are_warnings() {
    let (_directory, root) = copy(Workspace::Sample);
    let node =
        "<node id=\"By Hand\">\n<data key=\"d0\">By Hand</data>\n<data key=\"d3\">manual_creation</data>\n</node>\n<node id=\"Harbour\">";
    change(&root.join("graph_chunk_entity_relation.graphml"), "<node id=\"Harbour\">", node);
    let verdict = audit(&root);
    assert_eq!(verdict.consistency, Consistency::Consistent);
    let finding = &verdict.findings[0];
    assert_eq!((finding.rule, finding.severity, finding.examples[0].as_str()), (Rule::R13, Severity::Warning, "By Hand"));
}

/// Feeds the taps as an engine does, in pieces of this size.
fn feed(audit: &Audit, capture: &lightkeep::lightrag::capture::Capture, piece_bytes: usize, break_off: bool) -> usize {
    let mut tapped = 0;
    for entry in capture.entries() {
        let Some(mut tap) = audit.tap(entry) else { continue };
        tapped += 1;
        let content = Bytes::from(fs::read(&entry.read_from).unwrap());
        for at in (0..content.len()).step_by(piece_bytes) {
            tap(Some(content.slice(at..content.len().min(at + piece_bytes))));
        }
        if !break_off {
            tap(None);
        }
    }
    tapped
}

#[test]
fn tapped_read_and_cached_files_give_the_same_verdict() {
    let (directory, root) = copy(Workspace::Sample);
    // One store above the size from which extracts are cached and parsed by a thread.
    let path = root.join("kv_store_llm_response_cache.json");
    let blanks = " ".repeat(3_000_000);
    fs::write(&path, format!("{}{blanks}", fs::read_to_string(&path).unwrap())).unwrap();
    let expected = audit(&root);
    let control = Control::default();
    let capture = capture(&root, "0001", &control).unwrap();
    for (piece_bytes, break_off) in [(1 << 16, false), (1000, false), (1 << 16, true)] {
        let audit = Audit::new(None);
        assert_eq!(feed(&audit, &capture, piece_bytes, break_off), 12);
        assert_eq!(audit.finish(capture.entries(), &control).unwrap(), expected);
    }
    let cache = AuditCache::new(directory.path().join(".audit/graph"));
    for (round, taps) in [(0, 12), (1, 11)] {
        let audit = Audit::new(Some(&cache));
        assert_eq!(feed(&audit, &capture, 1 << 16, false), taps, "round {round}");
        assert_eq!(audit.finish(capture.entries(), &control).unwrap(), expected);
    }
    for item in fs::read_dir(directory.path().join(".audit/graph")).unwrap() {
        let path = item.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&path, content).unwrap();
    }
    let audit = Audit::new(Some(&cache));
    assert_eq!(audit.finish(capture.entries(), &control).unwrap(), expected);
}
