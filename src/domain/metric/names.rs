//! All metrics: their names, types, labels and helps, as they are served. The first 18 are those of the old server, by whose names
//! dashboards and alerts of its users go on (rest-api, section 4); ours begin with `lightkeep_`.

use super::{Fold, Metric, MetricType};

/// Buckets of operations, seconds.
pub const OPERATION_BUCKETS: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

/// Buckets of requests and looks, seconds.
pub const REQUEST_BUCKETS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

macro_rules! metrics {
    ($($constant:ident = $kind:ident $fold:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                metric_type: MetricType::$kind,
                labels: &[$($label),*],
                help: $help,
                fold: Fold::$fold,
            };
        )+

        /// All of them, in the order in which they are listed.
        pub const ALL: &[Metric] = &[$($constant),+];

        /// The one with this name.
        pub fn find(name: &str) -> Option<&'static Metric> {
            ALL.iter().find(|metric| metric.name == name)
        }
    };
}

metrics! {
    SNAPSHOTS = Counter Sum "lightrag_backup_snapshots_total" [] "Total number of backup snapshots created";
    BACKUP_SIZE = Gauge Sum "lightrag_backup_size_bytes" [] "Current total backup storage size in bytes";
    RESTORE_DURATION = Histogram Sum "lightrag_backup_restore_duration_seconds" [] "Backup restore operation duration in seconds";
    BACKUP_ERRORS = Counter Sum "lightrag_backup_errors_total" [] "Total number of backup errors";
    REPLICATION_OPERATIONS = Counter Sum "lightrag_replication_operations_total" [] "Total number of replication operations";
    OLD_REPLICATION_LAG = Gauge Max "lightrag_replication_lag_seconds" ["graph", "target"] "Replication lag in seconds";
    REPLICATION_ERRORS = Counter Sum "lightrag_replication_errors_total" [] "Total number of replication errors";
    REPLICATION_BYTES = Counter Sum "lightrag_replication_bytes_transferred_total" [] "Total bytes transferred during replication";
    RECOVERY_POINTS = Gauge Sum "lightrag_recovery_points_total" [] "Total number of recovery checkpoints";
    RECOVERY_VALIDATIONS = Counter Sum "lightrag_recovery_validations_total" [] "Total number of recovery validations";
    RECOVERY_VALIDATION_FAILURES = Counter Sum "lightrag_recovery_validation_failures_total" [] "Total number of failed recovery validations";
    RECOVERY_FAILOVERS = Counter Sum "lightrag_recovery_failovers_total" [] "Total number of failover operations";
    HEALTH_CHECK_DURATION = Histogram Sum "lightrag_health_check_duration_seconds" [] "Health check operation duration";
    HEALTH_CHECK_FAILURES = Counter Sum "lightrag_health_check_failures_total" [] "Total number of health check failures";
    COMPONENT_HEALTH = Gauge Min "lightrag_component_health_status" ["component_type", "component"] "Component health status (1=healthy, 0.5=degraded, 0=critical)";
    GRAPHS = Gauge Sum "lightrag_graphs_total" [] "Total number of graphs";
    GRAPH_ENTITIES = Gauge Sum "lightrag_graph_entities_total" ["graph"] "Total number of entities per graph";
    GRAPH_RELATIONS = Gauge Sum "lightrag_graph_relations_total" ["graph"] "Total number of relations per graph";

    BACKUP_RUNS = Counter Sum "lightkeep_backup_runs_total" ["graph", "schedule", "result"] "Snapshots by how they ended: succeeded, inconsistent, failed or cancelled; without a schedule those that were asked for";
    BACKUP_LAST_SUCCESS = Gauge Min "lightkeep_backup_last_success_timestamp_seconds" ["graph", "schedule"] "When the last good snapshot of a graph by a schedule was complete";
    BACKUP_LAST_ATTEMPT = Gauge Min "lightkeep_backup_last_attempt_timestamp_seconds" ["graph"] "When the last snapshot of a graph ended, well or not";
    BACKUP_LAST_RESULT = Gauge Min "lightkeep_backup_last_result" ["graph"] "How that ended: 1 good, 0.5 inconsistent, 0 failed";
    BACKUP_DURATION = Histogram Sum "lightkeep_backup_duration_seconds" [] "How long snapshots took";
    BACKUP_QUIESCE_DURATION = Histogram Sum "lightkeep_backup_quiesce_duration_seconds" [] "How long snapshots waited for LightRAG to be at rest";
    PROTECTED_UNTIL = Gauge Min "lightkeep_graph_protected_timestamp_seconds" ["graph"] "The state that a graph can be brought back to: when the capture of its newest good snapshot began";
    UNPROTECTED_SINCE = Gauge Min "lightkeep_graph_unprotected_timestamp_seconds" ["graph"] "Since when a graph is registered that has no good snapshot";
    GRAPH_SIZE = Gauge Sum "lightkeep_backup_size_bytes" ["graph"] "Size of the files of a graph in its newest good snapshot";
    GRAPH_STORED = Gauge Sum "lightkeep_backup_stored_bytes" ["graph"] "What all snapshots of a graph have added to its repository";
    REPOSITORY_SIZE = Gauge Sum "lightkeep_repository_size_bytes" ["graph"] "Size of the files of a graph's repository after the last operation on it";
    GRAPH_SNAPSHOTS = Gauge Sum "lightkeep_snapshots" ["graph"] "Snapshots of a graph that can be restored";
    GRAPH_RECORDS = Gauge Sum "lightkeep_backup_records" ["graph", "kind"] "Records in the newest good snapshot of a graph, by kind";
    GRAPH_SIZE_CHANGE = Gauge Min "lightkeep_backup_size_change_ratio" ["graph"] "Size of the newest snapshot of a graph against the one before, 0 for no change, -0.3 for 30 % less";
    GRAPH_RECORDS_CHANGE = Gauge Min "lightkeep_backup_records_change_ratio" ["graph", "kind"] "Records of the newest snapshot of a graph against the one before, by kind";
    CONSISTENCY_VIOLATIONS = Gauge Sum "lightkeep_consistency_violations" ["graph"] "Findings of the audit that break a processed document, in the newest snapshot of a graph";
    SCHEDULE_INTERVAL = Gauge Max "lightkeep_schedule_expected_interval_seconds" ["graph", "schedule"] "How far apart the snapshots of a graph by a schedule are to be at most, paused or not; without those that follow changes";
    SCHEDULE_NEXT_RUN = Gauge Min "lightkeep_schedule_next_run_timestamp_seconds" ["schedule"] "When a schedule is due next";
    SCHEDULE_MISSED = Counter Sum "lightkeep_schedule_missed_runs_total" ["schedule"] "Runs of a schedule that did not take place in time";
    REPLICATION_LAST_SUCCESS = Gauge Min "lightkeep_replication_last_success_timestamp_seconds" ["graph", "target"] "When a snapshot of a graph was last brought to a target";
    REPLICATION_LAG = Gauge Max "lightkeep_replication_lag_seconds" ["graph", "target"] "For how long a target has lacked a newer snapshot of a graph than it has";
    REPLICATION_LAG_SNAPSHOTS = Gauge Sum "lightkeep_replication_lag_snapshots" ["graph", "target"] "Snapshots of a graph that a target lacks";
    REPLICATION_BACKLOG = Gauge Sum "lightkeep_replication_backlog_bytes" ["graph", "target"] "What the snapshots that a target lacks have added to the repository";
    REPLICATION_TRANSFERRED = Counter Sum "lightkeep_replication_transferred_bytes_total" ["target"] "Bytes of files sent to a target";
    COPIES_MISSING = Gauge Sum "lightkeep_copies_missing" ["graph"] "Copies that the newest good snapshot of a graph lacks by its policy";
    TARGET_UP = Gauge Min "lightkeep_target_up" ["target"] "Whether a target takes copies: 1 healthy, 0.5 degraded, 0 unreachable";
    TARGET_FREE = Gauge Sum "lightkeep_target_free_bytes" ["target"] "Room that a target has";
    STORAGE_FREE = Gauge Min "lightkeep_storage_free_bytes" [] "Room on the disk of the repositories";
    STORAGE_TOTAL = Gauge Min "lightkeep_storage_total_bytes" [] "Size of the disk of the repositories";
    VERIFICATION_LAST_SUCCESS = Gauge Min "lightkeep_verification_last_success_timestamp_seconds" ["graph"] "When a snapshot of a graph was last verified and nothing was wrong";
    VERIFICATION_FAILURES = Counter Sum "lightkeep_verification_failures_total" ["level"] "Verifications that found something wrong";
    VERIFICATION_FAILED = Gauge Sum "lightkeep_verification_failed_snapshots" ["graph"] "Snapshots of a graph in which the last verification found something wrong";
    DRILL_RUNS = Counter Sum "lightkeep_drill_runs_total" ["result"] "Drills by how they ended";
    DRILL_LAST_SUCCESS = Gauge Min "lightkeep_drill_last_success_timestamp_seconds" ["graph"] "When a graph was last recovered in a drill";
    DRILL_LAST_RESULT = Gauge Min "lightkeep_drill_last_result" ["graph"] "How the last drill of a graph ended: 1 passed, 0 failed";
    DRILL_RTO = Gauge Max "lightkeep_drill_rto_seconds" ["graph"] "How long the recovery of a graph took in its last drill";
    DRILL_RPO = Gauge Max "lightkeep_drill_rpo_seconds" ["graph"] "What a recovery would have lost at the last drill of a graph";
    DRILL_RECALL = Gauge Min "lightkeep_drill_retrieval_recall_ratio" ["graph"] "The least that a probe retrieved of what it did before, in the last drill of a graph";
    OBJECTIVE_RTO = Gauge Min "lightkeep_objective_rto_seconds" ["graph"] "How long the recovery of a graph may take";
    OBJECTIVE_RPO = Gauge Min "lightkeep_objective_rpo_seconds" ["graph"] "How old the newest good snapshot of a graph may be";
    RESTORE_RUNS = Counter Sum "lightkeep_restore_runs_total" ["result"] "Restores by how they ended";
    RETENTION_DELETED = Counter Sum "lightkeep_retention_deleted_total" [] "Snapshots that were deleted";
    RETENTION_LAST_SUCCESS = Gauge Max "lightkeep_retention_last_success_timestamp_seconds" [] "When what retention no longer keeps was last looked for on all graphs";
    OPERATIONS = Counter Sum "lightkeep_operations_total" ["operation", "result"] "Operations by kind and how they ended";
    OPERATION_DURATION = Histogram Sum "lightkeep_operation_duration_seconds" ["operation"] "How long operations took that were begun";
    OPERATIONS_IN_FLIGHT = Gauge Sum "lightkeep_operations_in_flight" ["operation", "state"] "Operations that wait or run";
    OPERATION_QUEUE_AGE = Gauge Max "lightkeep_operation_queue_age_seconds" [] "For how long the oldest waiting operation that a worker could take has waited";
    OPERATION_HEARTBEAT_AGE = Gauge Max "lightkeep_operation_oldest_heartbeat_age_seconds" [] "For how long the most silent running operation has given no sign of life";
    LEASE_HELD = Gauge Sum "lightkeep_lease_held" ["lease"] "Whether an instance holds a lease: 1, or 0 when it has run out";
    FAILOVERS_INCOMPLETE = Gauge Sum "lightkeep_failovers_incomplete" [] "Failovers that left some graphs old and some new";
    EVENTS = Counter Sum "lightkeep_events_total" ["severity"] "Events by severity";
    ALERTS_FIRING = Gauge Sum "lightkeep_alerts_firing" ["severity"] "Alerts of this server that fire";
    NOTIFICATIONS = Counter Sum "lightkeep_notifications_total" ["channel", "result"] "Attempts to tell of alerts, by how they ended: delivered or failed";
    COLLECTION_LAST = Gauge Max "lightkeep_collection_timestamp_seconds" [] "When these figures were collected";
}
