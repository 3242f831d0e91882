//! Metrics: curves of their history, those that tell most first, or all series of one.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::response::Response;

use super::chart::{Trend, Unit};
use super::failure::Failure;
use super::page::{Page, render};
use super::visit::Visit;
use crate::base::timestamp::Timestamp;
use crate::domain::metric::{Metric, MetricType, names};
use crate::service::ErrorKind;
use crate::service::monitoring::history::{History, HistoryQuery, has_history};

/// How many points a curve has at most.
const POINTS: u64 = 120;

/// How many series of one metric are drawn.
const DRAWN: usize = 60;

/// Lengths that can be chosen: word, name, hours.
const LENGTHS: [(&str, &str, u64); 5] =
    [("hour", "1 hour", 1), ("day", "1 day", 24), ("week", "7 days", 168), ("month", "30 days", 720), ("quarter", "90 days", 2160)];

/// What is shown where no metric is named: what concerns all.
const FIRST: [&Metric; 8] = [
    &names::GRAPHS,
    &names::SNAPSHOTS,
    &names::BACKUP_ERRORS,
    &names::BACKUP_SIZE,
    &names::STORAGE_FREE,
    &names::RECOVERY_POINTS,
    &names::REPLICATION_BYTES,
    &names::HEALTH_CHECK_FAILURES,
];

/// The curves of one metric.
struct Drawn {
    name: &'static str,
    help: &'static str,
    is_counter: bool,
    trends: Vec<Trend>,
    left_out: usize,
    refusal: Option<String>,
}

#[derive(Template)]
#[template(path = "metrics.html")]
struct MetricsPage<'a> {
    page: Page,
    is_enabled: bool,
    metrics: Vec<&'static str>,
    metric: &'a str,
    graph: &'a str,
    lengths: &'static [(&'static str, &'static str, u64)],
    length: &'a str,
    drawn: Vec<Drawn>,
}

impl MetricsPage<'_> {
    fn is_length(&self, word: &str) -> bool {
        word == self.length
    }

    fn is_metric(&self, name: &str) -> bool {
        name == self.metric
    }
}

/// Shows them.
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    let (metric, graph) = (visit.asked("metric"), visit.asked("graph"));
    let length = Some(visit.asked("length")).filter(|word| !word.is_empty()).unwrap_or("day");
    let is_enabled = visit.services().check_metrics_enabled().is_ok();
    let wanted: Vec<&Metric> = match names::ALL.iter().find(|one| one.name == metric) {
        Some(one) => vec![one],
        None => FIRST.to_vec(),
    };
    let mut drawn = Vec::new();
    for one in wanted.into_iter().filter(|_| is_enabled) {
        drawn.push(draw(&visit, one, graph, length).await?);
    }
    render(&MetricsPage {
        page: visit.page("Metrics"),
        is_enabled,
        metrics: names::ALL.iter().filter(|one| has_history(one)).map(|one| one.name).collect(),
        metric,
        graph,
        lengths: &LENGTHS,
        length,
        drawn,
    })
}

async fn draw(visit: &Visit, metric: &Metric, graph: &str, length: &str) -> Result<Drawn, Failure> {
    let hours = LENGTHS.iter().find(|(word, ..)| *word == length).map_or(24, |(.., hours)| *hours);
    let mut labels = BTreeMap::new();
    if !graph.is_empty() && metric.labels.contains(&"graph") {
        labels.insert("graph".to_owned(), graph.to_owned());
    }
    let query = HistoryQuery {
        metric: metric.name.to_owned(),
        labels,
        from: visit.now.minus(Duration::from_secs(hours * 3600)),
        // What was sampled in this very moment too.
        until: visit.now.plus(Duration::from_secs(1)),
        step: Duration::from_secs((hours * 3600 / POINTS).max(60)),
    };
    let (found, refusal) = match visit.services().query_history(&query).await {
        Ok(found) => (found, None),
        // Too many series: the page says so, and has the field for the graph.
        Err(error) if error.kind() == ErrorKind::InvalidArgument => (Vec::new(), Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let trends: Vec<Trend> = found.iter().filter_map(|history| trend(metric, history)).collect();
    Ok(Drawn {
        name: metric.name,
        help: metric.help,
        is_counter: metric.metric_type == MetricType::Counter,
        left_out: trends.len().saturating_sub(DRAWN),
        trends: trends.into_iter().take(DRAWN).collect(),
        refusal,
    })
}

/// The curve of a series: of what only grows, by how much it grows in a second.
fn trend(metric: &Metric, history: &History) -> Option<Trend> {
    let is_counter = metric.metric_type == MetricType::Counter;
    let value = |point: &crate::domain::metric::history::Point| if is_counter { point.rate } else { Some(point.average) };
    let at = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let points = history.points.iter().filter_map(|point| Some((at(point.at), value(point)?))).collect();
    let unit = match metric.name {
        name if is_counter && name.contains("bytes") => Unit::BytesRate,
        _ if is_counter => Unit::Rate,
        name if name.contains("bytes") => Unit::Bytes,
        name if name.ends_with("_seconds") => Unit::Seconds,
        _ => Unit::Number,
    };
    let labels: Vec<String> = history.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let name = if labels.is_empty() { "Last".to_owned() } else { labels.join(", ") };
    Trend::of(&name, unit, points)
}
