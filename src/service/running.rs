//! What this process works on, so that it can be stopped, and so that two pieces of work do not meet in one directory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Services;
use crate::base::ids::OperationId;

/// The operations that this process works on.
#[derive(Debug, Default)]
pub struct Running(Mutex<HashMap<OperationId, Entry>>);

#[derive(Debug)]
struct Entry {
    cancel: CancellationToken,
    /// The directories that it replaces.
    targets: Vec<PathBuf>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which they are.
    pub fn ids(&self) -> Vec<OperationId> {
        self.lock().keys().copied().collect()
    }

    /// Stops the work on one operation, if it is here.
    pub fn cancel(&self, id: OperationId) {
        if let Some(entry) = self.lock().get(&id) {
            entry.cancel.cancel();
        }
    }

    /// Stops all work.
    pub fn cancel_all(&self) {
        self.lock().values().for_each(|entry| entry.cancel.cancel());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Reserves directories for an operation until it ends, all or none; says whether no other has one of them, one in it, or one
    /// around it.
    pub(super) fn reserve(&self, id: OperationId, targets: &[PathBuf]) -> bool {
        let mut entries = self.lock();
        let mut others = entries.iter().filter(|(other, _)| **other != id).flat_map(|(_, entry)| &entry.targets);
        if others.any(|other| targets.iter().any(|target| other.starts_with(target) || target.starts_with(other))) {
            return false;
        }
        if let Some(entry) = entries.get_mut(&id) {
            entry.targets = targets.to_vec();
        }
        true
    }
}

/// An operation is being worked on until this is dropped.
#[derive(Debug)]
pub struct Registered {
    services: Services,
    id: OperationId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.services.running().lock().remove(&self.id);
        self.services.wakeup().announce_change();
    }
}

impl Services {
    /// Notes that work on an operation begins; it ends when the token is cancelled.
    pub fn register_running(&self, id: OperationId, cancel: CancellationToken) -> Registered {
        self.running().lock().insert(id, Entry { cancel, targets: Vec::new() });
        Registered { services: self.clone(), id }
    }
}
