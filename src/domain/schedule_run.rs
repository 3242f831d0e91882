//! Runs of schedules.

use super::words::words;

words! {
    /// Where a schedule comes from.
    pub enum ScheduleOrigin {
        /// A caller made it.
        Created = "created",
        /// A caller set it for its graph, which has one such schedule at most.
        Graph = "graph",
        /// It follows from the settings, for a graph that no other schedule names.
        Default = "default",
    }
}

words! {
    /// What a schedule does with its graphs.
    pub enum ScheduleAction {
        /// Takes a snapshot.
        Snapshot = "snapshot",
        /// Drills the newest good snapshot.
        Drill = "drill",
        /// Sends what targets lack.
        Replicate = "replicate",
    }
}

words! {
    /// What came of a firing of a schedule for one graph.
    pub enum RunOutcome {
        /// A snapshot or a drill was queued; its operation says the rest.
        Queued = "queued",
        /// Left out, since the run before was not over.
        Overlapped = "overlapped",
        /// Left out, since nothing ran in time.
        Missed = "missed",
        /// It could not be queued.
        Refused = "refused",
    }
}
