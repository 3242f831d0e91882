use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;

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

pub(crate) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn gone(path: &Path) {
    fs::remove_file(path).unwrap();
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
    for (how, damage) in [("flipped", flip as fn(&Path)), ("gone", gone)] {
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

#[test]
fn without_key_or_config_there_is_a_clear_word_and_nothing_is_touched() {
    for (how, damage) in [("flipped", flip as fn(&Path)), ("gone", gone)] {
        for kind in ["key", "config"] {
            let (scratch, _) = two();
            let path = if kind == "key" { files(scratch.root().join("keys")).pop().unwrap() } else { scratch.root().join("config") };
            damage(&path);
            let count = files(scratch.root()).len();
            let error = Repository::open_damaged(&scratch.root(), &secret()).unwrap_err();
            match (kind, &error) {
                ("config", Error::Damaged { .. } | Error::NotFound { .. })
                | ("key", Error::Damaged { .. } | Error::WrongPassword { .. }) => {}
                other => panic!("{how}: {other:?}"),
            }
            assert_eq!(files(scratch.root()).len(), count, "{kind} {how}");
        }
    }
}

#[test]
fn a_damaged_lock_is_set_aside_by_a_repair() {
    let (scratch, both) = two();
    let lock = scratch.root().join("locks").join("0".repeat(64));
    fs::write(&lock, noise(3, 200)).unwrap();
    assert!(matches!(scratch.open().lock(LockKind::Shared, now(), HOST), Err(Error::Damaged { .. })));
    repair(&Repository::open_damaged(&scratch.root(), &secret()).unwrap());
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
    flip(&pack);
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
