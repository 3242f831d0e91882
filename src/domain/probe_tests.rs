//! Probes are checked, and comparisons follow their rules for all input.

use proptest::prelude::*;

use super::*;

fn probe(name: &str, numbers: &[f32]) -> Probe {
    Probe { name: name.to_owned(), top_k: 10, vectors: vec![QueryVector { asks: Index::ALL.into(), numbers: numbers.to_vec() }] }
}

fn fields_violated(probes: Vec<Probe>) -> Vec<String> {
    let mut violations = Violations::default();
    Probe::parse(&mut violations, "probes", probes);
    violations.iter().map(|violation| violation.field.clone()).collect()
}

fn retrieved(entities: &[&str], relations: &[&str], chunks: &[&str]) -> Retrieved {
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    Retrieved { entities: owned(entities), relations: owned(relations), chunks: owned(chunks) }
}

#[test]
fn good_probes_pass() {
    let mut two = probe("two vectors", &[0.0, 1.0]);
    two.vectors[0].asks = [Index::Entities].into();
    two.vectors.push(QueryVector { asks: [Index::Chunks].into(), numbers: vec![-1.0, 0.0] });
    assert_eq!(two.vector(Index::Chunks), Some(&[-1.0, 0.0][..]));
    assert_eq!(two.vector(Index::Relations), None);
    assert_eq!(fields_violated(vec![two, probe("one", &[f32::MAX, f32::MIN_POSITIVE])]), Vec::<String>::new());
    assert_eq!(fields_violated(vec![]), Vec::<String>::new());
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let changed = |change: fn(&mut Probe)| {
        let mut wrong = probe("x", &[1.0, 2.0]);
        change(&mut wrong);
        fields_violated(vec![probe("first", &[1.0, 0.0]), wrong])
    };
    assert_eq!(changed(|probe| probe.name = " ".to_owned()), ["probes[1].name"]);
    assert_eq!(changed(|probe| probe.name = "first".to_owned()), ["probes[1].name"]);
    assert_eq!(changed(|probe| probe.name = "a\nb".to_owned()), ["probes[1].name"]);
    assert_eq!(changed(|probe| probe.name = "n".repeat(257)), ["probes[1].name"]);
    assert_eq!(changed(|probe| probe.top_k = 0), ["probes[1].top_k"]);
    assert_eq!(changed(|probe| probe.top_k = 201), ["probes[1].top_k"]);
    assert_eq!(changed(|probe| probe.vectors.clear()), ["probes[1].vectors"]);
    assert_eq!(changed(|probe| probe.vectors[0].asks.clear()), ["probes[1].vectors[0].asks"]);
    assert_eq!(changed(|probe| probe.vectors.push(probe.vectors[0].clone())), ["probes[1].vectors[1].asks"; 3]);
    for numbers in [vec![], vec![1.0], vec![f32::NAN, 1.0], vec![1.0, f32::INFINITY], vec![0.0, -0.0]] {
        let mut wrong = probe("x", &[]);
        wrong.vectors[0].numbers = numbers;
        assert_eq!(fields_violated(vec![probe("first", &[1.0, 0.0]), wrong]), ["probes[1].vectors[0].numbers"]);
    }
    let wrong = Probe { name: String::new(), top_k: 0, vectors: vec![] };
    assert_eq!(fields_violated(vec![wrong]), ["probes[0].name", "probes[0].top_k", "probes[0].vectors"]);
    let many = (0..=PROBES_MAX).map(|number| probe(&number.to_string(), &[1.0])).collect();
    assert_eq!(fields_violated(many), ["probes"]);
}

#[test]
fn a_comparison_names_what_is_missing_and_what_is_new() {
    let before = retrieved(&["Harbour", "Pier"], &["Harbour<SEP>Pier"], &["c1"]);
    let after = retrieved(&["Quay", "Pier"], &[], &["c1", "c2"]);
    let comparison = compare(&before, &after);
    assert_eq!(comparison.recall, Recall { entities: 0.5, relations: 0.0, chunks: 1.0, overall: 0.5 });
    assert_eq!(comparison.missing, retrieved(&["Harbour"], &["Harbour<SEP>Pier"], &[]));
    assert_eq!(comparison.new, retrieved(&["Quay"], &[], &["c2"]));
    let comparison = compare(&Retrieved::default(), &after);
    assert_eq!((comparison.recall.overall, comparison.new), (1.0, after));
}

#[test]
fn what_is_kept_as_json_is_read_back() {
    let kept = serde_json::to_value(probe("x", &[1.0, -0.5])).unwrap();
    let vectors = serde_json::json!([{"asks": ["entities", "relations", "chunks"], "numbers": "AACAPwAAAL8="}]);
    assert_eq!(kept, serde_json::json!({"name": "x", "top_k": 10, "vectors": vectors}));
    for wrong in ["AACA", "no base64"] {
        let vector = serde_json::json!({"asks": ["chunks"], "numbers": wrong});
        assert!(serde_json::from_value::<QueryVector>(vector).is_err(), "{wrong}");
    }
    assert_eq!(serde_json::from_str::<Retrieved>(r#"{"chunks":["c1"]}"#).unwrap(), retrieved(&[], &[], &["c1"]));
}

fn any_retrieved() -> impl Strategy<Value = Retrieved> {
    let ids = || prop::collection::vec("[a-f]", 0..8);
    (ids(), ids(), ids()).prop_map(|(entities, relations, chunks)| Retrieved { entities, relations, chunks })
}

fn all(recall: Recall) -> [f64; 4] {
    [recall.entities, recall.relations, recall.chunks, recall.overall]
}

proptest! {
    #[test]
    fn probes_survive_json(bits in prop::collection::vec(any::<u32>(), 0..20), name in ".*", top_k in any::<u32>()) {
        // Compared by their bits, as what is not a number equals nothing.
        let numbers: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
        let kept = serde_json::to_string(&Probe { top_k, ..probe(&name, &numbers) }).unwrap();
        let read: Probe = serde_json::from_str(&kept).unwrap();
        let read_bits: Vec<u32> = read.vectors[0].numbers.iter().map(|number| number.to_bits()).collect();
        prop_assert_eq!((read.name, read.top_k, read_bits), (name, top_k, bits));
    }

    #[test]
    fn recall_is_a_share(before in any_retrieved(), after in any_retrieved()) {
        let comparison = compare(&before, &after);
        prop_assert!(all(comparison.recall).iter().all(|recall| (0.0..=1.0).contains(recall)), "{:?}", comparison);
        prop_assert_eq!(comparison.recall.overall == 1.0, comparison.missing.count() == 0);
        let back = compare(&after, &before);
        prop_assert_eq!((back.missing, back.new), (comparison.new, comparison.missing));
        let kept: Comparison = serde_json::from_value(serde_json::to_value(compare(&before, &after)).unwrap()).unwrap();
        prop_assert!(all(kept.recall).iter().zip(all(comparison.recall)).all(|(kept, recall)| (kept - recall).abs() < 1e-9));
    }

    #[test]
    fn the_same_in_any_order_is_recalled(before in any_retrieved()) {
        let mut after = before.clone();
        Index::ALL.iter().for_each(|index| after.of_mut(*index).reverse());
        let comparison = compare(&before, &after);
        prop_assert_eq!(all(comparison.recall), [1.0; 4]);
        prop_assert_eq!(comparison.missing.count() + comparison.new.count(), 0);
    }

    #[test]
    fn what_is_removed_never_raises_recall(before in any_retrieved(), after in any_retrieved(), at in any::<prop::sample::Index>()) {
        let full = compare(&before, &after).recall;
        for index in Index::ALL.into_iter().filter(|index| !after.of(*index).is_empty()) {
            let mut less = after.clone();
            less.of_mut(index).remove(at.index(after.of(index).len()));
            let recall = compare(&before, &less).recall;
            prop_assert!(all(recall).iter().zip(all(full)).all(|(less, full)| *less <= full), "{:?} {:?}", recall, full);
        }
    }
}
