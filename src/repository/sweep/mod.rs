//! Putting a repository in order: prune gives back the space of what nobody uses, repair keeps what can be kept of a damaged one.

mod examine;
pub(crate) mod losses;
mod plan;
mod proven;
pub(crate) mod prune;
mod repack;
pub(crate) mod repair;
pub(crate) mod roots;
mod survey;
mod used;
mod without_manifest;
