//! Fires schedules, on one instance at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::watching::Watching;
use crate::service::{Error, Services};
use crate::store::leases;

/// The lease of the instance that fires.
const LEASE_NAME: &str = "scheduler";

/// How long another instance waits when this one has ended without a word.
const LEASE: Duration = Duration::from_secs(15);

/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);

/// Fires what is due each second, and what follows changes, until the process is asked to stop.
pub async fn schedule(services: Services) {
    let stopping = services.stopping().clone();
    let mut leadership = Leadership { services: services.clone(), renewed_at: None };
    let mut watching = Watching::new(services.clone());
    while !stopping.is_cancelled() {
        match leadership.has_it().await {
            Ok(true) => {
                if let Err(error) = services.fire_due().await {
                    tracing::error!(error = error.chain(), "cannot fire schedules");
                }
                if let Err(error) = watching.look().await {
                    tracing::error!(error = error.chain(), "cannot follow changes");
                }
            }
            Ok(false) => watching.forget(),
            Err(error) => tracing::error!(error = error.chain(), "cannot take the lease of the scheduler"),
        }
        tokio::select! {
            () = services.wakeup().schedule() => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// The right to fire. Two instances at once would double nothing, only work in vain.
struct Leadership {
    services: Services,
    renewed_at: Option<Instant>,
}

impl Leadership {
    async fn has_it(&mut self) -> Result<bool, Error> {
        // Only one process uses a SQLite database.
        if self.services.store().is_sqlite() || self.renewed_at.is_some_and(|renewed_at| renewed_at.elapsed() < RENEWAL) {
            return Ok(true);
        }
        let (store, now) = (self.services.store(), self.services.now());
        let taken = leases::take(store.read(), LEASE_NAME, self.services.instance_id(), now, LEASE).await?;
        self.renewed_at = taken.then(Instant::now);
        Ok(taken)
    }
}
