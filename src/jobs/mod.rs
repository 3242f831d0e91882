//! Floor 4: what goes on by itself. The loops and their leases; the work is in `service`.

mod collector;
mod health;
mod housekeeping;
mod lease;
mod notifications;
mod recovery;
mod replication;
mod scheduler;
mod watching;
mod worker;

use std::sync::Arc;

use crate::base::control::Control;
use crate::domain::operation::OperationKind;
use crate::service::{Error, Services};
use crate::store::entity::operation::Model;

pub use collector::{collect, count, measure};
pub use health::watch_health;
pub use housekeeping::{housekeep, recover};
pub use notifications::notify;
pub use recovery::follow_recovery;
pub use replication::{replicate, watch_targets};
pub use scheduler::schedule;
pub use worker::Worker;

/// Does an operation: one exhaustive match from its kind to its work.
async fn run(services: &Services, operation: &Model, control: &Arc<Control>) -> Result<(), Error> {
    match operation.kind {
        OperationKind::Snapshot => services.run_snapshot(operation, control).await,
        OperationKind::Restore => services.run_restore(operation, control).await,
        OperationKind::Delete => services.run_delete(operation, control).await,
        OperationKind::Unregister => services.run_unregister(operation, control).await,
        OperationKind::Prune => services.run_prune(operation, control).await,
        OperationKind::Verify => services.run_verify(operation, control).await,
        OperationKind::Check => services.run_check(operation, control).await,
        OperationKind::Repair => services.run_repair(operation, control).await,
        OperationKind::Reconcile => services.run_reconcile(operation, control).await,
        OperationKind::Failover => services.run_failover(operation, control).await,
        OperationKind::Rollback => services.run_rollback(operation, control).await,
        OperationKind::Drill => services.run_drill(operation, control).await,
        OperationKind::Recover => services.run_recover(operation, control).await,
        // Never claimed, see `OperationKind::BESIDE_WORKERS`.
        OperationKind::Replicate => Err(Error::internal("do an operation", "one that waits for targets was claimed")),
        OperationKind::Cleanup => services.run_cleanup(operation, control).await,
    }
}
