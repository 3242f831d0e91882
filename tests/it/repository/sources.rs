//! Sources that are awkward to read, and threads that fail.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::base::tap::Tap;
use lightkeep::domain::entry::Entry;
use lightkeep::repository::*;

use super::support::*;
use super::writing::list;

#[test]
fn files_that_are_only_held_open_are_stored_and_restored() {
    let scratch = Scratch::new();
    for (name, length) in [("empty", 0), ("small", 100), ("large", 3_000_000)] {
        let path = scratch.source().join(name);
        fs::write(&path, noise(3, length)).unwrap();
        let _where_supported = rustix::fs::setxattr(&path, "user.comment", b"kept", rustix::fs::XattrFlags::empty());
    }
    let before = describe(&scratch.source(), true);
    let repository = scratch.init();
    let mut entries = Vec::new();
    list(&scratch.source(), Path::new(""), &mut entries);
    let mut held = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !entry.path.as_os_str().is_empty()) {
        let file = fs::File::open(&entry.read_from).unwrap();
        // the place itself may be taken by another file
        fs::remove_file(&entry.read_from).unwrap();
        entry.read_from = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        held.push(file);
    }
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let listed = BackupRequest { source: Source::Listed(&entries), ..request(&source, None, &control) };
    let stored = repository.back_up(&listed, &lock).unwrap();
    let id = repository.write_record(&stored, &scratch.new_record(None), &lock).unwrap();
    let restored = scratch.restore(&repository, id, &source, &scratch.path("target")).unwrap();
    assert_eq!(restored.data_hash, stored.data_hash);
    assert_eq!(describe(&scratch.path("target"), true), before);
    // a file that changed while it was held is an error as any other
    let entry = entries.iter_mut().find(|entry| entry.path.ends_with("large")).unwrap();
    entry.meta.modified.0 -= 1;
    let path = entry.read_from.clone();
    let listed = BackupRequest { source: Source::Listed(&entries), ..request(&source, None, &control) };
    assert!(matches!(repository.back_up(&listed, &lock), Err(Error::SourceChanged { path: p }) if p == path));
}

#[test]
fn a_tap_that_panics_ends_the_backup() {
    for (name, length) in [("empty", 0), ("small", 100), ("large", 40_000_000)] {
        let scratch = Scratch::new();
        fs::write(scratch.source().join(name), noise(1, length)).unwrap();
        let repository = scratch.init();
        let (control, source) = (Control::default(), scratch.source());
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let tap = |_: &Entry| -> Option<Tap> { Some(Box::new(|_| panic!("a tap that fails"))) };
        let result = repository.back_up(&BackupRequest { tap: &tap, ..request(&source, None, &control) }, &lock);
        assert!(matches!(result, Err(Error::WorkerStopped)), "{name}: {result:?}");
        // nothing of it is left, and the next one works
        let left = fs::read_dir(scratch.root()).unwrap().count();
        assert_eq!(left, 6);
        repository.back_up(&request(&source, None, &control), &lock).unwrap();
    }
}

#[test]
fn a_file_that_always_grows_is_not_read_for_ever() {
    let scratch = Scratch::new();
    let path = scratch.source().join("log");
    fs::write(&path, noise(1, 1_000_000)).unwrap();
    let repository = scratch.init();
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let tap = |entry: &Entry| -> Option<Tap> {
        let file = fs::OpenOptions::new().append(true).open(&entry.read_from).unwrap();
        // as large as the next read
        Some(Box::new(move |_| file.set_len(file.metadata().unwrap().len() + 10_000_000).unwrap()))
    };
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.set_len(4 << 20).unwrap();
    let result = repository.back_up(&BackupRequest { tap: &tap, ..request(&source, None, &control) }, &lock);
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
    assert!(fs::metadata(&path).unwrap().len() < 30_000_000, "it was read on");
}

#[test]
fn a_change_whose_time_was_set_back_is_seen_in_a_directory() {
    let scratch = Scratch::new();
    let path = scratch.source().join("a");
    fs::write(&path, "one").unwrap();
    let repository = scratch.init();
    let (_, first) = scratch.save(&repository, None);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "two").unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    let (stored, second) = scratch.save(&repository, Some(first));
    assert_eq!(stored.files_unchanged, 0);
    scratch.restore(&repository, second, &scratch.source(), &scratch.path("target")).unwrap();
    assert_eq!(fs::read(scratch.path("target").join("a")).unwrap(), b"two");
}
