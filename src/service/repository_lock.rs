//! A repository's lock, held for one operation: waited for, kept fresh, given back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::Services;
use super::error::Error;
use crate::base::control::Control;
use crate::repository::{Error as RepositoryError, Lock, LockKind, Repository};

/// How long an operation waits for an operator's restic to finish.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(500);

/// restic holds a lock for stale after 30 minutes without a refresh; it renews its own every 5.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// A held lock. The last clone gives it back.
#[derive(Debug, Clone)]
pub(super) struct HeldLock {
    lock: Arc<Lock>,
    _refreshing: Arc<DropGuard>,
}

impl HeldLock {
    /// Takes a lock; waits while another process holds one against it.
    ///
    /// # Errors
    /// It is still held when patience ends; the work was cancelled.
    pub(super) async fn take(services: &Services, repository: &Arc<Repository>, kind: LockKind, control: &Control) -> Result<Self, Error> {
        Self::take_within(PATIENCE, services, repository, kind, control).await
    }

    /// As [`HeldLock::take`], with another patience.
    ///
    /// # Errors
    /// As [`HeldLock::take`].
    pub(super) async fn take_within(
        patience: Duration,
        services: &Services,
        repository: &Arc<Repository>,
        kind: LockKind,
        control: &Control,
    ) -> Result<Self, Error> {
        let until = Instant::now() + patience;
        loop {
            control.go_on()?;
            let (repository, now, host) = (Arc::clone(repository), services.now(), services.settings().host_name.clone());
            let taken = services.blocking(move || Ok::<_, Error>(repository.lock(kind, now, &host))).await?;
            match taken {
                Ok(lock) => return Ok(Self::keep_fresh(services, lock)),
                Err(RepositoryError::Locked { .. }) if Instant::now() < until => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a lock if nobody holds one against it.
    ///
    /// # Errors
    /// Somebody does; it cannot be written.
    pub(super) async fn try_take(services: &Services, repository: &Arc<Repository>, kind: LockKind) -> Result<Self, Error> {
        let (repository, now, host) = (Arc::clone(repository), services.now(), services.settings().host_name.clone());
        let lock = services.blocking(move || repository.lock(kind, now, &host)).await?;
        Ok(Self::keep_fresh(services, lock))
    }

    fn keep_fresh(services: &Services, lock: Lock) -> Self {
        let lock = Arc::new(lock);
        let stop = tokio_util::sync::CancellationToken::new();
        let (weak, token, bag) = (Arc::downgrade(&lock), stop.clone(), services.clone());
        services.tasks().spawn(token.run_until_cancelled_owned(async move {
            loop {
                tokio::time::sleep(REFRESH).await;
                let Some(lock) = weak.upgrade() else { return };
                let now = bag.now();
                let refreshed = bag.blocking(move || lock.refresh(now)).await;
                if let Err(error) = refreshed {
                    tracing::warn!(error = error.chain(), "cannot refresh a repository's lock");
                }
            }
        }));
        Self { lock, _refreshing: Arc::new(stop.drop_guard()) }
    }

    /// The lock, for a call into the repository.
    pub(super) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Gives the lock back where it may block. A lock file that cannot be removed is seen as left over later: the work is done
    /// all the same.
    pub(super) async fn release(self, services: &Services) {
        let released = services.blocking(move || {
            drop(self);
            Ok::<_, Error>(())
        });
        if let Err(error) = released.await {
            tracing::warn!(error = error.chain(), "cannot give a repository's lock back");
        }
    }
}
