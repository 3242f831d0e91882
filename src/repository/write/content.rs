//! A file's content ids, on their way from the workers to the assembler.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::repository::error::Error;
use crate::repository::format::id::BlobId;

/// The ids of one file's pieces, which become known in any order.
#[derive(Default)]
pub(crate) struct Content {
    state: Mutex<State>,
    complete: Condvar,
}

#[derive(Default)]
struct State {
    ids: Vec<Option<BlobId>>,
    known: usize,
    total: Option<usize>,
}

impl State {
    fn is_complete(&self) -> bool {
        self.total == Some(self.known)
    }
}

impl Content {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A piece is known.
    pub(crate) fn set(&self, number: usize, id: BlobId) {
        let mut state = self.state();
        if state.ids.len() <= number {
            state.ids.resize(number + 1, None);
        }
        state.ids[number] = Some(id);
        state.known += 1;
        if state.is_complete() {
            self.complete.notify_all();
        }
    }

    /// The number of pieces is known.
    pub(crate) fn close(&self, total: usize) {
        let mut state = self.state();
        state.total = Some(total);
        if state.is_complete() {
            self.complete.notify_all();
        }
    }

    /// Waits for all pieces. Calls `go_on` at least every 50 ms while it waits.
    pub(crate) fn wait(&self, go_on: impl Fn() -> Result<(), Error>) -> Result<Vec<BlobId>, Error> {
        let mut state = self.state();
        while !state.is_complete() {
            let waited = self.complete.wait_timeout(state, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            go_on()?;
        }
        Ok(std::mem::take(&mut state.ids).into_iter().flatten().collect())
    }
}
