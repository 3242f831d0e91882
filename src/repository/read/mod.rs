//! Reading: blobs, looking into a snapshot, restoring, verifying and comparing it, checking a repository.

pub(crate) mod blobs;
pub(crate) mod browse;
pub(crate) mod check;
pub(crate) mod check_pack;
pub(crate) mod content;
pub(crate) mod differences;
pub(crate) mod file;
pub(crate) mod locate;
mod metadata;
mod output;
mod pieces;
mod plan;
pub(crate) mod restore;
pub(crate) mod root;
mod selection;
pub(crate) mod spans;
pub(crate) mod verify;
