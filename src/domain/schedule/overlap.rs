//! Runs that meet the run before.

use crate::domain::operation::OperationState;
use crate::domain::words::words;

words! {
    /// What becomes of a run whose schedule's last run is not over. Both at once is not possible: a graph's repository has one writer at
    /// a time.
    pub enum OverlapPolicy {
        /// It waits for the other to end. At most one waits: it will see all that those after it would.
        Wait = "wait",
        /// It is left out.
        Skip = "skip",
    }
}

words! {
    /// What becomes of a run.
    pub enum OverlapDecision {
        /// It is queued; it begins when the graph is free.
        Queue = "queue",
        /// It is left out.
        LeaveOut = "leave_out",
    }
}

impl OverlapPolicy {
    /// The policy with this word.
    ///
    /// # Errors
    /// There is none, or it is not possible, in words.
    pub fn parse_wanted(word: &str) -> Result<Self, &'static str> {
        match word {
            "start" => Err("cannot be `start`: two snapshots of one graph at once are not possible within one graph, use `wait` or `skip`"),
            _ => Self::parse(word).ok_or("must be `wait` or `skip`"),
        }
    }

    /// What becomes of a run whose schedule's last run stands there; none if it has had no run.
    pub fn decide(self, last_run: Option<OperationState>) -> OverlapDecision {
        match (self, last_run) {
            (_, None | Some(OperationState::Succeeded | OperationState::Failed | OperationState::Cancelled)) => OverlapDecision::Queue,
            (Self::Wait, Some(OperationState::Running)) => OverlapDecision::Queue,
            (Self::Wait, Some(OperationState::Queued)) | (Self::Skip, Some(OperationState::Queued | OperationState::Running)) => {
                OverlapDecision::LeaveOut
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_waits_at_most() {
        use OperationState::*;
        for ended in [None, Some(Succeeded), Some(Failed), Some(Cancelled)] {
            assert_eq!(OverlapPolicy::Wait.decide(ended), OverlapDecision::Queue);
            assert_eq!(OverlapPolicy::Skip.decide(ended), OverlapDecision::Queue);
        }
        assert_eq!(OverlapPolicy::Wait.decide(Some(Running)), OverlapDecision::Queue);
        assert_eq!(OverlapPolicy::Wait.decide(Some(Queued)), OverlapDecision::LeaveOut);
        assert_eq!(OverlapPolicy::Skip.decide(Some(Running)), OverlapDecision::LeaveOut);
        assert_eq!(OverlapPolicy::Skip.decide(Some(Queued)), OverlapDecision::LeaveOut);
    }

    #[test]
    fn start_is_refused_with_the_reason() {
        assert_eq!(OverlapPolicy::parse_wanted("wait"), Ok(OverlapPolicy::Wait));
        assert!(OverlapPolicy::parse_wanted("start").unwrap_err().contains("not possible within one graph"));
        assert_eq!(OverlapPolicy::parse_wanted(""), Err("must be `wait` or `skip`"));
    }
}
