use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::support::*;
use crate::support::repositories::flip_a_bit;

pub(crate) fn prune(repository: &Repository, max_unused_percent: u8, max_repack_bytes: Option<u64>) -> Result<Pruned, Error> {
    let control = Control::default();
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    repository.prune(&PruneRequest { max_unused_percent, max_repack_bytes, time_is_over: None, dry_run: false, control: &control }, &lock)
}

pub(crate) fn remove(repository: &Repository, record: RecordId) {
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    repository.remove_record(&record, &lock).unwrap();
}

fn bytes(root: &Path) -> u64 {
    ["data", "index"].iter().flat_map(|kind| files(root.join(kind))).map(|path| fs::metadata(path).unwrap().len()).sum()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from.to_path_buf()) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

/// Three states of a source, of which the middle one is forgotten.
fn three_states() -> (Scratch, Repository, Vec<(RecordId, Vec<String>)>) {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let mut kept = Vec::new();
    for state in 0..3 {
        fs::write(scratch.source().join("same"), noise(1, 3_000_000)).unwrap();
        fs::write(scratch.source().join("other"), noise(10 + state, 4_000_000)).unwrap();
        fs::create_dir_all(scratch.source().join(format!("directory {state}"))).unwrap();
        kept.push((scratch.save(&repository, None).1, describe(&scratch.source(), true)));
    }
    let (middle, _) = kept.remove(1);
    remove(&repository, middle);
    (scratch, repository, kept)
}

pub(crate) fn assert_whole(scratch: &Scratch, repository: &Repository, kept: &[(RecordId, Vec<String>)]) {
    for (number, (record, state)) in kept.iter().enumerate() {
        let target = scratch.path(&format!("target {number}"));
        scratch.restore(repository, *record, &scratch.source(), &target).unwrap();
        assert_eq!(describe(&target, true), *state);
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn what_nobody_uses_goes_and_all_else_stays() {
    let (scratch, repository, kept) = three_states();
    let before = bytes(&scratch.root());
    let pruned = prune(&repository, 0, None).unwrap();
    assert_eq!((pruned.snapshots, pruned.finished, pruned.unused_bytes_left), (2, true, 0), "{pruned:?}");
    assert_eq!(before - bytes(&scratch.root()), pruned.reclaimed_bytes);
    assert!(pruned.reclaimed_bytes > 3_900_000 && pruned.used_bytes > 10_900_000, "{pruned:?}");
    assert_whole(&scratch, &repository, &kept);
    assert_whole(&scratch, &scratch.open(), &kept);
    scratch.restic(&["check", "--read-data"]);
    let again = prune(&repository, 0, None).unwrap();
    assert_eq!((again.removed_packs, again.reclaimed_bytes), (0, 0), "{again:?}");
}

#[test]
fn the_share_that_may_stay_stays_and_a_limited_run_goes_on_later() {
    let (scratch, repository, kept) = three_states();
    let control = Control::default();
    let look = PruneRequest { max_unused_percent: 0, max_repack_bytes: None, time_is_over: None, dry_run: true, control: &control };
    let before = bytes(&scratch.root());
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let planned = repository.prune(&look, &lock).unwrap();
    drop(lock);
    assert!(planned.reclaimed_bytes > 3_900_000, "{planned:?}");
    assert_eq!(bytes(&scratch.root()), before, "looking changes nothing");
    let tolerant = prune(&repository, 100, None).unwrap();
    assert_eq!((tolerant.repacked_packs, tolerant.finished), (0, true));
    let limited = prune(&repository, 0, Some(1)).unwrap();
    assert_eq!((limited.repacked_packs, limited.finished), (0, limited.unused_bytes_left == 0), "{limited:?}");
    assert!(prune(&repository, 0, None).unwrap().finished);
    assert_whole(&scratch, &repository, &kept);
    scratch.restic(&["check", "--read-data"]);
}

#[test]
fn a_prune_that_broke_off_leaves_all_whole_and_the_next_finishes() {
    let (scratch, repository, kept) = three_states();
    let before = scratch.path("before");
    copy(&scratch.root(), &before);
    prune(&repository, 0, None).unwrap();
    drop(repository);
    let done = bytes(&scratch.root());
    // New packs and index beside the old ones; then without the old index; then with an old index whose packs are gone.
    for kinds in [vec!["data", "index"], vec!["data"], vec!["index"]] {
        for kind in &kinds {
            copy(&before.join(kind), &scratch.root().join(kind));
        }
        let repository = scratch.open();
        if kinds != ["index"] {
            assert_whole(&scratch, &repository, &kept);
        }
        prune(&repository, 0, None).unwrap();
        assert_whole(&scratch, &scratch.open(), &kept);
        assert!(bytes(&scratch.root()) <= done + done / 50, "{kinds:?}: {} and {done}", bytes(&scratch.root()));
        scratch.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_doubt_stops_it_before_anything_goes() {
    type Damage = (&'static str, fn(&Scratch));
    let damage: [Damage; 4] = [
        ("a record", |scratch| flip_a_bit(&files(scratch.root().join("snapshots"))[0])),
        ("an index file", |scratch| flip_a_bit(&files(scratch.root().join("index"))[0])),
        ("a tree", |scratch| flip_a_bit(&files(scratch.root().join("data"))[0])),
        ("the packs", |scratch| fs::rename(scratch.root().join("data"), scratch.root().join("away")).unwrap()),
    ];
    for (what, damage) in damage {
        let (scratch, repository, _) = three_states();
        let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
        damage(&scratch);
        // Another process: one that has read nothing yet.
        drop(repository);
        let opened = Repository::open(&scratch.root(), &secret());
        let count = files(scratch.root()).len();
        let control = Control::default();
        let request = PruneRequest { max_unused_percent: 0, max_repack_bytes: None, time_is_over: None, dry_run: false, control: &control };
        let result = opened.and_then(|repository| repository.prune(&request, &lock));
        assert!(result.is_err(), "{what}: {result:?}");
        assert_eq!(files(scratch.root()).len(), count, "{what}: nothing is gone, and nothing is left over");
    }
}

#[test]
fn many_small_packs_are_put_together() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let mut last = None;
    for state in 0..30 {
        fs::write(scratch.source().join(format!("file {state}")), noise(state, 20_000)).unwrap();
        last = Some(scratch.save(&repository, last).1);
    }
    assert!(files(scratch.root().join("data")).len() >= 60);
    let pruned = prune(&repository, 100, None).unwrap();
    assert!(files(scratch.root().join("data")).len() <= 4, "{pruned:?}");
    let state = describe(&scratch.source(), true);
    assert_whole(&scratch, &repository, &[(last.unwrap(), state)]);
    scratch.restic(&["check", "--read-data"]);
}

/// Whatever is done in whatever order, each snapshot that is left restores to what it was.
#[test]
fn random_work_keeps_every_snapshot_whole() {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut kept: BTreeMap<RecordId, Vec<String>> = BTreeMap::new();
    for step in 0..60 {
        match random(10) {
            0..=4 => {
                let name = scratch.source().join(format!("file {}", random(6)));
                fs::write(name, noise(random(40), 1000 + usize::try_from(random(700_000)).unwrap())).unwrap();
                let parent = kept.keys().next_back().copied();
                kept.insert(scratch.save(&repository, parent).1, describe(&scratch.source(), true));
            }
            5 | 6 if kept.len() > 2 => {
                let position = usize::try_from(random(kept.len() as u64)).unwrap();
                let record = *kept.keys().nth(position).unwrap();
                remove(&repository, record);
                kept.remove(&record);
            }
            7 => drop(scratch.restic(&["prune", "--max-unused", "0"])),
            _ => drop(prune(&repository, [0, 5, 50][usize::try_from(random(3)).unwrap()], None).unwrap()),
        }
        if step % 10 == 9 {
            let kept: Vec<_> = kept.iter().map(|(record, state)| (*record, state.clone())).collect();
            assert_whole(&scratch, &repository, &kept);
        }
    }
    prune(&repository, 0, None).unwrap();
    let states: Vec<_> = kept.iter().map(|(record, state)| (*record, state.clone())).collect();
    assert_whole(&scratch, &repository, &states);
    scratch.restic(&["check", "--read-data"]);

    // As small as a repository that never had anything else.
    let fresh = Scratch::new();
    let new = fresh.init();
    for (number, (record, _)) in states.iter().enumerate() {
        let target = fresh.path(&format!("state {number}"));
        scratch.restore(&repository, *record, &scratch.source(), &target).unwrap();
        fs::remove_dir_all(fresh.source()).unwrap();
        fs::rename(target, fresh.source()).unwrap();
        fresh.save(&new, None);
    }
    prune(&new, 0, None).unwrap();
    let (ours, least) = (bytes(&scratch.root()), bytes(&fresh.root()));
    assert!(ours * 10 <= least * 11, "{ours} bytes, and {least} for the same snapshots");
}
