//! Collects metrics, measures repositories, and counts what has happened.

use crate::service::{Error, Services};

/// Collects at each interval from now on, on all instances, as each is asked. Until the process is asked to stop.
pub async fn collect(services: Services) {
    let (stopping, interval) = (services.stopping().clone(), services.settings().monitoring.interval);
    while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        if let Err(error) = collect_once(&services).await {
            tracing::warn!(error = error.chain(), "cannot collect metrics");
        }
    }
}

async fn collect_once(services: &Services) -> Result<(), Error> {
    let collected = services.collect_metrics().await?;
    services.follow_collection(&collected).await
}

/// Measures repositories after the operations that change them, until the process is asked to stop.
pub async fn measure(services: Services) {
    if let Err(error) = services.have_unmeasured_measured().await {
        tracing::warn!(error = error.chain(), "cannot find the repositories that nobody has measured");
    }
    services.stopping().run_until_cancelled(services.measure_repositories()).await;
}

/// Counts what has happened soon after it has, so that events are there and facts do not heap up. Until the process is asked to stop.
pub async fn count(services: Services) {
    let stopping = services.stopping().clone();
    let mut changes = services.wakeup().changes();
    while !stopping.is_cancelled() {
        if let Err(error) = services.count_facts().await {
            tracing::warn!(error = error.chain(), "cannot count what has happened");
        }
        stopping.run_until_cancelled(changes.next()).await;
    }
}
