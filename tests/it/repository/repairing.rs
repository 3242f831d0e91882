use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;
use crate::support::repositories::flip_a_bit;

/// Two snapshots that share nothing, each with data and trees in packs of its own.
pub(crate) fn two() -> (Scratch, [(RecordId, Vec<String>); 2]) {
    let scratch = Scratch::new();
    let repository = scratch.init();
    fs::create_dir(scratch.source().join("below")).unwrap();
    let save = |seed| {
        fs::write(scratch.source().join("below/file"), noise(seed, 900_000)).unwrap();
        (scratch.save(&repository, None).1, describe(&scratch.source(), true))
    };
    let both = [save(1), save(2)];
    drop(repository);
    (scratch, both)
}

fn gone(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

fn check(repository: &Repository) -> Vec<String> {
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let report = repository.check(CheckDepth::AllData, &Control::default(), &lock).unwrap();
    report.problems.iter().map(ToString::to_string).collect()
}

pub(crate) fn repair(repository: &Repository) -> (Repaired, Vec<Loss>) {
    let (control, lock) = (Control::default(), repository.lock(LockKind::Exclusive, now(), HOST).unwrap());
    let repaired = repository.repair(&control, &lock).unwrap();
    (repaired, repository.find_losses(&control, &lock).unwrap())
}

pub(crate) fn restores(scratch: &Scratch, (record, state): &(RecordId, Vec<String>)) -> bool {
    let target = scratch.path("target");
    let _ = fs::remove_dir_all(&target);
    let restored = scratch.restore(&scratch.open(), *record, &scratch.source(), &target);
    restored.is_ok_and(|_| describe(&target, true) == *state)
}

/// The packs that hold the second snapshot's data and its trees.
pub(crate) fn packs_of_second(scratch: &Scratch) -> [PathBuf; 2] {
    let newest = |paths: Vec<PathBuf>| paths.into_iter().max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    let (large, small) = files(scratch.root().join("data")).into_iter().partition(|path| fs::metadata(path).unwrap().len() > 100_000);
    [newest(large), newest(small)]
}

#[test]
fn each_kind_of_file_is_named_when_it_is_damaged_or_gone() {
    let second_record =
        |scratch: &Scratch, both: &[(RecordId, Vec<String>); 2]| scratch.root().join("snapshots").join(both[1].0.to_string());
    for (how, damage) in [("flipped", flip_a_bit as fn(&Path)), ("gone", gone)] {
        for kind in ["data", "trees", "index", "record"] {
            let (scratch, both) = two();
            let path = match kind {
                "data" => packs_of_second(&scratch)[0].clone(),
                "trees" => packs_of_second(&scratch)[1].clone(),
                "index" => files(scratch.root().join("index")).pop().unwrap(),
                _ => second_record(&scratch, &both),
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            damage(&path);
            let repository = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
            let problems = check(&repository);
            // A record or index file that is gone leaves no trace of its name; of the index, what it named is missed.
            let silent = how == "gone" && kind == "record";
            assert_eq!(problems.is_empty(), silent, "{kind} {how}: {problems:?}");
            if how == "flipped" || matches!(kind, "data" | "trees") {
                assert!(problems.iter().any(|problem| problem.contains(&name)), "{kind} {how}: {problems:?}");
            }
            let (repaired, losses) = repair(&repository);
            assert!(restores(&scratch, &both[0]), "{kind} {how}: the first snapshot is whole");
            let lost = matches!(kind, "data" | "trees");
            assert_eq!(
                losses.iter().map(|loss| loss.record).collect::<Vec<_>>(),
                if lost { vec![both[1].0] } else { vec![] },
                "{kind} {how}"
            );
            assert_eq!(restores(&scratch, &both[1]), kind == "index", "{kind} {how}");
            assert_eq!(repaired.records_set_aside.len(), usize::from(kind == "record" && how == "flipped"), "{kind} {how}");
            assert_eq!(repaired.packs_set_aside.len(), usize::from(lost && how == "flipped"), "{kind} {how}");
            if !lost {
                assert_eq!(check(&scratch.open()), Vec::<String>::new(), "{kind} {how}");
                scratch.restic(&["check", "--read-data"]);
            }
            let set_aside = scratch.root().join("set-aside");
            assert_eq!(set_aside.exists() && !files(set_aside).is_empty(), how == "flipped", "{kind} {how}");
            // Nothing is left to be done.
            let repository = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
            assert_eq!(repair(&repository).0, Repaired::default(), "{kind} {how}");
        }
    }
}

/// The key file and the config.
fn small_files(scratch: &Scratch) -> [(&'static str, PathBuf); 2] {
    [("key", files(scratch.root().join("keys")).pop().unwrap()), ("config", scratch.root().join("config"))]
}

#[test]
fn without_key_or_config_there_is_a_clear_word_and_nothing_is_touched() {
    for (how, damage) in [("flipped", flip_a_bit as fn(&Path)), ("gone", gone), ("empty", empty)] {
        for number in 0..2 {
            let (scratch, _) = two();
            let (kind, path) = &small_files(&scratch)[number];
            damage(path);
            let count = files(scratch.root()).len();
            let error = Repository::open_damaged(&scratch.root(), &secret()).unwrap_err();
            match (*kind, how, &error) {
                ("config", "gone", Error::Damaged { subject, .. }) => assert_eq!(*subject, format!("`{}`", path.display())),
                ("config", "flipped" | "empty", Error::Damaged { subject, .. }) => assert_eq!(subject, "the config"),
                ("key", "gone", Error::Damaged { source, .. }) => assert!(source.to_string().contains("no key file"), "{source}"),
                ("key", "flipped" | "empty", Error::Damaged { subject, .. }) => {
                    assert!(subject.contains(path.file_name().unwrap().to_str().unwrap()), "{subject}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(files(scratch.root()).len(), count, "{kind} {how}");
        }
    }
}

#[test]
fn a_lost_config_is_written_anew_by_a_repair() {
    for (how, damage) in [("flipped", flip_a_bit as fn(&Path)), ("gone", gone), ("empty", empty)] {
        let (scratch, both) = two();
        damage(&scratch.root().join("config"));
        let damaged = Repository::open_for_repair(&scratch.root(), &secret(), now(), HOST).unwrap();
        assert!(Repository::open(&scratch.root(), &secret()).is_err(), "looking changes nothing");
        let (repaired, losses) = repair(&damaged);
        assert_eq!((repaired.written_anew, losses), (vec!["config".to_owned()], vec![]));
        assert_eq!(repaired.others_set_aside.len(), usize::from(how != "gone"), "{how}");
        assert!(both.iter().all(|one| restores(&scratch, one)));
        scratch.restic(&["check", "--read-data"]);
        // What is added later goes by the new one.
        scratch.save(&scratch.open(), Some(both[1].0));
        scratch.restic(&["backup", scratch.source().to_str().unwrap()]);
        scratch.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_lost_key_is_written_anew_while_somebody_still_has_it() {
    for (how, damage) in [("flipped", flip_a_bit as fn(&Path)), ("gone", gone), ("empty", empty)] {
        let (scratch, both) = two();
        let repositories = Repositories::new(secret(), std::num::NonZeroUsize::MIN);
        let open = repositories.get_or_open(&scratch.root()).unwrap();
        let (_, key) = &small_files(&scratch)[0];
        damage(key);
        let nobody_has_it = Repository::open_for_repair(&scratch.root(), &secret(), now(), HOST);
        assert!(matches!(nobody_has_it, Err(Error::Damaged { .. })), "{how}");
        let damaged = repositories.open_for_repair(&scratch.root(), now(), HOST).unwrap();
        let (repaired, _) = repair(&damaged);
        assert!(repaired.written_anew.len() == 1 && repaired.written_anew[0].starts_with("key file"), "{how}: {repaired:?}");
        assert_eq!(repaired.others_set_aside.len(), usize::from(how != "gone"), "{how}");
        drop((repositories, open, damaged));
        assert!(both.iter().all(|one| restores(&scratch, one)));
        assert_eq!(check(&scratch.open()), Vec::<String>::new());
        scratch.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_key_of_another_repository_does_not_serve() {
    let (scratch, _) = two();
    let (other, _) = two();
    let repositories = Repositories::new(secret(), std::num::NonZeroUsize::MIN);
    let _open = repositories.get_or_open(&scratch.root()).unwrap();
    // Another repository has taken its place since, and lost its key.
    fs::remove_dir_all(scratch.root()).unwrap();
    fs::rename(other.root(), scratch.root()).unwrap();
    gone(&small_files(&scratch)[0].1);
    let count = files(scratch.root()).len();
    assert!(matches!(repositories.open_for_repair(&scratch.root(), now(), HOST), Err(Error::Damaged { .. })));
    assert_eq!(files(scratch.root()).len(), count);
}

#[test]
fn a_changed_password_is_no_damage() {
    let (scratch, _) = two();
    let repositories = Repositories::new(secret(), std::num::NonZeroUsize::MIN);
    let _open = repositories.get_or_open(&scratch.root()).unwrap();
    fs::write(scratch.path("new"), "another password").unwrap();
    scratch.restic(&["key", "passwd", "--new-password-file", scratch.path("new").to_str().unwrap()]);
    let before = files(scratch.root());
    assert!(matches!(repositories.open_for_repair(&scratch.root(), now(), HOST), Err(Error::WrongPassword { .. })));
    gone(&scratch.root().join("config"));
    assert!(matches!(repositories.open_for_repair(&scratch.root(), now(), HOST), Err(Error::Damaged { .. })));
    assert_eq!(files(scratch.root()).len(), before.len() - 1);
}

#[test]
fn what_lies_where_nobody_looks_does_not_count() {
    let (scratch, both) = two();
    let data = scratch.root().join("data");
    let [pack, _] = packs_of_second(&scratch);
    // An operator's copy beside the original, and files that are nobody's.
    fs::create_dir(data.join("copy")).unwrap();
    fs::copy(&pack, data.join("copy").join(pack.file_name().unwrap())).unwrap();
    for place in ["data/zz", "data/note", "snapshots/note", "index/note", "keys/note", "locks/note", "note"] {
        fs::write(scratch.root().join(place), "garbage").unwrap();
    }
    fs::create_dir(scratch.root().join("snapshots").join("0".repeat(64))).unwrap();
    assert_eq!(check(&scratch.open()), Vec::<String>::new());
    assert_eq!(repair(&Repository::open_damaged(&scratch.root(), &secret()).unwrap()).0, Repaired::default());
    assert!(both.iter().all(|one| restores(&scratch, one)));
    // The original alone is the pack.
    gone(&pack);
    let problems = check(&scratch.open());
    assert!(problems.iter().any(|problem| problem.contains(pack.file_name().unwrap().to_str().unwrap())), "{problems:?}");
    // Packs that were moved to a larger disk, with a link in their place, are where they belong.
    fs::copy(data.join("copy").join(pack.file_name().unwrap()), &pack).unwrap();
    fs::rename(pack.parent().unwrap(), scratch.path("larger")).unwrap();
    std::os::unix::fs::symlink(scratch.path("larger"), pack.parent().unwrap()).unwrap();
    assert_eq!(check(&scratch.open()), Vec::<String>::new());
    assert!(both.iter().all(|one| restores(&scratch, one)));
}

#[test]
fn a_damaged_lock_is_set_aside_by_a_repair() {
    let (scratch, both) = two();
    let lock = scratch.root().join("locks").join("0".repeat(64));
    fs::write(&lock, noise(3, 200)).unwrap();
    assert!(matches!(scratch.open().lock(LockKind::Shared, now(), HOST), Err(Error::Damaged { .. })));
    let damaged = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
    let problems = check(&damaged);
    assert!(problems.len() == 1 && problems[0].contains(&"0".repeat(64)), "{problems:?}");
    assert_eq!(repair(&damaged).0.others_set_aside, ["0".repeat(64)]);
    assert!(!lock.exists());
    assert!(restores(&scratch, &both[0]) && restores(&scratch, &both[1]));
}

#[test]
fn the_good_content_of_a_damaged_pack_is_saved_and_the_rest_comes_back_from_the_source() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    for number in 0..8 {
        fs::write(scratch.source().join(format!("file {number}")), noise(number, 400_000)).unwrap();
    }
    let (_, record) = scratch.save(&repository, None);
    let state = describe(&scratch.source(), true);
    drop(repository);
    let pack = files(scratch.root().join("data")).pop().unwrap();
    flip_a_bit(&pack);
    let damaged = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
    let (repaired, losses) = repair(&damaged);
    assert!(repaired.blobs_saved >= 2, "{repaired:?}");
    assert_eq!((losses.len(), losses[0].files, losses[0].examples.len()), (1, 1, 1), "{losses:?}");
    assert!(!restores(&scratch, &(record, state.clone())));
    // Stored without a record: what is lost is there again.
    let control = Control::default();
    let lock = damaged.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let stored = damaged.back_up(&request(&scratch.source(), None, &control), &lock).unwrap();
    assert!((400_000..600_000).contains(&stored.added_bytes), "{stored:?}");
    assert_eq!(damaged.find_losses(&control, &lock).unwrap(), vec![]);
    drop(lock);
    assert!(restores(&scratch, &(record, state)));
    scratch.restic(&["check", "--read-data"]);
}
