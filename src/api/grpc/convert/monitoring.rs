//! Metrics, their history, health and statistics.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::health::{component_to_proto, status_to_proto};
use super::{all_there, instant, timestamp};
use crate::base::timestamp::Timestamp;
use crate::domain::metric::history::Point;
use crate::domain::metric::{Collected, Fold, Metric, MetricType, names};
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::monitoring::history::{History, HistoryQuery};
use crate::service::monitoring::statistics::{BackupStatistics, RecoveryStatistics};
use crate::service::monitoring::system_health::SystemHealth;

/// So long a time is told where nobody says.
const DEFAULT_LENGTH: Duration = Duration::from_secs(24 * 3600);

/// So many points are given where nobody says, about.
const DEFAULT_POINTS: u64 = 300;

pub(in crate::api::grpc) fn metrics_to_proto(collected: &Collected) -> HashMap<String, v1::Metric> {
    let mut metrics = HashMap::new();
    let mut add = |metric: &Metric, labels: &[String], value: f64| {
        let labels: BTreeMap<&str, &String> = metric.labels.iter().copied().zip(labels).filter(|(_, value)| !value.is_empty()).collect();
        let shown: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let key = if shown.is_empty() { metric.name.to_owned() } else { format!("{}{{{}}}", metric.name, shown.join(",")) };
        let series = v1::Metric {
            name: metric.name.to_owned(),
            value,
            r#type: metric.metric_type.as_str().to_owned(),
            help: metric.help.to_owned(),
            timestamp: collected.at.map(timestamp),
            labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        };
        metrics.insert(key, series);
    };
    for metric in names::ALL.iter().filter(|metric| metric.metric_type != MetricType::Histogram) {
        let samples = collected.shown(metric);
        for sample in samples {
            add(metric, &sample.labels, sample.value);
        }
        // The old server knew no labels: whoever asks by the name alone gets what all are together.
        if metric.name.starts_with("lightrag_") {
            add(metric, &[], folded(metric.fold, samples.iter().map(|sample| sample.value)));
        }
    }
    for histogram in &collected.histograms {
        add(histogram.metric, &histogram.labels, histogram.buckets.iter().map(|(count, _)| *count as f64).fold(0.0, std::ops::Add::add));
    }
    metrics
}

fn folded(fold: Fold, values: impl Iterator<Item = f64>) -> f64 {
    match fold {
        Fold::Sum => values.fold(0.0, std::ops::Add::add),
        Fold::Min => values.reduce(f64::min).unwrap_or_default(),
        Fold::Max => values.reduce(f64::max).unwrap_or_default(),
    }
}

pub(in crate::api::grpc) fn parse_history(request: v1::QueryMetricHistoryRequest, now: Timestamp) -> Result<HistoryQuery, Error> {
    let mut violations = Violations::default();
    let until = instant(&mut violations, "end_time", request.end_time).unwrap_or(now);
    let from = instant(&mut violations, "start_time", request.start_time).unwrap_or_else(|| until.minus(DEFAULT_LENGTH));
    let mut labels = BTreeMap::new();
    for label in &request.labels {
        match label.split_once('=') {
            Some((name, value)) => drop(labels.insert(name.to_owned(), value.to_owned())),
            None => violations.add("labels", format_args!("must be `name=value`: {label}")),
        }
    }
    let step = match request.step {
        None => Some(Duration::from_secs((until.since(from).as_secs() / DEFAULT_POINTS).max(1))),
        Some(step) => violations.take("step", Duration::try_from(step).map_err(|_| "must be a positive duration, such as `300s`")),
    };
    let step = all_there(violations, step)?;
    Ok(HistoryQuery { metric: request.metric, labels, from, until, step })
}

pub(in crate::api::grpc) fn history_to_proto(metric: &str, history: History) -> v1::MetricSeries {
    let points = history.points.iter().map(point_to_proto).collect();
    v1::MetricSeries { metric: metric.to_owned(), labels: history.labels.into_iter().collect(), points }
}

fn point_to_proto(point: &Point) -> v1::MetricPoint {
    v1::MetricPoint {
        time: Some(prost_types::Timestamp { seconds: point.at, nanos: 0 }),
        min: point.minimum,
        max: point.maximum,
        avg: point.average,
        last: point.last,
        rate: point.rate,
        samples: point.samples,
    }
}

pub(in crate::api::grpc) fn health_to_proto(health: SystemHealth) -> v1::SystemHealth {
    let checked_at = timestamp(health.checked_at);
    let parts = health.parts.iter().map(|part| v1::ComponentHealth {
        component_id: part.name.to_owned(),
        component_type: "server".to_owned(),
        status: status_to_proto(part.status).into(),
        message: part.message.clone(),
        last_check: Some(checked_at),
        details: HashMap::new(),
    });
    let details = v1::HealthDetails {
        checked_at: Some(checked_at),
        last_events_count: health.events_lately,
        components: parts.chain(health.components.iter().map(component_to_proto)).collect(),
    };
    v1::SystemHealth {
        overall_status: status_to_proto(health.overall).into(),
        last_check: Some(checked_at),
        backup_status: status_to_proto(health.backup).into(),
        recovery_status: status_to_proto(health.recovery).into(),
        replication_status: status_to_proto(health.replication).into(),
        details: Some(details),
    }
}

pub(in crate::api::grpc) fn backups_to_proto(counts: &BackupStatistics) -> v1::BackupStatistics {
    v1::BackupStatistics {
        total_backups: counts.total_backups,
        total_size_bytes: counts.total_size_bytes,
        recent_backups: counts.recent_backups,
        failed_backups: counts.failed_backups,
        average_size_bytes: counts.average_size_bytes,
        oldest_backup: counts.oldest_backup.map(timestamp),
        newest_backup: counts.newest_backup.map(timestamp),
    }
}

pub(in crate::api::grpc) fn recovery_to_proto(counts: &RecoveryStatistics) -> v1::RecoveryStatistics {
    v1::RecoveryStatistics {
        total_checkpoints: counts.total_checkpoints.cast_signed(),
        validated_checkpoints: counts.validated_checkpoints.cast_signed(),
        failed_validations: counts.failed_validations.cast_signed(),
        oldest_checkpoint: counts.oldest_checkpoint.map(timestamp),
        newest_checkpoint: counts.newest_checkpoint.map(timestamp),
        validation_success_rate: counts.validation_success_rate,
    }
}
