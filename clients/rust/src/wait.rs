//! Waiting for operations.

use crate::client::{Client, too_late};
use crate::error::Error;
use crate::v1::{Operation, OperationState, WatchOperationRequest};

impl Client {
    /// Waits until an operation has ended, and tells `progress` of each of its states, the last one included. Where the server goes away
    /// meanwhile it is looked for again, as long as calls are: the operation goes on by itself.
    ///
    /// # Errors
    /// The operation's own error where it has failed; [`Error::Cancelled`]; as [`Self::call`].
    pub async fn wait(&self, operation_id: &str, progress: impl FnMut(&Operation)) -> Result<Operation, Error> {
        let waiting = self.wait_long(operation_id, progress);
        match self.deadline() {
            Some(deadline) => tokio::time::timeout(deadline, waiting).await.unwrap_or_else(|_| Err(too_late(deadline))),
            None => waiting.await,
        }
    }

    async fn wait_long(&self, operation_id: &str, mut progress: impl FnMut(&Operation)) -> Result<Operation, Error> {
        let mut attempt = 1;
        loop {
            match self.follow(operation_id, &mut progress, &mut attempt).await {
                Ok(operation) => return outcome(operation),
                Err(error) if error.is_passing() => match self.retry().pause(attempt) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// The state in which the operation has ended.
    async fn follow(&self, id: &str, progress: &mut impl FnMut(&Operation), attempt: &mut u32) -> Result<Operation, Error> {
        let mut states = self.stream(WatchOperationRequest { operation_id: id.to_owned() }).await?;
        while let Some(operation) = states.message().await? {
            // It answers again: from here on, all attempts are there anew.
            *attempt = 1;
            progress(&operation);
            if is_over(&operation) {
                return Ok(operation);
            }
        }
        // A server that stops ends its streams.
        Err(Error::from(tonic::Status::unavailable("the server has stopped telling of the operation")))
    }
}

/// Whether an operation has ended.
#[must_use]
pub fn is_over(operation: &Operation) -> bool {
    matches!(operation.state(), OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled)
}

fn outcome(operation: Operation) -> Result<Operation, Error> {
    match (operation.state(), &operation.error) {
        (OperationState::Cancelled, _) => Err(Error::Cancelled),
        (OperationState::Failed, Some(status)) => Err(Error::from(status)),
        _ => Ok(operation),
    }
}
