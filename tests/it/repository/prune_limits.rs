//! How a prune ends before it is done: its time is over, it is cancelled, its lock is lost.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use lightkeep::base::control::Control;
use lightkeep::repository::*;
use tokio_util::sync::CancellationToken;

use super::damage::files;
use super::pruning::{assert_whole, prune, remove};
use super::support::*;
use crate::support::repositories::flip_a_bit;

type Kept = Vec<(RecordId, Vec<String>)>;

/// Six states of a source, every second of which is forgotten: each has a file that stays and one that only it has.
fn six_states() -> (Scratch, Repository, Kept) {
    let scratch = Scratch::new();
    let repository = scratch.init();
    let mut kept = Vec::new();
    for state in 0..6 {
        fs::write(scratch.source().join(format!("stays {state}")), noise(state, 300_000)).unwrap();
        fs::write(scratch.source().join("goes"), noise(10 + state, 300_000)).unwrap();
        kept.push((scratch.save(&repository, None).1, describe(&scratch.source(), true)));
    }
    for number in [4, 2, 0] {
        remove(&repository, kept.remove(number).0);
    }
    (scratch, repository, kept)
}

fn packs(scratch: &Scratch) -> Vec<PathBuf> {
    files(scratch.root().join("data"))
}

#[test]
fn a_run_whose_time_is_over_keeps_what_it_did_and_the_next_goes_on() {
    let (scratch, repository, kept) = six_states();
    let control = Control::default();
    let (mut ended_early, mut went_on) = (0, 0);
    for allowed in 0.. {
        let asked = Cell::new(0);
        let time_is_over = || asked.replace(asked.get() + 1) >= allowed;
        let request = PruneRequest {
            max_unused_percent: 0,
            max_repack_bytes: None,
            time_is_over: Some(&time_is_over),
            dry_run: false,
            control: &control,
        };
        let before = packs(&scratch);
        let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
        let pruned = repository.prune(&request, &lock).unwrap();
        drop(lock);
        if pruned.finished {
            assert_eq!(pruned.unused_bytes_left, 0, "{pruned:?}");
            break;
        }
        ended_early += 1;
        if pruned.snapshots == 0 {
            assert_eq!(pruned, Pruned::default());
            assert_eq!(packs(&scratch), before, "it did not know what is used");
        }
        if packs(&scratch) != before {
            went_on += 1;
            assert!(pruned.unused_bytes_left > 0, "{pruned:?}");
            assert_whole(&scratch, &repository, &kept);
            scratch.restic(&["check"]);
        }
    }
    // How many packs there are, and so how many runs end between two of them, depends on which worker took which file.
    assert!(ended_early > 3 && went_on > 0, "{ended_early} {went_on}");
    assert_whole(&scratch, &repository, &kept);
    let again = prune(&repository, 0, None).unwrap();
    assert_eq!((again.removed_packs, again.finished), (0, true), "{again:?}");
    scratch.restic(&["check", "--read-data"]);
}

#[test]
fn nothing_more_is_removed_when_it_is_cancelled_or_its_lock_is_lost() {
    for loses_lock in [false, true] {
        let (scratch, repository, kept) = six_states();
        for (record, _) in &kept {
            remove(&repository, *record);
        }
        let cancel = CancellationToken::new();
        let control = Control::new(cancel.clone());
        let before = packs(&scratch).len();
        // asked before each pack
        let watch = || {
            if packs(&scratch).len() == before {
                return false;
            }
            if loses_lock {
                files(scratch.root().join("locks")).into_iter().for_each(|lock| fs::remove_file(lock).unwrap());
            } else {
                cancel.cancel();
            }
            false
        };
        let request =
            PruneRequest { max_unused_percent: 0, max_repack_bytes: None, time_is_over: Some(&watch), dry_run: false, control: &control };
        let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
        let result = repository.prune(&request, &lock);
        match result {
            Err(Error::LockLost { .. }) => assert!(loses_lock),
            Err(Error::Cancelled(_)) => assert!(!loses_lock),
            other => panic!("{other:?}"),
        }
        assert_eq!(packs(&scratch).len(), before - 1);
    }
}

#[test]
fn why_it_failed_is_said_also_when_the_index_cannot_be_read_afterwards() {
    let (scratch, repository, kept) = six_states();
    // one index file, which is read before the first pack is written anew
    scratch.restic(&["rebuild-index"]);
    assert_eq!(files(scratch.root().join("index")).len(), 1);
    let control = Control::default();
    let kept_index = scratch.path("index");
    let lose = || {
        if control.progress().total_bytes > 0 && !kept_index.exists() {
            let index = &files(scratch.root().join("index"))[0];
            fs::copy(index, &kept_index).unwrap();
            flip_a_bit(index);
            files(scratch.root().join("locks")).into_iter().for_each(|lock| fs::remove_file(lock).unwrap());
        }
        false
    };
    let request =
        PruneRequest { max_unused_percent: 0, max_repack_bytes: None, time_is_over: Some(&lose), dry_run: false, control: &control };
    let lock = repository.lock(LockKind::Exclusive, now(), HOST).unwrap();
    let result = repository.prune(&request, &lock);
    assert!(matches!(result, Err(Error::LockLost { .. })), "{result:?}");
    drop(lock);
    let index = files(scratch.root().join("index")).remove(0);
    fs::copy(kept_index, index).unwrap();
    assert_whole(&scratch, &scratch.open(), &kept);
}
