use std::fs;
use std::time::Duration;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::support::*;

fn lock_files(scratch: &Scratch) -> usize {
    fs::read_dir(scratch.root().join("locks")).unwrap().count()
}

#[test]
fn shared_locks_share_and_exclusive_ones_do_not() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.init(), scratch.open());
    let first = one.lock(LockKind::Shared, now(), HOST).unwrap();
    let second = two.lock(LockKind::Shared, now(), HOST).unwrap();
    assert!(matches!(two.lock(LockKind::Exclusive, now(), HOST), Err(Error::Locked { exclusive: false, .. })));
    drop((first, second));
    assert_eq!(lock_files(&scratch), 0);
    let exclusive = two.lock(LockKind::Exclusive, now(), HOST).unwrap();
    assert!(matches!(one.lock(LockKind::Shared, now(), HOST), Err(Error::Locked { exclusive: true, .. })));
    drop(exclusive);
    one.lock(LockKind::Exclusive, now(), HOST).unwrap();
}

#[test]
fn restic_respects_our_locks() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    fs::write(scratch.source().join("a"), "a").unwrap();
    let (_, _) = scratch.save(&repository, None);
    let shared = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    scratch.restic(&["backup", scratch.source().to_str().unwrap()]);
    let (ok, text) = scratch.try_restic(&["prune"]);
    assert!(!ok && text.contains("already locked") && text.contains(HOST), "{text}");
    drop(shared);
    let exclusive = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let (ok, text) = scratch.try_restic(&["backup", scratch.source().to_str().unwrap()]);
    assert!(!ok && text.contains("already locked exclusively"), "{text}");
    drop(exclusive);
    scratch.restic(&["prune"]);
}

#[test]
fn left_over_locks_are_removed() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let abandoned = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    std::mem::forget(abandoned);
    let (at_limit, after) = (now().plus(Duration::from_secs(1800)), now().plus(Duration::from_secs(1801)));
    assert!(matches!(repository.lock(LockKind::Shared, at_limit, HOST), Err(Error::Locked { .. })));
    repository.lock(LockKind::Shared, after, HOST).unwrap();
    assert_eq!(lock_files(&scratch), 0);
}

#[test]
fn a_refreshed_lock_outlives_the_limit_and_a_lost_one_says_so() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let later = now().plus(Duration::from_secs(1700));
    lock.refresh(later).unwrap();
    assert_eq!(lock_files(&scratch), 1);
    let after = later.plus(Duration::from_secs(1700));
    assert!(matches!(repository.lock(LockKind::Shared, after, HOST), Err(Error::Locked { .. })));
    scratch.restic(&["unlock", "--remove-all"]);
    assert!(matches!(lock.refresh(after), Err(Error::LockLost { .. })));
    assert!(matches!(repository.remove_record(&RecordId::parse(&"0".repeat(64)).unwrap(), &lock), Err(Error::LockLost { .. })));
}

#[test]
fn deleting_needs_an_exclusive_lock_of_that_repository() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let other = Repository::init(&scratch.path("other"), &secret(), now(), HOST).unwrap();
    let id = RecordId::parse(&"0".repeat(64)).unwrap();
    let shared = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    assert!(matches!(repository.remove_record(&id, &shared), Err(Error::WrongLock { .. })));
    // judged beside a backup, what is new to the index would count as lost
    assert!(matches!(repository.find_losses(&Control::default(), &shared), Err(Error::WrongLock { .. })));
    let foreign = other.lock(LockKind::Exclusive, now(), HOST).unwrap();
    assert!(matches!(repository.remove_record(&id, &foreign), Err(Error::WrongLock { .. })));
}

#[test]
fn an_empty_lock_file_is_ignored_and_removed_when_it_is_old() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let path = scratch.root().join("locks").join("0".repeat(64));
    let file = fs::File::create(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)).unwrap();
    repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    assert!(path.exists());
    repository.lock(LockKind::Exclusive, now().plus(Duration::from_secs(120)), HOST).unwrap();
    assert_eq!(lock_files(&scratch), 0);
}

#[test]
fn the_lock_of_a_restic_that_is_gone_counts_until_it_is_old() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let mut restic = std::process::Command::new("restic")
        .args(["backup", "--stdin", "--no-cache", "--quiet"])
        .env("RESTIC_REPOSITORY", scratch.root())
        .env("RESTIC_PASSWORD", secret().expose())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Written under another name first: killed before its last name it leaves no lock.
    let is_lock = |entry: fs::DirEntry| entry.file_name().len() == 64 && entry.metadata().is_ok_and(|metadata| metadata.len() > 0);
    while !fs::read_dir(scratch.root().join("locks")).unwrap().any(|entry| is_lock(entry.unwrap())) {
        std::thread::yield_now();
    }
    restic.kill().unwrap();
    restic.wait().unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = lightkeep::base::timestamp::Timestamp::from_micros(i64::try_from(elapsed.as_micros()).unwrap());
    assert!(matches!(repository.lock(LockKind::Exclusive, now, host.trim()), Err(Error::Locked { .. })));
    let later = now.plus(Duration::from_secs(1860));
    repository.lock(LockKind::Exclusive, later, host.trim()).unwrap();
    assert_eq!(lock_files(&scratch), 0);
}
