//! Fires schedules, on one instance at a time.

use super::lease::has_lease;
use super::watching::Watching;
use crate::service::Services;

/// The lease of the instance that fires.
const LEASE_NAME: &str = "scheduler";

/// Fires what is due each second, and what follows changes, until the process is asked to stop.
pub async fn schedule(services: Services) {
    let stopping = services.stopping().clone();
    let mut renewed_at = None;
    let mut watching = Watching::new(services.clone());
    while !stopping.is_cancelled() {
        match has_lease(&services, LEASE_NAME, &mut renewed_at).await {
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
