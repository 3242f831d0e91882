//! All settings: each stands here once, with its meaning, its flag, its variables, its key in the TOML file, its default and its parser.

use std::net::SocketAddr;

use lettre::message::{Mailbox, Mailboxes};

use super::parse::{
    address, boolean, log_format, log_level, mailbox, mailboxes, name, number, peer_keys, share, smtp_url, text, unsupported, web_address,
};
use super::{LogFormat, LogLevel};
use crate::base::secret::Secret;
use crate::domain::peer::PeerKey;

/// How a setting is called in each source, and what people are told of it.
#[derive(Debug)]
pub(in crate::app) struct Names {
    /// The flag as it is written; empty without one.
    pub(in crate::app) flag: &'static str,
    /// Environment variables: the main one, then its aliases.
    pub(in crate::app) variables: &'static [&'static str],
    /// The dotted key in the TOML file; empty without one.
    pub(in crate::app) key: &'static str,
    /// Whether the value is a list: colon separated in variables, an array in the TOML file, a repeated flag.
    pub(in crate::app) list: bool,
    /// The default as text; empty without one.
    pub(in crate::app) default: &'static str,
    /// What counts without a value and without a default, in Markdown; empty: nothing does.
    pub(in crate::app) otherwise: &'static str,
    /// The bounds of a number, where it is a whole one.
    pub(in crate::app) range: Option<Range>,
    /// What it does, in Markdown; behind a range it begins with a small letter.
    pub(in crate::app) meaning: &'static str,
}

/// The whole numbers that a setting can have.
#[derive(Debug, Clone, Copy)]
pub(in crate::app) struct Range {
    /// What is counted, such as `seconds`; empty where the meaning says it.
    pub(in crate::app) unit: &'static str,
    /// The least.
    pub(in crate::app) low: u32,
    /// The most.
    pub(in crate::app) high: u32,
}

/// Settings that are documented together.
#[derive(Debug)]
pub(in crate::app) struct Section {
    /// Its name in the markers of the configuration reference.
    pub(in crate::app) name: &'static str,
    /// Its settings.
    pub(in crate::app) settings: &'static [&'static Names],
}

/// One setting: its names and its parser. Where it has no default an empty value means not set.
#[derive(Debug)]
pub(super) struct Setting<T: 'static> {
    pub(super) names: Names,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

/// The values that a setting can have.
struct Values<T> {
    parse: fn(&str) -> Result<T, String>,
    range: Option<Range>,
}

/// All that the parser takes.
const fn any<T>(parse: fn(&str) -> Result<T, String>) -> Values<T> {
    Values { parse, range: None }
}

/// Whole numbers.
const fn within<const LOW: u32, const HIGH: u32>(unit: &'static str) -> Values<u32> {
    Values { parse: number::<LOW, HIGH>, range: Some(Range { unit, low: LOW, high: HIGH }) }
}

/// Any text, shown to nobody.
fn secret(value: &str) -> Result<Secret, String> {
    Ok(Secret::new(value.to_owned()))
}

macro_rules! settings {
    ($($section:ident {$(
        $(#[doc = $meaning:literal])+
        $id:ident: $type:ty = $flag:literal, [$($variable:literal),+], $key:literal,
            $default:literal $(or $otherwise:literal)?, $values:expr;
    )+})+) => {
        $($(pub(super) static $id: Setting<$type> = {
            const VALUES: Values<$type> = $values;
            Setting {
                names: Names {
                    flag: $flag,
                    variables: &[$($variable),+],
                    key: $key,
                    list: matches!($key.as_bytes(), b"server.allowed_roots" | b"replication.roots"),
                    default: $default,
                    otherwise: concat!($($otherwise)?),
                    range: VALUES.range,
                    meaning: concat!($($meaning),+),
                },
                parse: VALUES.parse,
            }
        };)+)+
        /// The names of all settings, by which unknown ones are found.
        pub(super) static ALL: &[&Names] = &[$($(&$id.names),+),+];
        /// The same, as they are documented.
        pub(in crate::app) static SECTIONS: &[Section] =
            &[$(Section { name: stringify!($section), settings: &[$(&$id.names),+] }),+];
    };
}

/// The variables of the commands that ask a running server: a server knows them, and takes no setting from them. Each has its meaning.
pub(in crate::app) static CLIENT_VARIABLES: &[(&str, &str)] = &[
    (
        "LIGHTKEEP_ADDRESS",
        "As `--address`: the server's gRPC, `http://host:port` or `https://host:port`; without it `http://127.0.0.1:50051`.",
    ),
    ("LIGHTKEEP_TOKEN", "The key that is sent with each call: the server's `LIGHTRAG_API_KEY`."),
    ("LIGHTKEEP_TOKEN_FILE", "As `--token-file`: file that holds that key."),
    ("LIGHTKEEP_CA_FILE", "As `--ca-file`: PEM file of the certificate authorities to trust with https; without it those of the system."),
];

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
    server {
        /// Where REST listens. 9621 is also the default of LightRAG's own server: change one of them.
        HTTP_ADDR: SocketAddr = "--http-addr", ["LIGHTKEEP_HTTP_ADDR"], "server.http_addr", "127.0.0.1:9621", any(address);
        /// Where gRPC listens.
        GRPC_ADDR: SocketAddr = "--grpc-addr", ["LIGHTKEEP_GRPC_ADDR"], "server.grpc_addr", "127.0.0.1:50051", any(address);
        /// When set, every call needs it, as `X-API-Key` or `Authorization: Bearer`. Excepted: gRPC health, `/health`, `/healthz`,
        /// `/readyz`, `/openapi.json`.
        API_KEY: Secret = "", ["LIGHTRAG_API_KEY"], "server.api_key", "", any(secret);
        /// Who may bring copies here: `name:key` for each, with commas between, in one string. Names of at most 50 letters, digits, `_` and
        /// `-`; keys of at least 16 visible ASCII characters, another for each, none the API key. They open ReplicaService only; without
        /// any it is not there.
        PEER_KEYS: Vec<PeerKey> = "", ["LIGHTKEEP_PEER_KEYS"], "server.peer_keys", "", any(peer_keys);
        /// Allows to listen beyond this computer without a key. Without it that is refused.
        INSECURE_NO_AUTH: bool = "--insecure-no-auth", ["LIGHTKEEP_INSECURE_NO_AUTH"], "server.insecure_no_auth", "false", any(boolean);
        /// Recorded in snapshots as restic's host, and in repository locks. At most 200 bytes. See [OPERATIONS.md](OPERATIONS.md) for
        /// several instances.
        INSTANCE_NAME: String = "--instance-name", ["LIGHTKEEP_INSTANCE_NAME"], "server.instance_name", "" or "the host's name", any(name);
        /// Directories that sources and restore targets must lie in, after links and `..` are resolved. Colon separated in variables. Each
        /// must exist.
        ALLOWED_ROOTS: String =
            "--allowed-root", ["LIGHTKEEP_ALLOWED_ROOTS"],
            "server.allowed_roots", "" or "the working directory, and `WORKING_DIR` when set", any(text);
        /// LightRAG's own variable; only used for the default of the allowed roots.
        LIGHTRAG_WORKING_DIR: String = "", ["WORKING_DIR"], "", "", any(text);
        /// how many operations run at once, on different graphs.
        MAX_PARALLEL_OPERATIONS: u32 =
            "--max-parallel-operations", ["LIGHTKEEP_MAX_PARALLEL_OPERATIONS"],
            "server.max_parallel_operations", "" or "number of cores", within::<1, 256>("");
        /// `DEBUG`, `INFO`, `WARNING` (or `WARN`), `ERROR` (or `CRITICAL`).
        LOG_LEVEL: LogLevel = "--log-level", ["LIGHTRAG_LOG_LEVEL", "LOG_LEVEL"], "server.log_level", "INFO", any(log_level);
        /// `text` for people, `json` for an object on each line.
        LOG_FORMAT: LogFormat = "--log-format", ["LIGHTKEEP_LOG_FORMAT"], "server.log_format", "text", any(log_format);
    }
    backup {
        /// `false`: BackupService, RepositoryService, RetentionService and ScheduleService are not there; their paths answer 404. Nothing
        /// is taken, deleted or pruned by itself, sent or received.
        BACKUP_ENABLED: bool = "", ["LIGHTRAG_BACKUP_ENABLED"], "backup.enabled", "true", any(boolean);
        /// `false`: a restore does not wait until all is on the disk; a power cut right after it may lose restored files.
        RESTORE_SYNC: bool = "", ["LIGHTKEEP_RESTORE_SYNC"], "backup.restore_sync", "true", any(boolean);
        /// The directory of the repositories: one below it for each graph. Made when missing.
        STORAGE: String =
            "--storage", ["LIGHTRAG_BACKUP_STORAGE", "LIGHTRAG_BACKUP_STORAGE_PATH"], "backup.storage", "./lightrag_backups", any(text);
        /// File that holds the password of all repositories. A newline at its end does not count.
        PASSWORD_FILE: String =
            "--repository-password-file", ["LIGHTKEEP_REPOSITORY_PASSWORD_FILE"],
            "backup.repository_password_file", "", any(text);
        /// Command, run by `sh -c` at start; the first line that it prints is the password.
        PASSWORD_COMMAND: String =
            "--repository-password-command", ["LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND"],
            "backup.repository_password_command", "", any(text);
        /// how long a snapshot of a graph without a retention policy is kept at least: fills `retention_until` of new snapshots. What is
        /// over is deleted after each snapshot and every hour, never the newest good one ([OPERATIONS.md](OPERATIONS.md#retention)).
        RETENTION_DAYS: u32 = "", ["LIGHTRAG_BACKUP_RETENTION_DAYS"], "backup.retention_days", "30", within::<1, MAX_DAYS>("days");
        /// how long after a deletion a repository is pruned by itself; 0 for never.
        PRUNE_INTERVAL: u32 = "", ["LIGHTKEEP_PRUNE_INTERVAL_HOURS"], "backup.prune_interval_hours", "24", within::<0, MAX_HOURS>("hours");
        /// the longest that such a run works, before the check of the structure and of 64 MiB of data. The next one goes on; one that did
        /// not even learn what is used in that time gets twice as long.
        PRUNE_MAX_SECONDS: u32 =
            "", ["LIGHTKEEP_PRUNE_MAX_SECONDS"], "backup.prune_max_seconds", "600", within::<1, MAX_SECONDS>("seconds");
        /// the most that such a run reads to rewrite packs.
        PRUNE_MAX_REPACK: u32 =
            "", ["LIGHTKEEP_PRUNE_MAX_REPACK_MIB"], "backup.prune_max_repack_mib", "10240", within::<MIN_MIB, MAX_MIB>("MiB");
        /// the interval of the default schedule of registered graphs, from their registration on; 0 for none. A change counts from the next
        /// start.
        AUTO_BACKUP_INTERVAL: u32 =
            "", ["LIGHTRAG_AUTO_BACKUP_INTERVAL", "LIGHTRAG_BACKUP_INTERVAL_HOURS"],
            "backup.interval_hours", "24", within::<0, MAX_HOURS>("hours");
        /// Refused when set: object stores are not supported.
        S3_BUCKET: () = "", ["LIGHTRAG_BACKUP_S3_BUCKET"], "", "", any(unsupported);
        /// Refused when set: object stores are not supported.
        S3_REGION: () = "", ["LIGHTRAG_BACKUP_S3_REGION"], "", "", any(unsupported);
        /// Refused when set: object stores are not supported.
        S3_KEY_PREFIX: () = "", ["LIGHTRAG_BACKUP_S3_KEY_PREFIX"], "", "", any(unsupported);
    }
    database {
        /// Where graphs, snapshots and operations are recorded.
        DATABASE_URL: String =
            "--database-url", ["LIGHTRAG_RECOVERY_DB_URL"], "recovery.database_url", "sqlite:///./lightrag_recovery.db", any(text);
    }
    recovery {
        /// `false`: RecoveryService is not there; its paths answer 404, and no checkpoint is made by itself. So too without backup.
        /// Checkpoints that are there are kept and go at their time all the same.
        RECOVERY_ENABLED: bool = "", ["LIGHTRAG_RECOVERY_ENABLED"], "recovery.enabled", "true", any(boolean);
        /// how often a checkpoint over all registered graphs is made by itself, for the first time so long after the first graph was
        /// registered; 0 for never.
        CHECKPOINT_INTERVAL: u32 =
            "", ["LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL_HOURS"],
            "recovery.checkpoint_interval_hours", "12", within::<0, MAX_HOURS>("hours");
        /// how long a checkpoint is kept at least. The newest complete one and the newest validated one stay.
        CHECKPOINT_RETENTION_DAYS: u32 =
            "", ["LIGHTKEEP_CHECKPOINT_RETENTION_DAYS"],
            "recovery.checkpoint_retention_days", "30", within::<1, MAX_DAYS>("days");
        /// how old the newest good snapshot of a graph without an objective of its own may be before recovery health calls it critical; 0:
        /// nobody says.
        RPO_OBJECTIVE_HOURS: u32 =
            "", ["LIGHTKEEP_RPO_OBJECTIVE_HOURS"], "recovery.rpo_objective_hours", "48", within::<0, MAX_HOURS>("hours");
        /// how often everything that recovery needs is looked at; not with `LIGHTRAG_HEALTH_CHECK_ENABLED=false`.
        RECOVERY_HEALTH_CHECK_INTERVAL: u32 =
            "", ["LIGHTKEEP_RECOVERY_HEALTH_CHECK_INTERVAL_SECONDS"],
            "recovery.health_check_interval_seconds", "300", within::<10, MAX_SECONDS>("seconds");
        /// `false`: recovery health is looked at only when asked for (`POST /api/backup/recovery/health-check`).
        HEALTH_CHECK_ENABLED: bool = "", ["LIGHTRAG_HEALTH_CHECK_ENABLED"], "health.enabled", "true", any(boolean);
        /// a checkpoint whose last validation is older does not count as validated.
        VALIDATION_MAX_AGE_DAYS: u32 =
            "", ["LIGHTKEEP_VALIDATION_MAX_AGE_DAYS"],
            "recovery.validation_max_age_days", "30", within::<1, MAX_DAYS>("days");
        /// Where drills restore graphs to, each into a directory of its own below it, which is removed at its end. Outside all graphs; made
        /// when missing. See [OPERATIONS.md](OPERATIONS.md#drills).
        DRILL_DIR: String = "", ["LIGHTKEEP_DRILL_DIR"], "recovery.drill_dir", "" or "`<storage>/.drills`", any(text);
        /// Command, run by `sh -c`, that starts a LightRAG over a restored graph (`WORKING_DIR`, `PORT`); without it drills start nothing.
        DRILL_COMMAND: Secret = "", ["LIGHTKEEP_DRILL_COMMAND"], "recovery.drill_command", "", any(secret);
        /// how long it may take until its `/health` answers.
        DRILL_TIMEOUT: u32 =
            "", ["LIGHTKEEP_DRILL_TIMEOUT_SECONDS"], "recovery.drill_timeout_seconds", "300", within::<1, MAX_SECONDS>("seconds");
        /// 0 to 1: the share that each probe must retrieve of what it did when the snapshot was taken.
        DRILL_MINIMUM_RECALL: f64 = "", ["LIGHTKEEP_DRILL_MINIMUM_RECALL"], "recovery.drill_minimum_recall", "1.0", any(share);
        /// TOML file of what is done around failovers, read at the start. See [OPERATIONS.md](OPERATIONS.md#hooks).
        HOOKS_FILE: String = "", ["LIGHTKEEP_HOOKS_FILE"], "recovery.hooks_file", "", any(text);
        /// Signs the bodies of webhooks; without it they are not signed.
        HOOK_SECRET: Secret = "", ["LIGHTKEEP_HOOK_SECRET"], "recovery.hook_secret", "", any(secret);
        /// how long the LightRAG servers of the graphs have after a switch until they are healthy, where there are hooks that start them.
        FAILOVER_SERVER_TIMEOUT: u32 =
            "", ["LIGHTKEEP_FAILOVER_SERVER_TIMEOUT_SECONDS"],
            "recovery.failover_server_timeout_seconds", "120", within::<1, MAX_SECONDS>("seconds");
        /// how long after its last drill the newest good snapshot of a graph is drilled by itself; 0 for never.
        DRILL_INTERVAL: u32 = "", ["LIGHTKEEP_DRILL_INTERVAL_HOURS"], "recovery.drill_interval_hours", "0", within::<0, MAX_HOURS>("hours");
    }
    replication {
        /// `false`: ReplicationService is not there; its paths answer 404, and nothing is sent. So too without backup. Copies of others are
        /// taken all the same where `LIGHTKEEP_PEER_KEYS` is set.
        REPLICATION_ENABLED: bool = "", ["LIGHTRAG_REPLICATION_ENABLED"], "replication.enabled", "true", any(boolean);
        /// how often each target is asked how it is.
        REPLICATION_HEALTH_CHECK_INTERVAL: u32 =
            "", ["LIGHTRAG_REPLICATION_HEALTH_CHECK_INTERVAL"],
            "replication.health_check_interval_seconds", "300", within::<1, MAX_SECONDS>("seconds");
        /// how many targets may be registered.
        REPLICATION_MAX_TARGETS: u32 = "", ["LIGHTRAG_REPLICATION_MAX_TARGETS"], "replication.max_targets", "5", within::<0, 10_000>("");
        /// Directories that targets on disks must lie in, after links and `..` are resolved. Colon separated in the variable. Each must
        /// exist. Without any, no target can be a directory.
        REPLICATION_ROOTS: String = "", ["LIGHTKEEP_REPLICATION_ROOTS"], "replication.roots", "", any(text);
        /// `true`: targets on other computers may be reached by plain http, which shows the key to the network. To this computer it is
        /// always allowed.
        REPLICATION_ALLOW_HTTP: bool = "", ["LIGHTKEEP_REPLICATION_ALLOW_HTTP"], "replication.allow_http", "false", any(boolean);
        /// `true`: targets must not have addresses of this computer or of private networks, whatever a name is resolved to.
        REPLICATION_FORBID_PRIVATE: bool =
            "", ["LIGHTKEEP_REPLICATION_FORBID_PRIVATE"], "replication.forbid_private", "false", any(boolean);
    }
    alerts {
        /// `false`: AlertService is not there, its paths answer 404, no rule is asked and nobody is told. So too without metrics.
        ALERTS_ENABLED: bool = "", ["LIGHTKEEP_ALERTS_ENABLED"], "alerts.enabled", "true", any(boolean);
        /// Where alerts are posted, as CloudEvents. It may hold a token; it is never shown.
        ALERT_WEBHOOK_URL: Secret = "", ["LIGHTKEEP_ALERT_WEBHOOK_URL"], "alerts.webhook_url", "", any(web_address);
        /// Signs what is posted; without it it is not signed.
        ALERT_WEBHOOK_SECRET: Secret = "", ["LIGHTKEEP_ALERT_WEBHOOK_SECRET"], "alerts.webhook_secret", "", any(secret);
        /// The mail server: `smtp://host:port`, `smtp://user:password@host:port?tls=required` (STARTTLS) or
        /// `smtps://user:password@host:port`. Set with the next two, or not at all.
        ALERT_SMTP_URL: Secret = "", ["LIGHTKEEP_ALERT_SMTP_URL"], "alerts.smtp_url", "", any(smtp_url);
        /// Who sends the mails, such as `Lightkeep <lightkeep@example.org>`.
        ALERT_MAIL_FROM: Mailbox = "", ["LIGHTKEEP_ALERT_MAIL_FROM"], "alerts.mail_from", "", any(mailbox);
        /// Who gets them: addresses with commas between, in one string.
        ALERT_MAIL_TO: Mailboxes = "", ["LIGHTKEEP_ALERT_MAIL_TO"], "alerts.mail_to", "", any(mailboxes);
    }
    monitoring {
        /// `false`: nothing is collected, nothing listens for Prometheus, the paths of metrics and history answer 503. Health, events and
        /// statistics stay.
        METRICS_ENABLED: bool = "", ["LIGHTRAG_METRICS_ENABLED"], "metrics.enabled", "true", any(boolean);
        /// Address of the listener with `/metrics`. It needs no key and tells names and figures of graphs: let only the scraper reach it.
        /// Port 0 is any free one.
        METRICS_ADDR: SocketAddr =
            "--metrics-addr", ["LIGHTKEEP_METRICS_ADDR"],
            "metrics.addr", "" or "`127.0.0.1` and the metrics port", any(address);
        /// the port of that listener. Prometheus itself listens on 9090 by default: change one of them where both run on one computer.
        METRICS_PORT: u32 = "", ["LIGHTRAG_METRICS_PORT"], "metrics.port", "9090", within::<0, 65_535>("");
        /// how often everything is sampled.
        METRICS_COLLECTION_INTERVAL: u32 =
            "", ["LIGHTRAG_METRICS_COLLECTION_INTERVAL_SECONDS", "LIGHTRAG_METRICS_COLLECTION_INTERVAL"],
            "metrics.collection_interval_seconds", "60", within::<1, MAX_SECONDS>("seconds");
        /// how many graphs have series of their own, the oldest first. All others are one, `graph="other"`.
        METRICS_GRAPH_LIMIT: u32 = "", ["LIGHTKEEP_METRICS_GRAPH_LIMIT"], "metrics.graph_limit", "500", within::<0, 10_000>("");
        /// how many series the history has at most: those of the whole, then those of graphs, the oldest first, about 25 each. A series
        /// takes about 200 KB in 90 days.
        HISTORY_SERIES_LIMIT: u32 =
            "", ["LIGHTKEEP_HISTORY_SERIES_LIMIT"], "metrics.history_series_limit", "2000", within::<0, 100_000>("");
        /// Metrics and traces are exported there by OTLP over gRPC, such as `http://collector:4317`. The other `OTEL_*` variables of the
        /// OpenTelemetry SDK count too.
        OTLP_ENDPOINT: String = "", ["OTEL_EXPORTER_OTLP_ENDPOINT"], "", "", any(text);
        /// `false`: no events are written.
        EVENT_LOGGING_ENABLED: bool = "", ["LIGHTRAG_EVENT_LOGGING_ENABLED"], "events.enabled", "true", any(boolean);
        /// how long events are kept, those of replication (`GET /api/backup/replication/logs`) too.
        EVENT_LOG_RETENTION: u32 = "", ["LIGHTRAG_EVENT_LOG_RETENTION"], "events.retention_days", "90", within::<1, MAX_DAYS>("days");
    }
}
