//! Verifying one snapshot.

use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;
use tokio_util::sync::CancellationToken;

use super::damage::files;
use super::support::*;

fn try_verify(scratch: &Scratch, record: RecordId, depth: SnapshotDepth) -> Result<Verified, Error> {
    let repository = scratch.open();
    let root = SnapshotRoot { record, recorded_path: scratch.source() };
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    repository.verify_snapshot(&VerifyRequest { root: &root, depth, control: &Control::default() }, &lock)
}

fn problems(scratch: &Scratch, record: RecordId, depth: SnapshotDepth) -> Vec<String> {
    try_verify(scratch, record, depth).unwrap().problems.iter().map(ToString::to_string).collect()
}

/// Packs, the largest last.
fn packs(scratch: &Scratch) -> Vec<PathBuf> {
    files(scratch.root().join("data"))
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_sound_snapshot_has_the_figures_of_its_backup() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let (stored, id) = scratch.save(&scratch.init(), None);
    for (depth, reads) in [(SnapshotDepth::Record, false), (SnapshotDepth::Data, true)] {
        let verified = try_verify(&scratch, id, depth).unwrap();
        assert_eq!(verified.problems, []);
        assert_eq!((verified.files, verified.size_bytes), (stored.files, stored.size_bytes));
        assert_eq!(verified.data_hash, Some(stored.data_hash));
        assert_eq!(verified.read_bytes > 5_000_000, reads, "{}", verified.read_bytes);
        assert!(verified.read_bytes <= stored.added_bytes);
    }
}

#[test]
fn every_file_with_damaged_content_is_named() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.source().join("below")).unwrap();
    for name in ["one", "below/same as one"] {
        fs::write(scratch.source().join(name), noise(1, 300_000)).unwrap();
    }
    let repository = scratch.init();
    let (_, parent) = scratch.save(&repository, None);
    let first = packs(&scratch).pop().unwrap();
    fs::write(scratch.source().join("two"), noise(2, 400_000)).unwrap();
    let (_, parent) = scratch.save(&repository, Some(parent));
    let second = packs(&scratch).pop().unwrap();
    fs::write(scratch.source().join("three"), noise(3, 500_000)).unwrap();
    let (stored, id) = scratch.save(&repository, Some(parent));
    for pack in [&first, &second] {
        let mut bytes = fs::read(pack).unwrap();
        bytes[1000] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    assert_eq!(problems(&scratch, id, SnapshotDepth::Record), Vec::<String>::new());
    let verified = try_verify(&scratch, id, SnapshotDepth::Data).unwrap();
    let subjects: Vec<_> = verified.problems.iter().map(|problem| problem.subject.as_str()).collect();
    assert_eq!(subjects, ["`below/same as one`", "`one`", "`two`"]);
    assert!(verified.problems[1].reason.contains(name(&first)) && verified.problems[2].reason.contains(name(&second)));
    assert_eq!((verified.files, verified.data_hash), (4, Some(stored.data_hash)));
    // the one before it is no worse, and the one before that is untouched by the second pack
    assert_eq!(problems(&scratch, parent, SnapshotDepth::Data).len(), 3);
}

#[test]
fn packs_that_are_gone_or_short_are_named_with_their_files() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 200_000)).unwrap();
    let repository = scratch.init();
    let (_, parent) = scratch.save(&repository, None);
    let pack = packs(&scratch).pop().unwrap();
    fs::write(scratch.source().join("b"), noise(2, 300_000)).unwrap();
    let (_, id) = scratch.save(&repository, Some(parent));
    let bytes = fs::read(&pack).unwrap();
    // the header alone is short: no content is lost, but the pack is not whole
    fs::write(&pack, &bytes[..bytes.len() - 1]).unwrap();
    for depth in [SnapshotDepth::Record, SnapshotDepth::Data] {
        let found = problems(&scratch, id, depth);
        assert!(found.len() == 1 && found[0].contains(name(&pack)) && found[0].contains("cut off"), "{found:?}");
    }
    fs::write(&pack, &bytes[..100_000]).unwrap();
    let found = problems(&scratch, id, SnapshotDepth::Data);
    assert!(found.len() == 2 && found[0].starts_with("`a`") && found[0].contains("cut off"), "{found:?}");
    fs::remove_file(&pack).unwrap();
    for depth in [SnapshotDepth::Record, SnapshotDepth::Data] {
        let found = problems(&scratch, id, depth);
        assert!(found.len() == 2 && found[0].starts_with("`a`") && found[1].contains("it is missing"), "{found:?}");
    }
    // an index that does not know the content any more
    scratch.restic(&["rebuild-index"]);
    let found = problems(&scratch, id, SnapshotDepth::Data);
    assert!(found.len() == 1 && found[0].starts_with("`a`") && found[0].contains("missing from the index"), "{found:?}");
}

#[test]
fn a_directory_that_cannot_be_read_does_not_hide_the_rest() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.source().join("deep")).unwrap();
    fs::write(scratch.source().join("deep/a"), "a").unwrap();
    let repository = scratch.init();
    let (_, parent) = scratch.save(&repository, None);
    let old = packs(&scratch);
    fs::write(scratch.source().join("b"), noise(2, 300_000)).unwrap();
    let (stored, id) = scratch.save(&repository, Some(parent));
    let new = packs(&scratch).pop().unwrap();
    assert_eq!(stored.files, 2);
    // the tree of `deep` lies in a pack of the first snapshot
    for pack in old {
        let bytes = fs::read(&pack).unwrap();
        fs::write(&pack, bytes.iter().map(|byte| !byte).collect::<Vec<u8>>()).unwrap();
    }
    let verified = try_verify(&scratch, id, SnapshotDepth::Data).unwrap();
    assert_eq!((verified.files, verified.data_hash), (1, None));
    assert!(verified.problems.len() == 1 && verified.problems[0].subject == "`deep`", "{:?}", verified.problems);
    let mut bytes = fs::read(&new).unwrap();
    bytes[1000] ^= 1;
    fs::write(&new, bytes).unwrap();
    let found = problems(&scratch, id, SnapshotDepth::Data);
    assert!(found.len() == 2 && found[0].starts_with("`b`"), "{found:?}");
    // the source itself
    let root = SnapshotRoot { record: id, recorded_path: scratch.source().join("deep") };
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control: &Control::default() };
    let verified = repository.verify_snapshot(&request, &lock).unwrap();
    let deep = format!("`{}`", root.recorded_path.display());
    assert!(verified.problems.len() == 1 && verified.problems[0].subject == deep, "{:?}", verified.problems);
}

#[test]
fn of_many_problems_the_rest_is_counted() {
    let scratch = Scratch::new();
    // Each worker has a pack of its own: the largest holds more than a hundred files, however they were shared.
    for number in 0..1600 {
        fs::write(scratch.source().join(format!("{number:04}")), noise(number, 100)).unwrap();
    }
    let (_, id) = scratch.save(&scratch.init(), None);
    let largest = packs(&scratch).into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    fs::remove_file(largest).unwrap();
    let found = problems(&scratch, id, SnapshotDepth::Data);
    assert_eq!(found.len(), 101);
    let rest = found[100].strip_prefix("the snapshot: it has ").and_then(|rest| rest.strip_suffix(" more problems"));
    assert!(rest.unwrap().parse::<u32>().unwrap() > 0, "{}", found[100]);
}

#[test]
fn records_and_requests() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), "a").unwrap();
    let repository = scratch.init();
    let (_, id) = scratch.save(&repository, None);
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let root = SnapshotRoot { record: id, recorded_path: scratch.source().join("a") };
    let verify = |control: Control| {
        let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control: &control };
        repository.verify_snapshot(&request, &lock)
    };
    let result = verify(Control::default());
    assert!(matches!(result, Err(Error::PathNotRecorded { .. })), "{result:?}");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let result = verify(Control::new(cancel));
    assert!(matches!(result, Err(Error::Cancelled(_))), "{result:?}");
    drop(lock);
    // this handle has the record in memory
    fs::write(repository.record_path(&id), "garbage").unwrap();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let root = SnapshotRoot { record: id, recorded_path: scratch.source() };
    let request = VerifyRequest { root: &root, depth: SnapshotDepth::Record, control: &Control::default() };
    let verified = repository.verify_snapshot(&request, &lock).unwrap();
    assert!(verified.problems.len() == 1 && verified.problems[0].subject.contains(&id.to_string()), "{verified:?}");
    assert_eq!(problems(&scratch, id, SnapshotDepth::Record).len(), 1);
    fs::remove_file(repository.record_path(&id)).unwrap();
    assert!(matches!(repository.verify_snapshot(&request, &lock), Err(Error::RecordNotFound { .. })));
}
