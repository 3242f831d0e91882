//! Looks at what may hang, as a mount does: each holds one thread of ours at most, not one more whenever somebody looks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// The looks that have not come back, by what they look at.
#[derive(Debug)]
pub(super) struct Hanging<Key>(Mutex<HashMap<Key, Arc<Place>>>);

/// Where one looks at a time.
#[derive(Debug, Default)]
struct Place {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// When whoever looks is to have come back.
    until: Mutex<Option<Instant>>,
}

impl Place {
    fn until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Key> Default for Hanging<Key> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Key: Clone + Eq + Hash> Hanging<Key> {
    /// What a look gives; none where that takes longer than the limit, or an earlier one at the same has not come back within its own. One
    /// that is on its way is waited for.
    pub(super) async fn answer_of<T: Send + 'static>(
        &self,
        key: Key,
        limit: Duration,
        tasks: &TaskTracker,
        look: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(self.places().entry(key.clone()).or_default());
        let earlier_until = place.until().unwrap_or_else(Instant::now);
        let turn = timeout_at(earlier_until, Arc::clone(&place.turn).lock_owned()).await.ok()?;
        *place.until() = Some(Instant::now() + limit);
        let (tell, told) = oneshot::channel();
        tasks.spawn(async move {
            let answer = look.await;
            drop(turn);
            // Whoever has asked may be gone.
            let _ = tell.send(answer);
        });
        let answer = timeout(limit, told).await.ok()?.ok();
        let mut places = self.places();
        // Nobody else waits there: all get to it under this lock.
        if Arc::strong_count(&place) == 2 {
            places.remove(&key);
        }
        answer
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Place>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_not_joined_by_others() {
        let (hanging, tasks, begun) = (Hanging::default(), TaskTracker::new(), Arc::new(AtomicUsize::new(0)));
        let look = || {
            let begun = Arc::clone(&begun);
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                pending::<()>().await;
            }
        };
        let (first, second) = tokio::join!(hanging.answer_of("g", LIMIT, &tasks, look()), hanging.answer_of("g", LIMIT, &tasks, look()));
        assert_eq!((first, second, begun.load(Ordering::Relaxed)), (None, None, 1));
        let asked = Instant::now();
        assert_eq!(hanging.answer_of("g", LIMIT, &tasks, look()).await, None);
        assert_eq!((asked.elapsed(), begun.load(Ordering::Relaxed)), (Duration::ZERO, 1));
        assert_eq!(hanging.answer_of("other", LIMIT, &tasks, ready(5)).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_only_takes_its_time_is_waited_for() {
        let (hanging, tasks) = (Hanging::default(), TaskTracker::new());
        let slow = async {
            tokio::time::sleep(LIMIT / 2).await;
            1
        };
        let (first, second) = tokio::join!(hanging.answer_of("g", LIMIT, &tasks, slow), hanging.answer_of("g", LIMIT, &tasks, ready(2)));
        assert_eq!((first, second), (Some(1), Some(2)));
        assert!(hanging.places().is_empty());
    }
}
