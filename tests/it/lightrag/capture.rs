//! Capturing a source that LightRAG is writing to.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lightkeep::base::control::Control;
use lightkeep::domain::entry::{Entry, EntryKind};
use lightkeep::domain::finding::Consistency;
use lightkeep::lightrag::Error;
use lightkeep::lightrag::audit::Audit;
use lightkeep::lightrag::capture::{Capture, capture, sweep_staging};
use lightkeep::lightrag::workspace::Layout;

const COMMIT: &str = "kv_store_doc_status.json";

fn copy() -> (tempfile::TempDir, PathBuf) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workspaces/sample");
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap().join("rag_storage");
    fs::create_dir_all(root.join("tenant_b")).unwrap();
    for below in ["", "tenant_b"] {
        for item in fs::read_dir(sample.join(below)).unwrap() {
            let item = item.unwrap();
            if item.path().is_file() {
                fs::copy(item.path(), root.join(below).join(item.file_name())).unwrap();
            }
        }
    }
    (directory, root)
}

fn captured(root: &Path) -> Capture {
    capture(root, "0199", &Control::default()).unwrap()
}

fn paths(capture: &Capture) -> Vec<&str> {
    capture.entries().iter().map(|entry| entry.path.to_str().unwrap()).collect()
}

fn entry<'c>(capture: &'c Capture, path: &str) -> &'c Entry {
    capture.entries().iter().find(|entry| entry.path == Path::new(path)).unwrap()
}

#[test]
fn it_lists_the_graph_in_order_and_leaves_others_out() {
    let (_directory, root) = copy();
    fs::create_dir_all(root.join("notes/deep")).unwrap();
    for name in ["notes/deep/x", "notes.txt", "a-b", "kv_store_full_docs.json.tmp.41.7.1795374369114241653"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::create_dir_all(root.join(".lightkeep-dead")).unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    let changed = fs::symlink_metadata(root.join(COMMIT)).unwrap();
    let capture = captured(&root);
    let listed = paths(&capture);
    assert_eq!(listed.len(), 1 + 12 + 6, "{listed:?}");
    assert_eq!(listed[..2], ["", "a-b"]);
    let at = listed.iter().position(|path| *path == "notes").unwrap();
    assert_eq!(listed[at - 1..=at + 3], ["link", "notes", "notes/deep", "notes/deep/x", "notes.txt"]);
    assert_eq!(entry(&capture, "link").kind, EntryKind::Symlink { target: "/etc/passwd".into() });
    let commit = entry(&capture, COMMIT);
    assert_eq!((commit.meta.links, commit.meta.changed.0, commit.meta.inode), (1, changed.ctime(), changed.ino()));
    assert!(capture.settled() && matches!(capture.layout(), Layout::LightRag { stores } if stores.len() == 12));
    let staging = commit.read_from.parent().unwrap().to_path_buf();
    assert_eq!(staging, root.with_file_name(".lightkeep-0199"));
    assert!(!capture.source_has_changed().unwrap());

    // LightRAG replaces a file: the capture keeps the old one.
    fs::write(root.join("x"), "new").unwrap();
    fs::rename(root.join("x"), root.join(COMMIT)).unwrap();
    assert!(capture.source_has_changed().unwrap());
    assert_eq!(fs::read(&commit.read_from).unwrap().len() as u64, commit.meta.size_bytes);
    capture.finish().unwrap();
    assert!(!staging.exists());
}

#[test]
fn unfit_sources_are_told_apart() {
    let (_directory, root) = copy();
    let of = |path: &Path| capture(path, "0199", &Control::default()).unwrap_err();
    assert!(matches!(of(&root.join("nowhere")), Error::SourceNotFound { .. }));
    assert!(matches!(of(&root.join(COMMIT)), Error::SourceNotDirectory { .. }));
    assert!(matches!(of(&root.join(COMMIT).join("below")), Error::SourceNotDirectory { .. }));
    let plain = tempfile::tempdir().unwrap();
    let capture = captured(plain.path());
    assert_eq!((capture.layout(), capture.entries().len()), (&Layout::Plain, 0));
    assert!(Capture::skips(Path::new("a/.lightkeep-0199")) && !Capture::skips(Path::new("a/b")));
}

#[test]
fn staging_goes_inside_or_files_are_held_open_where_links_cannot_be_made() {
    // A file system of its own below a read-only parent is what a container has; `/dev/shm` is one, its parent is not on it.
    let Ok(shm) = tempfile::tempdir_in("/dev/shm") else { return };
    for item in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workspaces/sample/tenant_b")).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), shm.path().join(item.file_name())).unwrap();
    }
    // The staging's name is taken by a file, beside and inside: no directory can be made, and everything is opened instead.
    let parent = shm.path().join("w");
    fs::create_dir(&parent).unwrap();
    for item in fs::read_dir(shm.path()).unwrap() {
        let item = item.unwrap();
        if item.path().is_file() {
            fs::rename(item.path(), parent.join(item.file_name())).unwrap();
        }
    }
    fs::write(shm.path().join(".lightkeep-0199"), "").unwrap();
    let inside = captured(&parent);
    assert_eq!(entry(&inside, COMMIT).read_from.parent().unwrap(), parent.join(".lightkeep-0199"));
    drop(inside);
    assert!(!parent.join(".lightkeep-0199").exists());
    fs::write(parent.join(".lightkeep-0199"), "").unwrap();
    let held = captured(&parent);
    assert!(held.settled());
    assert!(entry(&held, COMMIT).read_from.starts_with("/proc/self/fd"));
    let before = fs::read(parent.join(COMMIT)).unwrap();
    fs::write(parent.join("x"), "new").unwrap();
    fs::rename(parent.join("x"), parent.join(COMMIT)).unwrap();
    assert_eq!(fs::read(&entry(&held, COMMIT).read_from).unwrap(), before);
    let verdict = Audit::new(None).finish(held.entries(), &Control::default()).unwrap();
    assert_eq!(verdict.consistency, Consistency::Consistent);
    held.finish().unwrap();
}

#[test]
fn a_sweep_removes_staging_of_operations_that_are_over() {
    let (_directory, root) = copy();
    let made = [root.with_file_name(".lightkeep-over"), root.join(".lightkeep-over"), root.with_file_name(".lightkeep-running")];
    let journaled = root.with_file_name(".lightkeep-restore");
    for path in made.iter().chain([&journaled]) {
        fs::create_dir(path).unwrap();
    }
    fs::write(root.with_file_name(".lightkeep-restore.apply.json"), "{}").unwrap();
    sweep_staging(&root, &|operation_id| operation_id != "running").unwrap();
    assert_eq!(made.map(|path| path.exists()), [false, false, true]);
    assert!(journaled.exists());
}

/// Two states of one workspace; the files of a state are replaced by rename in any order, but `doc_status` last when documents come and
/// first when they go, as LightRAG does: it never shows a processed document without its data.
#[test]
fn a_capture_while_files_are_replaced_is_consistent() {
    let (_directory, root) = copy();
    let full: Vec<(String, Vec<u8>)> = fs::read_dir(&root)
        .unwrap()
        .map(|item| item.unwrap())
        .filter(|item| item.path().is_file())
        .map(|item| (item.file_name().into_string().unwrap(), fs::read(item.path()).unwrap()))
        .collect();
    let empty_of = |name: &str| -> Vec<u8> {
        match name {
            name if name.starts_with("kv_") => b"{}".to_vec(),
            name if name.starts_with("vdb_") => b"{\"embedding_dim\": 64, \"data\": [], \"matrix\": \"\"}".to_vec(),
            _ => b"<?xml version='1.0'?><graphml><graph/></graphml>".to_vec(),
        }
    };
    let replace = |name: &str, content: &[u8], round: usize| {
        let unfinished = root.join(format!("{name}.tmp.41.7.{round}"));
        fs::write(&unfinished, content).unwrap();
        fs::rename(&unfinished, root.join(name)).unwrap();
    };
    let stop = AtomicBool::new(false);
    let control = Control::default();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                // The commit record is withdrawn before the data goes.
                replace(COMMIT, b"{}", round);
                for (name, _) in full.iter().filter(|(name, _)| name != COMMIT) {
                    replace(name, &empty_of(name), round);
                }
                for (name, content) in full.iter().filter(|(name, _)| name != COMMIT) {
                    replace(name, content, round);
                }
                let (_, commit) = full.iter().find(|(name, _)| name == COMMIT).unwrap();
                replace(COMMIT, commit, round);
            }
            round
        });
        let mut captures = 0;
        while captures < 60 {
            let capture = capture(&root, "0199", &control).unwrap();
            assert!(paths(&capture).iter().all(|path| !path.contains(".tmp.")));
            let verdict = Audit::new(None).finish(capture.entries(), &control).unwrap();
            // Data may go under a capture that never settled; what settled is one state.
            if capture.settled() {
                assert!(verdict.findings.iter().all(|finding| finding.rule != lightkeep::domain::finding::Rule::Parses));
                assert_ne!(
                    (verdict.consistency, verdict.census.processed_documents > 0),
                    (Consistency::Inconsistent, true),
                    "{:?}",
                    verdict.findings
                );
            }
            captures += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    assert!(!root.with_file_name(".lightkeep-0199").exists());
}

#[test]
fn a_source_that_cannot_be_read_says_so() {
    let (_directory, root) = copy();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o000)).unwrap();
    let result = capture(&root, "0199", &Control::default());
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    // Root reads everything.
    assert!(result.is_ok() || matches!(result, Err(Error::SourceUnreadable { .. })));
}
