//! A second source in a snapshot, beside the first: under its own path, with figures of its own.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lightkeep::base::control::Control;
use lightkeep::domain::entry::Entry;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;
use super::writing::list;

/// Backs up the source and, beside it, the directory `inputs`, both under other paths where these are given.
struct Pair<'a> {
    scratch: &'a Scratch,
    paths: [PathBuf; 2],
}

impl<'a> Pair<'a> {
    fn new(scratch: &'a Scratch) -> Self {
        fs::create_dir(scratch.path("inputs")).unwrap();
        Self { scratch, paths: [scratch.source(), scratch.path("inputs")] }
    }

    fn beside(&self) -> PathBuf {
        self.scratch.path("inputs")
    }

    fn store(&self, repository: &Repository, parent: Option<RecordId>, manifest: Option<MakeManifest<'_>>) -> Result<Stored, Error> {
        let (control, source, root) = (Control::default(), self.scratch.source(), self.beside());
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let beside = Beside { source: Source::Directory { root: &root, skip: &|_| false }, recorded_path: &self.paths[1] };
        let whole = BackupRequest { recorded_path: &self.paths[0], beside: Some(beside), manifest, ..request(&source, parent, &control) };
        repository.back_up(&whole, &lock)
    }

    fn save(&self, repository: &Repository, parent: Option<RecordId>) -> (Stored, RecordId) {
        let manifest = |_: &Figures, _: Option<&Figures>| Ok(Some(b"{}".to_vec()));
        let stored = self.store(repository, parent, Some(&manifest)).unwrap();
        let record = NewRecord { paths: self.paths.to_vec(), ..self.scratch.new_record(parent) };
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        (stored, repository.write_record(&stored, &record, &lock).unwrap())
    }

    fn verify(&self, record: RecordId, depth: SnapshotDepth) -> Verified {
        let repository = self.scratch.open();
        let root = SnapshotRoot { record, recorded_path: self.paths[0].clone() };
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        repository.verify_snapshot(&VerifyRequest { root: &root, depth, control: &Control::default() }, &lock).unwrap()
    }
}

#[test]
fn restic_and_we_restore_both_and_each_has_its_own_figures() {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let pair = Pair::new(&scratch);
    odd_tree(&pair.beside());
    fs::write(pair.beside().join("more"), noise(8, 3_000_000)).unwrap();
    let repository = scratch.init();
    let (alone, _) = scratch.save(&repository, None);
    let told = Mutex::new(None);
    let tell = |source: &Figures, beside: Option<&Figures>| {
        *told.lock().unwrap() = Some((*source, beside.copied()));
        Ok(None)
    };
    pair.store(&repository, None, Some(&tell)).unwrap();
    let (stored, id) = pair.save(&repository, None);
    let figures = Figures { files: alone.files, size_bytes: alone.size_bytes, data_hash: alone.data_hash };
    assert_eq!((stored.files, stored.size_bytes, stored.data_hash), (alone.files, alone.size_bytes, alone.data_hash));
    assert_eq!(told.into_inner().unwrap(), Some((figures, stored.beside)));
    let beside = stored.beside.unwrap();
    assert_eq!((beside.files, beside.size_bytes), (alone.files + 1, alone.size_bytes + 3_000_000));
    assert_eq!(stored.summary.total_files_processed, alone.files + beside.files);

    assert!(scratch.restic(&["check", "--read-data"]).contains("no errors were found"));
    let target = scratch.path("by restic");
    scratch.restic(&["restore", &id.to_string(), "--target", target.to_str().unwrap()]);
    for (number, (path, expected)) in [(scratch.source(), figures), (pair.beside(), beside)].into_iter().enumerate() {
        assert_eq!(describe(&target.join(path.strip_prefix("/").unwrap()), false), describe(&path, false));
        let ours = scratch.path(&format!("ours {number}"));
        let restored = scratch.restore(&scratch.open(), id, &path, &ours).unwrap();
        assert_eq!((restored.files, restored.data_hash), (expected.files, expected.data_hash));
        assert_eq!(describe(&ours, true), describe(&path, true));
    }
    for depth in [SnapshotDepth::Record, SnapshotDepth::Data] {
        let verified = pair.verify(id, depth);
        assert_eq!((verified.problems, verified.data_hash, verified.beside), (vec![], Some(alone.data_hash), Some(beside)));
    }
}

#[test]
fn what_is_unchanged_of_both_is_taken_over_and_adds_nothing() {
    // trees are in the order of names, wherever the two part and whichever comes first; the manifest is between them or around them
    let places =
        [["/no/such/a", "/no/such/b/c"], ["/no/b", "/no/a/c"], ["/no/such/a b", "/no/such/a"], ["/-no/a", "/no/a"], ["/no2/a", "/no1"]];
    for paths in places {
        let scratch = Scratch::new();
        fs::write(scratch.source().join("a"), noise(1, 900_000)).unwrap();
        let mut pair = Pair::new(&scratch);
        fs::write(pair.beside().join("a"), noise(2, 700_000)).unwrap();
        pair.paths = paths.map(PathBuf::from);
        let repository = scratch.init();
        let (first, id) = pair.save(&repository, None);
        let (second, id) = pair.save(&repository, Some(id));
        assert_eq!((second.tree, second.added_bytes, second.files_unchanged), (first.tree, 0, 2), "{paths:?}");
        fs::write(pair.beside().join("b"), "new").unwrap();
        let (third, id) = pair.save(&repository, Some(id));
        assert_eq!((third.files_unchanged, third.data_hash, third.summary.data_blobs), (2, first.data_hash, 1), "{paths:?}");
        assert_ne!(third.beside, first.beside);
        scratch.restic(&["check"]);
        let listed = scratch.restic(&["ls", &id.to_string()]);
        for file in [format!("{}/a", paths[0]), format!("{}/b", paths[1]), "/.lightkeep/manifest.json".to_owned()] {
            assert!(listed.lines().any(|line| line == file), "{file}: {listed}");
        }
        let tree = scratch.restic(&["cat", "blob", &third.tree.to_string(), "--no-lock"]);
        let names: Vec<&str> = tree.split("\"name\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.is_sorted() && names.contains(&".lightkeep"), "{names:?}");
    }
}

#[test]
fn taps_are_for_the_source_alone() {
    let scratch = Scratch::new();
    let pair = Pair::new(&scratch);
    for length in [0, 100, 2_000_000] {
        fs::write(scratch.source().join(format!("source {length}")), noise(1, length)).unwrap();
        fs::write(pair.beside().join(format!("beside {length}")), noise(2, length)).unwrap();
    }
    let repository = scratch.init();
    let (control, source, root) = (Control::default(), scratch.source(), pair.beside());
    let asked = Mutex::new(Vec::new());
    let tap = |entry: &Entry| {
        asked.lock().unwrap().push(entry.path.clone());
        None
    };
    let beside =
        Some(Beside { source: Source::Directory { root: &root, skip: &|path| path == Path::new("beside 100") }, recorded_path: &root });
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let stored = repository.back_up(&BackupRequest { tap: &tap, beside, ..request(&source, None, &control) }, &lock).unwrap();
    let mut asked = asked.into_inner().unwrap();
    asked.sort();
    assert_eq!(asked, ["source 0", "source 100", "source 2000000"].map(PathBuf::from));
    assert_eq!(stored.beside.unwrap().files, 2, "one is left out");
}

#[test]
fn a_directory_beside_a_list_is_read_where_it_is() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), "one").unwrap();
    let pair = Pair::new(&scratch);
    let file = pair.beside().join("upload");
    fs::write(&file, "one").unwrap();
    let repository = scratch.init();
    let (control, source, root) = (Control::default(), scratch.source(), pair.beside());
    let mut entries = Vec::new();
    list(&source, Path::new(""), &mut entries);
    let last = RefCell::new(None);
    let save = || {
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let beside = Some(Beside { source: Source::Directory { root: &root, skip: &|_| false }, recorded_path: &root });
        let whole = BackupRequest { source: Source::Listed(&entries), beside, ..request(&source, *last.borrow(), &control) };
        let stored = repository.back_up(&whole, &lock).unwrap();
        *last.borrow_mut() = Some(repository.write_record(&stored, &scratch.new_record(None), &lock).unwrap());
        stored
    };
    save();
    assert_eq!(save().files_unchanged, 2);
    // a change whose time was set back
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "two").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(save().files_unchanged, 1);
    // of a list a change of the ctime alone is none, as links make it
    fs::hard_link(scratch.source().join("a"), scratch.path("link")).unwrap();
    assert_eq!(save().files_unchanged, 2);
}

#[test]
fn a_path_in_the_other_is_refused() {
    let scratch = Scratch::new();
    let mut pair = Pair::new(&scratch);
    let repository = scratch.init();
    let manifest = |_: &Figures, _: Option<&Figures>| Ok(Some(b"{}".to_vec()));
    for paths in
        [["/a", "/a"], ["/a/b", "/a"], ["/a", "/a/b/c"], ["/a", "/"], ["/a", "/.lightkeep/x"], ["/a", "relative"], ["/a", "/b/../c"]]
    {
        pair.paths = paths.map(PathBuf::from);
        let result = pair.store(&repository, None, Some(&manifest));
        assert!(matches!(result, Err(Error::UnusablePath { .. })), "{paths:?}: {result:?}");
    }
    pair.paths = ["/a", "/ab"].map(PathBuf::from);
    pair.store(&repository, None, Some(&manifest)).unwrap();
    fs::remove_dir(pair.beside()).unwrap();
    let gone = pair.store(&repository, None, None);
    assert!(matches!(&gone, Err(Error::SourceUnreadable { path, .. }) if *path == pair.beside()), "{gone:?}");
}

#[test]
fn damage_beside_the_source_is_named_by_its_whole_path() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("whole"), noise(1, 400_000)).unwrap();
    let pair = Pair::new(&scratch);
    let repository = scratch.init();
    let (_, parent) = pair.save(&repository, None);
    let before = files(scratch.root().join("data"));
    fs::write(pair.beside().join("lost"), noise(2, 400_000)).unwrap();
    let (stored, id) = pair.save(&repository, Some(parent));
    let pack = files(scratch.root().join("data")).into_iter().rfind(|pack| !before.contains(pack)).unwrap();
    let lost = format!("`{}`", pair.beside().join("lost").display());
    let named = |depth| -> Vec<String> { pair.verify(id, depth).problems.into_iter().map(|problem| problem.subject).collect() };

    let sound = fs::read(&pack).unwrap();
    let mut damaged = sound.clone();
    damaged[1000] ^= 1;
    fs::write(&pack, damaged).unwrap();
    assert_eq!(named(SnapshotDepth::Record), Vec::<String>::new());
    assert_eq!(named(SnapshotDepth::Data), std::slice::from_ref(&lost));
    assert_eq!(pair.verify(id, SnapshotDepth::Data).data_hash, Some(stored.data_hash));
    fs::remove_file(&pack).unwrap();
    assert!(named(SnapshotDepth::Record).contains(&lost));
    // one pack that both need is one problem
    fs::write(&pack, sound).unwrap();
    let shared = noise(4, 600_000);
    fs::write(scratch.source().join("shared"), &shared).unwrap();
    fs::write(pair.beside().join("shared"), &shared).unwrap();
    let before = files(scratch.root().join("data"));
    let (_, id) = pair.save(&repository, Some(id));
    let pack = files(scratch.root().join("data")).into_iter().rfind(|pack| !before.contains(pack)).unwrap();
    fs::remove_file(&pack).unwrap();
    let named: Vec<String> = pair.verify(id, SnapshotDepth::Record).problems.into_iter().map(|problem| problem.subject).collect();
    let pack = pack.file_name().unwrap().to_str().unwrap();
    assert_eq!(named.iter().filter(|name| name.contains(pack)).count(), 1, "{named:?}");
    assert!(named.contains(&"`shared`".to_owned()), "{named:?}");
    assert!(named.contains(&format!("`{}`", pair.beside().join("shared").display())), "{named:?}");
}

#[test]
fn a_recorded_path_that_is_not_held_is_a_problem() {
    let scratch = Scratch::new();
    fs::write(scratch.source().join("a"), "one").unwrap();
    let pair = Pair::new(&scratch);
    let repository = scratch.init();
    let (stored, _) = scratch.save(&repository, None);
    let record = NewRecord { paths: pair.paths.to_vec(), ..scratch.new_record(None) };
    let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
    let id = repository.write_record(&stored, &record, &lock).unwrap();
    let verified = pair.verify(id, SnapshotDepth::Record);
    assert_eq!((verified.data_hash, verified.beside), (Some(stored.data_hash), None));
    assert_eq!(verified.problems.len(), 1);
    assert_eq!(verified.problems[0].subject, format!("`{}`", pair.beside().display()));
}

#[test]
fn a_prune_keeps_what_is_beside() {
    let scratch = Scratch::new();
    let pair = Pair::new(&scratch);
    fs::write(pair.beside().join("stays"), noise(2, 2_000_000)).unwrap();
    fs::write(scratch.source().join("a"), noise(1, 2_000_000)).unwrap();
    let repository = scratch.init();
    let (_, first) = pair.save(&repository, None);
    fs::write(scratch.source().join("a"), noise(3, 2_000_000)).unwrap();
    let (stored, second) = pair.save(&repository, Some(first));
    let control = Control::default();
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    repository.remove_record(&first, &lock).unwrap();
    let request = PruneRequest { max_unused_percent: 0, max_repack_bytes: None, time_is_over: None, dry_run: false, control: &control };
    let pruned = repository.prune(&request, &lock).unwrap();
    assert!(pruned.finished);
    assert_eq!(repository.find_losses(&control, &lock).unwrap(), []);
    drop(lock);
    let verified = pair.verify(second, SnapshotDepth::Data);
    assert_eq!((verified.problems, verified.beside), (vec![], stored.beside));
}
