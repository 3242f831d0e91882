//! Snapshots that are recorded anew without their manifest.

use std::fs;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::support::*;

fn drop_manifest(repository: &Repository, record: &RecordId) -> RecordId {
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    repository.drop_manifest(record, &lock).unwrap()
}

#[test]
fn one_that_ended_half_way_is_taken_up_by_the_next() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), "a").unwrap();
    let (repository, control, source) = (scratch.init(), Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let make = |_: &Figures, _: Option<&Figures>| Ok(Some(b"{}".to_vec()));
    let stored = repository.back_up(&BackupRequest { manifest: Some(&make), ..request(&source, None, &control) }, &lock).unwrap();
    let old = repository.write_record(&stored, &scratch.new_record(None), &lock).unwrap();
    drop(lock);
    let (path, kept) = (repository.record_path(&old), scratch.path("record"));
    fs::copy(&path, &kept).unwrap();
    let new = drop_manifest(&repository, &old);
    // killed after the new record was written, before the old one was removed
    fs::copy(&kept, &path).unwrap();
    assert_eq!(drop_manifest(&scratch.open(), &old), new);
    let records: Vec<_> = scratch.open().records().unwrap().into_iter().map(|record| record.id).collect();
    assert_eq!(records, [new]);
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    assert_eq!(repository.read_manifest(&new, &lock).unwrap(), None);
}

#[test]
fn all_else_that_the_record_says_stays() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), "a").unwrap();
    scratch.restic(&["init", "--repository-version", "2"]);
    scratch.restic(&["backup", "--exclude", "*.tmp", "--tag", "one", scratch.source().to_str().unwrap()]);
    scratch.restic(&["tag", "--add", "two"]);
    let repository = scratch.open();
    let old = repository.records().unwrap().pop().unwrap().id;
    let record =
        |id: &RecordId| -> serde_json::Value { serde_json::from_str(&scratch.restic(&["cat", "snapshot", &id.to_string()])).unwrap() };
    let before = record(&old);
    assert!(before["original"].is_string() && before["excludes"].is_array(), "{before}");
    let new = drop_manifest(&repository, &old);
    // the tree is the same too, as there was no manifest
    assert_eq!(record(&new), before);
    scratch.restic(&["check"]);
}

#[test]
fn what_only_begins_like_the_manifests_name_is_of_the_source() {
    let loss = |path: &str| {
        let record = RecordId::parse(&"0".repeat(64)).unwrap();
        Loss { record, tags: vec![], files: 1, examples: vec![path.to_owned()], whole_trees: 0 }
    };
    for (path, is_manifest) in [
        ("/.lightkeep", true),
        ("/.lightkeep/manifest.json", true),
        ("/.lightkeep-notes", false),
        ("/.lightkeeper/file", false),
        ("/data/.lightkeep/file", false),
        ("/", false),
    ] {
        assert_eq!(loss(path).is_manifest_only(), is_manifest, "{path}");
    }
}
