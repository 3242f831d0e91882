//! The repository engine by its public door, with stock restic as referee.

mod beside;
mod choosing;
mod copies;
mod damage;
mod differences;
mod doubts;
mod forgetting;
mod locks;
mod manifest;
mod opening;
mod prune_limits;
mod pruning;
mod reading;
mod referee;
mod repairing;
mod rescuing;
mod sources;
mod support;
mod verifying;
mod without_manifest;
mod writing;
