//! Long work: what kinds there are and what states they pass through.

use std::time::Duration;

use super::words::words;

words! {
    /// What an operation does.
    pub enum OperationKind {
        /// Takes a snapshot.
        Snapshot = "snapshot",
        /// Restores a snapshot.
        Restore = "restore",
        /// Deletes a snapshot.
        Delete = "delete",
        /// Deletes the snapshots of a graph whose retention is over.
        Cleanup = "cleanup",
        /// Gives back the space of deleted snapshots.
        Prune = "prune",
        /// Verifies a snapshot.
        Verify = "verify",
        /// Checks a repository.
        Check = "check",
        /// Repairs a repository.
        Repair = "repair",
        /// Compares the rows of a graph with the records in its repository.
        Reconcile = "reconcile",
        /// Ends the care of a graph.
        Unregister = "unregister",
        /// Restores a snapshot into a scratch place, to prove that the graph can be recovered from it.
        Drill = "drill",
        /// Puts the graphs of a checkpoint in place, all or none.
        Failover = "failover",
        /// Puts back what a failover has replaced.
        Rollback = "rollback",
        /// Waits until snapshots were sent to targets.
        Replicate = "replicate",
        /// Brings the repository of a graph back from a target.
        Recover = "recover",
    }
}

impl OperationKind {
    /// Those that work on a graph although it is fenced: it is fenced for them.
    pub const THROUGH_FENCES: [Self; 2] = [Self::Failover, Self::Rollback];

    /// Those that no worker does: what they wait for is done beside all operations, and holds none of them up.
    pub const BESIDE_WORKERS: [Self; 1] = [Self::Replicate];

    /// Whether it may change the files of its graph's repository.
    pub fn changes_repository(self) -> bool {
        match self {
            Self::Snapshot
            | Self::Delete
            | Self::Cleanup
            | Self::Prune
            | Self::Repair
            // After copies were received.
            | Self::Reconcile
            | Self::Recover => true,
            Self::Restore
            | Self::Verify
            | Self::Check
            | Self::Unregister
            | Self::Drill
            | Self::Failover
            | Self::Rollback
            | Self::Replicate => false,
        }
    }
}

words! {
    /// Where an operation stands.
    pub enum OperationState {
        /// Waits for its turn.
        Queued = "queued",
        /// Is being worked on, by the holder of its lease.
        Running = "running",
        /// Has ended well.
        Succeeded = "succeeded",
        /// Has ended with an error.
        Failed = "failed",
        /// Was stopped by a caller.
        Cancelled = "cancelled",
    }
}

impl OperationState {
    /// Those to which something more happens.
    pub const OPEN: [Self; 2] = [Self::Queued, Self::Running];

    /// Whether nothing more happens to it.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// How long a worker owns an operation without a sign of life. After that another may take it.
pub const LEASE: Duration = Duration::from_secs(60);

/// How often a worker renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often work on an operation may begin. One that ended its process this often is not tried again.
pub const MAX_ATTEMPTS: i32 = 3;

/// How many operations may wait for one graph.
pub const MAX_QUEUED_PER_GRAPH: u64 = 64;
