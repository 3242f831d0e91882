//! Completes checkpoints and validations, and goes on with failbacks.

use crate::service::Services;

/// Looks after each change, and every second, what has come to its end, until the process is asked to stop.
pub async fn follow_recovery(services: Services) {
    let stopping = services.stopping().clone();
    let mut changes = services.wakeup().changes();
    while !stopping.is_cancelled() {
        if let Err(error) = services.settle_recovery().await {
            tracing::error!(error = error.chain(), "cannot complete checkpoints");
        }
        tokio::select! {
            () = changes.next() => {}
            () = stopping.cancelled() => {}
        }
    }
}
