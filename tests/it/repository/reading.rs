//! Looking into a snapshot without restoring it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;

fn saved(scratch: &Scratch) -> (Arc<Repository>, SnapshotRoot) {
    let repository = Arc::new(scratch.init());
    let (_, record) = scratch.save(&repository, None);
    (repository, SnapshotRoot { record, recorded_path: scratch.source() })
}

fn open(repository: &Arc<Repository>, root: &SnapshotRoot, path: impl AsRef<Path>) -> Option<SnapshotFile> {
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    repository.open_file(root, path.as_ref(), &lock).unwrap()
}

#[test]
fn directories_are_listed_as_they_were() {
    use std::os::unix::fs::MetadataExt as _;
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let (repository, root) = saved(&scratch);
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    for below in ["", "deep", "deep/er/est", "void"] {
        let listed = repository.list_directory(&root, Path::new(below), &lock).unwrap();
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(scratch.source().join(below)).unwrap() {
            names.push(entry.unwrap().file_name());
        }
        names.sort();
        assert_eq!(listed.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>(), names);
        for entry in listed {
            let path = scratch.source().join(below).join(&entry.name);
            let metadata = fs::symlink_metadata(&path).unwrap();
            let (kind, size_bytes) = match metadata.file_type() {
                found if found.is_file() => (ListedKind::File, metadata.len()),
                found if found.is_dir() => (ListedKind::Directory, 0),
                found if found.is_symlink() => (ListedKind::Symlink, 0),
                _ => (ListedKind::Other, 0),
            };
            assert_eq!((entry.kind, entry.size_bytes, entry.mode), (kind, size_bytes, metadata.mode() & 0o7777), "{path:?}");
            assert_eq!(entry.modified.micros(), metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1000, "{path:?}");
            assert_eq!(entry.link_target, fs::read_link(&path).ok(), "{path:?}");
        }
    }
    let absolute = scratch.source();
    for wrong in
        ["plain", "link", "nothing", "deep/nothing", "plain/below", "..", "deep/..", "deep/../deep", ".", absolute.to_str().unwrap()]
    {
        match repository.list_directory(&root, Path::new(wrong), &lock) {
            Err(Error::PathNotRecorded { path, .. }) => assert!(path.ends_with(wrong), "{path:?}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    let unknown = SnapshotRoot { record: RecordId::parse(&"0".repeat(64)).unwrap(), ..root };
    assert!(matches!(repository.list_directory(&unknown, Path::new(""), &lock), Err(Error::RecordNotFound { .. })));
}

#[test]
fn files_are_read_whole_and_in_parts() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let pattern: Vec<u8> = (0..6_000_000_u32).flat_map(|n| (n / 7).to_le_bytes()).step_by(3).collect();
    fs::write(scratch.source().join("words"), &pattern).unwrap();
    // pieces that come again, not one behind the other
    fs::write(scratch.source().join("twice"), [noise(1, 4_000_000), noise(2, 3_000_000), noise(1, 4_000_000)].concat()).unwrap();
    let (repository, root) = saved(&scratch);
    let mut paths: Vec<PathBuf> =
        ["plain", "empty", "large", "zeros", "sparse", "words", "twice", "deep/er/est/file"].map(PathBuf::from).into();
    paths.push(OsStr::from_bytes(b"\xff\xfeinvalid").into());
    for path in paths {
        let expected = fs::read(scratch.source().join(&path)).unwrap();
        let mut file = open(&repository, &root, &path).unwrap();
        assert_eq!(file.size_bytes(), expected.len() as u64);
        let mut seen = Vec::new();
        file.read_to_end(&mut seen).unwrap();
        assert!(seen == expected, "{path:?}");
        // forwards, backwards, across pieces, and over the end
        let mut buffer = vec![0; 3_000_000];
        let mut offset = 1_u64;
        for length in [0, 1, 10, 2_999_999, 100, 65_536, 3_000_000, 7] {
            let count = file.read_at(offset, &mut buffer[..length]).unwrap();
            let rest = expected.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            assert_eq!(count, length.min(rest.len()));
            assert!(buffer[..count] == rest[..count], "{path:?} at {offset}");
            offset = (offset * 7_919 + 1_000_003) % (expected.len() as u64 + 10);
        }
        assert_eq!(file.read_at(expected.len() as u64, &mut buffer).unwrap(), 0);
        assert_eq!(file.read_at(u64::MAX, &mut buffer).unwrap(), 0);
    }
    let absolute = scratch.source().join("plain");
    for none in ["nothing", "deep", "link", "pipe", "", "..", "deep/../plain", "plain/below", absolute.to_str().unwrap()] {
        assert!(open(&repository, &root, none).is_none(), "{none}");
    }
}

#[test]
fn what_restic_stored_is_read_and_verified() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    scratch.restic(&["init", "--repository-version", "2"]);
    scratch.restic(&["backup", scratch.source().to_str().unwrap()]);
    let repository = Arc::new(scratch.open());
    let record = repository.records().unwrap().pop().unwrap().id;
    let root = SnapshotRoot { record, recorded_path: scratch.source() };
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let mut read = 0;
    for entry in repository.list_directory(&root, Path::new(""), &lock).unwrap() {
        if entry.kind != ListedKind::File {
            continue;
        }
        let mut bytes = Vec::new();
        open(&repository, &root, &entry.name).unwrap().read_to_end(&mut bytes).unwrap();
        assert!(bytes == fs::read(scratch.source().join(&entry.name)).unwrap(), "{:?}", entry.name);
        read += 1;
    }
    assert!(read >= 10);
    let request = VerifyRequest { root: &root, depth: SnapshotDepth::Data, control: &Control::default() };
    let verified = repository.verify_snapshot(&request, &lock).unwrap();
    assert_eq!((verified.problems, verified.files), (vec![], read + 3));
    assert_eq!(repository.read_manifest(&record, &lock).unwrap(), None);
}

#[test]
fn an_open_file_may_go_to_another_thread() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 3_000_000)).unwrap();
    let (repository, root) = saved(&scratch);
    let mut file = open(&repository, &root, "a").unwrap();
    let thread = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert!(thread.join().unwrap() == noise(1, 3_000_000));
}

#[test]
fn damaged_pieces_are_never_given() {
    let scratch = Scratch::new();
    // pieces of 512 KiB at least: the first and the last are not the same
    let expected = noise(1, 12_000_000);
    fs::write(scratch.source().join("a"), &expected).unwrap();
    let repository = Repository::init(&scratch.root(), &secret(), now(), HOST).map(Arc::new).unwrap();
    let (_, record) = scratch.save(&repository, None);
    let root = SnapshotRoot { record, recorded_path: scratch.source() };
    let pack = files(scratch.root().join("data")).pop().unwrap();
    let whole = fs::read(&pack).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bytes in [flipped, whole[..middle].to_vec()] {
        fs::write(&pack, &bytes).unwrap();
        let mut file = open(&repository, &root, "a").unwrap();
        let (mut seen, mut failure) = (Vec::new(), None);
        let mut buffer = vec![0; 100_000];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let failure = failure.unwrap();
        let inner = failure.get_ref().and_then(|error| error.downcast_ref::<Error>());
        assert!(matches!(inner, Some(Error::Damaged { .. } | Error::Io { .. })), "{failure:?}");
        assert!(seen.len() < expected.len() && seen == expected[..seen.len()]);
        // the pieces around it can be read
        assert!(!seen.is_empty() || file.read_at(expected.len() as u64 - 1, &mut buffer).is_ok());
    }
    fs::write(&pack, whole).unwrap();
    let mut all = Vec::new();
    open(&repository, &root, "a").unwrap().read_to_end(&mut all).unwrap();
    assert!(all == expected);
}

#[test]
fn looking_needs_a_lock_of_that_repository() {
    let scratch = Scratch::new();
    let (repository, root) = saved(&scratch);
    let other = Repository::init(&scratch.path("other"), &secret(), now(), HOST).unwrap();
    let lock = other.lock(LockKind::Shared, now(), HOST).unwrap();
    assert!(matches!(repository.list_directory(&root, Path::new(""), &lock), Err(Error::WrongLock { .. })));
    assert!(matches!(repository.open_file(&root, Path::new("a"), &lock), Err(Error::WrongLock { .. })));
}
