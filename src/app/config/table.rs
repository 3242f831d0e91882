//! All settings: each stands here once, with its flag, its variables, its key in the TOML file, its default and its parser.

use std::net::SocketAddr;

use lettre::message::{Mailbox, Mailboxes};

use super::parse::{
    address, boolean, log_format, log_level, mailbox, mailboxes, name, number, peer_keys, share, smtp_url, text, unsupported, web_address,
};
use super::{LogFormat, LogLevel};
use crate::base::secret::Secret;
use crate::domain::peer::PeerKey;

/// How a setting is called in each source.
#[derive(Debug)]
pub(super) struct Names {
    /// The flag as it is written; empty without one.
    pub(super) flag: &'static str,
    /// Environment variables: the main one, then its aliases.
    pub(super) variables: &'static [&'static str],
    /// The dotted key in the TOML file; empty without one.
    pub(super) key: &'static str,
    /// Whether the value is a list: colon separated in variables, an array in the TOML file, a repeated flag.
    pub(super) list: bool,
}

/// One setting: its names, its default as text (empty: none, and an empty value then means not set), its parser.
#[derive(Debug)]
pub(super) struct Setting<T: 'static> {
    pub(super) names: Names,
    pub(super) default: &'static str,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

macro_rules! settings {
    ($($id:ident: $type:ty = $flag:literal, [$($variable:literal),+], $key:literal, $default:literal, $parse:expr;)+) => {
        $(pub(super) static $id: Setting<$type> = Setting {
            names: Names { flag: $flag, variables: &[$($variable),+], key: $key, list: matches!($key.as_bytes(), b"server.allowed_roots" | b"replication.roots") },
            default: $default,
            parse: $parse,
        };)+
        /// The names of all settings, by which unknown ones are found.
        pub(super) static ALL: &[&Names] = &[$(&$id.names),+];
    };
}

/// A hundred years: beyond it a number of days is a slip of the pen.
const MAX_DAYS: u32 = 36_500;
/// A year.
const MAX_HOURS: u32 = 8_784;
/// Some packs of the usual size: with less a prune would come to nothing.
const MIN_MIB: u32 = 64;
/// A tebibyte.
const MAX_MIB: u32 = 1_048_576;
/// A day.
const MAX_SECONDS: u32 = 86_400;

settings! {
    HTTP_ADDR: SocketAddr = "--http-addr", ["LIGHTKEEP_HTTP_ADDR"], "server.http_addr", "127.0.0.1:9621", address;
    GRPC_ADDR: SocketAddr = "--grpc-addr", ["LIGHTKEEP_GRPC_ADDR"], "server.grpc_addr", "127.0.0.1:50051", address;
    API_KEY: Secret = "", ["LIGHTRAG_API_KEY"], "server.api_key", "", |value| Ok(Secret::new(value.to_owned()));
    PEER_KEYS: Vec<PeerKey> = "", ["LIGHTKEEP_PEER_KEYS"], "server.peer_keys", "", peer_keys;
    INSECURE_NO_AUTH: bool = "--insecure-no-auth", ["LIGHTKEEP_INSECURE_NO_AUTH"], "server.insecure_no_auth", "false", boolean;
    INSTANCE_NAME: String = "--instance-name", ["LIGHTKEEP_INSTANCE_NAME"], "server.instance_name", "", name;
    ALLOWED_ROOTS: String = "--allowed-root", ["LIGHTKEEP_ALLOWED_ROOTS"], "server.allowed_roots", "", text;
    LIGHTRAG_WORKING_DIR: String = "", ["WORKING_DIR"], "", "", text;
    MAX_PARALLEL_OPERATIONS: u32 =
        "--max-parallel-operations", ["LIGHTKEEP_MAX_PARALLEL_OPERATIONS"], "server.max_parallel_operations", "", number::<1, 256>;
    LOG_LEVEL: LogLevel = "--log-level", ["LIGHTRAG_LOG_LEVEL", "LOG_LEVEL"], "server.log_level", "INFO", log_level;
    STORAGE: String =
        "--storage", ["LIGHTRAG_BACKUP_STORAGE", "LIGHTRAG_BACKUP_STORAGE_PATH"], "backup.storage", "./lightrag_backups", text;
    PASSWORD_FILE: String =
        "--repository-password-file", ["LIGHTKEEP_REPOSITORY_PASSWORD_FILE"], "backup.repository_password_file", "", text;
    PASSWORD_COMMAND: String =
        "--repository-password-command", ["LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND"], "backup.repository_password_command", "", text;
    RESTORE_SYNC: bool = "", ["LIGHTKEEP_RESTORE_SYNC"], "backup.restore_sync", "true", boolean;
    BACKUP_ENABLED: bool = "", ["LIGHTRAG_BACKUP_ENABLED"], "backup.enabled", "true", boolean;
    RETENTION_DAYS: u32 = "", ["LIGHTRAG_BACKUP_RETENTION_DAYS"], "backup.retention_days", "30", number::<1, MAX_DAYS>;
    PRUNE_INTERVAL: u32 = "", ["LIGHTKEEP_PRUNE_INTERVAL_HOURS"], "backup.prune_interval_hours", "24", number::<0, MAX_HOURS>;
    PRUNE_MAX_SECONDS: u32 = "", ["LIGHTKEEP_PRUNE_MAX_SECONDS"], "backup.prune_max_seconds", "600", number::<1, MAX_SECONDS>;
    PRUNE_MAX_REPACK: u32 = "", ["LIGHTKEEP_PRUNE_MAX_REPACK_MIB"], "backup.prune_max_repack_mib", "10240", number::<MIN_MIB, MAX_MIB>;
    AUTO_BACKUP_INTERVAL: u32 =
        "", ["LIGHTRAG_AUTO_BACKUP_INTERVAL", "LIGHTRAG_BACKUP_INTERVAL_HOURS"], "backup.interval_hours", "24", number::<0, MAX_HOURS>;
    S3_BUCKET: () = "", ["LIGHTRAG_BACKUP_S3_BUCKET"], "", "", unsupported;
    S3_REGION: () = "", ["LIGHTRAG_BACKUP_S3_REGION"], "", "", unsupported;
    S3_KEY_PREFIX: () = "", ["LIGHTRAG_BACKUP_S3_KEY_PREFIX"], "", "", unsupported;
    REPLICATION_ENABLED: bool = "", ["LIGHTRAG_REPLICATION_ENABLED"], "replication.enabled", "true", boolean;
    REPLICATION_HEALTH_CHECK_INTERVAL: u32 =
        "", ["LIGHTRAG_REPLICATION_HEALTH_CHECK_INTERVAL"], "replication.health_check_interval_seconds", "300", number::<1, MAX_SECONDS>;
    REPLICATION_MAX_TARGETS: u32 = "", ["LIGHTRAG_REPLICATION_MAX_TARGETS"], "replication.max_targets", "5", number::<0, 10_000>;
    REPLICATION_ROOTS: String = "", ["LIGHTKEEP_REPLICATION_ROOTS"], "replication.roots", "", text;
    REPLICATION_ALLOW_HTTP: bool = "", ["LIGHTKEEP_REPLICATION_ALLOW_HTTP"], "replication.allow_http", "false", boolean;
    REPLICATION_FORBID_PRIVATE: bool = "", ["LIGHTKEEP_REPLICATION_FORBID_PRIVATE"], "replication.forbid_private", "false", boolean;
    RECOVERY_ENABLED: bool = "", ["LIGHTRAG_RECOVERY_ENABLED"], "recovery.enabled", "true", boolean;
    DATABASE_URL: String =
        "--database-url", ["LIGHTRAG_RECOVERY_DB_URL"], "recovery.database_url", "sqlite:///./lightrag_recovery.db", text;
    CHECKPOINT_INTERVAL: u32 =
        "", ["LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL_HOURS"],
        "recovery.checkpoint_interval_hours", "12", number::<0, MAX_HOURS>;
    CHECKPOINT_RETENTION_DAYS: u32 =
        "", ["LIGHTKEEP_CHECKPOINT_RETENTION_DAYS"], "recovery.checkpoint_retention_days", "30", number::<1, MAX_DAYS>;
    RPO_OBJECTIVE_HOURS: u32 = "", ["LIGHTKEEP_RPO_OBJECTIVE_HOURS"], "recovery.rpo_objective_hours", "48", number::<0, MAX_HOURS>;
    RECOVERY_HEALTH_CHECK_INTERVAL: u32 =
        "", ["LIGHTKEEP_RECOVERY_HEALTH_CHECK_INTERVAL_SECONDS"], "recovery.health_check_interval_seconds", "300", number::<10, MAX_SECONDS>;
    VALIDATION_MAX_AGE_DAYS: u32 =
        "", ["LIGHTKEEP_VALIDATION_MAX_AGE_DAYS"], "recovery.validation_max_age_days", "30", number::<1, MAX_DAYS>;
    DRILL_DIR: String = "", ["LIGHTKEEP_DRILL_DIR"], "recovery.drill_dir", "", text;
    DRILL_COMMAND: Secret = "", ["LIGHTKEEP_DRILL_COMMAND"], "recovery.drill_command", "", |value| Ok(Secret::new(value.to_owned()));
    DRILL_TIMEOUT: u32 = "", ["LIGHTKEEP_DRILL_TIMEOUT_SECONDS"], "recovery.drill_timeout_seconds", "300", number::<1, MAX_SECONDS>;
    DRILL_MINIMUM_RECALL: f64 = "", ["LIGHTKEEP_DRILL_MINIMUM_RECALL"], "recovery.drill_minimum_recall", "1.0", share;
    DRILL_INTERVAL: u32 = "", ["LIGHTKEEP_DRILL_INTERVAL_HOURS"], "recovery.drill_interval_hours", "0", number::<0, MAX_HOURS>;
    HOOKS_FILE: String = "", ["LIGHTKEEP_HOOKS_FILE"], "recovery.hooks_file", "", text;
    HOOK_SECRET: Secret = "", ["LIGHTKEEP_HOOK_SECRET"], "recovery.hook_secret", "", |value| Ok(Secret::new(value.to_owned()));
    FAILOVER_SERVER_TIMEOUT: u32 =
        "", ["LIGHTKEEP_FAILOVER_SERVER_TIMEOUT_SECONDS"], "recovery.failover_server_timeout_seconds", "120", number::<1, MAX_SECONDS>;
    METRICS_ENABLED: bool = "", ["LIGHTRAG_METRICS_ENABLED"], "metrics.enabled", "true", boolean;
    METRICS_ADDR: SocketAddr = "--metrics-addr", ["LIGHTKEEP_METRICS_ADDR"], "metrics.addr", "", address;
    METRICS_PORT: u32 = "", ["LIGHTRAG_METRICS_PORT"], "metrics.port", "9090", number::<0, 65_535>;
    METRICS_COLLECTION_INTERVAL: u32 =
        "", ["LIGHTRAG_METRICS_COLLECTION_INTERVAL_SECONDS", "LIGHTRAG_METRICS_COLLECTION_INTERVAL"],
        "metrics.collection_interval_seconds", "60", number::<1, MAX_SECONDS>;
    METRICS_GRAPH_LIMIT: u32 = "", ["LIGHTKEEP_METRICS_GRAPH_LIMIT"], "metrics.graph_limit", "500", number::<0, 100_000>;
    HISTORY_SERIES_LIMIT: u32 = "", ["LIGHTKEEP_HISTORY_SERIES_LIMIT"], "metrics.history_series_limit", "2000", number::<0, 100_000>;
    OTLP_ENDPOINT: String = "", ["OTEL_EXPORTER_OTLP_ENDPOINT"], "", "", text;
    LOG_FORMAT: LogFormat = "--log-format", ["LIGHTKEEP_LOG_FORMAT"], "server.log_format", "text", log_format;
    ALERTS_ENABLED: bool = "", ["LIGHTKEEP_ALERTS_ENABLED"], "alerts.enabled", "true", boolean;
    ALERT_WEBHOOK_URL: Secret = "", ["LIGHTKEEP_ALERT_WEBHOOK_URL"], "alerts.webhook_url", "", web_address;
    ALERT_WEBHOOK_SECRET: Secret =
        "", ["LIGHTKEEP_ALERT_WEBHOOK_SECRET"], "alerts.webhook_secret", "", |value| Ok(Secret::new(value.to_owned()));
    ALERT_SMTP_URL: Secret = "", ["LIGHTKEEP_ALERT_SMTP_URL"], "alerts.smtp_url", "", smtp_url;
    ALERT_MAIL_FROM: Mailbox = "", ["LIGHTKEEP_ALERT_MAIL_FROM"], "alerts.mail_from", "", mailbox;
    ALERT_MAIL_TO: Mailboxes = "", ["LIGHTKEEP_ALERT_MAIL_TO"], "alerts.mail_to", "", mailboxes;
    HEALTH_CHECK_ENABLED: bool = "", ["LIGHTRAG_HEALTH_CHECK_ENABLED"], "health.enabled", "true", boolean;
    EVENT_LOGGING_ENABLED: bool = "", ["LIGHTRAG_EVENT_LOGGING_ENABLED"], "events.enabled", "true", boolean;
    EVENT_LOG_RETENTION: u32 = "", ["LIGHTRAG_EVENT_LOG_RETENTION"], "events.retention_days", "90", number::<1, MAX_DAYS>;
}
