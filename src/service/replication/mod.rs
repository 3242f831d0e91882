//! Copies in other places: targets, what is sent to them, what is received from others, and how far each is.

pub(super) mod condition;
mod destination;
mod events;
mod fingerprint;
mod mirror;
mod place;
pub(super) mod queue;
mod receiving;
mod recover_work;
mod repairing;
mod request;
mod rereading;
mod room;
mod sending;
mod standby;
pub(super) mod status;
mod targets;
mod throttle;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::address::AddressRules;

// What comes over the door between Lightkeeps.
pub use crate::peer::PROTOCOL;
pub use crate::repository::{Commit, FileId, FileKind, Founding, RecordId, Reread};
pub use condition::Condition;
pub use receiving::Held;
pub use request::ReplicateWish;
pub use rereading::RereadReport;
pub(super) use sending::Sending;
pub use status::{ReplicaStatus, ReplicationStatus};
pub use targets::{NewTarget, TargetUpdate, etag};

/// How copies go to other places; by default they do not.
#[derive(Debug, Clone, Default)]
pub struct ReplicationSettings {
    /// Whether anything is sent.
    pub is_enabled: bool,
    /// How many targets there may be.
    pub most_targets: u32,
    /// How often targets are looked at.
    pub health_check_interval: Duration,
    /// What addresses they may have.
    pub addresses: AddressRules,
    /// Directories that targets on disks must lie in, resolved.
    pub roots: Vec<PathBuf>,
}
