//! The repository engine by its public door, with stock restic as referee.

mod choosing;
mod damage;
mod differences;
mod forgetting;
mod locks;
mod manifest;
mod opening;
mod pruning;
mod reading;
mod referee;
mod repairing;
mod sources;
mod support;
mod verifying;
mod writing;
