//! Follows the changes of graphs' files, for schedules that want snapshots of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::control::Control;
use crate::base::ids::ScheduleId;
use crate::base::timestamp::Timestamp;
use crate::domain::graph_id::GraphId;
use crate::lightrag::watch::{Look, Watch, look};
use crate::service::change_runs::Answer;
use crate::service::{Error, Services};
use crate::store::entity::graph;

/// How often a graph is looked at that the kernel does not watch.
const LOOK: Duration = Duration::from_secs(1);

/// How often one is looked at that the kernel watches: it does not tell of other computers' changes, nor of all subdirectories.
const LOOK_ALL_THE_SAME: Duration = Duration::from_secs(30);

/// The graphs that are watched.
pub(super) struct Watching {
    services: Services,
    watched: HashMap<GraphId, Watched>,
}

struct Watched {
    source: PathBuf,
    /// None where the kernel cannot.
    watch: Option<Watch>,
    /// Microseconds since the epoch; the least there is for never.
    last_change_at: Arc<AtomicI64>,
    looked: Option<(Instant, Look)>,
    /// The change that a snapshot has, for each schedule.
    captured: HashMap<ScheduleId, Timestamp>,
}

impl Watching {
    pub(super) fn new(services: Services) -> Self {
        Self { services, watched: HashMap::new() }
    }

    /// Watches nothing any more.
    pub(super) fn forget(&mut self) {
        self.watched.clear();
    }

    /// Looks what has changed, and queues the snapshots whose time has come.
    pub(super) async fn look(&mut self) -> Result<(), Error> {
        let followed = self.services.list_followed().await?;
        self.watched.retain(|graph_id, watched| {
            followed.iter().any(|one| one.graph.graph_id == *graph_id && watched.source == Path::new(&one.graph.source_dir))
        });
        for one in &followed {
            let Some(changed_at) = self.last_change(&one.graph).await else { continue };
            let schedule_id = one.schedule.schedule_id;
            let Some(watched) = self.watched.get_mut(&one.graph.graph_id) else { continue };
            if watched.captured.get(&schedule_id) == Some(&changed_at) {
                continue;
            }
            if self.services.follow_change(one, changed_at).await? == Answer::Captured {
                watched.captured.insert(schedule_id, changed_at);
            }
        }
        Ok(())
    }

    async fn last_change(&mut self, graph: &graph::Model) -> Option<Timestamp> {
        if !self.watched.contains_key(&graph.graph_id) {
            let watched = self.begin(graph).await;
            self.watched.insert(graph.graph_id.clone(), watched);
        }
        let services = self.services.clone();
        let watched = self.watched.get_mut(&graph.graph_id)?;
        let every = if watched.watch.is_some() { LOOK_ALL_THE_SAME } else { LOOK };
        if watched.looked.is_none_or(|(at, _)| at.elapsed() >= every) {
            watched.look(&services).await;
        }
        let micros = watched.last_change_at.load(Ordering::Relaxed);
        (micros > i64::MIN).then(|| Timestamp::from_micros(micros))
    }

    /// The kernel watches before the first look, so that nothing falls between.
    async fn begin(&self, graph: &graph::Model) -> Watched {
        let source = PathBuf::from(&graph.source_dir);
        let last_change_at = Arc::new(AtomicI64::new(i64::MIN));
        let (clock, told, path) = (Arc::clone(self.services.clock()), Arc::clone(&last_change_at), source.clone());
        let changed = move || {
            told.fetch_max(clock.now().micros(), Ordering::Relaxed);
        };
        let watch = self.services.blocking(move || Ok::<_, Error>(Watch::new(&path, changed))).await;
        let watch = match watch {
            Ok(Ok(watch)) => Some(watch),
            Ok(Err(error)) => {
                tracing::warn!(graph_id = graph.graph_id.as_str(), %error, "the kernel does not watch the source: it is looked at each second");
                None
            }
            Err(error) => {
                tracing::warn!(graph_id = graph.graph_id.as_str(), error = error.chain(), "cannot watch the source");
                None
            }
        };
        Watched { source, watch, last_change_at, looked: None, captured: HashMap::new() }
    }
}

impl Watched {
    async fn look(&mut self, services: &Services) {
        let path = self.source.clone();
        match services.blocking(move || look(&path, &Control::default())).await {
            Ok(seen) => {
                let changed_at = match &self.looked {
                    // What happened before anybody watched; a file may be dated in the future.
                    None => seen.modified_micros.map_or(i64::MIN, |micros| micros.min(services.now().micros())),
                    Some((_, before)) if before.is_same(&seen) => i64::MIN,
                    Some(_) => services.now().micros(),
                };
                self.last_change_at.fetch_max(changed_at, Ordering::Relaxed);
                self.looked = Some((Instant::now(), seen));
            }
            Err(error) => {
                tracing::warn!(source = %self.source.display(), error = error.chain(), "cannot look whether the source has changed");
                // A directory that comes back is watched anew.
                self.watch = None;
            }
        }
    }
}
