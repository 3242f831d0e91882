//! Reading: blobs, restoring a snapshot, checking a repository.

pub(crate) mod blobs;
pub(crate) mod check;
mod check_pack;
mod metadata;
mod output;
mod plan;
pub(crate) mod restore;
mod spans;
