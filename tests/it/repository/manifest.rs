//! The manifest in a snapshot: a file for us and for restic, and no part of the source.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lightkeep::base::control::Control;
use lightkeep::base::tap::Tap;
use lightkeep::domain::entry::Entry;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;

/// Backs up the source with a manifest, under its own path or another, and records it.
fn save(
    scratch: &Scratch,
    repository: &Repository,
    parent: Option<RecordId>,
    manifest: MakeManifest<'_>,
) -> Result<(Stored, RecordId), Error> {
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let stored = repository.back_up(&BackupRequest { manifest: Some(manifest), ..request(&source, parent, &control) }, &lock)?;
    let id = repository.write_record(&stored, &scratch.new_record(parent), &lock)?;
    Ok((stored, id))
}

fn read(repository: &Repository, id: &RecordId) -> Result<Option<Vec<u8>>, Error> {
    repository.read_manifest(id, &repository.lock(LockKind::Shared, now(), HOST).unwrap())
}

fn count(scratch: &Scratch, directory: &str) -> usize {
    files(scratch.root().join(directory)).len()
}

#[test]
fn restic_and_we_read_the_manifest_and_the_source_is_as_without_it() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (plain, plain_id) = scratch.save(&repository, None);
    assert_eq!(read(&repository, &plain_id).unwrap(), None);
    // more than one piece
    for manifest in [b"{\"graph\":\"a\"}\n".to_vec(), noise(9, 9_000_000), Vec::new()] {
        let make = |figures: &Figures, _: Option<&Figures>| {
            assert_eq!((figures.files, figures.size_bytes, figures.data_hash), (plain.files, plain.size_bytes, plain.data_hash));
            Ok(Some(manifest.clone()))
        };
        let (stored, id) = save(&scratch, &repository, None, &make).unwrap();
        assert_eq!((stored.files, stored.size_bytes, stored.data_hash), (plain.files, plain.size_bytes, plain.data_hash));
        assert!(read(&scratch.open(), &id).unwrap() == Some(manifest.clone()));

        let listed = scratch.restic(&["ls", &id.to_string()]);
        assert!(listed.contains("\n/.lightkeep\n") && listed.contains("\n/.lightkeep/manifest.json\n"), "{listed}");
        let mut dump = Command::new("restic");
        dump.args(["dump", &id.to_string(), "/.lightkeep/manifest.json", "--no-cache"]);
        let output = dump.env("RESTIC_REPOSITORY", scratch.root()).env("RESTIC_PASSWORD", secret().expose()).output().unwrap();
        assert!(output.status.success() && output.stdout == manifest);
        let to = scratch.path(&format!("restic-{}", manifest.len()));
        scratch.restic(&["restore", &id.to_string(), "--target", to.to_str().unwrap(), "--include", "/.lightkeep"]);
        assert!(fs::read(to.join(".lightkeep/manifest.json")).unwrap() == manifest);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);

        let root = SnapshotRoot { record: id, recorded_path: scratch.source() };
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let verify = VerifyRequest { root: &root, depth: SnapshotDepth::Data, control: &Control::default() };
        let verified = repository.verify_snapshot(&verify, &lock).unwrap();
        assert_eq!((verified.problems, verified.files, verified.data_hash), (vec![], plain.files, Some(plain.data_hash)));
        let names: Vec<_> = repository.list_directory(&root, Path::new(""), &lock).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), fs::read_dir(scratch.source()).unwrap().count());
        drop(lock);
        let to = scratch.path(&format!("ours-{}", manifest.len()));
        let restored = scratch.restore(&repository, id, &scratch.source(), &to).unwrap();
        assert_eq!((restored.files, restored.data_hash), (plain.files, plain.data_hash));
        assert_eq!(describe(&to, true), describe(&scratch.source(), true));
    }
    let text = scratch.restic(&["check", "--read-data"]);
    assert!(text.contains("no errors were found"), "{text}");
}

#[test]
fn the_same_manifest_makes_the_same_tree() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (control, source) = (Control::default(), scratch.source());
    let save = |parent: Option<RecordId>, manifest: Option<&[u8]>| {
        let make = |_: &Figures, _: Option<&Figures>| Ok(manifest.map(<[u8]>::to_vec));
        let whole = BackupRequest { recorded_path: Path::new(NOWHERE), manifest: Some(&make), ..request(&source, parent, &control) };
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let stored = repository.back_up(&whole, &lock).unwrap();
        (stored, repository.write_record(&stored, &scratch.new_record(parent), &lock).unwrap())
    };
    let (first, id) = save(None, Some(b"one"));
    let (same, _) = save(Some(id), Some(b"one"));
    assert_eq!((same.tree, same.added_bytes, same.files_unchanged), (first.tree, 0, first.files));
    let (other, other_id) = save(Some(id), Some(b"another"));
    assert!(other.tree != first.tree && other.summary.data_blobs == 1 && other.summary.tree_blobs == 2, "{other:?}");
    assert_eq!((other.files_unchanged, other.data_hash), (first.files, first.data_hash));
    assert_eq!(read(&repository, &id).unwrap().unwrap(), b"one");
    assert_eq!(read(&repository, &other_id).unwrap().unwrap(), b"another");
    // asked, and none wanted: as if not asked
    let (none, none_id) = save(Some(other_id), None);
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let plain =
        repository.back_up(&BackupRequest { recorded_path: Path::new(NOWHERE), ..request(&source, None, &control) }, &lock).unwrap();
    assert_eq!((none.tree, plain.added_bytes), (plain.tree, 0));
    assert_eq!(read(&repository, &none_id).unwrap(), None);
}

#[test]
fn it_costs_no_further_files() {
    let counts = [false, true].map(|with_manifest| {
        let scratch = Scratch::new();
        fs::write(scratch.source().join("a"), "a").unwrap();
        let repository = scratch.init();
        let make = |_: &Figures, _: Option<&Figures>| Ok(with_manifest.then(|| b"{}".to_vec()));
        save(&scratch, &repository, None, &make).unwrap();
        (count(&scratch, "data"), count(&scratch, "index"))
    });
    assert_eq!(counts, [(2, 1), (2, 1)]);
}

#[test]
fn it_is_made_once_after_all_taps_are_gone() {
    struct Living(Arc<AtomicUsize>);
    impl Drop for Living {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let scratch = Scratch::new();
    for (name, length) in [("empty", 0), ("small", 100), ("z large", 9_000_000)] {
        fs::write(scratch.source().join(name), noise(3, length)).unwrap();
    }
    let repository = scratch.init();
    let (living, taps, made) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0), AtomicUsize::new(0));
    let tap = |_: &Entry| -> Option<Tap> {
        taps.fetch_add(1, Ordering::SeqCst);
        living.fetch_add(1, Ordering::SeqCst);
        let held = Living(Arc::clone(&living));
        Some(Box::new(move |_| {
            let _ = &held;
        }))
    };
    let make = |figures: &Figures, _: Option<&Figures>| {
        made.fetch_add(1, Ordering::SeqCst);
        assert_eq!((figures.files, taps.load(Ordering::SeqCst), living.load(Ordering::SeqCst)), (3, 3, 0));
        Ok(None)
    };
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let whole = BackupRequest { tap: &tap, manifest: Some(&make), ..request(&source, None, &control) };
    repository.back_up(&whole, &lock).unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn no_manifest_is_made_of_a_source_that_was_not_read_to_its_end() {
    // often, as it is a matter of which thread is faster: nothing is stored before the walk fails, so that nobody waits for it
    for _ in 0..30 {
        let scratch = Scratch::new();
        fs::write(scratch.source().join("b"), "b").unwrap();
        let repository = scratch.init();
        let (control, source) = (Control::default(), scratch.source());
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let vanishing = source.join("b");
        let skip = |path: &Path| {
            if path == Path::new("b") {
                fs::remove_file(&vanishing).unwrap();
            }
            false
        };
        let asked = AtomicUsize::new(0);
        let make = |_: &Figures, _: Option<&Figures>| {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        };
        let directory = Source::Directory { root: &source, skip: &skip };
        let whole = BackupRequest { source: directory, manifest: Some(&make), ..request(&source, None, &control) };
        let result = repository.back_up(&whole, &lock);
        assert!(matches!(result, Err(Error::SourceUnreadable { .. })), "{result:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no verdict")]
struct NoVerdict;

#[test]
fn an_error_of_its_maker_comes_back_and_nothing_is_kept() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 20_000_000)).unwrap();
    let repository = scratch.init();
    let failing = |_: &Figures, _: Option<&Figures>| Err(Error::ManifestNotMade { source: Box::new(NoVerdict) });
    match save(&scratch, &repository, None, &failing) {
        Err(Error::ManifestNotMade { source }) => assert!(source.downcast::<NoVerdict>().is_ok()),
        other => panic!("{other:?}"),
    }
    let panicking = |_: &Figures, _: Option<&Figures>| -> Result<Option<Vec<u8>>, Error> { panic!("a maker that fails") };
    assert!(matches!(save(&scratch, &repository, None, &panicking), Err(Error::WorkerStopped)));
    let large = |_: &Figures, _: Option<&Figures>| Ok(Some(vec![0; (16 << 20) + 1]));
    assert!(matches!(save(&scratch, &repository, None, &large), Err(Error::Encode { .. })));
    assert_eq!((count(&scratch, "data"), count(&scratch, "index"), count(&scratch, "snapshots")), (0, 0, 0));
    assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 6);
    let largest = |_: &Figures, _: Option<&Figures>| Ok(Some(vec![7; 16 << 20]));
    let (_, id) = save(&scratch, &repository, None, &largest).unwrap();
    assert!(read(&repository, &id).unwrap() == Some(vec![7; 16 << 20]));
}

#[test]
fn it_needs_a_name_of_its_own_in_the_root() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let (control, source) = (Control::default(), scratch.source());
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let make = |_: &Figures, _: Option<&Figures>| Ok(Some(b"{}".to_vec()));
    let back_up = |path: &str, manifest| {
        let listed = Source::Listed(&[]);
        repository
            .back_up(&BackupRequest { source: listed, recorded_path: Path::new(path), manifest, ..request(&source, None, &control) }, &lock)
    };
    for (path, manifest) in [("/", Some(&make as MakeManifest<'_>)), ("/.lightkeep", None), ("/.lightkeep/below", Some(&make))] {
        let result = back_up(path, manifest);
        assert!(matches!(result, Err(Error::UnusablePath { .. })), "{path}: {result:?}");
    }
    // on both sides of it in the order of trees
    for (path, names) in [("/-first/x", ["-first", ".lightkeep"]), ("/last/x", [".lightkeep", "last"])] {
        let stored = back_up(path, Some(&make)).unwrap();
        let tree = scratch.restic(&["cat", "blob", &stored.tree.to_string(), "--no-lock"]);
        let places = names.map(|name| tree.find(&format!("\"name\":\"{name}\"")).unwrap());
        assert!(places[0] < places[1], "{tree}");
    }
}

#[test]
fn a_damaged_manifest_is_a_problem_of_its_snapshot() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), noise(1, 1000)).unwrap();
    let repository = scratch.init();
    let (_, parent) = scratch.save(&repository, None);
    let before = files(scratch.root().join("data"));
    let manifest = noise(2, 100_000);
    let (stored, id) = save(&scratch, &repository, Some(parent), &|_, _| Ok(Some(manifest.clone()))).unwrap();
    // the source is unchanged: its data pack has the manifest alone
    let pack = files(scratch.root().join("data")).into_iter().rfind(|pack| !before.contains(pack)).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    assert!(matches!(read(&repository, &id), Err(Error::Damaged { .. })));
    let root = SnapshotRoot { record: id, recorded_path: scratch.source() };
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    for depth in [SnapshotDepth::Record, SnapshotDepth::Data] {
        let verified = repository.verify_snapshot(&VerifyRequest { root: &root, depth, control: &Control::default() }, &lock).unwrap();
        assert_eq!(verified.data_hash, Some(stored.data_hash));
        assert!(verified.problems.len() == 1 && verified.problems[0].subject == "the manifest", "{:?}", verified.problems);
    }
}
