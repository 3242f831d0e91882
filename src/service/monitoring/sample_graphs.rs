//! What is sampled of graphs: their newest snapshots, and what recovery needs of them.

use std::collections::{HashMap, HashSet};

use super::super::Services;
use super::super::error::Error;
use super::Known;
use crate::domain::drill::DrillState;
use crate::domain::finding::{Finding, Severity};
use crate::domain::graph_id::GraphId;
use crate::domain::metric::fact::statistics;
use crate::domain::metric::{Metric, Samples, names};
use crate::service::drills::report_of;
use crate::service::replication::status::COPIES_GRACE;
use crate::store::entity::tally;
use crate::store::sampling::{self, SampledSnapshot, Which};
use crate::store::tallies;

impl Services {
    pub(super) async fn sample_graphs(&self, samples: &mut Samples, known: &Known) -> Result<(), Error> {
        let read = self.store().read();
        samples.add_one(&names::GRAPHS, known.graphs.len() as f64);
        let good = sampling::newest_snapshots(read, Which::Good, 0, known.now).await?;
        let protected: HashSet<&GraphId> = good.iter().map(|good| &good.graph_id).collect();
        // Copies get what they are brought.
        for graph in known.graphs.iter().filter(|graph| !graph.graph_id.is_copy() && !protected.contains(&graph.graph_id)) {
            samples.add(&names::UNPROTECTED_SINCE, [graph.graph_id.as_str()], graph.created_at.seconds());
        }
        for good in &good {
            samples.add(&names::PROTECTED_UNTIL, [good.graph_id.as_str()], good.captured_at.seconds());
            samples.add(&names::GRAPH_SIZE, [good.graph_id.as_str()], good.size_bytes as f64);
            samples.add(&names::GRAPH_ENTITIES, [good.graph_id.as_str()], good.entities as f64);
            samples.add(&names::GRAPH_RELATIONS, [good.graph_id.as_str()], good.relations as f64);
            for (kind, records) in records(good) {
                samples.add(&names::GRAPH_RECORDS, [good.graph_id.as_str(), kind], records as f64);
            }
        }
        self.sample_changes(samples, known, good).await?;
        let kept = tallies::list_of(read, statistics::KEPT).await?;
        let stored = tallies::list_of(read, statistics::STORED_BYTES).await?;
        add_figure(samples, &names::GRAPH_SNAPSHOTS, kept);
        add_figure(samples, &names::GRAPH_STORED, stored);
        let repositories = samples.of(names::REPOSITORY_SIZE.name).iter().map(|sample| sample.value).fold(0.0, std::ops::Add::add);
        samples.add_one(&names::BACKUP_SIZE, repositories);
        Ok(())
    }

    /// The newest snapshot of each graph against the last good one before it: what has become less is shouted about.
    async fn sample_changes(&self, samples: &mut Samples, known: &Known, good: Vec<SampledSnapshot>) -> Result<(), Error> {
        let read = self.store().read();
        let newest = sampling::newest_snapshots(read, Which::Restorable, 0, known.now).await?;
        let by_graph = |rows: Vec<SampledSnapshot>| -> HashMap<GraphId, SampledSnapshot> {
            rows.into_iter().map(|row| (row.graph_id.clone(), row)).collect()
        };
        let (first, second) = (by_graph(good), by_graph(sampling::newest_snapshots(read, Which::Good, 1, known.now).await?));
        for snapshot in newest {
            let graph = snapshot.graph_id.as_str();
            samples.add(&names::CONSISTENCY_VIOLATIONS, [graph], broken(snapshot.findings.as_deref()) as f64);
            let earlier = [first.get(&snapshot.graph_id), second.get(&snapshot.graph_id)].into_iter().flatten();
            let Some(before) = earlier.into_iter().find(|before| before.captured_at < snapshot.captured_at) else { continue };
            if let Some(change) = change(before.size_bytes, snapshot.size_bytes) {
                samples.add(&names::GRAPH_SIZE_CHANGE, [graph], change);
            }
            for ((kind, was), (_, is)) in records(before).into_iter().zip(records(&snapshot)) {
                if let Some(change) = change(was, is) {
                    samples.add(&names::GRAPH_RECORDS_CHANGE, [graph, kind], change);
                }
            }
        }
        Ok(())
    }

    pub(super) async fn sample_recovery(&self, samples: &mut Samples, known: &Known) -> Result<(), Error> {
        let read = self.store().read();
        for damaged in sampling::damaged_snapshots(read).await? {
            samples.add(&names::VERIFICATION_FAILED, [damaged.graph_id.as_str()], damaged.snapshots as f64);
        }
        samples.add_zeros(&names::VERIFICATION_FAILED, known.graphs.iter().map(|graph| vec![graph.graph_id.to_string()]));
        for drill in sampling::newest_drills(read).await? {
            let graph = drill.graph_id.as_str();
            samples.add(&names::DRILL_LAST_RESULT, [graph], f64::from(u8::from(drill.state == DrillState::Passed)));
            let Some(report) = report_of(&drill)? else { continue };
            let figures = [
                (&names::DRILL_RTO, report.rto_seconds()),
                (&names::DRILL_RPO, report.rpo_seconds),
                (&names::DRILL_RECALL, report.recall()),
            ];
            for (metric, value) in figures {
                if let Some(value) = value {
                    samples.add(metric, [graph], value);
                }
            }
        }
        for copied in sampling::copies(read, known.now.minus(COPIES_GRACE)).await? {
            let missing = (i64::from(copied.wanted) - copied.there).max(i64::from(copied.off_site_wanted) - copied.off_site).max(0);
            samples.add(&names::COPIES_MISSING, [copied.graph_id.as_str()], missing as f64);
        }
        self.sample_objectives(samples, known);
        Ok(())
    }

    fn sample_objectives(&self, samples: &mut Samples, known: &Known) {
        let default = i64::try_from(self.settings().recovery.rpo_objective.as_secs()).unwrap_or(i64::MAX);
        for graph in &known.graphs {
            let rpo = graph.rpo_objective_seconds.unwrap_or(default);
            for (metric, seconds) in [(&names::OBJECTIVE_RPO, Some(rpo)), (&names::OBJECTIVE_RTO, graph.rto_objective_seconds)] {
                if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) {
                    samples.add(metric, [graph.graph_id.as_str()], seconds as f64);
                }
            }
        }
    }
}

fn records(snapshot: &SampledSnapshot) -> [(&'static str, i64); 5] {
    [
        ("document", snapshot.documents),
        ("chunk", snapshot.chunks),
        ("entity", snapshot.entities),
        ("relation", snapshot.relations),
        ("vector", snapshot.vectors),
    ]
}

/// By which part something has become more; nothing where there was nothing.
fn change(was: i64, is: i64) -> Option<f64> {
    (was > 0).then(|| (is - was) as f64 / was as f64)
}

/// How many findings break a processed document.
fn broken(findings: Option<&str>) -> usize {
    let findings: Vec<Finding> = findings.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    findings.iter().filter(|finding| finding.severity == Severity::Broken).count()
}

fn add_figure(samples: &mut Samples, metric: &Metric, rows: Vec<tally::Model>) {
    for row in rows {
        // Without a label it is the sum.
        if let Ok([graph]) = serde_json::from_str::<Vec<String>>(&row.labels).as_deref() {
            samples.add(metric, [graph.as_str()], row.value);
        }
    }
}
