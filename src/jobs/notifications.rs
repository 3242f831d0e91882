//! Tells of alerts what is to be told; on one instance at a time.

use super::lease::has_lease;
use crate::service::Services;

/// The lease of the instance that tells.
const LEASE_NAME: &str = "notifications";

/// Sends what is due, after each change and every second, until the process is asked to stop.
pub async fn notify(services: Services) {
    let (stopping, mut changes) = (services.stopping().clone(), services.wakeup().changes());
    let mut renewed_at = None;
    while !stopping.is_cancelled() {
        let done = match has_lease(&services, LEASE_NAME, &mut renewed_at).await {
            Ok(true) => services.deliver_notifications().await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::error!(error = error.chain(), "cannot tell of alerts");
        }
        tokio::select! {
            () = changes.next() => {}
            () = stopping.cancelled() => {}
        }
    }
}
