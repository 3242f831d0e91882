//! What is sampled of schedules and targets: when something is due, and what is behind.

use std::collections::HashMap;
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use super::super::replication::condition::Condition;
use super::super::schedule_rows::schedule_of;
use super::super::schedule_runs::graphs_of;
use super::Known;
use crate::base::timestamp::Timestamp;
use crate::domain::metric::{Samples, names};
use crate::domain::schedule::Schedule;
use crate::domain::schedule_run::ScheduleAction;
use crate::domain::target::TargetStatus;
use crate::service::replication::queue::selected;
use crate::store::entity::schedule;
use crate::store::sampling;

/// So many runs of an expression are looked at to tell how far they are apart.
const RUNS: usize = 8;

/// How a snapshot by a schedule can end.
const RESULTS: [&str; 4] = ["succeeded", "inconsistent", "failed", "cancelled"];

impl Services {
    pub(super) fn sample_schedules(&self, samples: &mut Samples, known: &Known) {
        let (mut gaps, mut runs) = (HashMap::new(), Vec::new());
        for row in &known.schedules {
            let id = row.schedule_id.to_string();
            if let Some(next_run_at) = row.next_run_at {
                samples.add(&names::SCHEDULE_NEXT_RUN, [id.as_str()], next_run_at.seconds());
            }
            if row.action != ScheduleAction::Snapshot {
                continue;
            }
            let graphs = graphs_of(row, &known.graphs);
            let key = (row.cron.clone(), row.time_zone.clone(), row.interval_seconds, row.debounce_seconds.is_some());
            let gap: Option<Duration> = *gaps.entry(key).or_insert_with(|| longest_gap(row, known.now));
            for graph in graphs {
                let graph = graph.graph_id.to_string();
                // One that is paused too: that it protects nothing now is what has to be seen.
                if let Some(gap) = gap {
                    samples.add(&names::SCHEDULE_INTERVAL, [&graph, &id], gap.as_secs_f64());
                }
                runs.extend(RESULTS.map(|result| vec![graph.clone(), id.clone(), result.to_owned()]));
            }
        }
        samples.add_zeros(&names::BACKUP_RUNS, runs);
    }

    pub(super) async fn sample_targets(&self, samples: &mut Samples, known: &Known) -> Result<(), Error> {
        for target in &known.targets {
            let target = self.aged_target(target.clone());
            let up = match target.status {
                TargetStatus::Healthy => Some(1.0),
                TargetStatus::Degraded => Some(0.5),
                TargetStatus::Unreachable => Some(0.0),
                // Nobody has looked: there is nothing to tell.
                TargetStatus::Unknown => None,
            };
            let name = target.name.as_str();
            if let Some(up) = up.filter(|_| target.enabled) {
                samples.add(&names::TARGET_UP, [name], up);
            }
            let condition: Option<Condition> = target.condition.as_deref().and_then(|json| serde_json::from_str(json).ok());
            if let Some(free) = condition.and_then(|condition| condition.free_bytes) {
                samples.add(&names::TARGET_FREE, [name], free as f64);
            }
            let lacking = sampling::lacking(self.store().read(), target.target_id).await?;
            let lacking: HashMap<&str, &sampling::Lacking> = lacking.iter().map(|one| (one.graph_id.as_str(), one)).collect();
            for graph in selected(&target, &known.graphs) {
                let lacks = lacking.get(graph.as_str());
                let since = lacks.and_then(|one| one.since_at);
                let lag = since.map_or(0.0, |since| known.now.since(since).as_secs_f64());
                for metric in [&names::REPLICATION_LAG, &names::OLD_REPLICATION_LAG] {
                    samples.add(metric, [graph.as_str(), name], lag);
                }
                let (snapshots, bytes) = lacks.map_or((0, 0), |one| (one.snapshots, one.stored_bytes));
                samples.add(&names::REPLICATION_LAG_SNAPSHOTS, [graph.as_str(), name], snapshots as f64);
                samples.add(&names::REPLICATION_BACKLOG, [graph.as_str(), name], bytes as f64);
            }
        }
        Ok(())
    }
}

/// How far the next runs of a schedule are apart at most; nothing for one that follows changes.
fn longest_gap(row: &schedule::Model, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = row.interval_seconds {
        return u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    let schedule: Schedule = schedule_of(row).ok()?;
    let runs: Vec<Timestamp> =
        std::iter::successors(schedule.cadence().next_after(now), |run| schedule.cadence().next_after(*run)).take(RUNS).collect();
    runs.windows(2).map(|pair| pair[1].since(pair[0])).max()
}
