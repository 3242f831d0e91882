use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lightkeep::base::control::Control;
use lightkeep::base::tap::Tap;
use lightkeep::domain::entry::{Entry, EntryKind, Meta};
use lightkeep::repository::*;
use tokio_util::sync::CancellationToken;

use super::support::*;

#[test]
fn an_unchanged_source_adds_nothing_and_is_not_read() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let control = Control::default();
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let source = scratch.source();
    let whole = || BackupRequest { recorded_path: Path::new(NOWHERE), ..request(&source, None, &control) };
    let first = repository.back_up(&whole(), &lock).unwrap();
    let id = repository.write_record(&first, &scratch.new_record(None), &lock).unwrap();
    let tap = |entry: &Entry| -> Option<Tap> { panic!("{entry:?} was read") };
    let stored = repository.back_up(&BackupRequest { tap: &tap, parent: Some(id), ..whole() }, &lock).unwrap();
    assert_eq!((stored.added_bytes, stored.files_unchanged), (0, first.files));
    assert_eq!((stored.tree, stored.data_hash), (first.tree, first.data_hash));
    // without a parent all is read, and nothing is new
    let stored = repository.back_up(&whole(), &lock).unwrap();
    assert_eq!((stored.added_bytes, stored.tree), (0, first.tree));
    drop(lock);
    assert_eq!(repository.find_record_by_tag("snapshot:1").unwrap().unwrap().paths, [scratch.source()]);
    assert!(repository.find_record_by_tag("other").unwrap().is_none());
    // a parent that is gone is as none
    assert_eq!(scratch.save(&repository, RecordId::parse(&"0".repeat(64))).0.files_unchanged, 0);
}

#[test]
fn the_tap_sees_every_byte_in_order() {
    let scratch = Scratch::new();
    for (name, length) in [("a", 0), ("b", 10), ("c", 600_000), ("d", 12_000_000)] {
        fs::write(scratch.source().join(name), noise(5, length)).unwrap();
    }
    let repository = scratch.init();
    let seen: Mutex<Vec<(PathBuf, Vec<u8>, bool)>> = Mutex::default();
    let seen_ref: &'static Mutex<Vec<(PathBuf, Vec<u8>, bool)>> = Box::leak(Box::new(seen));
    let tap = |entry: &Entry| -> Option<Tap> {
        let (path, mut bytes) = (entry.path.clone(), Vec::new());
        Some(Box::new(move |piece| match piece {
            Some(piece) => bytes.extend_from_slice(&piece),
            None => seen_ref.lock().unwrap().push((path.clone(), std::mem::take(&mut bytes), true)),
        }))
    };
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    repository.back_up(&BackupRequest { tap: &tap, ..request(&source, None, &control) }, &lock).unwrap();
    let mut seen = std::mem::take(&mut *seen_ref.lock().unwrap());
    seen.sort();
    let lengths: Vec<_> = seen.iter().map(|(path, bytes, _)| (path.to_str().unwrap(), bytes.len())).collect();
    assert_eq!(lengths, [("a", 0), ("b", 10), ("c", 600_000), ("d", 12_000_000)]);
    assert!(seen.iter().all(|(_, bytes, _)| *bytes == noise(5, bytes.len())));
    assert_eq!(control.progress().done_bytes, 12_600_010);
}

pub(crate) fn list(root: &Path, path: &Path, entries: &mut Vec<Entry>) {
    let read_from = root.join(path);
    let metadata = fs::symlink_metadata(&read_from).unwrap();
    let kind = match fs::read_link(&read_from) {
        Ok(target) => EntryKind::Symlink { target },
        Err(_) if metadata.is_dir() => EntryKind::Directory,
        Err(_) => EntryKind::File,
    };
    entries.push(Entry { path: path.into(), kind, meta: Meta::from(&metadata), read_from: read_from.clone() });
    if metadata.is_dir() {
        for entry in fs::read_dir(&read_from).unwrap() {
            list(root, &path.join(entry.unwrap().file_name()), entries);
        }
    }
}

#[test]
fn a_list_is_stored_as_the_directory_is() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    fs::remove_file(scratch.source().join("pipe")).unwrap();
    let repository = scratch.init();
    let mut entries = Vec::new();
    list(&scratch.source(), Path::new(""), &mut entries);
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let whole = || BackupRequest { recorded_path: Path::new(NOWHERE), ..request(&source, None, &control) };
    let walked = repository.back_up(&whole(), &lock).unwrap();
    let listed = BackupRequest { source: Source::Listed(&entries), ..whole() };
    let stored = repository.back_up(&listed, &lock).unwrap();
    assert_eq!((stored.tree, stored.data_hash, stored.files), (walked.tree, walked.data_hash, walked.files));
}

#[test]
fn a_file_that_changed_or_vanished_is_an_error() {
    let scratch = Scratch::new();
    for (name, length) in [("small", 100), ("large", 3_000_000)] {
        let path = scratch.source().join(name);
        fs::write(&path, noise(1, length)).unwrap();
        let repository = Repository::init(&scratch.path(&format!("repository-{name}")), &secret(), now(), HOST).unwrap();
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let mut entries = Vec::new();
        list(&scratch.source(), Path::new(""), &mut entries);
        let (control, source) = (Control::default(), scratch.source());
        let back_up = || {
            let listed = BackupRequest { source: Source::Listed(&entries), ..request(&source, None, &control) };
            repository.back_up(&listed, &lock)
        };
        fs::write(&path, noise(2, length + 1)).unwrap();
        assert!(matches!(back_up(), Err(Error::SourceChanged { path: p }) if p == path));
        fs::remove_file(&path).unwrap();
        assert!(matches!(back_up(), Err(Error::SourceUnreadable { path: p, .. }) if p == path));
        assert!(repository.records().unwrap().is_empty());
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.source().join("log");
    fs::write(&path, noise(1, 20_000_000)).unwrap();
    let repository = scratch.init();
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let tap = |entry: &Entry| -> Option<Tap> {
        let path = entry.read_from.clone();
        Some(Box::new(move |_| {
            use std::io::Write as _;
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        }))
    };
    let result = repository.back_up(&BackupRequest { tap: &tap, ..request(&source, None, &control) }, &lock);
    assert!(matches!(result, Err(Error::SourceChanged { .. })), "{result:?}");
}

#[test]
fn a_cancelled_backup_leaves_nothing() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 60_000_000)).unwrap();
    let repository = scratch.init();
    let cancel = CancellationToken::new();
    let (control, source) = (Control::new(cancel.clone()), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let tap = |_: &Entry| -> Option<Tap> {
        let (cancel, mut pieces) = (cancel.clone(), 0);
        Some(Box::new(move |_| {
            pieces += 1;
            if pieces == 10 {
                cancel.cancel();
            }
        }))
    };
    let result = repository.back_up(&BackupRequest { tap: &tap, ..request(&source, None, &control) }, &lock);
    assert!(matches!(result, Err(Error::Cancelled(_))), "{result:?}");
    assert!(repository.records().unwrap().is_empty());
    drop(lock);
    let left: Vec<_> = fs::read_dir(scratch.root()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "{left:?}");
    scratch.restic(&["check", "--read-data"]);
}

#[test]
fn repositories_are_opened_once_and_share_a_password() {
    let scratch = Scratch::new();
    let repositories = Repositories::new(secret(), NonZeroUsize::new(2).unwrap());
    for name in ["a", "b", "c"] {
        let root = scratch.path(name);
        assert!(matches!(repositories.get_or_open(&root), Err(Error::NotFound { .. })));
        let repository = repositories.get_or_init(&root, now(), HOST).unwrap();
        assert!(std::sync::Arc::ptr_eq(&repository, &repositories.get_or_open(&root).unwrap()));
        assert!(Repository::exists(&root).unwrap());
        assert!(matches!(Repository::init(&root, &secret(), now(), HOST), Err(Error::AlreadyExists { .. })));
        Repository::open(&root, &secret()).unwrap();
        let wrong = Repository::open(&root, &lightkeep::base::secret::Secret::new("wrong".into()));
        assert!(matches!(wrong, Err(Error::WrongPassword { .. })), "{wrong:?}");
    }
}

#[test]
fn version_one_is_refused() {
    let scratch = Scratch::new();
    scratch.restic(&["init", "--repository-version", "1"]);
    let result = Repository::open(&scratch.root(), &secret());
    assert!(matches!(result, Err(Error::UnsupportedVersion { version: 1, .. })), "{result:?}");
}

#[test]
fn temporary_files_of_the_dead_are_swept() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let dead = scratch.root().join(".lightkeep-4194303-00.tmp");
    let earlier = scratch.root().join(format!(".lightkeep-{}-0.tmp", std::process::id()));
    let living = scratch.root().join(format!(".lightkeep-{}-0.tmp", std::os::unix::process::parent_id()));
    for path in [&dead, &earlier, &living] {
        fs::write(path, "x").unwrap();
    }
    scratch.save(&repository, None);
    scratch.restic(&["check", "--read-data"]);
    assert_eq!(sweep_temporary_files(&scratch.root(), None).unwrap(), 2);
    assert!(living.exists() && !dead.exists() && !earlier.exists());
}

#[test]
fn backups_run_at_once_beside_taps_that_hold_pieces() {
    let scratch = Scratch::new();
    // More than all the read buffers that one backup is assured of.
    fs::write(scratch.source().join("large"), noise(1, 25_000_000)).unwrap();
    let tap = |_: &Entry| -> Option<Tap> {
        let mut held = std::collections::VecDeque::new();
        Some(Box::new(move |piece| {
            held.extend(piece);
            if held.len() > 2 {
                held.pop_front();
            }
        }))
    };
    let (control, source) = (Control::default(), scratch.source());
    let run = &|number: usize| {
        let root = scratch.path(&format!("repository-{number}"));
        let repository = Repository::init(&root, &secret(), now(), HOST).unwrap();
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let whole = BackupRequest { tap: &tap, ..request(&source, None, &control) };
        repository.back_up(&whole, &lock).unwrap().data_hash
    };
    let hashes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
}
