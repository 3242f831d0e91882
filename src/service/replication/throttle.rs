//! Holds what is sent to a target to so many bytes a second. The limit may be changed while it is waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The most that is asked for at once, bytes: less than what the C library gives pages of its own, which cost more than the copying.
pub(super) const LARGEST_PIECE: usize = 192 << 10;

/// The least, so that little is not divided into ever less.
const SMALLEST_PIECE: u64 = 4 << 10;

#[derive(Debug)]
struct Pace {
    /// 0 for no limit.
    bytes_per_second: u64,
    /// When all that was granted so far has been sent at this pace.
    until: Instant,
}

/// The limit of one target.
#[derive(Debug)]
pub(super) struct Throttle {
    pace: Mutex<Pace>,
    changed: Notify,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { pace: Mutex::new(Pace { bytes_per_second, until: Instant::now() }), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the limit; whoever waits for the old one waits for the new one.
    pub(super) fn set(&self, bytes_per_second: u64) {
        let mut pace = self.lock();
        if pace.bytes_per_second != bytes_per_second {
            (pace.bytes_per_second, pace.until) = (bytes_per_second, Instant::now());
            drop(pace);
            self.changed.notify_waiters();
        }
    }

    /// How many bytes to ask for at once: a quarter of a second's.
    pub(super) fn piece(&self) -> usize {
        let bytes_per_second = self.lock().bytes_per_second;
        let piece = if bytes_per_second == 0 { u64::MAX } else { (bytes_per_second / 4).max(SMALLEST_PIECE) };
        usize::try_from(piece).unwrap_or(usize::MAX).min(LARGEST_PIECE)
    }

    /// Waits until so many bytes may be sent.
    pub(super) async fn acquire(&self, bytes: usize) {
        loop {
            let changed = self.changed.notified();
            let begins_at = {
                let mut pace = self.lock();
                if pace.bytes_per_second == 0 {
                    return;
                }
                #[expect(clippy::cast_precision_loss, reason = "a pause needs no more")]
                let length = Duration::from_secs_f64(bytes as f64 / pace.bytes_per_second as f64);
                let begins_at = pace.until.max(Instant::now());
                pace.until = begins_at + length;
                begins_at
            };
            tokio::select! {
                () = sleep_until(begins_at) => return,
                () = changed => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_bytes_as_were_allowed() {
        let (throttle, begun) = (Throttle::new(1000), Instant::now());
        for _ in 0..5 {
            throttle.acquire(1000).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 4);
        throttle.set(0);
        throttle.acquire(1 << 40).await;
        assert_eq!(begun.elapsed().as_secs(), 4);
        throttle.set(10);
        throttle.acquire(1000).await;
        let waiting = throttle.acquire(1);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        throttle.set(0);
        waiting.await;
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
