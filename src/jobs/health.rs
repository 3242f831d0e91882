//! Looks from time to time at what recovery needs.

use std::time::Duration;

use crate::service::{Error, Services};
use crate::store::leases;

/// The lease of the instance that looks.
const LEASE_NAME: &str = "health";

/// How long another instance waits when this one has ended without a word, beyond the interval.
const LEASE: Duration = Duration::from_secs(60);

/// Looks at each interval, on one instance, until the process is asked to stop. Apart from all other work: a mount that hangs holds up
/// nothing else.
pub async fn watch_health(services: Services) {
    let (stopping, interval) = (services.stopping().clone(), services.settings().recovery.health_check_interval);
    while !stopping.is_cancelled() && !interval.is_zero() {
        if let Err(error) = look(&services, interval).await {
            tracing::warn!(error = error.chain(), "cannot look at what recovery needs");
        }
        stopping.run_until_cancelled(tokio::time::sleep(interval)).await;
    }
}

async fn look(services: &Services, interval: Duration) -> Result<(), Error> {
    let (store, now) = (services.store(), services.now());
    if leases::take(store.read(), LEASE_NAME, services.instance_id(), now, interval + LEASE).await? {
        services.check_recovery_health().await?;
    }
    Ok(())
}
