//! Keys and config that are lost, and who may have them again.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::Path;

use lightkeep::repository::*;

use super::damage::files;
use super::repairing::{repair, restores, two};
use super::support::*;
use crate::support::repositories::flip_a_bit;

/// A server that has the repository open.
fn server(scratch: &Scratch) -> Repositories {
    let repositories = Repositories::new(secret(), NonZeroUsize::MIN);
    repositories.get_or_open(&scratch.root()).unwrap();
    repositories
}

#[test]
fn whoever_comes_before_the_repair_does_not_lose_the_last_key() {
    let (scratch, both) = two();
    let repositories = server(&scratch);
    fs::remove_file(scratch.root().join("config")).unwrap();
    fs::remove_dir_all(scratch.root().join("keys")).unwrap();
    assert!(matches!(repositories.get_or_open(&scratch.root()), Err(Error::Damaged { .. })));
    assert!(matches!(repositories.get_or_init(&scratch.root(), now(), HOST), Err(Error::Damaged { .. })));
    let damaged = repositories.open_for_repair(&scratch.root(), now(), HOST).unwrap();
    assert_eq!(repair(&damaged).0.written_anew.len(), 2);
    assert!(both.iter().all(|one| restores(&scratch, one)));
    scratch.restic(&["check", "--read-data"]);
}

#[test]
fn another_repository_in_its_place_is_opened() {
    let ((scratch, _), (other, both)) = (two(), two());
    let repositories = server(&scratch);
    fs::remove_dir_all(scratch.root()).unwrap();
    assert!(matches!(repositories.get_or_open(&scratch.root()), Err(Error::NotFound { .. })));
    fs::rename(other.root(), scratch.root()).unwrap();
    let opened = repositories.get_or_open(&scratch.root()).unwrap();
    assert!(both.iter().all(|(record, _)| opened.record(record).is_ok()));
}

#[test]
fn directories_that_are_gone_as_a_whole_are_empty_ones() {
    let (scratch, both) = two();
    let repositories = server(&scratch);
    fs::remove_dir_all(scratch.root().join("keys")).unwrap();
    assert!(matches!(Repository::open(&scratch.root(), &secret()), Err(Error::Damaged { .. })));
    repair(&repositories.open_for_repair(&scratch.root(), now(), HOST).unwrap());
    assert!(both.iter().all(|one| restores(&scratch, one)));

    fs::remove_file(scratch.root().join("config")).unwrap();
    fs::remove_dir_all(scratch.root().join("snapshots")).unwrap();
    Repository::open_for_repair(&scratch.root(), &secret(), now(), HOST).unwrap();
}

#[test]
fn a_password_that_was_taken_away_does_not_come_back() {
    let (scratch, _) = two();
    let repositories = server(&scratch);
    fs::write(scratch.path("new"), "another password").unwrap();
    let new = scratch.path("new");
    let before = files(scratch.root().join("keys"));
    scratch.restic(&["key", "add", "--new-password-file", new.to_str().unwrap()]);
    let added = files(scratch.root().join("keys")).into_iter().find(|key| !before.contains(key)).unwrap();
    scratch.restic(&["key", "passwd", "--new-password-file", new.to_str().unwrap()]);
    // One of the keys that are left is damaged; it is not the one that the server was let in by.
    flip_a_bit(&added);
    let before = files(scratch.root());
    assert!(matches!(repositories.open_for_repair(&scratch.root(), now(), HOST), Err(Error::Damaged { .. })));
    assert_eq!(files(scratch.root()), before);
}

/// Where reading this fails, it fails as on a bad place of the disk.
fn on_a_bad_place(path: &Path) {
    fs::remove_file(path).unwrap();
    symlink("/proc/self/mem", path).unwrap();
    assert_eq!(fs::read(path).unwrap_err().raw_os_error(), Some(5), "EIO");
}

#[test]
fn a_bad_place_of_the_disk_is_damage_and_other_errors_are_none() {
    for name in ["keys", "config"] {
        let (scratch, both) = two();
        let repositories = server(&scratch);
        let path = scratch.root().join(name);
        on_a_bad_place(&if path.is_dir() { files(path).remove(0) } else { path });
        let damaged = repositories.open_for_repair(&scratch.root(), now(), HOST).unwrap();
        let repaired = repair(&damaged).0;
        assert_eq!((repaired.written_anew.len(), repaired.others_set_aside.len()), (1, 1), "{name}: {repaired:?}");
        assert!(both.iter().all(|one| restores(&scratch, one)));
        scratch.restic(&["check", "--read-data"]);
    }
    let (scratch, _) = two();
    let repositories = server(&scratch);
    let key = files(scratch.root().join("keys")).remove(0);
    fs::remove_file(&key).unwrap();
    symlink(&key, &key).unwrap();
    fs::remove_file(scratch.root().join("config")).unwrap();
    // The key may be whole: too many links on the way to it say nothing of it.
    assert!(matches!(repositories.open_for_repair(&scratch.root(), now(), HOST), Err(Error::Io { .. })));
}
