use std::fs;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::support::*;

#[test]
fn restic_checks_and_restores_what_we_wrote() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (stored, id) = scratch.save(&repository, None);
    let text = scratch.restic(&["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{text}");
    let target = scratch.path("target");
    scratch.restic(&["restore", &id.to_string(), "--target", target.to_str().unwrap()]);
    let restored = target.join(scratch.source().strip_prefix("/").unwrap());
    // restic 0.14 restores a link target that is no UTF-8 as replacement characters
    assert_eq!(describe(&restored, false), describe(&scratch.source(), false));
    assert!(stored.files >= 13);
    let listed = scratch.restic(&["snapshots"]);
    assert!(listed.contains("lightkeep") && listed.contains(HOST), "{listed}");
}

#[test]
fn we_restore_what_we_wrote() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (stored, id) = scratch.save(&repository, None);
    let target = scratch.path("target");
    let restored = scratch.restore(&scratch.open(), id, &scratch.source(), &target).unwrap();
    assert_eq!(describe(&target, true), describe(&scratch.source(), true));
    assert_eq!((restored.files, restored.data_hash), (stored.files, stored.data_hash));
    // below the recorded path, and not where something is
    let below = scratch.path("below");
    let deep = scratch.restore(&repository, id, &scratch.source().join("deep"), &below).unwrap();
    assert_eq!(deep.files, 2);
    let again = scratch.restore(&repository, id, &scratch.source(), &below);
    assert!(matches!(again, Err(Error::TargetNotEmpty { .. })), "{again:?}");
    let nowhere = scratch.restore(&repository, id, &scratch.source().join("plain"), &scratch.path("x"));
    assert!(matches!(nowhere, Err(Error::PathNotRecorded { .. })), "{nowhere:?}");
}

#[test]
fn restic_finds_no_changed_tree_after_us() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let raw = scratch.source().join("rawlink");
    fs::remove_file(raw).unwrap(); // restic 0.14 writes no raw targets
    let repository = scratch.init();
    let (_, id) = scratch.save(&repository, None);
    let source = scratch.source();
    let text = scratch.restic(&["backup", "-v", "--parent", &id.to_string(), "--host", HOST, source.to_str().unwrap()]);
    // the directories above the source change with what other tests do there: they, and no others
    let count = |label: &str, of: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(label)).unwrap();
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        words[words.iter().position(|word| *word == of).unwrap() - 1].parse().unwrap()
    };
    assert_eq!((count("Files:", "new"), count("Files:", "changed"), count("Dirs:", "new")), (0, 0, 0), "{text}");
    assert!(count("Dirs:", "changed") <= 2 && count("Dirs:", "unmodified") >= 6 && count("Tree Blobs:", "new") <= 3, "{text}");
    assert!(text.contains("Data Blobs:      0 new"), "{text}");
}

#[test]
fn we_go_on_where_restic_began() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    fs::remove_file(scratch.source().join("rawlink")).unwrap();
    scratch.restic(&["init", "--repository-version", "2"]);
    scratch.restic(&["backup", scratch.source().to_str().unwrap()]);
    let repository = scratch.open();
    let record = repository.records().unwrap().pop().unwrap();
    let target = scratch.path("target");
    scratch.restore(&repository, record.id, &scratch.source(), &target).unwrap();
    assert_eq!(describe(&target, true), describe(&scratch.source(), true));
    let (stored, second) = scratch.save(&repository, Some(record.id));
    assert_eq!((stored.files_unchanged, stored.summary.data_blobs), (stored.files, 0));
    // the directories above the source change with what other tests do there: they, and no others
    assert!(stored.summary.dirs_changed <= 2 && stored.summary.dirs_unmodified >= 6, "{:?}", stored.summary);
    // an open handle sees what restic adds
    fs::write(scratch.source().join("added"), noise(3, 2_000_000)).unwrap();
    scratch.restic(&["backup", "--parent", &second.to_string(), scratch.source().to_str().unwrap()]);
    let newest = repository.records().unwrap().into_iter().find(|r| r.id != record.id && r.id != second).unwrap();
    scratch.restore(&repository, newest.id, &scratch.source(), &scratch.path("again")).unwrap();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let report = repository.check(CheckDepth::AllData, &Control::default(), &lock).unwrap();
    assert_eq!((report.problems, report.snapshots), (vec![], 3));
    drop(lock);
    scratch.restic(&["check", "--read-data"]);
}

#[test]
fn restic_prunes_what_we_removed() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    fs::write(scratch.source().join("a"), noise(1, 3_000_000)).unwrap();
    let (_, first) = scratch.save(&repository, None);
    fs::write(scratch.source().join("a"), noise(2, 3_000_000)).unwrap();
    let (_, second) = scratch.save(&repository, Some(first));
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    repository.remove_record(&first, &lock).unwrap();
    repository.remove_record(&first, &lock).unwrap();
    drop(lock);
    assert!(matches!(repository.record(&first), Err(Error::RecordNotFound { .. })));
    scratch.restic(&["prune", "--max-unused", "0"]);
    scratch.restore(&repository, second, &scratch.source(), &scratch.path("target")).unwrap();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let report = repository.check(CheckDepth::AllData, &Control::default(), &lock).unwrap();
    assert_eq!(report.problems, vec![]);
    assert!(repository.stored_bytes() < 4_000_000, "{}", repository.stored_bytes());
}
