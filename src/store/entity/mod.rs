//! The tables, one file each.

pub mod audit_event;
pub mod checkpoint;
pub mod checkpoint_member;
pub mod drill;
pub mod failover;
pub mod fence;
pub mod graph;
pub mod health_check;
pub mod idempotency_key;
pub mod lease;
pub mod operation;
pub mod probe_set;
pub mod replica;
pub mod replication;
pub mod retrieval;
pub mod schedule;
pub mod schedule_run;
pub mod snapshot;
pub mod standby;
pub mod target;
pub mod target_event;
pub mod validation;
pub mod validation_member;
pub mod verification;
