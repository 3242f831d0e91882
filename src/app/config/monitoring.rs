//! The settings of monitoring.

use super::sources::Sources;
use super::table;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object on each line.
    Json,
}

/// What is measured, kept and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoringConfig {
    /// Whether metrics are collected and served.
    pub metrics_enabled: bool,
    /// The period of metric collection, in seconds; at least 1.
    pub metrics_collection_interval_seconds: u32,
    /// How many graphs have a name of their own among the metrics.
    pub metrics_graph_limit: u32,
    /// How many series the history has at most.
    pub history_series_limit: u32,
    /// Where metrics and traces are exported to by OTLP, if anywhere.
    pub otlp_endpoint: Option<String>,
    /// Whether components are checked.
    pub health_check_enabled: bool,
    /// Whether events are kept in the database.
    pub event_logging_enabled: bool,
    /// How long events are kept, in days; at least 1.
    pub event_retention_days: u32,
    /// How logs are written.
    pub log_format: LogFormat,
}

impl MonitoringConfig {
    /// `None` only after a problem was reported.
    pub(super) fn read(sources: &mut Sources<'_>) -> Option<Self> {
        let metrics_enabled = sources.read(&table::METRICS_ENABLED);
        let metrics_collection_interval_seconds = sources.read(&table::METRICS_COLLECTION_INTERVAL);
        let metrics_graph_limit = sources.read(&table::METRICS_GRAPH_LIMIT);
        let history_series_limit = sources.read(&table::HISTORY_SERIES_LIMIT);
        let otlp_endpoint = sources.read(&table::OTLP_ENDPOINT);
        let health_check_enabled = sources.read(&table::HEALTH_CHECK_ENABLED);
        let event_logging_enabled = sources.read(&table::EVENT_LOGGING_ENABLED);
        let event_retention_days = sources.read(&table::EVENT_LOG_RETENTION);
        let log_format = sources.read(&table::LOG_FORMAT);
        Some(Self {
            metrics_enabled: metrics_enabled?,
            metrics_collection_interval_seconds: metrics_collection_interval_seconds?,
            metrics_graph_limit: metrics_graph_limit?,
            history_series_limit: history_series_limit?,
            otlp_endpoint,
            health_check_enabled: health_check_enabled?,
            event_logging_enabled: event_logging_enabled?,
            event_retention_days: event_retention_days?,
            log_format: log_format?,
        })
    }
}
