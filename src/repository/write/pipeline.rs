//! The threads of one backup and what flows between them.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use super::assemble::{self, Found};
use super::pack::{PackWriter, WrittenPack};
use super::walk::Walk;
use super::work::{self, Job, Shared};
use super::{BackupRequest, Stored, source};
use crate::base::failpoint;
use crate::repository::backend::FileKind;
use crate::repository::backend::local::Local;
use crate::repository::error::Error;
use crate::repository::{Repository, threads};

/// Jobs that wait for a worker: pieces hold their blocks, so that the budget of blocks bounds them too.
const QUEUED_JOBS: usize = 32;
/// Entries that the walk is ahead of the assembler.
const QUEUED_ENTRIES: usize = 4096;
/// Threads that sync and publish packs, so that workers need not wait for the disk; also one for each kind in a tiny backup.
const PUBLISHERS: usize = 2;
/// The walk calls itself for each level of directories, of which a path may have two thousand. Only pages touched count.
const WALK_STACK_BYTES: usize = 16 << 20;

/// Stores a request. After an error the packs that were published are removed again: no index names them.
pub(crate) fn run(repository: &Repository, request: &BackupRequest<'_>) -> Result<Stored, Error> {
    request.control.go_on()?;
    source::roots(request)?;
    request.control.begin_stage("store", 0);
    let shared = Shared::new(repository, request);
    let written = Mutex::new(Vec::new());
    let stored = run_threads(&shared, &written);
    let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
    let stored = stored.and_then(|stored| match shared.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(stored),
    });
    match stored {
        Ok(stored) => publish_index(repository, stored, written),
        Err(error) => {
            // no sync for each: a pack that comes back after a power cut, or stays, is removed by a prune
            let unsynced = Local::new(repository.root(), false);
            for pack in written {
                let _ = unsynced.delete(FileKind::Pack, &pack.id);
            }
            Err(error)
        }
    }
}

fn publish_index(repository: &Repository, stored: Stored, written: Vec<WrittenPack>) -> Result<Stored, Error> {
    failpoint::reach("repository.packs_written");
    let added_bytes = written.iter().map(|pack| pack.bytes).sum();
    let packs: Vec<_> = written.into_iter().map(|pack| (pack.id, pack.blobs)).collect();
    repository.add_packs(&packs)?;
    failpoint::reach("repository.index_written");
    Ok(Stored { added_bytes, ..stored })
}

fn run_threads(shared: &Shared<'_>, written: &Mutex<Vec<WrittenPack>>) -> Result<Stored, Error> {
    let (job_sender, jobs) = bounded::<Job>(QUEUED_JOBS);
    let (found_sender, found) = bounded::<Found>(QUEUED_ENTRIES);
    let (pack_sender, packs) = bounded::<PackWriter>(PUBLISHERS);
    let result = thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            let packs = packs.clone();
            scope.spawn(move || guard(shared, || publish(shared, &packs, written)));
        }
        for _ in 0..shared.repository.options.threads.get() {
            let (jobs, pack_sender) = (jobs.clone(), pack_sender.clone());
            scope.spawn(move || guard(shared, || work::run(shared, &jobs, &pack_sender)));
        }
        // these ends are held by the threads alone, so that each side sees when the other has ended
        drop((packs, jobs));
        let walk = move || {
            // the assembler must not take the walk's failure for its end: the failure is known before this end is dropped
            let _open = found_sender.clone();
            guard(shared, || {
                let mut walk = Walk::new(shared, job_sender, found_sender);
                source::walk(&mut walk)
            })
        };
        thread::Builder::new()
            .stack_size(WALK_STACK_BYTES)
            .spawn_scoped(scope, walk)
            .map_err(Error::io("start a thread for", shared.repository.root()))?;
        let assembler = scope.spawn(move || {
            let mut stored = None;
            guard(shared, || {
                stored = Some(assemble::run(shared, &found, &pack_sender)?);
                // all workers have ended with the last file: what they left open is complete now
                for pack in shared.open_packs.drain() {
                    pack_sender.send(pack).map_err(|_| Error::WorkerStopped)?;
                }
                Ok(())
            });
            stored
        });
        assembler.join().ok().flatten().ok_or(Error::WorkerStopped)
    });
    // the first failure says why the others stopped
    result.map_err(|error| shared.take_failure().unwrap_or(error))
}

/// Runs a thread's work behind those that answer requests; its error ends all threads, and so does its panic: the others would
/// wait for it for ever. What a panic leaves half done is thrown away with the backup.
fn guard(shared: &Shared<'_>, work: impl FnOnce() -> Result<(), Error>) {
    threads::lower_priority();
    if let Err(error) = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::WorkerStopped)) {
        shared.fail(error);
    }
}

fn publish(shared: &Shared<'_>, packs: &Receiver<PackWriter>, written: &Mutex<Vec<WrittenPack>>) -> Result<(), Error> {
    for pack in packs {
        shared.go_on()?;
        let pack = pack.finish(shared.repository)?;
        written.lock().unwrap_or_else(PoisonError::into_inner).push(pack);
        failpoint::reach("repository.pack_written");
    }
    Ok(())
}
