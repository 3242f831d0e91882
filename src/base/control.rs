//! How long blocking work is watched and stopped from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Goes down into every piece of long blocking work: progress comes up by it, the wish to stop goes down.
#[derive(Debug, Default)]
pub struct Control {
    cancel: CancellationToken,
    stage: Mutex<&'static str>,
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

/// The work was stopped by its [`Control`]; nothing of it is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// How long a pause does not hear that the work is to end.
const DEAF: Duration = Duration::from_millis(50);

/// What a piece of work has reported last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The step it is in, a short lower-case word such as `store`; empty before the first.
    pub stage: &'static str,
    /// Bytes done in this stage.
    pub done_bytes: u64,
    /// Bytes to do in this stage; 0 when unknown.
    pub total_bytes: u64,
}

impl Control {
    /// Work that ends when `cancel` is cancelled.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// Asks whether to go on. Long loops ask at least every 100 ms.
    ///
    /// # Errors
    /// [`Cancelled`] when the work is to end.
    pub fn go_on(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Waits until the work is to end.
    pub async fn cancelled(&self) -> Cancelled {
        self.cancel.cancelled().await;
        Cancelled
    }

    /// Blocks the thread for so long.
    ///
    /// # Errors
    /// [`Cancelled`] when the work is to end, then or meanwhile.
    pub fn pause(&self, mut length: Duration) -> Result<(), Cancelled> {
        while !length.is_zero() {
            self.go_on()?;
            let part = length.min(DEAF);
            thread::sleep(part);
            length -= part;
        }
        self.go_on()
    }

    /// Begins a stage: its counters start at zero.
    pub fn begin_stage(&self, stage: &'static str, total_bytes: u64) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.done_bytes.store(0, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
    }

    /// Counts bytes of this stage as done.
    pub fn add_done(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes as to do in this stage, where the total is learned on the way.
    pub fn add_total(&self, bytes: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was reported last.
    pub fn progress(&self) -> Progress {
        Progress {
            stage: *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
        }
    }
}
