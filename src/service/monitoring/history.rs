//! The history of metrics: what was collected is kept as it was for two hours, by five minutes for two days, by the hour for 90 days.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::Services;
use super::super::error::Error;
use crate::base::timestamp::Timestamp;
use crate::domain::metric::history::{FIVE_MINUTES, HOUR, POINTS_MAX, Point, RESOLUTIONS, Rolled, by_steps, spans};
use crate::domain::metric::{Collected, Metric, MetricType, names};
use crate::domain::validate::Violations;
use crate::store::entity::{metric_point, metric_series};
use crate::store::metric_history::{self, SeriesName};
use crate::store::{self};

/// The most series that one answer has.
pub const SERIES_MAX: usize = 100;

/// So many series are read at once: 90 days of one are some thousand points.
const SERIES_AT_ONCE: usize = 4;

/// What is asked of the history.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// The metric.
    pub metric: String,
    /// What its labels must be; those that are not named do not matter.
    pub labels: BTreeMap<String, String>,
    /// From then.
    pub from: Timestamp,
    /// Until before then.
    pub until: Timestamp,
    /// How long a time each point stands for.
    pub step: Duration,
}

/// What the history tells of a series.
#[derive(Debug, Clone)]
pub struct History {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// In their order.
    pub points: Vec<Point>,
}

impl Services {
    /// Adds what was collected to the history, and puts together and forgets what has come to be old enough.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_history(&self, collected: &Collected) -> Result<(), Error> {
        let Some(at) = collected.at else { return Ok(()) };
        let values = self.kept_of(collected);
        let names: Vec<SeriesName> = values.iter().map(|(name, _)| name.clone()).collect();
        let seconds = seconds(at);
        let transaction = self.store().begin().await?;
        let numbers = metric_history::see_series(&*transaction, &names, at).await?;
        let points: Vec<metric_point::Model> =
            values.into_iter().filter_map(|(name, value)| Some(sampled(*numbers.get(&name)?, seconds, value))).collect();
        metric_history::insert_points(&*transaction, &points).await?;
        store::commit(transaction).await?;
        self.tidy_history(seconds, at).await
    }

    /// What is kept of what was collected: what concerns all, then each graph as a whole, the oldest first, as far as there is room.
    fn kept_of(&self, collected: &Collected) -> Vec<(SeriesName, f64)> {
        let places: HashMap<&str, usize> = collected.named_graphs.iter().map(String::as_str).zip(1..).collect();
        let mut values = Vec::new();
        for metric in names::ALL.iter().filter(|metric| has_history(metric)) {
            for sample in collected.shown(metric) {
                let graph = metric.many_label().and_then(|label| places.get(sample.labels[label].as_str()));
                let name = (metric.name.to_owned(), serde_json::Value::from(sample.labels.clone()).to_string());
                values.push((graph.copied().unwrap_or(0), name, sample.value));
            }
        }
        values.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        values.truncate(usize::try_from(self.settings().monitoring.series_limit).unwrap_or(usize::MAX));
        values.into_iter().map(|(_, name, value)| (name, value)).collect()
    }

    async fn tidy_history(&self, now: i64, at: Timestamp) -> Result<(), Error> {
        let (read, rolled) = (self.store().read(), self.rolled().await?);
        let begin = |resolution: i32| now.div_euclid(i64::from(resolution)) * i64::from(resolution);
        // From the first whole one of which everything is still there.
        let from = |until: i64, kept: i64, resolution: i32| until.max((now - kept) / i64::from(resolution) * i64::from(resolution));
        let five_minutes = begin(FIVE_MINUTES);
        if five_minutes > rolled.five_minutes {
            let from = from(rolled.five_minutes, RESOLUTIONS[0].1, FIVE_MINUTES);
            metric_history::roll_up(read, (0, FIVE_MINUTES), (from, five_minutes)).await?;
            metric_history::delete_points(read, 0, now - RESOLUTIONS[0].1).await?;
        }
        let hour = begin(HOUR);
        if hour > rolled.hour {
            let from = from(rolled.hour, RESOLUTIONS[1].1, HOUR);
            metric_history::roll_up(read, (FIVE_MINUTES, HOUR), (from, hour)).await?;
            for (resolution, kept) in &RESOLUTIONS[1..] {
                metric_history::delete_points(read, *resolution, now - kept).await?;
            }
            metric_history::delete_series(read, at.minus(Duration::from_secs(2 * 3600))).await?;
        }
        Ok(())
    }

    async fn rolled(&self) -> Result<Rolled, Error> {
        let until = async |resolution: i32| {
            let newest = metric_history::newest(self.store().read(), resolution).await?;
            Ok::<_, Error>(newest.map_or(0, |newest| newest + i64::from(resolution)))
        };
        Ok(Rolled { five_minutes: until(FIVE_MINUTES).await?, hour: until(HOUR).await? })
    }

    /// What the history tells.
    ///
    /// # Errors
    /// There is no such metric, or it has no history; too much is asked for at once; metrics are switched off.
    pub async fn query_history(&self, query: &HistoryQuery) -> Result<Vec<History>, Error> {
        self.check_metrics_enabled()?;
        let metric = check(query)?;
        let read = self.store().read();
        let wanted = |row: &metric_series::Model| {
            let labels = labels_of(metric, row)?;
            query.labels.iter().all(|(name, value)| labels.get(name) == Some(value)).then_some((row.series_id, labels))
        };
        let rows = metric_history::list_series(read, Some(metric.name)).await?;
        let series: Vec<(i64, BTreeMap<String, String>)> = rows.iter().filter_map(wanted).collect();
        if series.len() > SERIES_MAX {
            let message = format!("are {} series, {SERIES_MAX} at most: name a graph, or another label", series.len());
            return Err(Error::invalid("labels", &message));
        }
        let (from, until) = (seconds(query.from), seconds(query.until));
        let step = i64::try_from(query.step.as_secs()).unwrap_or(i64::MAX);
        let spans = spans(from, until, step, self.rolled().await?, seconds(self.now()));
        let is_counter = metric.metric_type == MetricType::Counter;
        let mut histories = Vec::new();
        for some in series.chunks(SERIES_AT_ONCE) {
            let ids: Vec<i64> = some.iter().map(|(id, _)| *id).collect();
            let mut points: BTreeMap<i64, Vec<Point>> = BTreeMap::new();
            for span in &spans {
                for row in metric_history::list_points(read, &ids, span.resolution, (span.from, span.until)).await? {
                    points.entry(row.series_id).or_default().push(point(&row));
                }
            }
            histories.extend(some.iter().map(|(id, labels)| History {
                labels: labels.clone(),
                points: by_steps(points.get(id).map_or(&[], Vec::as_slice), from, step, is_counter),
            }));
        }
        histories.retain(|history| !history.points.is_empty());
        Ok(histories)
    }
}

/// Whether a metric is kept: instants say nothing that time does not, and each schedule of each graph would be too many.
pub fn has_history(metric: &Metric) -> bool {
    metric.metric_type != MetricType::Histogram && !metric.name.ends_with("timestamp_seconds") && !metric.labels.contains(&"schedule")
}

fn check(query: &HistoryQuery) -> Result<&'static Metric, Error> {
    let mut violations = Violations::default();
    let metric = names::find(&query.metric);
    match metric {
        None => violations.add("metric", "is no metric that is collected here"),
        Some(metric) if !has_history(metric) => {
            violations.add("metric", "has no history: histograms, instants and metrics by schedule have none")
        }
        Some(metric) => {
            for name in query.labels.keys().filter(|name| !metric.labels.contains(&name.as_str())) {
                violations.add("labels", format!("`{name}` is no label of it, which are: {}", metric.labels.join(", ")));
            }
        }
    }
    let length = seconds(query.until).saturating_sub(seconds(query.from));
    let step = i64::try_from(query.step.as_secs()).unwrap_or(i64::MAX);
    if length <= 0 {
        violations.add("end_time", "is not after `start_time`");
    }
    if step == 0 {
        violations.add("step", "must be one second at least");
    } else if length / step > POINTS_MAX {
        violations.add("step", format!("is too short for this time: more than {POINTS_MAX} points"));
    }
    violations.finish()?;
    metric.ok_or_else(|| Error::internal("query the history", "a metric that is not there was let through"))
}

fn labels_of(metric: &Metric, row: &metric_series::Model) -> Option<BTreeMap<String, String>> {
    let values: Vec<String> = serde_json::from_str(&row.labels).ok()?;
    Some(metric.labels.iter().map(|name| (*name).to_owned()).zip(values).filter(|(_, value)| !value.is_empty()).collect())
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

fn sampled(series_id: i64, at_seconds: i64, value: f64) -> metric_point::Model {
    metric_point::Model {
        series_id,
        resolution_seconds: 0,
        at_seconds,
        minimum: value,
        maximum: value,
        average: value,
        last: value,
        samples: 1,
    }
}

fn point(row: &metric_point::Model) -> Point {
    Point {
        at: row.at_seconds,
        minimum: row.minimum,
        maximum: row.maximum,
        average: row.average,
        last: row.last,
        samples: row.samples.into(),
        rate: None,
    }
}
