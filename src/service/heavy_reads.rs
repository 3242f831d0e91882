//! Reads that a call waits for and that may take long, as comparisons and plans: a few at a time, and none for a caller who has gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Services;
use super::error::{Error, ErrorKind};
use crate::base::control::Control;

/// How many run at once: each keeps a core busy, and holds the memory of what it compares.
const RUNNING: usize = 2;

/// How many may wait for one of them to end.
const WAITING: usize = 16;

/// When to try again where too many wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Who reads, and who waits for that.
#[derive(Debug)]
pub(super) struct HeavyReads {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for HeavyReads {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(RUNNING + WAITING)), turns: Arc::new(Semaphore::new(RUNNING)) }
    }
}

/// One of those that read now; others wait until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Services {
    /// Waits until one may read. What is held against others, such as locks, is taken afterwards.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn turn_to_read(&self) -> Result<Turn, Error> {
        let HeavyReads { places, turns } = self.heavy_reads();
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| too_many())?;
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|closed| Error::internal("wait to read", closed))?;
        Ok(Turn { _place: place, _turn: turn })
    }

    /// Reads. The work is told to end when the call is given up, that is when the future of this is dropped, and when the process stops;
    /// its turn is over when it really has ended.
    ///
    /// # Errors
    /// Those of the work; unavailable when the process stops.
    pub(super) async fn read_in_turn<T: Send + 'static>(
        &self,
        turn: Turn,
        read: impl FnOnce(&Control) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cancel = self.stopping().child_token();
        let control = Control::new(cancel.clone());
        let _given_up_with_the_call = cancel.drop_guard();
        let result = self.blocking(move || {
            let result = read(&control);
            drop(turn);
            result
        });
        match result.await {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                Err(Error::refused(ErrorKind::Unavailable, "SERVER_STOPPING", "the server stops, ask again when it is back"))
            }
            result => result,
        }
    }
}

fn too_many() -> Error {
    let message = format!("{RUNNING} comparisons and plans run and {WAITING} wait already, ask again later");
    Error::Refused { kind: ErrorKind::Exhausted, reason: "TOO_MANY_WAITING", message, retry_after: Some(RETRY_AFTER) }
}
