//! What a snapshot can be.

use super::words::words;

words! {
    /// Where a snapshot stands.
    pub enum SnapshotStatus {
        /// Waits for its turn.
        Pending = "pending",
        /// Is being taken.
        InProgress = "in_progress",
        /// Can be restored.
        Completed = "completed",
        /// Could not be taken.
        Failed = "failed",
        /// Kept elsewhere.
        Archived = "archived",
        /// Can be restored, and has been at least once.
        Restored = "restored",
    }
}

impl SnapshotStatus {
    /// Those that count as completed: everything is there and can be restored.
    pub const RESTORABLE: [Self; 2] = [Self::Completed, Self::Restored];

    /// Those in which the work on it has ended.
    pub const SETTLED: [Self; 4] = [Self::Completed, Self::Restored, Self::Failed, Self::Archived];

    /// Whether a snapshot in this state can be restored.
    pub fn is_restorable(self) -> bool {
        Self::RESTORABLE.contains(&self)
    }

    /// Whether the work on it has ended.
    pub fn is_settled(self) -> bool {
        Self::SETTLED.contains(&self)
    }
}
