//! Keys that a broken creation left behind.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use lightkeep::repository::*;

use super::support::*;

fn keys(root: &Path) -> Vec<OsString> {
    fs::read_dir(root.join("keys")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// Key files of other repositories with the same password.
fn stray_keys(scratch: &Scratch, root: &Path, count: usize) {
    fs::create_dir_all(root.join("keys")).unwrap();
    for number in 0..count {
        let other = scratch.path(&format!("other-{number}"));
        Repository::init(&other, &secret(), now(), HOST).unwrap();
        let name = keys(&other).remove(0);
        fs::copy(other.join("keys").join(&name), root.join("keys").join(&name)).unwrap();
    }
}

#[test]
fn creating_removes_the_key_of_a_broken_creation() {
    let scratch = Scratch::new();
    stray_keys(&scratch, &scratch.root(), 3);
    let repository = scratch.init();
    assert_eq!(keys(&scratch.root()).len(), 1);
    scratch.save(&repository, None);
    scratch.save(&scratch.open(), None);
    scratch.restic(&["check"]);
}

#[test]
fn a_stray_key_with_the_same_password_is_passed_over() {
    let scratch = Scratch::new();
    let (_, id) = scratch.save(&scratch.init(), None);
    let own = keys(&scratch.root());
    // whichever comes first in the directory
    stray_keys(&scratch, &scratch.root(), 4);
    assert_eq!(scratch.open().record(&id).unwrap().paths, [scratch.source()]);
    // with the own key gone, it is not the password that is wrong
    fs::remove_file(scratch.root().join("keys").join(&own[0])).unwrap();
    let result = Repository::open(&scratch.root(), &secret());
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
}

#[test]
fn a_repository_that_lost_its_config_keeps_its_keys() {
    let scratch = Scratch::new();
    scratch.save(&scratch.init(), None);
    let config = scratch.root().join("config");
    let bytes = fs::read(&config).unwrap();
    fs::remove_file(&config).unwrap();
    let result = Repository::init(&scratch.root(), &secret(), now(), HOST);
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
    fs::write(&config, bytes).unwrap();
    assert_eq!(scratch.open().records().unwrap().len(), 1);
}

#[test]
fn of_creations_at_once_one_wins() {
    let scratch = Scratch::new();
    let init = || Repository::init(&scratch.root(), &secret(), now(), HOST);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(init)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(Error::AlreadyExists { .. }))), "{results:?}");
    assert_eq!(keys(&scratch.root()).len(), 1);
    scratch.open();
}
