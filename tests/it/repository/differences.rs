//! What is different between two snapshots.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;
use tokio_util::sync::CancellationToken;

use super::support::*;

fn compare(scratch: &Scratch, base: RecordId, other: RecordId) -> (Vec<Difference>, DifferenceCounts) {
    let repository = scratch.open();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let root = |record| SnapshotRoot { record, recorded_path: scratch.source() };
    let mut found = Vec::new();
    let mut take = |difference| {
        found.push(difference);
        Ok(())
    };
    let counts = repository.differences(&root(base), &root(other), &Control::default(), &lock, &mut take).unwrap();
    (found, counts)
}

fn count(files: u64, size_bytes: u64) -> FileCount {
    FileCount { files, size_bytes }
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let side = |side: Option<(ListedKind, u64)>| match side {
        None => "-".to_owned(),
        Some((ListedKind::File, bytes)) => bytes.to_string(),
        Some((kind, bytes)) => {
            assert_eq!(bytes, 0);
            format!("{kind:?}")
        }
    };
    let line = |found: &Difference| format!("{} {:?} {} {}", found.path.display(), found.change, side(found.before), side(found.after));
    differences.iter().map(line).collect()
}

/// Two snapshots with all kinds of differences between them.
fn two_snapshots(scratch: &Scratch) -> (RecordId, RecordId) {
    let at = |path: &str| scratch.source().join(path);
    for directory in ["same/deep", "gone/deep", "mixed", "mixed.dot", "to file"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for (path, length) in [("same/a", 10), ("same/deep/b", 20), ("gone/deep/c", 30), ("mixed/kept", 40), ("mixed/changed", 2_000_000)] {
        fs::write(at(path), noise(1, length)).unwrap();
    }
    for (path, length) in [("mixed/rewritten", 50), ("mixed/tuned", 60), ("mixed.dot/x", 70), ("to file/y", 80), ("to link", 90)] {
        fs::write(at(path), noise(2, length)).unwrap();
    }
    symlink("somewhere", at("link")).unwrap();
    let repository = scratch.init();
    let (_, base) = scratch.save(&repository, None);
    fs::remove_dir_all(at("gone")).unwrap();
    fs::remove_dir_all(at("to file")).unwrap();
    fs::remove_file(at("to link")).unwrap();
    fs::remove_file(at("link")).unwrap();
    fs::write(at("to file"), noise(3, 100)).unwrap();
    symlink("elsewhere", at("to link")).unwrap();
    symlink("elsewhere", at("link")).unwrap();
    fs::write(at("mixed/changed"), [noise(1, 2_000_000), noise(4, 1000)].concat()).unwrap();
    // as LightRAG saves: another inode, the same bytes
    fs::write(at("mixed/new"), noise(2, 50)).unwrap();
    fs::rename(at("mixed/new"), at("mixed/rewritten")).unwrap();
    fs::set_permissions(at("mixed/tuned"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(at("same"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(at("added/deep")).unwrap();
    fs::write(at("added/deep/d"), noise(5, 110)).unwrap();
    let (_, other) = scratch.save(&repository, Some(base));
    (base, other)
}

#[test]
fn all_kinds_of_differences_come_in_order() {
    let scratch = Scratch::new();
    let (base, other) = two_snapshots(&scratch);
    let (found, counts) = compare(&scratch, base, other);
    assert_eq!(
        lines(&found),
        [
            "added Added - Directory",
            "added/deep Added - Directory",
            "added/deep/d Added - 110",
            "gone Removed Directory -",
            "gone/deep Removed Directory -",
            "gone/deep/c Removed 30 -",
            "link Changed Symlink Symlink",
            "mixed/changed Changed 2000000 2001000",
            "mixed/rewritten MetadataOnly 50 50",
            "mixed/tuned MetadataOnly 60 60",
            "same MetadataOnly Directory Directory",
            "to file Changed Directory 100",
            "to file/y Removed 80 -",
            "to link Changed 90 Symlink",
        ]
    );
    assert!(found.is_sorted_by(|a, b| a.path < b.path));
    assert_eq!((counts.added, counts.removed), (count(2, 210), count(3, 200)));
    assert_eq!((counts.changed, counts.unchanged), (count(1, 2_001_000), count(6, 10 + 20 + 40 + 50 + 60 + 70)));
    // the other way round
    let (back, counts) = compare(&scratch, other, base);
    assert_eq!(back.len(), found.len());
    assert_eq!((counts.added, counts.removed), (count(3, 200), count(2, 210)));
    assert_eq!((counts.changed, counts.unchanged.files), (count(1, 2_000_000), 6));
    // with itself
    let (none, counts) = compare(&scratch, other, other);
    assert_eq!((lines(&none), counts.unchanged), (vec![], count(9, 2_001_000 + 180 + 70 + 210)));
}

#[test]
fn restic_sees_the_same_differences() {
    let scratch = Scratch::new();
    let (base, other) = two_snapshots(&scratch);
    let (found, _) = compare(&scratch, base, other);
    let source = scratch.source();
    let mut ours = BTreeSet::new();
    for found in found {
        let kinds = (found.before.map(|side| side.0), found.after.map(|side| side.0));
        let mark = match (found.change, kinds) {
            (Change::Added, _) => "+",
            (Change::Removed, _) => "-",
            (Change::Changed, (Some(before), Some(after))) if before != after => "T",
            (Change::Changed, (_, Some(ListedKind::File))) => "M",
            // restic tells of neither without being asked, and not of links with another target
            _ => continue,
        };
        ours.insert((mark.to_owned(), source.join(found.path)));
    }
    let text = scratch.restic(&["diff", &base.to_string(), &other.to_string()]);
    let mut theirs = BTreeSet::new();
    for line in text.lines().filter(|line| line.contains(source.to_str().unwrap())) {
        let (mark, path) = line.split_once(' ').unwrap();
        // snapshots are named by their paths, too
        if ["+", "-", "M", "T"].contains(&mark) {
            theirs.insert((mark.to_owned(), PathBuf::from(path.trim().trim_end_matches('/'))));
        }
    }
    // it does not look into a directory that became a file
    ours.remove(&("-".to_owned(), source.join("to file/y")));
    assert!(theirs.len() >= 8);
    assert_eq!(ours, theirs, "{text}");
}

#[test]
fn directories_of_one_snapshot_may_be_compared() {
    let scratch = Scratch::new();
    let (base, other) = two_snapshots(&scratch);
    let repository = scratch.open();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let root = |record, below: &str| SnapshotRoot { record, recorded_path: scratch.source().join(below) };
    let differences = |base: SnapshotRoot, other: SnapshotRoot, control: &Control| {
        let mut paths = Vec::new();
        let mut take = |found: Difference| {
            paths.push(found.path);
            Ok(())
        };
        repository.differences(&base, &other, control, &lock, &mut take).map(|counts| (paths, counts))
    };
    let (paths, counts) = differences(root(base, "same"), root(other, "same"), &Control::default()).unwrap();
    // the source itself
    assert_eq!((paths, counts.unchanged), (vec![PathBuf::new()], count(2, 30)));
    let (paths, counts) = differences(root(base, "same"), root(base, "gone"), &Control::default()).unwrap();
    assert_eq!(paths, ["a", "deep/b", "deep/c"].map(PathBuf::from));
    assert_eq!((counts.added, counts.removed, counts.unchanged), (count(1, 30), count(2, 30), count(0, 0)));
    let wrong = differences(root(base, "same"), root(other, "gone"), &Control::default());
    assert!(matches!(&wrong, Err(Error::PathNotRecorded { path, .. }) if path.ends_with("gone")), "{wrong:?}");
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cancelled = differences(root(base, ""), root(other, ""), &Control::new(cancel));
    assert!(matches!(cancelled, Err(Error::Cancelled(_))), "{cancelled:?}");
    // whoever takes them may end it
    let mut calls = 0;
    let mut take = |_| {
        calls += 1;
        Err(Error::WorkerStopped)
    };
    let result = repository.differences(&root(base, ""), &root(other, ""), &Control::default(), &lock, &mut take);
    assert!(matches!(result, Err(Error::WorkerStopped)) && calls == 1, "{result:?}");
}

#[test]
fn equal_directories_are_not_compared() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (stored, base) = scratch.save(&repository, None);
    fs::write(scratch.source().join("zz"), "new").unwrap();
    let (_, other) = scratch.save(&repository, Some(base));
    let (found, counts) = compare(&scratch, base, other);
    assert_eq!(found.iter().map(|found| found.path.as_path()).collect::<Vec<_>>(), [Path::new("zz")]);
    assert_eq!((counts.added, counts.unchanged), (count(1, 3), count(stored.files, stored.size_bytes)));
}
