use std::fs;
use std::path::PathBuf;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::support::*;

pub(crate) fn files(directory: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(path)) } else { found.push(path) }
    }
    found.sort_by_key(|path| fs::symlink_metadata(path).unwrap().len());
    found
}

fn check(scratch: &Scratch, depth: CheckDepth) -> Vec<String> {
    let repository = scratch.open();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let report = repository.check(depth, &Control::default(), &lock).unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

fn stored() -> (Scratch, RecordId) {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 5_000_000)).unwrap();
    let repository = scratch.init();
    let (_, id) = scratch.save(&repository, None);
    (scratch, id)
}

#[test]
fn a_flipped_bit_in_content_is_named() {
    let (scratch, id) = stored();
    assert_eq!(check(&scratch, CheckDepth::AllData), Vec::<String>::new());
    let pack = files(scratch.root().join("data")).pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert_eq!(check(&scratch, CheckDepth::Structure), Vec::<String>::new());
    let problems = check(&scratch, CheckDepth::AllData);
    assert!(problems.len() == 2 && problems.iter().all(|problem| problem.contains(name)), "{problems:?}");
    match scratch.restore(&scratch.open(), id, &scratch.source(), &scratch.path("target")) {
        Err(Error::Damaged { subject, .. }) => assert!(subject.contains(name) && subject.contains("`a`"), "{subject}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn packs_that_are_cut_off_or_gone_are_named() {
    let (scratch, id) = stored();
    let pack = files(scratch.root().join("data")).pop().unwrap();
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    let bytes = fs::read(&pack).unwrap();
    fs::write(&pack, &bytes[..bytes.len() - 1]).unwrap();
    let problems = check(&scratch, CheckDepth::Structure);
    assert!(problems.len() == 1 && problems[0].contains(&name), "{problems:?}");
    fs::remove_file(&pack).unwrap();
    let problems = check(&scratch, CheckDepth::Structure);
    assert!(problems.len() == 1 && problems[0].contains("missing"), "{problems:?}");
    let result = scratch.restore(&scratch.open(), id, &scratch.source(), &scratch.path("target"));
    assert!(matches!(&result, Err(Error::Io { path, .. }) if path.ends_with(&name)), "{result:?}");
}

#[test]
fn a_missing_index_is_seen_and_damaged_records_are_not_left_out() {
    let (scratch, id) = stored();
    let repository = scratch.open();
    for index in files(scratch.root().join("index")) {
        fs::remove_file(index).unwrap();
    }
    assert!(!check(&scratch, CheckDepth::Structure).is_empty());
    let result = scratch.restore(&scratch.open(), id, &scratch.source(), &scratch.path("target"));
    assert!(matches!(result, Err(Error::MissingBlob { .. })), "{result:?}");
    fs::write(repository.record_path(&id), "garbage").unwrap();
    assert!(matches!(scratch.open().records(), Err(Error::Damaged { .. })));
    assert!(check(&scratch, CheckDepth::Structure).iter().any(|problem| problem.contains(&id.to_string())));
}

#[test]
fn a_check_beside_a_backup_reports_no_damage() {
    let (scratch, _) = stored();
    let repository = scratch.open();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    // another process, which ends its backup after the check began
    fs::write(scratch.source().join("b"), noise(2, 1_000_000)).unwrap();
    scratch.restic(&["backup", scratch.source().to_str().unwrap()]);
    let report = repository.check(CheckDepth::Structure, &Control::default(), &lock).unwrap();
    assert_eq!((report.problems, report.snapshots), (vec![], 2));
}

#[test]
fn trees_of_the_parent_that_cannot_be_read_are_stored_again() {
    for gone in [false, true] {
        let (scratch, parent) = stored();
        fs::create_dir_all(scratch.source().join("deep/er")).unwrap();
        fs::write(scratch.source().join("deep/er/b"), "bottom").unwrap();
        // one piece, however files are cut
        fs::write(scratch.source().join("a"), noise(3, 400_000)).unwrap();
        let (_, parent) = scratch.save(&scratch.open(), Some(parent));
        // its pack is larger than those of trees
        for pack in files(scratch.root().join("data")).into_iter().filter(|path| fs::metadata(path).unwrap().len() < 400_000) {
            let bytes = fs::read(&pack).unwrap();
            // that of the one small file stays
            if bytes.len() < 300 {
                continue;
            }
            if gone { fs::remove_file(&pack).unwrap() } else { fs::write(&pack, bytes.iter().map(|b| !b).collect::<Vec<u8>>()).unwrap() }
        }
        let broken = scratch.restore(&scratch.open(), parent, &scratch.source(), &scratch.path("broken"));
        assert!(broken.is_err(), "{broken:?}");
        for parent in [Some(parent), None] {
            let (stored, id) = scratch.save(&scratch.open(), parent);
            assert!(stored.summary.tree_blobs > 0 || parent.is_none());
            let to = scratch.path(if parent.is_some() { "target" } else { "again" });
            let restored = scratch.restore(&scratch.open(), id, &scratch.source(), &to).unwrap();
            assert_eq!((restored.files, restored.data_hash), (2, stored.data_hash));
            assert_eq!(describe(&to, true), describe(&scratch.source(), true));
        }
    }
}

#[test]
fn content_of_the_parent_that_the_index_has_lost_is_read_again() {
    // by a handle that knew the content, and by a new one
    for is_new in [false, true] {
        let scratch = Scratch::new();
        fs::write(scratch.source().join("kept"), noise(1, 2_000_000)).unwrap();
        let repository = scratch.init();
        let (_, parent) = scratch.save(&repository, None);
        let kept = files(scratch.root().join("data"));
        fs::write(scratch.source().join("lost"), noise(2, 9_000_000)).unwrap();
        let (before, parent) = scratch.save(&repository, Some(parent));
        let (unchanged, _) = scratch.save(&repository, Some(parent));
        assert_eq!((unchanged.files_unchanged, unchanged.summary.data_blobs), (2, 0));
        let content = |pack: &PathBuf| !kept.contains(pack) && fs::metadata(pack).unwrap().len() > 100_000;
        for pack in files(scratch.root().join("data")).into_iter().filter(content) {
            fs::remove_file(pack).unwrap();
        }
        // as a repair leaves it
        scratch.restic(&["rebuild-index"]);
        let repository = if is_new { scratch.open() } else { repository };
        let (stored, id) = scratch.save(&repository, Some(parent));
        assert_eq!((stored.files_unchanged, stored.data_hash), (1, before.data_hash));
        assert!(stored.added_bytes >= 9_000_000, "{stored:?}");
        let to = scratch.path("target");
        assert_eq!(scratch.restore(&repository, id, &scratch.source(), &to).unwrap().data_hash, before.data_hash);
        assert_eq!(describe(&to, true), describe(&scratch.source(), true));
    }
}
