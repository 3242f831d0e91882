//! The repository engine by its public door, with stock restic as referee.

mod beside;
mod choosing;
mod damage;
mod differences;
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
