//! What cannot be opened for now may be whole: it ends a repair or a prune before anything is lost by it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::pruning::prune;
use super::repairing::{packs_of_second, repair, restores, two};
use super::support::*;
use crate::support::repositories::flip_a_bit;

/// Makes a file one that is listed and that nobody can open, not even root, and gives what brings it back.
fn hide<'a>(scratch: &Scratch, path: &'a Path, points_to: &Path) -> impl FnOnce() + use<'a> {
    let away = scratch.path("away");
    fs::rename(path, &away).unwrap();
    symlink(points_to, path).unwrap();
    move || fs::rename(away, path).unwrap()
}

fn names(scratch: &Scratch) -> BTreeSet<PathBuf> {
    files(scratch.root()).into_iter().collect()
}

#[test]
fn it_ends_a_repair_before_anything_moves() {
    for kind in ["index", "data", "trees", "record"] {
        let (scratch, both) = two();
        let [data, trees] = packs_of_second(&scratch);
        let index = files(scratch.root().join("index"));
        let record = scratch.open().record_path(&both[1].0);
        // the first snapshot's content is damaged, which a repair would set aside
        let first = files(scratch.root().join("data")).into_iter().rfind(|pack| *pack != data).unwrap();
        flip_a_bit(&first);
        let path = match kind {
            "index" => &index[0],
            "data" => &data,
            "trees" => &trees,
            _ => &record,
        };
        let bring_back = hide(&scratch, path, path);
        let before = names(&scratch);
        let repository = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
        let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
        let result = repository.repair(&Control::default(), &lock);
        assert!(matches!(&result, Err(Error::Io { path: named, .. }) if named == path), "{kind}: {result:?}");
        drop(lock);
        assert_eq!(names(&scratch), before, "{kind}: nothing moved");
        bring_back();
        let (repaired, losses) = repair(&repository);
        assert_eq!((repaired.packs_set_aside.len(), losses.len()), (1, 1), "{kind}: {repaired:?} {losses:?}");
        assert!(restores(&scratch, &both[1]), "{kind}: nothing of it was lost");
    }
}

#[test]
fn it_is_no_loss_of_a_snapshot() {
    let (scratch, both) = two();
    let [_, trees] = packs_of_second(&scratch);
    let bring_back = hide(&scratch, &trees, &trees);
    let repository = scratch.open();
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let result = repository.find_losses(&Control::default(), &lock);
    assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    bring_back();
    assert_eq!(repository.find_losses(&Control::default(), &lock).unwrap(), vec![]);
    drop(lock);
    assert!(restores(&scratch, &both[1]));
}

#[test]
fn a_record_that_is_listed_and_not_there_ends_a_prune() {
    let (scratch, both) = two();
    let record = scratch.open().record_path(&both[1].0);
    let bring_back = hide(&scratch, &record, Path::new("/no/such/file"));
    let result = prune(&scratch.open(), 0, None);
    assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    bring_back();
    assert!(restores(&scratch, &both[1]), "its content was not taken for unused");
}

#[test]
fn an_index_that_could_not_be_read_when_it_was_opened_is_read_before_losses_are_judged() {
    let (scratch, both) = two();
    let index = files(scratch.root().join("index"));
    let bring_back = hide(&scratch, &index[0], &index[0]);
    let repository = Repository::open_damaged(&scratch.root(), &secret()).unwrap();
    bring_back();
    assert_eq!(repair(&repository), (Repaired::default(), vec![]));
    assert!(restores(&scratch, &both[0]) && restores(&scratch, &both[1]));
}
