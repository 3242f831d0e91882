//! Failovers: the graphs of a checkpoint put in place, all of them or none; and the way back. What was planned, what was done.

use serde::{Deserialize, Serialize};

use super::words::words;
use crate::base::ids::OperationId;
use crate::base::timestamp::Timestamp;

words! {
    /// Which way a failover goes.
    pub enum FailoverKind {
        /// From a checkpoint to where its graphs are to be.
        Failover = "failover",
        /// From where a failover has put them to where they were, with what has been written since.
        Failback = "failback",
    }
}

words! {
    /// Where a failover stands.
    pub enum FailoverState {
        /// Of a failback: the snapshots of its graphs are being taken.
        Capturing = "capturing",
        /// It waits, or is being done.
        Running = "running",
        /// All graphs are the new ones, and whatever comes after that went well.
        Succeeded = "succeeded",
        /// All graphs are the new ones. Something that comes after that has failed.
        Switched = "switched",
        /// All graphs are the old ones.
        Failed = "failed",
        /// The old graphs wait to be put back, or are being put back.
        RollingBack = "rolling_back",
        /// All graphs are the old ones again.
        RolledBack = "rolled_back",
        /// Some graphs are the old ones and some the new: putting back has failed. Nothing else works on them until it succeeds.
        Incomplete = "incomplete",
    }
}

impl FailoverState {
    /// Whether nothing more happens to it by itself.
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Capturing | Self::Running | Self::RollingBack)
    }

    /// Whether the old graphs can be put back.
    pub fn can_roll_back(self) -> bool {
        matches!(self, Self::Succeeded | Self::Switched | Self::Incomplete)
    }
}

words! {
    /// How far the work on a failover is. By it the next process knows whether to go on or to put back.
    pub enum Phase {
        /// No graph has been touched.
        Preparing = "preparing",
        /// All graphs wait beside their places, verified. Each is put in place.
        Switching = "switching",
        /// All graphs are the new ones.
        Switched = "switched",
        /// The old graphs are put back.
        PuttingBack = "putting_back",
        /// All graphs are the old ones.
        PutBack = "put_back",
    }
}

impl Phase {
    /// The state in which a failover ends whose work does not succeed in this phase.
    pub fn state_without_success(self) -> FailoverState {
        match self {
            Self::Preparing => FailoverState::Failed,
            Self::Switched => FailoverState::Switched,
            Self::Switching | Self::PuttingBack => FailoverState::Incomplete,
            Self::PutBack => FailoverState::RolledBack,
        }
    }
}

/// A directory that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where the graph's directory was registered.
    pub from: String,
    /// Where it is put.
    pub target: String,
    /// Where what is put there waits, beside the target, named by the attempt that restores it. As long as it is there, nothing was
    /// replaced. Empty before the first attempt.
    #[serde(default)]
    pub aside: String,
    /// Where what stood there is kept: beside the target, or in it where that is a file system of its own.
    pub kept_as: String,
    /// The sum of the sizes of the files that are put there, bytes.
    pub size_bytes: u64,
    /// Something stood there; known when the switch begins.
    #[serde(default)]
    pub had_former: bool,
    /// It was left as the new one when the others were put back, as what it had replaced was gone.
    #[serde(default)]
    pub was_left: bool,
    /// Where that was put which the failover had put there, when what stood there was put back.
    #[serde(default)]
    pub replaced_as: Option<String>,
}

/// A graph of a failover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The graph.
    pub graph_id: String,
    /// Its snapshot; empty while that is being taken.
    pub snapshot_id: String,
    /// Its source.
    pub source: Move,
    /// Its inputs, where the snapshot holds some and the graph has a place for them.
    #[serde(default)]
    pub inputs: Option<Move>,
    /// A LightRAG workspace, not a plain directory.
    #[serde(default)]
    pub is_workspace: bool,
    /// How long it is expected to take, seconds, by its drills or the last restores.
    #[serde(default)]
    pub expected_seconds: Option<f64>,
}

impl Member {
    /// Its directories, the source first.
    pub fn moves(&self) -> impl Iterator<Item = &Move> {
        std::iter::once(&self.source).chain(&self.inputs)
    }

    /// The same, to be changed.
    pub fn moves_mut(&mut self) -> impl Iterator<Item = &mut Move> {
        std::iter::once(&mut self.source).chain(&mut self.inputs)
    }

    /// Its inputs, or its source.
    pub fn move_mut(&mut self, is_inputs: bool) -> Option<&mut Move> {
        if is_inputs { self.inputs.as_mut() } else { Some(&mut self.source) }
    }

    /// The sum of the sizes of its files, bytes.
    pub fn size_bytes(&self) -> u64 {
        self.moves().map(|one| one.size_bytes).sum()
    }

    /// Whether the graph is elsewhere afterwards.
    pub fn is_moved(&self) -> bool {
        self.moves().any(|one| one.from != one.target)
    }
}

words! {
    /// A step of a failover.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum StepKind {
        /// Places, room and servers are looked at.
        Check = "check",
        /// A snapshot's record and all that it names are looked for in the repository.
        Validate = "validate",
        /// A hook is run.
        Hook = "hook",
        /// The graphs are fenced: no other operation works on them.
        Fence = "fence",
        /// A snapshot is restored beside its place.
        Restore = "restore",
        /// What was restored is audited and asked the probes.
        Audit = "audit",
        /// What was restored is put in place.
        Switch = "switch",
        /// What was replaced is put back.
        PutBack = "put_back",
        /// The graph's LightRAG server is asked whether it is healthy.
        Server = "server",
    }
}

words! {
    /// What came out of a step.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum StepOutcome {
        /// It is being done.
        Running = "running",
        /// It was done.
        Done = "done",
        /// There was nothing to do.
        Skipped = "skipped",
        /// It could not be done.
        Failed = "failed",
        /// It took too long and was ended.
        TimedOut = "timed_out",
        /// The process ended meanwhile.
        Interrupted = "interrupted",
    }
}

/// A step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub kind: StepKind,
    /// The operation that did it: a rollback adds its steps to those of its failover.
    pub operation_id: String,
    /// The graph that it was done to; none for a step of all.
    #[serde(default)]
    pub graph_id: Option<String>,
    /// The hook.
    #[serde(default)]
    pub hook: Option<String>,
    /// When it began, microseconds since the epoch.
    pub started_at_micros: i64,
    /// When it had ended.
    #[serde(default)]
    pub ended_at_micros: Option<i64>,
    /// What came out.
    pub outcome: StepOutcome,
    /// What there is to say of it.
    #[serde(default)]
    pub message: Option<String>,
}

impl Step {
    /// One that begins.
    pub fn begin(kind: StepKind, operation_id: OperationId, of: &StepOf<'_>, now: Timestamp) -> Self {
        let (graph_id, hook) = match of {
            StepOf::All => (None, None),
            StepOf::Graph(graph_id) => (Some((*graph_id).to_owned()), None),
            StepOf::Hook(hook) => (None, Some((*hook).to_owned())),
        };
        Self {
            kind,
            operation_id: operation_id.to_string(),
            graph_id,
            hook,
            started_at_micros: now.micros(),
            ended_at_micros: None,
            outcome: StepOutcome::Running,
            message: None,
        }
    }

    /// Whether it did not end as it should have.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, StepOutcome::Failed | StepOutcome::TimedOut)
    }
}

/// What a step is done to.
#[derive(Debug, Clone, Copy)]
pub enum StepOf<'a> {
    /// All graphs.
    All,
    /// This graph.
    Graph(&'a str),
    /// This hook.
    Hook(&'a str),
}

/// Whether an operation has run this hook to its end: then a next attempt leaves it out.
pub fn has_run(report: &[Step], operation_id: OperationId, hook: &str) -> bool {
    let id = operation_id.to_string();
    report.iter().any(|step| step.operation_id == id && step.hook.as_deref() == Some(hook) && step.outcome == StepOutcome::Done)
}

/// Marks what an earlier process did not end.
pub fn mark_interrupted(report: &mut [Step]) {
    for step in report.iter_mut().filter(|step| step.outcome == StepOutcome::Running) {
        step.outcome = StepOutcome::Interrupted;
    }
}

/// What went wrong after all graphs were switched, or put back, and was not done better by a later attempt.
pub fn problems_since(report: &[Step], last: StepKind) -> Vec<String> {
    let after = report.iter().rposition(|step| step.kind == last).map_or(report.len(), |at| at + 1);
    let is_same = |one: &Step, other: &Step| (one.kind, &one.graph_id, &one.hook) == (other.kind, &other.graph_id, &other.hook);
    let is_last = |at: usize| !report[at + 1..].iter().any(|later| is_same(later, &report[at]));
    let named = |step: &Step| {
        let what = match (&step.hook, &step.graph_id) {
            (Some(hook), _) => format!("hook `{hook}`"),
            (None, Some(graph_id)) => format!("{} of graph `{graph_id}`", step.kind),
            (None, None) => step.kind.to_string(),
        };
        format!("{what}: {}", step.message.as_deref().unwrap_or_default())
    };
    (after..report.len()).filter(|at| report[*at].has_failed() && is_last(*at)).map(|at| named(&report[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(last: char) -> OperationId {
        OperationId::parse(&format!("0191e7a0-1111-7222-8333-44445555666{last}")).expect("valid")
    }

    fn step(kind: StepKind, outcome: StepOutcome) -> Step {
        let begun = Step::begin(kind, operation('1'), &StepOf::Graph("g"), Timestamp::from_micros(1));
        Step { outcome, message: Some("why".to_owned()), ..begun }
    }

    #[test]
    fn the_phase_says_what_the_graphs_are() {
        use FailoverState::*;
        let states = [Phase::Preparing, Phase::Switching, Phase::Switched, Phase::PuttingBack, Phase::PutBack];
        assert_eq!(states.map(Phase::state_without_success), [Failed, Incomplete, Switched, Incomplete, RolledBack]);
        assert!([Succeeded, Switched, Failed, RolledBack, Incomplete].into_iter().all(FailoverState::is_ended));
        assert!(![Capturing, Running, RollingBack].into_iter().any(|state| state.is_ended() || state.can_roll_back()));
        assert!(!Failed.can_roll_back() && !RolledBack.can_roll_back() && Incomplete.can_roll_back());
    }

    #[test]
    fn only_what_follows_the_switch_is_a_problem_of_the_new_graphs() {
        let report = [
            step(StepKind::Hook, StepOutcome::Failed),
            step(StepKind::Switch, StepOutcome::Done),
            step(StepKind::Switch, StepOutcome::Done),
            step(StepKind::Hook, StepOutcome::TimedOut),
            step(StepKind::Server, StepOutcome::Done),
        ];
        assert_eq!(problems_since(&report, StepKind::Switch), ["hook of graph `g`: why"]);
        assert_eq!(problems_since(&report[..1], StepKind::Switch), Vec::<String>::new());
        let again = [&report[..], &[step(StepKind::Hook, StepOutcome::Done)]].concat();
        assert_eq!(problems_since(&again, StepKind::Switch), Vec::<String>::new(), "a later attempt has done it");
    }

    #[test]
    fn what_a_process_did_not_end_is_done_again() {
        let of = |outcome| Step { hook: Some("after_switch 1".to_owned()), ..step(StepKind::Hook, outcome) };
        let mut report = [of(StepOutcome::Running)];
        mark_interrupted(&mut report);
        assert_eq!(report[0].outcome, StepOutcome::Interrupted);
        assert!(!has_run(&report, operation('1'), "after_switch 1"));
        let done = [of(StepOutcome::Done)];
        assert!(has_run(&done, operation('1'), "after_switch 1") && !has_run(&done, operation('1'), "after_switch 2"));
        assert!(!has_run(&done, operation('2'), "after_switch 1"), "a rollback runs it once more");
    }
}
