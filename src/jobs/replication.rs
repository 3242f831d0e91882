//! Sends snapshots to targets, and looks after them; on one instance at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::lease::{RENEWAL, has_lease};
use crate::service::{Error, Services};

/// The leases of the instance that sends, and of the one that looks.
const SENDING: &str = "replication";
const LOOKING: &str = "targets";

/// How often is looked whether copies are to be read again.
const REREADING: Duration = Duration::from_secs(60);

/// Begins what can be sent, after each change and every second, until the process is asked to stop.
pub async fn replicate(services: Services) {
    let (stopping, mut changes) = (services.stopping().clone(), services.wakeup().changes());
    let mut renewed_at: Option<Instant> = None;
    while !stopping.is_cancelled() {
        match has_lease(&services, SENDING, &mut renewed_at).await {
            Ok(true) => {
                told(services.replicate_due().await, "send snapshots to targets");
                told(services.settle_replications().await, "end operations that wait for targets");
                told(services.refresh_standbys().await, "refresh standbys");
            }
            Ok(false) => {}
            Err(error) => told(Err(error), "take the lease of replication"),
        }
        tokio::select! {
            () = changes.next() => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// Looks at the targets at each interval, and has copies read again, until the process is asked to stop. Apart from sending: a target that
/// hangs holds up nothing else.
pub async fn watch_targets(services: Services) {
    let (stopping, interval) = (services.stopping().clone(), services.settings().replication.health_check_interval);
    let (mut renewed_at, mut looked_at, mut reread_at) = (None, None::<Instant>, None::<Instant>);
    let is_due = |last: Option<Instant>, period: Duration| last.is_none_or(|last| last.elapsed() >= period);
    while !stopping.is_cancelled() {
        match has_lease(&services, LOOKING, &mut renewed_at).await {
            Ok(true) if is_due(looked_at, interval) => {
                told(services.check_targets().await, "look at targets");
                looked_at = Some(Instant::now());
            }
            Ok(true) if is_due(reread_at, REREADING) => {
                told(services.begin_rereading().await, "have copies read again");
                told(services.forget_replication_events().await, "forget old events");
                reread_at = Some(Instant::now());
            }
            Ok(_) => {}
            Err(error) => told(Err(error), "take the lease of targets"),
        }
        stopping.run_until_cancelled(tokio::time::sleep(RENEWAL.min(interval))).await;
    }
}

fn told(done: Result<(), Error>, what: &str) {
    if let Err(error) = done {
        tracing::error!(error = error.chain(), "cannot {what}");
    }
}
