//! What the owner of a graph wants in doubtful cases.

use super::words::words;

words! {
    /// What to do when a LightRAG server does not come to rest within the limit.
    pub enum BusyPolicy {
        /// Take the snapshot all the same.
        Proceed = "proceed",
        /// Fail the snapshot.
        Fail = "fail",
    }
}

words! {
    /// What to do with a source whose stores contradict each other.
    pub enum InconsistentPolicy {
        /// Keep the snapshot, marked: a damaged graph needs its backup most.
        Keep = "keep",
        /// Fail the snapshot.
        Fail = "fail",
    }
}
