//! Claims operations and works on them, so many at once as there are slots.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::run;
use crate::base::control::Control;
use crate::domain::operation::{HEARTBEAT, OperationKind};
use crate::service::operations::is_hopeless;
use crate::service::{Error, ErrorKind, Services};
use crate::store;
use crate::store::entity::operation::Model;

/// How often progress is looked at; it is written when it has changed.
const PROGRESS_TICK: Duration = Duration::from_secs(1);

/// How long running work has to finish when the process is asked to stop; then it is stopped and given back.
const GRACE: Duration = Duration::from_secs(10);

/// The loop that claims operations.
#[derive(Debug)]
pub struct Worker {
    services: Services,
    slots: Arc<Semaphore>,
}

impl Worker {
    /// A worker with so many slots.
    pub fn new(services: Services, slots: usize) -> Self {
        Self { services, slots: Arc::new(Semaphore::new(slots.max(1))) }
    }

    /// Claims and works until the process is asked to stop; then waits for the work that runs, and stops what takes too long.
    pub async fn run(self) {
        let stopping = self.services.stopping().clone();
        while !stopping.is_cancelled() {
            let slot = tokio::select! {
                slot = Arc::clone(&self.slots).acquire_owned() => slot,
                () = stopping.cancelled() => break,
            };
            let Ok(slot) = slot else { break };
            match self.services.claim_operation().await {
                Ok(Some(operation)) => {
                    self.begin(operation, slot);
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(error = error.chain(), "cannot claim an operation"),
            }
            drop(slot);
            tokio::select! {
                () = self.services.wakeup().work() => {}
                () = stopping.cancelled() => {}
            }
        }
        self.let_finish().await;
    }

    fn begin(&self, operation: Model, slot: OwnedSemaphorePermit) {
        let cancel = CancellationToken::new();
        // From now on a stop waits for it, and it is not claimed a second time here.
        let registered = self.services.register_running(operation.operation_id, cancel.clone());
        let services = self.services.clone();
        self.services.tasks().spawn(async move {
            let (kind, graph_id) = (operation.kind, operation.graph_id.clone());
            work_on(&services, operation, cancel).await;
            if kind.changes_repository() {
                services.have_measured([graph_id]);
            }
            drop(registered);
            drop(slot);
            services.wakeup().announce_work();
        });
    }

    async fn let_finish(&self) {
        let until = Instant::now() + GRACE;
        let mut changes = self.services.wakeup().changes();
        while !self.services.running().is_empty() && Instant::now() < until {
            changes.next().await;
        }
        self.services.running().cancel_all();
    }
}

/// Works on one claimed operation to its end, and records how it ended.
async fn work_on(services: &Services, operation: Model, cancel: CancellationToken) {
    let control = Arc::new(Control::new(cancel.clone()));
    if operation.cancel_requested {
        cancel.cancel();
    }
    let id = operation.operation_id.to_string();
    tracing::info!(operation_id = id, kind = operation.kind.as_str(), graph_id = operation.graph_id.as_str(), "operation begins");
    let work = async {
        match is_hopeless(&operation) {
            Some(error) => Err(error),
            None => run(services, &operation, &control).await,
        }
    };
    // Beside each other, never one inside the other: the heartbeat may wait for a row that the work's transaction holds.
    let result = tokio::select! {
        result = work => result,
        never = keep_alive(services, &operation, &control, &cancel) => match never {},
    };
    match result {
        Ok(()) => tracing::info!(operation_id = id, "operation has succeeded"),
        // The lease is kept: what is put right may take long.
        Err(error) => tokio::select! {
            () = settle(services, &operation, &control, error) => {}
            never = keep_alive(services, &operation, &control, &cancel) => match never {},
        },
    }
}

/// Renews the lease and records progress for as long as it is polled. Work that has lost its lease, or that a caller wants to end,
/// is stopped.
async fn keep_alive(services: &Services, operation: &Model, control: &Control, cancel: &CancellationToken) -> Infallible {
    let mut last = (control.progress(), Instant::now());
    let mut tick = tokio::time::interval(PROGRESS_TICK);
    tick.tick().await;
    loop {
        tick.tick().await;
        if control.progress() == last.0 && last.1.elapsed() < HEARTBEAT {
            continue;
        }
        last = (control.progress(), Instant::now());
        match services.beat(operation, control.progress()).await {
            Ok(false) => {}
            Ok(true) | Err(Error::Store(store::Error::LeaseLost { .. })) => cancel.cancel(),
            // The database may be back before the lease is over.
            Err(error) => tracing::warn!(error = error.chain(), "cannot renew a lease"),
        }
    }
}

async fn settle(services: &Services, operation: &Model, control: &Arc<Control>, error: Error) {
    let id = operation.operation_id.to_string();
    if let Error::Store(store::Error::LeaseLost { .. }) = error {
        tracing::warn!(operation_id = id, "another worker has the operation");
        return;
    }
    let stopped_with_the_process = error.kind() == ErrorKind::Cancelled && services.stopping().is_cancelled();
    let recorded = if stopped_with_the_process && !is_cancel_requested(services, operation).await {
        // What earlier attempts have left stays as it is: it says how far they came.
        tracing::info!(operation_id = id, "operation is given back, the next start goes on with it");
        services.release_operation(operation).await
    } else if OperationKind::THROUGH_FENCES.contains(&operation.kind) && matches!(error, Error::Store(_)) {
        // Some graphs may be the old ones and some the new: the next attempt goes on.
        tracing::error!(operation_id = id, error = error.chain(), "operation is tried again");
        services.try_again(operation).await
    } else {
        if operation.attempt > 1 {
            // A worker that was stopped may have lost its lease: then what is there is another's.
            if services.check_lease(operation).await.is_err() {
                tracing::warn!(operation_id = id, "another worker has the operation");
                return;
            }
            services.abandon(operation).await;
        }
        if error.is_hidden() {
            tracing::error!(operation_id = id, error = error.chain(), "operation has failed");
        } else {
            tracing::warn!(operation_id = id, reason = error.reason(), error = error.chain(), "operation has failed");
        }
        services.fail_operation(operation, &error, control).await
    };
    if let Err(error) = recorded {
        tracing::error!(operation_id = id, error = error.chain(), "cannot record how an operation ended");
    }
}

async fn is_cancel_requested(services: &Services, operation: &Model) -> bool {
    let row = services.get_operation(&operation.operation_id.to_string()).await;
    row.is_ok_and(|operation| operation.row.cancel_requested)
}
