//! Restoring some of a snapshot, and saying what a restore would do.

use std::fs;
use std::path::{Path, PathBuf};

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::support::*;

struct Saved {
    scratch: Scratch,
    repository: Repository,
    stored: Stored,
    record: RecordId,
}

fn saved() -> Saved {
    let scratch = Scratch::new();
    odd_tree(&scratch.source());
    let repository = scratch.init();
    let (stored, record) = scratch.save(&repository, None);
    Saved { scratch, repository, stored, record }
}

impl Saved {
    /// Plans the restore, does it, and compares both.
    fn restore(&self, only: Option<&[PathBuf]>, to: &Path) -> Result<Restored, Error> {
        let (source, control) = (self.scratch.source(), Control::default());
        let lock = self.repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let request = RestoreRequest { record: self.record, recorded_path: &source, only, to, sync: false, control: &control };
        let plan = self.repository.plan_restore(&request, &lock);
        assert!(!to.exists());
        let restored = self.repository.restore(&request, &lock);
        match (&plan, &restored) {
            (Ok(plan), Ok(restored)) => {
                assert_eq!((plan.files, plan.size_bytes), (restored.files, restored.bytes));
                assert_eq!(control.progress().done_bytes, restored.bytes);
                assert_eq!(plan.directories, directories_in(to));
                assert_eq!(plan.packs > 0, restored.bytes > 0);
                assert!(plan.stored_bytes_to_read <= self.stored.added_bytes, "{plan:?}");
            }
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
            other => panic!("{other:?}"),
        }
        restored
    }

    /// What the source has of these paths, as `describe` says it.
    fn lines(&self, wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|path| format!("{path:?} ")).collect();
        let mut lines = describe(&self.scratch.source(), true);
        lines.retain(|line| wanted.iter().any(|wanted| line.starts_with(wanted)));
        assert_eq!(lines.len(), wanted.len());
        lines
    }
}

fn directories_in(path: &Path) -> u64 {
    let below = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_dir());
    below.map(|directory| 1 + directories_in(&directory.path())).sum()
}

fn paths<const N: usize>(paths: [&str; N]) -> [PathBuf; N] {
    paths.map(PathBuf::from)
}

#[test]
fn chosen_files_and_directories_are_restored_with_what_is_above_them() {
    let saved = saved();
    let to = saved.scratch.path("some");
    // one file, a directory, a link, one of them twice, and one inside another
    let only = paths(["large", "deep/er", "deep/er/est/file", "large", "link"]);
    let restored = saved.restore(Some(&only), &to).unwrap();
    let wanted = ["", "large", "deep", "deep/er", "deep/er/est", "deep/er/est/file", "link"];
    assert_eq!(describe(&to, true), saved.lines(&wanted));
    assert_eq!((restored.files, restored.bytes), (2, 5_000_006));
    assert_ne!(restored.data_hash, saved.stored.data_hash);

    let to = saved.scratch.path("void only");
    saved.restore(Some(&paths(["void"])), &to).unwrap();
    assert_eq!(describe(&to, true), saved.lines(&["", "void"]));

    let to = saved.scratch.path("nothing");
    let restored = saved.restore(Some(&[]), &to).unwrap();
    assert_eq!((restored.files, fs::read_dir(&to).unwrap().count()), (0, 0));
}

#[test]
fn hard_links_stay_together_where_both_names_are_chosen() {
    let saved = saved();
    let to = saved.scratch.path("both");
    let restored = saved.restore(Some(&paths(["plain", "deep/second name"])), &to).unwrap();
    assert_eq!(describe(&to, true), saved.lines(&["", "deep", "deep/second name", "plain"]));
    assert_eq!((restored.files, restored.bytes), (2, 5));
    let to = saved.scratch.path("one");
    saved.restore(Some(&paths(["deep/second name"])), &to).unwrap();
    assert_eq!(fs::read(to.join("deep/second name")).unwrap(), b"plain");
}

#[test]
fn everything_may_be_chosen() {
    let saved = saved();
    let (whole, more) = (paths([""]), paths(["deep", ""]));
    for (name, only) in [("none", None), ("whole", Some(&whole[..])), ("more", Some(&more[..]))] {
        let to = saved.scratch.path(name);
        let restored = saved.restore(only, &to).unwrap();
        assert_eq!(restored.data_hash, saved.stored.data_hash);
        assert_eq!(describe(&to, true), describe(&saved.scratch.source(), true));
    }
}

#[test]
fn a_chosen_path_that_is_not_there_is_named_and_nothing_is_written() {
    let saved = saved();
    let absolute = saved.scratch.source().join("large");
    let wrong = ["nothing", "deep/nothing", "large/below", "link/x", "..", "deep/../large", ".", absolute.to_str().unwrap()];
    for wrong in wrong {
        let to = saved.scratch.path("target");
        match saved.restore(Some(&paths(["plain", wrong, "deep"])), &to) {
            Err(Error::PathNotRecorded { path, .. }) => assert_eq!(path, Path::new(wrong)),
            other => panic!("{wrong}: {other:?}"),
        }
        assert!(!to.exists(), "{wrong}");
    }
}
