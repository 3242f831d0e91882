//! Giving back space: what snapshots use is kept, everything else goes. Everything here deletes, so it stops at the first doubt.

pub(crate) mod prune;
mod repack;
mod survey;
mod used;
