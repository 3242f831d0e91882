//! Restores that are interrupted at each step: afterwards the target is the old tree or the new, whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::control::Cancelled;
use crate::lightrag::workspace::is_other_workspace;

const COMMIT: &str = "kv_store_doc_status.json";

struct Place {
    _directory: tempfile::TempDir,
    restored: PathBuf,
    target: PathBuf,
    keep_as: PathBuf,
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let place = Place {
        _directory: directory,
        restored: root.join(".lightkeep-0199"),
        target: root.join("rag_storage"),
        keep_as: root.join("rag_storage_pre_restore_20261122T000000.000000Z"),
    };
    for name in [COMMIT, "vdb_chunks.json", "only_old.json", "extra/a.txt"] {
        write(&place.target.join(name), &format!("old {name}"));
    }
    for name in [COMMIT, "vdb_chunks.json", "only_new.json", "extra/b.txt"] {
        write(&place.restored.join(name), &format!("new {name}"));
    }
    place
}

fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        for item in fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_path_buf(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn beside(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.target.parent().unwrap()).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_restore_exchanges_the_directory_and_keeps_the_old_one() {
    let place = place();
    let (old, new) = (tree(&place.target), tree(&place.restored));
    let applied = apply(&place.restored, &place.target, &place.keep_as, &is_other_workspace).unwrap();
    assert_eq!(applied, Applied { kept_as: Some(place.keep_as.clone()), entry_by_entry: false });
    assert_eq!((tree(&place.target), tree(&place.keep_as)), (new, old));
    assert_eq!(beside(&place), ["rag_storage", "rag_storage_pre_restore_20261122T000000.000000Z"]);
    assert_eq!(recover_apply(&place.target).unwrap(), Recovered::Nothing);
}

#[test]
fn a_missing_target_is_renamed_into_place() {
    let place = place();
    fs::remove_dir_all(&place.target).unwrap();
    let new = tree(&place.restored);
    let applied = apply(&place.restored, &place.target, &place.keep_as, &is_other_workspace).unwrap();
    assert_eq!((applied.kept_as, tree(&place.target)), (None, new));
    assert_eq!(beside(&place), ["rag_storage"]);
}

#[test]
fn interrupted_at_any_step_it_is_old_or_new_and_whole() {
    for whole in [true, false] {
        for with_target in [true, false] {
            if !whole && !with_target {
                continue;
            }
            let mut recoveries = Vec::new();
            for stop_at in 0..20 {
                let place = place();
                if !with_target {
                    fs::remove_dir_all(&place.target).unwrap();
                }
                let old = if with_target { tree(&place.target) } else { BTreeMap::new() };
                let new = tree(&place.restored);
                let mut step = 0;
                let result = apply_with(&place.restored, &place.target, &place.keep_as, &is_other_workspace, whole, &mut |_| {
                    step += 1;
                    if step > stop_at { Err(Error::Cancelled(Cancelled)) } else { Ok(()) }
                });
                let recovered = recover_apply(&place.target).unwrap();
                recoveries.push(recovered);
                let now = if place.target.exists() { tree(&place.target) } else { BTreeMap::new() };
                match recovered {
                    Recovered::Undone => assert_eq!((now, tree(&place.restored)), (old, new)),
                    Recovered::Completed => {
                        assert_eq!(now, new);
                        assert!(!place.restored.exists());
                        assert_eq!(if with_target { tree(&place.keep_as) } else { BTreeMap::new() }, old);
                    }
                    Recovered::Nothing => {
                        assert_eq!(now, new);
                        result.unwrap();
                    }
                }
                assert!(beside(&place).iter().all(|name| !name.ends_with(".json")), "journal left at {stop_at}");
                assert_eq!(recover_apply(&place.target).unwrap(), Recovered::Nothing);
            }
            assert!(recoveries.contains(&Recovered::Completed) && recoveries.contains(&Recovered::Nothing));
            assert_eq!(recoveries.contains(&Recovered::Undone), whole);
        }
    }
}

#[test]
fn other_workspaces_stay_where_they_are() {
    let place = place();
    write(&place.target.join("tenant_b").join(COMMIT), "tenant");
    // One that only whoever asks knows to be another's.
    write(&place.target.join("inputs_c/upload"), "named");
    let inode = fs::metadata(place.target.join("tenant_b")).unwrap();
    let mut expected = tree(&place.restored);
    let stays = |path: &Path| Ok(path.ends_with("inputs_c") || is_other_workspace(path)?);
    let applied = apply(&place.restored, &place.target, &place.keep_as, &stays).unwrap();
    assert!(applied.entry_by_entry);
    expected.insert(PathBuf::from("tenant_b").join(COMMIT), "tenant".into());
    expected.insert(PathBuf::from("inputs_c/upload"), "named".into());
    assert_eq!(tree(&place.target), expected);
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&inode),
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.target.join("tenant_b")).unwrap())
    );
    assert_eq!(tree(&place.keep_as).len(), 4);
}

#[test]
fn a_restored_entry_never_replaces_another_workspace() {
    let place = place();
    write(&place.target.join("tenant_b").join(COMMIT), "tenant");
    write(&place.restored.join("tenant_b/notes.txt"), "mine");
    let before = tree(&place.target);
    let error = apply(&place.restored, &place.target, &place.keep_as, &is_other_workspace).unwrap_err();
    assert!(matches!(error, Error::TargetConflict { .. }), "{error}");
    assert_eq!(tree(&place.target), before);
    assert_eq!(recover_apply(&place.target).unwrap(), Recovered::Nothing);
}

#[test]
fn an_exchange_whose_new_entries_were_removed_is_undone() {
    for stop_at in 1..8 {
        let place = place();
        let old = tree(&place.target);
        let mut step = 0;
        let stopped = apply_with(&place.restored, &place.target, &place.keep_as, &is_other_workspace, false, &mut |_| {
            step += 1;
            if step > stop_at { Err(Error::Cancelled(Cancelled)) } else { Ok(()) }
        });
        assert!(stopped.is_err());
        // All new ones are in the target after 9 steps: the journal, 4 old entries and 4 new ones.
        fs::remove_dir_all(&place.restored).unwrap();
        assert_eq!(recover_apply(&place.target).unwrap(), Recovered::Undone, "at {stop_at}");
        assert_eq!(tree(&place.target), old, "at {stop_at}");
    }
}

#[test]
fn a_target_on_its_own_file_system_takes_copies() {
    let place = place();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let new = tree(&place.restored);
    let restored = other.path().join(".lightkeep-0199");
    let copied = std::process::Command::new("cp").arg("-a").arg(&place.restored).arg(&restored).status().unwrap();
    assert!(copied.success());
    let journal = entries::plan(&restored, &place.target, &place.keep_as, &is_other_workspace).unwrap();
    if journal.restored.parent() == journal.target.parent() {
        return;
    }
    assert!(journal.keep_as.starts_with(&place.target));
    let old = tree(&place.target);
    journal.write().unwrap();
    entries::follow(&journal, &mut |_| Ok(())).unwrap();
    let mut now = tree(&place.target);
    let kept_name = journal.keep_as.file_name().unwrap();
    let kept: BTreeMap<_, _> = now.iter().filter(|(path, _)| path.starts_with(kept_name)).map(|(p, t)| (p.clone(), t.clone())).collect();
    now.retain(|path, _| !path.starts_with(kept_name));
    assert_eq!(now, new);
    assert_eq!(kept.len(), old.iter().filter(|(path, _)| !path.starts_with(".lightkeep-0199")).count());
    assert!(!restored.exists());
}

#[test]
fn unfit_targets_are_told_apart() {
    let place = place();
    let file = place.target.join(COMMIT);
    assert!(matches!(preflight_target(&file, 0), Err(Error::TargetNotDirectory { .. })));
    assert!(matches!(preflight_target(&file.join("below"), 0), Err(Error::TargetUnwritable { .. } | Error::TargetNotDirectory { .. })));
    assert!(matches!(preflight_target(&place.target, u64::MAX), Err(Error::TargetFull { .. })));
    let fresh = place.target.join("a/b/c");
    let found = preflight_target(&fresh, 1).unwrap();
    assert_eq!(found, Target { directory: fresh.clone(), exists: false, parent: fresh.parent().unwrap().to_path_buf() });
    write(&place.keep_as, "taken");
    assert!(matches!(apply(&place.restored, &place.target, &place.keep_as, &is_other_workspace), Err(Error::KeepTaken { .. })));
}
