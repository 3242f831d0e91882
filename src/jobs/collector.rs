//! Collects metrics, and counts what has happened.

use std::time::Duration;

use tokio::time::Instant;

use crate::service::{Error, Services};
use crate::store::leases;

/// The lease of the instance that keeps the history.
const LEASE_NAME: &str = "monitoring";

/// How long another instance waits when this one has ended without a word, beyond the interval.
const LEASE: Duration = Duration::from_secs(60);

/// Collects at each interval, on all instances, as each is asked; one of them keeps the history. Until the process is asked to stop.
pub async fn collect(services: Services) {
    let (stopping, interval) = (services.stopping().clone(), services.settings().monitoring.interval);
    while !stopping.is_cancelled() {
        let began = Instant::now();
        if let Err(error) = collect_once(&services, interval).await {
            tracing::warn!(error = error.chain(), "cannot collect metrics");
        }
        tokio::select! {
            () = tokio::time::sleep_until(began + interval) => {}
            () = stopping.cancelled() => {}
        }
    }
}

async fn collect_once(services: &Services, interval: Duration) -> Result<(), Error> {
    let collected = services.collect_metrics().await?;
    if leases::take(services.store().read(), LEASE_NAME, services.instance_id(), services.now(), interval + LEASE).await? {
        services.measure_unmeasured().await?;
        services.record_history(&collected).await?;
    }
    Ok(())
}

/// Counts what has happened soon after it has, so that events are there and facts do not heap up. Until the process is asked to stop.
pub async fn count(services: Services) {
    let stopping = services.stopping().clone();
    let mut changes = services.wakeup().changes();
    while !stopping.is_cancelled() {
        if let Err(error) = services.count_facts().await {
            tracing::warn!(error = error.chain(), "cannot count what has happened");
        }
        tokio::select! {
            () = changes.next() => {}
            () = stopping.cancelled() => {}
        }
    }
}
