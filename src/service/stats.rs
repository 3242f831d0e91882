//! Counts over everything.

use super::Services;
use super::error::Error;
use crate::store::snapshots::{self, GraphStats};

impl Services {
    /// Counts over each graph's restorable snapshots, in the order of the ids. Added up by the database.
    ///
    /// # Errors
    /// The database's.
    pub async fn backup_stats(&self) -> Result<Vec<GraphStats>, Error> {
        Ok(snapshots::aggregate_by_graph(self.store().read(), None).await?)
    }
}
