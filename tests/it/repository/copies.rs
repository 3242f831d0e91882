//! Blobs that lie in several packs: whichever copy is damaged, the good one is read, and it is the one that a prune keeps.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lightkeep::base::control::Control;
use lightkeep::repository::*;

use super::damage::files;
use super::pruning::prune;
use super::support::*;
use crate::support::repositories::flip_a_bit;

/// The large packs, the oldest first.
fn data_packs(scratch: &Scratch) -> Vec<PathBuf> {
    let mut packs = files(scratch.root().join("data"));
    packs.retain(|path| fs::metadata(path).unwrap().len() > 100_000);
    packs.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    packs
}

/// A record and what its source looked like.
type Kept = (RecordId, Vec<String>);

/// A file of one piece, so of one pack, that two processes have stored at once, neither of which knew of the other's work; the second one may have stored a
/// small file beside it. Gives both snapshots and the packs that hold the file.
fn stored_twice(with_more: bool) -> (Scratch, [Kept; 2], Vec<PathBuf>) {
    let scratch = Scratch::new();
    let handles = [scratch.init(), scratch.open()];
    let locks = [0, 1].map(|number: usize| handles[number].lock(LockKind::Shared, now(), HOST).unwrap());
    fs::write(scratch.source().join("same"), noise(1, 500_000)).unwrap();
    let save = |number: usize| {
        let stored = handles[number].back_up(&request(&scratch.source(), None, &Control::default()), &locks[number]).unwrap();
        let record = handles[number].write_record(&stored, &scratch.new_record(None), &locks[number]).unwrap();
        (record, describe(&scratch.source(), true))
    };
    let first = save(0);
    if with_more {
        fs::write(scratch.source().join("more"), noise(2, 1_000)).unwrap();
    }
    let second = save(1);
    drop(locks);
    drop(handles);
    let packs = data_packs(&scratch);
    assert_eq!(packs.len(), 2, "{packs:?}");
    (scratch, [first, second], packs)
}

fn assert_restores(scratch: &Scratch, repository: &Repository, (record, state): &(RecordId, Vec<String>), what: &str) {
    let target = scratch.path("target");
    let _ = fs::remove_dir_all(&target);
    scratch.restore(repository, *record, &scratch.source(), &target).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(describe(&target, true), *state, "{what}");
}

#[test]
fn content_is_read_from_whichever_pack_has_it_whole() {
    let cut = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    for (what, damage) in [("flipped", flip_a_bit as fn(&Path)), ("cut off", cut), ("gone", gone)] {
        for number in 0..2 {
            let (scratch, both, packs) = stored_twice(false);
            damage(&packs[number]);
            let what = format!("pack {number} is {what}");
            let repository = Arc::new(scratch.open());
            for snapshot in &both {
                assert_restores(&scratch, &repository, snapshot, &what);
                let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
                let root = SnapshotRoot { record: snapshot.0, recorded_path: scratch.source() };
                let mut file = repository.open_file(&root, Path::new("same"), &lock).unwrap().unwrap();
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert!(bytes == noise(1, 500_000), "{what}");
                for depth in [SnapshotDepth::Record, SnapshotDepth::Data] {
                    let request = VerifyRequest { root: &root, depth, control: &Control::default() };
                    assert_eq!(repository.verify_snapshot(&request, &lock).unwrap().problems, vec![], "{what}");
                }
            }
        }
    }
}

#[test]
fn a_prune_keeps_the_copy_of_content_that_can_be_read() {
    // which of two copies comes first is a matter of chance: the names of the index files decide
    for number in [0, 1, 0, 1, 0, 1] {
        let (scratch, both, packs) = stored_twice(true);
        flip_a_bit(&packs[number]);
        let repository = scratch.open();
        let pruned = prune(&repository, 0, None).unwrap();
        assert!(pruned.finished && pruned.removed_packs > 0, "{pruned:?}");
        for snapshot in &both {
            assert_restores(&scratch, &repository, snapshot, &format!("pack {number} was flipped"));
        }
        scratch.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_prune_keeps_the_copy_of_a_tree_that_can_be_read() {
    for round in 0..6 {
        let scratch = Scratch::new();
        // empty files: their tree is large, and there is no pack of content
        for number in 0..200 {
            fs::write(scratch.source().join(hex::encode(noise(1000 * round + number, 20))), "").unwrap();
        }
        let (_, first) = scratch.save(&scratch.init(), None);
        let pack = files(scratch.root().join("data")).pop().unwrap();
        flip_a_bit(&pack);
        let broken = scratch.restore(&scratch.open(), first, &scratch.source(), &scratch.path("broken"));
        assert!(matches!(broken, Err(Error::Damaged { .. })), "{broken:?}");
        let (stored, second) = scratch.save(&scratch.open(), None);
        // with those of the directories above the source, if other tests have changed these meanwhile
        assert!((1..=3).contains(&stored.summary.tree_blobs), "the tree that cannot be read is stored again: {stored:?}");
        let state = describe(&scratch.source(), true);
        let repository = scratch.open();
        prune(&repository, 0, None).unwrap();
        for record in [first, second] {
            assert_restores(&scratch, &repository, &(record, state.clone()), &format!("round {round}"));
        }
        scratch.restic(&["check", "--read-data"]);
    }
}
