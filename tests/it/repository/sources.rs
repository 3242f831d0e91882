//! Sources that are awkward to read, and threads that fail.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
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
