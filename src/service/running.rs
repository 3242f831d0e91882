//! What this process works on, so that it can be stopped, and so that two pieces of work do not meet in one directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
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
    /// The directory that it replaces.
    target: Option<PathBuf>,
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

    /// Reserves a directory for an operation until it ends; says whether no other has it, one in it, or one around it.
    pub(super) fn reserve(&self, id: OperationId, target: &Path) -> bool {
        let mut entries = self.lock();
        let mut others = entries.iter().filter(|(other, _)| **other != id).filter_map(|(_, entry)| entry.target.as_deref());
        if others.any(|other| other.starts_with(target) || target.starts_with(other)) {
            return false;
        }
        if let Some(entry) = entries.get_mut(&id) {
            entry.target = Some(target.to_owned());
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
        self.running().lock().insert(id, Entry { cancel, target: None });
        Registered { services: self.clone(), id }
    }
}
