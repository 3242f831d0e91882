//! Floor 1: pure rules. No async, no IO; time is an argument.

pub mod caller;
pub mod census;
pub mod checkpoint;
pub mod difference;
pub mod drill;
pub mod entry;
pub mod estimate;
pub mod finding;
pub mod graph_id;
pub mod health;
pub mod label;
pub mod lightrag_layout;
pub mod operation;
pub mod page;
pub mod policy;
pub mod probe;
pub mod report;
pub mod retention;
pub mod schedule;
pub mod schedule_run;
pub mod snapshot;
pub mod tag;
pub mod time_zone;
pub mod validate;
pub mod verification;
pub(crate) mod words;
