//! What this process has on its way to targets, and how long it leaves those alone that have failed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

use super::room::Rooms;
use super::throttle::Throttle;
use crate::base::backoff::pause_after;
use crate::base::ids::TargetId;
use crate::domain::graph_id::GraphId;
use crate::store::entity::target::Model;

/// All targets that something was sent to; what may go on once only; and the room for what comes.
#[derive(Debug, Default)]
pub(in crate::service) struct Sending {
    lines: Mutex<HashMap<TargetId, Arc<Line>>>,
    alone: Arc<Mutex<HashSet<String>>>,
    rooms: Arc<Rooms>,
}

/// The way to one target.
#[derive(Debug)]
pub(super) struct Line {
    /// Its bandwidth.
    pub(super) throttle: Throttle,
    /// Held while its directory is looked at.
    looking: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    parallelism: usize,
    slots: Arc<Semaphore>,
    /// Graphs of which something is on its way.
    busy: HashSet<GraphId>,
    /// Failures in a row of the target as a whole, and until when it is left alone.
    target: Pause,
    /// The same of single graphs.
    graphs: HashMap<GraphId, Pause>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn begin(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + pause_after(self.failures));
    }
}

impl Sending {
    /// The way to a target, with its limits as they are now.
    pub(super) fn line(&self, target: &Model) -> Arc<Line> {
        let (rate, parallelism) = (target.bytes_per_second.try_into().unwrap_or(0), target.parallelism.try_into().unwrap_or(1));
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Arc::clone(lines.entry(target.target_id).or_insert_with(|| Arc::new(Line::new(rate, parallelism))));
        drop(lines);
        line.throttle.set(rate);
        let mut state = line.lock();
        if state.parallelism != parallelism {
            (state.parallelism, state.slots) = (parallelism, Arc::new(Semaphore::new(parallelism)));
        }
        drop(state);
        line
    }

    /// Notes that something with this name goes on until what is given is dropped; nothing is given where it does already.
    pub(super) fn alone(&self, name: String) -> Option<Alone> {
        let names = Arc::clone(&self.alone);
        let is_first = names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        is_first.then_some(Alone { names, name })
    }

    /// The room for what comes.
    pub(super) fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }
}

/// Something goes on until this is dropped.
#[derive(Debug)]
pub(super) struct Alone {
    names: Arc<Mutex<HashSet<String>>>,
    name: String,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Line {
    fn new(rate: u64, parallelism: usize) -> Self {
        let state = State {
            parallelism,
            slots: Arc::new(Semaphore::new(parallelism)),
            busy: HashSet::new(),
            target: Pause::default(),
            graphs: HashMap::new(),
        };
        Self { throttle: Throttle::new(rate), looking: Arc::default(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else looks at the target's directory; nobody does until what is given is dropped.
    pub(super) async fn look_in_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.looking).lock_owned().await
    }

    /// For each file that is sent at once.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.lock().slots)
    }

    /// Whether the target is left alone.
    pub(super) fn is_paused(&self) -> bool {
        !self.lock().target.is_over()
    }

    /// Whether something more could be begun.
    pub(super) fn has_room(&self) -> bool {
        let state = self.lock();
        state.busy.len() < state.parallelism
    }

    /// The target is tried at once: somebody has asked, or changed it.
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        state.target.until = None;
        state.graphs.values_mut().for_each(|pause| pause.until = None);
    }

    /// Whether something of a graph could be sent now.
    pub(super) fn is_free_for(&self, graph_id: &GraphId) -> bool {
        let state = self.lock();
        !state.busy.contains(graph_id) && state.graphs.get(graph_id).is_none_or(Pause::is_over)
    }

    /// Notes that something of a graph is on its way; not where there is something already, or too much, or it is left alone.
    pub(super) fn begin(self: &Arc<Self>, graph_id: &GraphId) -> Option<Underway> {
        let mut state = self.lock();
        let is_paused = state.graphs.get(graph_id).is_some_and(|pause| !pause.is_over());
        if is_paused || state.busy.len() >= state.parallelism || !state.busy.insert(graph_id.clone()) {
            return None;
        }
        drop(state);
        Some(Underway { line: Arc::clone(self), graph_id: graph_id.clone() })
    }

    /// Notes that the copy of a graph is worked on; not where something is on its way there already.
    pub(super) fn occupy(self: &Arc<Self>, graph_id: &GraphId) -> Option<Underway> {
        let is_free = self.lock().busy.insert(graph_id.clone());
        is_free.then(|| Underway { line: Arc::clone(self), graph_id: graph_id.clone() })
    }

    /// Notes that a snapshot was brought to the target.
    pub(super) fn succeeded(&self, graph_id: &GraphId) {
        let mut state = self.lock();
        state.target = Pause::default();
        state.graphs.remove(graph_id);
    }

    /// Notes that one was not: because of the target, which is left alone for a while, or because of the graph.
    pub(super) fn failed(&self, graph_id: &GraphId, because_of_target: bool) {
        let mut state = self.lock();
        if because_of_target {
            state.target.begin();
        } else {
            state.graphs.entry(graph_id.clone()).or_default().begin();
        }
    }
}

/// Something of a graph is on its way until this is dropped.
#[derive(Debug)]
pub(super) struct Underway {
    line: Arc<Line>,
    graph_id: GraphId,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.line.lock().busy.remove(&self.graph_id);
    }
}
