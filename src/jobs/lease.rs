//! The right of one instance to do something alone, for loops that ask for it often.

use std::time::Duration;

use tokio::time::Instant;

use crate::service::{Error, Services};
use crate::store::leases;

/// How long another instance waits when this one has ended without a word. Two at once would do nothing twice, only work in vain.
const LEASE: Duration = Duration::from_secs(15);

/// How often a lease is renewed.
pub(super) const RENEWAL: Duration = Duration::from_secs(5);

/// Whether this instance has a lease now; it is asked for only when it is to be renewed.
///
/// # Errors
/// The database's.
pub(super) async fn has_lease(services: &Services, name: &str, renewed_at: &mut Option<Instant>) -> Result<bool, Error> {
    // Only one process uses a SQLite database.
    if services.store().is_sqlite() || renewed_at.is_some_and(|renewed_at| renewed_at.elapsed() < RENEWAL) {
        return Ok(true);
    }
    let taken = leases::take(services.store().read(), name, services.instance_id(), services.now(), LEASE).await?;
    *renewed_at = taken.then(Instant::now);
    Ok(taken)
}
