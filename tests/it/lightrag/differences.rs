//! How two states of a workspace differ: small ones against a plain computation, real ones edited by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use lightkeep::base::control::{Cancelled, Control};
use lightkeep::domain::difference::{Change, Differences, Filter, Item, Part, PartCounts, Side};
use lightkeep::lightrag::Error;
use lightkeep::lightrag::differences::{differences, list_differences};
use lightkeep::lightrag::files::{Directory, Files, Listed};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::files::{copy_tree, sample};

const STATUS: &str = "kv_store_doc_status.json";
const TEXTS: &str = "kv_store_full_docs.json";
const CHUNKS: &str = "kv_store_text_chunks.json";
const GRAPH: &str = "graph_chunk_entity_relation.graphml";

/// A workspace in memory. Files with an id say so, and those named in `refused` do not open.
#[derive(Clone, Default)]
struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    ids: BTreeMap<PathBuf, [u8; 32]>,
    refused: BTreeSet<PathBuf>,
}

impl Files for Memory {
    fn open_at(&self, path: &Path, offset: u64) -> io::Result<Option<Box<dyn Read + Send + '_>>> {
        if self.refused.contains(path) {
            return Err(io::Error::other("refused"));
        }
        let from = |bytes| {
            let mut reader = Cursor::new(bytes);
            reader.set_position(offset);
            Box::new(reader) as Box<dyn Read + Send>
        };
        Ok(self.files.get(path).map(from))
    }

    fn content_id(&self, path: &Path) -> io::Result<Option<[u8; 32]>> {
        Ok(self.ids.get(path).copied())
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let listed =
            |(path, bytes): (&PathBuf, &Vec<u8>)| Listed { path: path.clone(), size_bytes: bytes.len() as u64, modified_micros: 0 };
        Ok(self.files.iter().map(listed).collect())
    }
}

/// What a workspace holds, as far as it is compared: content by key, for each part.
type Content = BTreeMap<(Part, String), u8>;

fn pair_of(key: &str) -> (&str, &str) {
    key.split_once("<SEP>").unwrap()
}

/// Writes a workspace with this content. Of a relation the ends come in either order; times differ each time.
fn workspace(content: &Content, time: u32) -> Memory {
    let (mut status, mut chunks, mut graph) = (Map::new(), Map::new(), String::new());
    for ((part, key), value) in content {
        match part {
            Part::Documents => {
                let row = json!({ "status": "processed", "content_hash": format!("{value:032x}"), "file_path": format!("{key}.txt"), "updated_at": time });
                status.insert(key.clone(), row);
            }
            Part::Chunks => {
                chunks.insert(key.clone(), json!({ "content": value.to_string(), "update_time": time }));
            }
            Part::Entities => {
                graph += &format!("<node id=\"{key}\"><data key=\"d1\">T{value}</data><data key=\"d9\">{time}</data></node>");
            }
            Part::Relations => {
                let (mut first, mut second) = pair_of(key);
                if time % 2 == 1 {
                    (first, second) = (second, first);
                }
                graph += &format!("<edge source=\"{first}\" target=\"{second}\"><data key=\"d2\">{value}</data></edge>");
            }
        }
    }
    let keys = "<key id=\"d1\" attr.name=\"entity_type\"/><key id=\"d2\" attr.name=\"keywords\"/><key id=\"d9\" attr.name=\"created_at\"/>";
    let mut memory = Memory::default();
    memory.files.insert(STATUS.into(), Value::Object(status).to_string().into_bytes());
    memory.files.insert(CHUNKS.into(), Value::Object(chunks).to_string().into_bytes());
    memory.files.insert(GRAPH.into(), format!("<graphml>{keys}<graph>{graph}</graph></graphml>").into_bytes());
    memory
}

/// The differences, computed plainly.
fn expected(before: &Content, after: &Content) -> (Differences, Vec<Item>) {
    let (mut all, mut items) = (Differences::default(), vec![]);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for place in keys {
        let counts = all.part_mut(place.0);
        let (old, new) = (before.get(place), after.get(place));
        counts.before += u64::from(old.is_some());
        counts.after += u64::from(new.is_some());
        let change = match (old, new) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (old, new) if old == new => continue,
            _ => Change::Changed,
        };
        match change {
            Change::Added => counts.added += 1,
            Change::Removed => counts.removed += 1,
            Change::Changed => counts.changed += 1,
        }
        let detail = match place.0 {
            Part::Documents => format!("{}.txt", place.1),
            Part::Entities => format!("T{}", new.or(old).unwrap()),
            _ => String::new(),
        };
        items.push(Item { part: place.0, change, key: place.1.clone(), detail });
    }
    if all.entities.before > 0 {
        all.entities_lost_share = all.entities.removed as f64 / all.entities.before as f64;
    }
    (all, items)
}

fn all_items(before: &dyn Files, after: &dyn Files, filter: &Filter, size: usize) -> (Differences, Vec<Item>) {
    let (mut items, mut last) = (vec![], None);
    loop {
        let (counts, page) = list_differences(before, after, filter, last, size, &Control::default()).unwrap();
        assert!(page.len() <= size);
        let Some(end) = page.last() else { return (counts, items) };
        last = Some((end.part, end.key.clone()));
        items.extend(page);
    }
}

fn a_part() -> impl Strategy<Value = Part> {
    prop::sample::select(vec![Part::Documents, Part::Chunks, Part::Entities, Part::Relations])
}

fn contents() -> impl Strategy<Value = Content> {
    let key = prop::sample::select(vec!["a", "b", "c", "ä", "Zoë", "梨", "x y", "d"]);
    let place = (a_part(), key.clone(), key).prop_map(|(part, first, second)| match part {
        Part::Relations => (part, format!("{}<SEP>{}", first.min(second), first.max(second))),
        _ => (part, first.to_owned()),
    });
    prop::collection::btree_map(place, 0u8..2, 0..24)
}

proptest! {
    #[test]
    fn every_difference_is_counted_and_listed_once(
        before in contents(), after in contents(), size in 1usize..9,
        parts in prop::collection::vec(a_part(), 0..3),
        changes in prop::collection::vec(prop::sample::select(vec![Change::Added, Change::Removed, Change::Changed]), 0..3),
    ) {
        let filter = Filter { parts, changes };
        let (counts, mut items) = expected(&before, &after);
        items.retain(|item| filter.wants(item.part, item.change));
        let (old, new) = (workspace(&before, 1), workspace(&after, 2));
        prop_assert_eq!(differences(&old, &new, &Control::default()).unwrap(), counts);
        prop_assert_eq!(all_items(&old, &new, &filter, size), (counts, items));
    }
}

#[test]
fn a_workspace_does_not_differ_from_itself() {
    let same = |rows| PartCounts { before: rows, after: rows, ..PartCounts::default() };
    for (name, [documents, chunks, entities, relations]) in
        [("sample", [6, 6, 34, 44]), ("sample/tenant_b", [2, 2, 12, 13]), ("sample-1.3.9", [6, 6, 34, 44])]
    {
        let files = Directory(sample().parent().unwrap().join(name));
        let (counts, items) = all_items(&files, &files, &Filter::default(), 100);
        assert_eq!([counts.documents, counts.chunks], [same(documents), same(chunks)], "{name}");
        assert_eq!([counts.entities, counts.relations], [same(entities), same(relations)], "{name}");
        assert_eq!((counts.entities_lost_share, items), (0.0, vec![]), "{name}");
    }
}

/// Edits a copy of a real workspace: the items that differ.
fn edited(name: &str, file: &str, from: &str, to: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let before = sample().parent().unwrap().join(name);
    copy_tree(&before, directory.path());
    let path = directory.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let (_, items) = all_items(&Directory(before), &Directory(directory.path().into()), &Filter::default(), 100);
    items.iter().map(|item| format!("{} {} {} ({})", item.part, item.change, item.key, item.detail)).collect()
}

#[test]
fn what_counts_as_content_is_told_from_what_does_not() {
    let orchard = "doc-18f212e50d318526836c5b022e8ab7dd";
    let changed = [format!("documents changed {orchard} (orchard.txt)")];
    assert_eq!(edited("sample", STATUS, "\"status\": \"processed\"", "\"status\": \"failed\""), changed);
    assert_eq!(edited("sample", STATUS, "\"content_hash\": \"8e", "\"content_hash\": \"9e"), changed);
    assert_eq!(edited("sample", STATUS, "\"chunks_count\": 1", "\"chunks_count\": 2"), changed);
    assert_eq!(edited("sample", STATUS, &format!("\"{orchard}-chunk-000\""), "\"another\""), changed);
    assert_eq!(edited("sample", STATUS, "\"updated_at\": \"2026", "\"updated_at\": \"2027"), [""; 0]);
    assert_eq!(edited("sample", STATUS, "\"track_id\": \"insert", "\"track_id\": \"other"), [""; 0]);
    // The hash tells the text; the text itself is not asked.
    assert_eq!(edited("sample", TEXTS, "The Orchard", "An Orchard"), [""; 0]);

    let chunk = edited("sample", CHUNKS, "The Orchard", "An Orchard");
    assert_eq!(chunk, [format!("chunks changed {orchard}-chunk-000 ()")]);
    assert_eq!(edited("sample", CHUNKS, "\"update_time\": 1", "\"update_time\": 2"), [""; 0]);

    // d1 is the type, d2 the description, d3 the sources, d5 the time of a node; d7 to d10 weight, description, keywords, sources, and
    // d12 the time of an edge.
    let node = "<node id=\"Harbour\">\n  <data key=\"d0\">Harbour</data>\n  <data key=\"d1\">";
    assert_eq!(edited("sample", GRAPH, node, &format!("{node}old ")), ["entities changed Harbour (old organization)"]);
    for (from, count) in [("<data key=\"d2\">", 1), ("<data key=\"d3\">", 1), ("<data key=\"d5\">", 0)] {
        let items = edited("sample", GRAPH, from, &format!("{from}1"));
        assert_eq!(items, vec!["entities changed Harbour (organization)"; count], "{from}");
    }
    for (from, to, count) in [
        ("<data key=\"d7\">1.0", "<data key=\"d7\">2.0", 1),
        ("<data key=\"d7\">1.0", "<data key=\"d7\">1", 0),
        ("<data key=\"d8\">", "<data key=\"d8\">x", 1),
        ("<data key=\"d9\">", "<data key=\"d9\">x", 1),
        ("<data key=\"d10\">", "<data key=\"d10\">x", 1),
        ("<data key=\"d12\">", "<data key=\"d12\">1", 0),
        ("source=\"Harbour\" target=\"Ellmouth\"", "source=\"Ellmouth\" target=\"Harbour\"", 0),
    ] {
        assert_eq!(edited("sample", GRAPH, from, to), vec!["relations changed Ellmouth<SEP>Harbour ()"; count], "{from}");
    }

    // LightRAG 1.3.9 has the text in the status itself.
    let changed = ["documents changed doc-8e289af0bfd92b7b02758001f30be9ab (orchard.txt)"];
    assert_eq!(edited("sample-1.3.9", STATUS, "\"content\": \"The Orchard", "\"content\": \"An Orchard"), changed);
    assert_eq!(edited("sample-1.3.9", TEXTS, "The Orchard", "An Orchard"), [""; 0]);
}

#[test]
fn without_a_hash_the_text_itself_is_asked() {
    let state = |hash: Value, text: Option<&str>| {
        let mut memory = workspace(&Content::new(), 0);
        memory.files.insert(STATUS.into(), json!({ "doc-1": { "status": "processed", "content_hash": hash } }).to_string().into_bytes());
        if let Some(text) = text {
            memory.files.insert(TEXTS.into(), json!({ "doc-0": {}, "doc-1": { "content": text } }).to_string().into_bytes());
        }
        memory
    };
    let changed = |before: &Memory, after: &Memory| differences(before, after, &Control::default()).unwrap().documents.changed;
    let first = state(Value::Null, Some("abc"));
    assert_eq!(changed(&first, &first), 0);
    assert_eq!(changed(&first, &state(Value::Null, Some("abd"))), 1);
    assert_eq!(changed(&first, &state(Value::Null, None)), 1);
    // A later LightRAG that fills in the hash changes no document.
    assert_eq!(changed(&first, &state("900150983cd24fb0d6963f7d28e17f72".into(), None)), 0);
    assert_eq!(changed(&state("custom".into(), None), &state("other".into(), None)), 1);
}

#[test]
fn missing_files_are_empty_and_damaged_ones_are_named() {
    let files = Directory(sample());
    let nothing = Memory::default();
    let counts = differences(&files, &nothing, &Control::default()).unwrap();
    assert_eq!(counts.entities, PartCounts { before: 34, removed: 34, ..PartCounts::default() });
    assert_eq!(counts.entities_lost_share, 1.0);
    let counts = differences(&nothing, &files, &Control::default()).unwrap();
    assert_eq!(counts.relations, PartCounts { after: 44, added: 44, ..PartCounts::default() });
    assert_eq!(counts.entities_lost_share, 0.0);

    let whole = workspace(&Content::from([((Part::Entities, "a".to_owned()), 1)]), 0);
    for name in [STATUS, CHUNKS, GRAPH] {
        let (mut damaged, mut refused) = (whole.clone(), whole.clone());
        damaged.files.get_mut(Path::new(name)).unwrap().pop();
        refused.refused.insert(name.into());
        for side in [Side::Before, Side::After] {
            let compare = |other: &Memory| match side {
                Side::Before => differences(other, &whole, &Control::default()),
                Side::After => differences(&whole, other, &Control::default()),
            };
            let error = compare(&damaged).unwrap_err();
            assert!(matches!(&error, Error::CompareDamaged { side: s, path, .. } if *s == side && path == Path::new(name)), "{error}");
            assert!(error.to_string().contains(&format!("`{name}` of the state {side} is damaged at byte")), "{error}");
            let error = compare(&refused).unwrap_err();
            assert!(matches!(&error, Error::CompareRead { side: s, path, .. } if *s == side && path == Path::new(name)), "{error}");
        }
    }
}

#[test]
fn a_file_known_to_be_the_same_is_read_once() {
    let content = Content::from([Part::Documents, Part::Chunks, Part::Entities].map(|part| ((part, "a".to_owned()), 1)));
    let mut before = workspace(&content, 0);
    before.ids.insert(CHUNKS.into(), [7; 32]);
    before.ids.insert(STATUS.into(), [8; 32]);
    let mut after = before.clone();
    after.refused.insert(CHUNKS.into());
    let counts = differences(&before, &after, &Control::default()).unwrap();
    assert_eq!(counts.chunks, PartCounts { before: 1, after: 1, ..PartCounts::default() });
    // Of documents the texts can differ, so their ids must be the same too.
    after.refused.insert(STATUS.into());
    assert!(matches!(differences(&before, &after, &Control::default()), Err(Error::CompareRead { side: Side::After, .. })));
    for state in [&mut before, &mut after] {
        state.ids.insert(TEXTS.into(), [9; 32]);
    }
    assert_eq!(differences(&before, &after, &Control::default()).unwrap(), counts);
    after.ids.insert(CHUNKS.into(), [6; 32]);
    assert!(differences(&before, &after, &Control::default()).is_err());
}

#[test]
fn it_stops_when_told_to() {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let files = Directory(sample());
    assert!(matches!(differences(&files, &files, &Control::new(cancel)), Err(Error::Cancelled(Cancelled))));
}
