//! Counts over everything.

use super::Services;
use super::error::Error;
use crate::store::graphs::{self, GraphStats};

impl Services {
    /// Counts over each graph's restorable snapshots, in the order of the ids. Added up by the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn backup_stats(&self) -> Result<Vec<GraphStats>, Error> {
        Ok(graphs::aggregate(self.store().read(), None).await?)
    }
}
