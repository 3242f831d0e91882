//! Read buffers: one pool and one budget for all backups of the process, so that memory does not grow with their number.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reader::LARGEST_PIECE_BYTES;
use crate::repository::error::Error;

/// Blocks in use by the whole process. Each has the size of the largest piece, of which the pages touched count: 5 MB mostly.
const MOST_BLOCKS: usize = 8;

/// So many blocks each backup may have whatever the others do: two that its tap holds, the rest of the last, and a new one.
/// With fewer, backups could wait for each other for ever.
const ASSURED_BLOCKS: usize = 4;

static POOL: Pool = Pool { state: Mutex::new(State { free: Vec::new(), taken: 0, users: 0 }), returned: Condvar::new() };

struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    free: Vec<Vec<u8>>,
    taken: usize,
    users: usize,
}

fn state() -> MutexGuard<'static, State> {
    POOL.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One backup's access to the pool.
pub(crate) struct Blocks {
    taken: Arc<AtomicUsize>,
}

impl Blocks {
    /// Access for one more backup.
    pub(crate) fn new() -> Self {
        state().users += 1;
        Self { taken: Arc::default() }
    }

    /// Waits for a block. Calls `go_on` at least every 50 ms while it waits.
    pub(crate) fn take(&self, go_on: impl Fn() -> Result<(), Error>) -> Result<Block, Error> {
        let mut state = state();
        while state.taken >= MOST_BLOCKS && self.taken.load(Ordering::SeqCst) >= ASSURED_BLOCKS {
            let waited = POOL.returned.wait_timeout(state, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            go_on()?;
        }
        state.taken += 1;
        self.taken.fetch_add(1, Ordering::SeqCst);
        let bytes = state.free.pop();
        drop(state);
        // zeroed by the system when first touched, so that a block costs the memory that is used of it
        let bytes = bytes.unwrap_or_else(|| vec![0; LARGEST_PIECE_BYTES]);
        Ok(Block { bytes, filled: 0, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let mut state = state();
        state.users -= 1;
        if state.users == 0 {
            state.free = Vec::new();
        }
    }
}

/// A buffer that goes back to the pool.
pub(crate) struct Block {
    /// All its bytes.
    pub(crate) bytes: Vec<u8>,
    /// How many of them are valid.
    pub(crate) filled: usize,
    taken: Arc<AtomicUsize>,
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = state();
        state.taken -= 1;
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if state.users > 0 && state.free.len() < MOST_BLOCKS {
            state.free.push(std::mem::take(&mut self.bytes));
        }
        drop(state);
        POOL.returned.notify_all();
    }
}

/// A range of a block, as a tap sees it.
pub(crate) struct Range {
    pub(crate) block: Arc<Block>,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl AsRef<[u8]> for Range {
    fn as_ref(&self) -> &[u8] {
        &self.block.bytes[self.from..self.to]
    }
}
