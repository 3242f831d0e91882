//! Signals within the process: there is work, something has changed. They only make sooner what happens anyway.

use std::time::Duration;

use tokio::sync::{Notify, watch};

/// How long anybody waits for a signal before looking for himself: another instance may have done it.
pub const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// The signals; one for the process.
#[derive(Debug)]
pub struct Wakeup {
    work: Notify,
    schedules: Notify,
    changes: watch::Sender<u64>,
}

impl Default for Wakeup {
    fn default() -> Self {
        Self { work: Notify::new(), schedules: Notify::new(), changes: watch::Sender::new(0) }
    }
}

impl Wakeup {
    /// Says that an operation waits to be claimed.
    pub fn announce_work(&self) {
        self.work.notify_one();
        self.announce_change();
    }

    /// Waits until somebody announces work, or it is time to look anyway.
    pub async fn work(&self) {
        let _ = tokio::time::timeout(LOOK_ANYWAY, self.work.notified()).await;
    }

    /// Says that a schedule was made or changed.
    pub fn announce_schedule(&self) {
        self.schedules.notify_one();
    }

    /// Waits until a schedule was made or changed, or it is time to look anyway.
    pub async fn schedule(&self) {
        let _ = tokio::time::timeout(LOOK_ANYWAY, self.schedules.notified()).await;
    }

    /// Says that an operation's row is another now.
    pub fn announce_change(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears of each change from now on.
    pub fn changes(&self) -> Changes {
        Changes(self.changes.subscribe())
    }
}

/// Hears of changes. Subscribe first, then look at the row: no change is missed.
#[derive(Debug)]
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Waits for a change, or until it is time to look anyway.
    pub async fn next(&mut self) {
        let _ = tokio::time::timeout(LOOK_ANYWAY, self.0.changed()).await;
    }
}
