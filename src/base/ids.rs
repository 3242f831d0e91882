//! Ids: UUIDv7, one type per noun, so that a snapshot's id cannot be taken for an operation's.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::timestamp::Timestamp;

macro_rules! id_type {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a fresh id.
            pub fn new(source: &IdSource, now: Timestamp) -> Self {
                Self(source.next(now))
            }

            /// The id that `text` names, if it has the form of one.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl std::fmt::Display for $name {
            /// Lower-case with hyphens, 36 characters.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

id_type! {
    /// Names a snapshot.
    SnapshotId,
    /// Names an operation.
    OperationId,
    /// Names a running process among the instances that share a database.
    InstanceId,
    /// Names a request in logs and error answers.
    RequestId,
    /// Names a row of the audit trail.
    AuditEventId,
    /// Names a verification of a snapshot.
    VerificationId,
    /// Names a schedule.
    ScheduleId,
    /// Names a run of a schedule.
    ScheduleRunId,
    /// Names a checkpoint.
    CheckpointId,
    /// Names a validation of a checkpoint.
    ValidationId,
    /// Names what was found when a component was looked at.
    HealthCheckId,
    /// Names the probes of a graph as they were set at one time.
    ProbeSetId,
    /// Names a drill.
    DrillId,
    /// Names the drills that were asked for together.
    DrillRunId,
    /// Names a failover.
    FailoverId,
    /// Names a target of replication.
    TargetId,
    /// Names something that has happened to a target.
    EventId,
    /// Names an alert.
    AlertId,
    /// Names a silence.
    SilenceId,
    /// Names what somebody is to be told.
    NotificationId,
}

/// Where ids come from: random ones, or counted ones that are the same in each run of a test.
#[derive(Debug, Default)]
pub enum IdSource {
    /// Time-ordered random ids.
    #[default]
    Random,
    /// Time-ordered ids that count up.
    Counted(AtomicU64),
}

impl IdSource {
    /// Ids that count up from `start`.
    pub fn counted(start: u64) -> Self {
        Self::Counted(AtomicU64::new(start))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
    fn next(&self, now: Timestamp) -> Uuid {
        let seconds = u64::try_from(now.micros().div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(now.micros().rem_euclid(1_000_000) * 1000).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        match self {
            Self::Random => Uuid::new_v7(time),
            Self::Counted(counter) => {
                let millis = seconds * 1000 + u64::from(nanos / 1_000_000);
                let mut tail = [0; 10];
                tail[2..].copy_from_slice(&counter.fetch_add(1, Ordering::SeqCst).to_be_bytes());
                uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
            }
        }
    }
}
