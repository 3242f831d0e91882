//! Looks at what may hang, as a mount does: each holds one thread of ours at most, not one more whenever somebody looks.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// The looks that have not come back in time, by what they look at.
#[derive(Debug)]
pub(super) struct Hanging<Key>(Mutex<HashMap<Key, JoinHandle<()>>>);

impl<Key> Default for Hanging<Key> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Key: Debug + Eq + Hash> Hanging<Key> {
    /// What a look gives; none where that takes longer than the limit, or an earlier one at the same has not come back.
    pub(super) async fn answer_of<T: Send + 'static>(
        &self,
        key: Key,
        limit: Duration,
        tasks: &TaskTracker,
        look: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let hanging = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hanging().get(&key).is_some_and(|earlier| !earlier.is_finished()) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let looking = tasks.spawn(async move {
            // Whoever has asked may be gone.
            let _ = tell.send(look.await);
        });
        match timeout(limit, told).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                hanging().insert(key, looking);
                None
            }
        }
    }
}
