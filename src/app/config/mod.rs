//! The configuration: flags, then the process environment, then `.env` in the working directory, then the TOML file, then defaults.
//!
//! Every problem is found before any is reported, so that a wrong configuration is corrected in one go.

mod alerts;
mod database;
mod hooks;
mod monitoring;
mod parse;
mod paths;
mod problems;
mod sources;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;

use alerts::alerts;
pub use database::{DatabaseUrl, PostgresUrl};
use hooks::hooks;
pub use monitoring::{LogFormat, MonitoringConfig};
pub use problems::Problems;
use sources::Sources;

use super::args::{Args, Command, ServerCommand};
use crate::base::secret::Secret;
use crate::domain::hook::Hooks;
use crate::domain::peer::PeerKey;
use crate::service::alerts::AlertSettings;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything that helps to find a fault.
    Debug,
    /// What happens.
    Info,
    /// What may become a fault.
    Warning,
    /// Faults.
    Error,
}

impl LogLevel {
    /// The level as `tracing` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
        }
    }
}

/// Where the password of the repositories comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// A file holds it.
    File(PathBuf),
    /// A shell command prints it.
    Command(String),
    /// `<storage>/repository.key` holds it, made at the first start.
    Generated,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where REST listens.
    pub http_addr: SocketAddr,
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// Where `/metrics` listens, if metrics are collected.
    pub metrics_addr: SocketAddr,
    /// The directory of the repositories; absolute; need not exist.
    pub storage: PathBuf,
    /// The metadata database.
    pub database: DatabaseUrl,
    /// Directories that sources and restore targets must lie in; links resolved; never empty.
    pub allowed_roots: Vec<PathBuf>,
    /// Where the password of the repositories comes from.
    pub password: PasswordSource,
    /// The key that every call needs, if set.
    pub api_key: Option<Secret>,
    /// The keys of those that may bring copies here.
    pub peer_keys: Vec<PeerKey>,
    /// The name of this instance, recorded in snapshots.
    pub instance_name: String,
    /// How many operations run at once.
    pub max_parallel_operations: usize,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Whether the backup paths answer.
    pub backup_enabled: bool,
    /// Whether a restore ends when all is on the disk; without it a power cut right after may lose restored files.
    pub restore_sync: bool,
    /// How long snapshots of graphs without a retention policy are kept, in days; at least 1.
    pub retention_days: u32,
    /// How long after a deletion a repository is pruned by itself, in hours; 0: never.
    pub prune_interval_hours: u32,
    /// The longest that such a run takes, in seconds; at least 1.
    pub prune_max_seconds: u32,
    /// The most that such a run reads to write packs anew, in MiB; at least 1.
    pub prune_max_repack_mib: u32,
    /// The default interval of automatic snapshots, in hours; 0: none.
    pub auto_backup_interval_hours: u32,
    /// Whether replication works.
    pub replication_enabled: bool,
    /// The period of the target health checks, in seconds; at least 1.
    pub replication_health_check_interval_seconds: u32,
    /// How many targets may be registered.
    pub replication_max_targets: u32,
    /// Directories that targets on disks must lie in; links resolved.
    pub replication_roots: Vec<PathBuf>,
    /// Whether targets on other computers may be reached by plain HTTP.
    pub replication_allow_http: bool,
    /// Whether targets must not have addresses of this computer or of its own networks.
    pub replication_forbid_private: bool,
    /// Whether recovery works.
    pub recovery_enabled: bool,
    /// The interval of automatic checkpoints, in hours; 0: none.
    pub checkpoint_interval_hours: u32,
    /// How long checkpoints are kept, in days; at least 1.
    pub checkpoint_retention_days: u32,
    /// How old the newest good snapshot of a graph may be, in hours; 0: nobody says.
    pub rpo_objective_hours: u32,
    /// The period of the recovery health checks, in seconds; at least 10.
    pub recovery_health_check_interval_seconds: u32,
    /// How long a validation counts, in days; at least 1.
    pub validation_max_age_days: u32,
    /// Where drills restore graphs to; absolute; need not exist.
    pub drill_dir: PathBuf,
    /// The shell command that starts a LightRAG over a restored graph, if set.
    pub drill_command: Option<Secret>,
    /// How long it may take until it is healthy, in seconds; at least 1.
    pub drill_timeout_seconds: u32,
    /// The share that each probe must retrieve of what it did; 0 to 1.
    pub drill_minimum_recall: f64,
    /// How long after the last drill of a graph it is drilled by itself, in hours; 0: never.
    pub drill_interval_hours: u32,
    /// What is done around failovers.
    pub hooks: Hooks,
    /// Signs webhooks, if set.
    pub hook_secret: Option<Secret>,
    /// How long LightRAG servers have until they are healthy that hooks start, in seconds; at least 1.
    pub failover_server_timeout_seconds: u32,
    /// What is measured, kept and told.
    pub monitoring: MonitoringConfig,
    /// What is looked for in the metrics, and who is told.
    pub alerts: AlertSettings,
}

impl Config {
    /// Reads all sources. `environment` is the process's, `working_dir` an absolute path.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(args: &Args, environment: &HashMap<String, String>, working_dir: &Path) -> Result<Self, Problems> {
        let mut sources = Sources::open(args, environment, working_dir);
        let config = Self::read(&mut sources, args, working_dir);
        match config {
            Some(config) if sources.problems.is_empty() => Ok(config),
            _ => Err(sources.problems),
        }
    }

    /// `None` only after a problem was reported. All settings are read before the first `?`, or problems would hide each other.
    fn read(sources: &mut Sources<'_>, args: &Args, working_dir: &Path) -> Option<Self> {
        let http_addr = sources.read(&table::HTTP_ADDR);
        let grpc_addr = sources.read(&table::GRPC_ADDR);
        let metrics_addr = sources.read(&table::METRICS_ADDR);
        let metrics_port = sources.read(&table::METRICS_PORT).and_then(|port| u16::try_from(port).ok());
        let monitoring = MonitoringConfig::read(sources);
        let api_key = sources.read(&table::API_KEY);
        let peer_keys = sources.read(&table::PEER_KEYS).unwrap_or_default();
        let insecure_no_auth = sources.read(&table::INSECURE_NO_AUTH);
        let storage = sources.read(&table::STORAGE);
        let database = database(sources, working_dir);
        let allowed_roots = allowed_roots(sources, args, working_dir);
        let password = password(sources, working_dir);
        let instance_name = sources.read(&table::INSTANCE_NAME);
        let max_parallel_operations = sources.read(&table::MAX_PARALLEL_OPERATIONS);
        let log_level = sources.read(&table::LOG_LEVEL);
        let backup_enabled = sources.read(&table::BACKUP_ENABLED);
        let restore_sync = sources.read(&table::RESTORE_SYNC);
        let retention_days = sources.read(&table::RETENTION_DAYS);
        let prune_interval_hours = sources.read(&table::PRUNE_INTERVAL);
        let prune_max_seconds = sources.read(&table::PRUNE_MAX_SECONDS);
        let prune_max_repack_mib = sources.read(&table::PRUNE_MAX_REPACK);
        let auto_backup_interval_hours = sources.read(&table::AUTO_BACKUP_INTERVAL);
        let replication_enabled = sources.read(&table::REPLICATION_ENABLED);
        let replication_health_check_interval_seconds = sources.read(&table::REPLICATION_HEALTH_CHECK_INTERVAL);
        let replication_max_targets = sources.read(&table::REPLICATION_MAX_TARGETS);
        let replication_roots = named_roots(sources, args, &table::REPLICATION_ROOTS.names, working_dir).unwrap_or_default();
        let replication_allow_http = sources.read(&table::REPLICATION_ALLOW_HTTP);
        let replication_forbid_private = sources.read(&table::REPLICATION_FORBID_PRIVATE);
        let recovery_enabled = sources.read(&table::RECOVERY_ENABLED);
        let checkpoint_interval_hours = sources.read(&table::CHECKPOINT_INTERVAL);
        let checkpoint_retention_days = sources.read(&table::CHECKPOINT_RETENTION_DAYS);
        let rpo_objective_hours = sources.read(&table::RPO_OBJECTIVE_HOURS);
        let recovery_health_check_interval_seconds = sources.read(&table::RECOVERY_HEALTH_CHECK_INTERVAL);
        let validation_max_age_days = sources.read(&table::VALIDATION_MAX_AGE_DAYS);
        let drill_dir = sources.read(&table::DRILL_DIR);
        let drill_command = sources.read(&table::DRILL_COMMAND);
        let drill_timeout_seconds = sources.read(&table::DRILL_TIMEOUT);
        let drill_minimum_recall = sources.read(&table::DRILL_MINIMUM_RECALL);
        let drill_interval_hours = sources.read(&table::DRILL_INTERVAL);
        let hooks = hooks(sources, working_dir);
        let hook_secret = sources.read(&table::HOOK_SECRET);
        let failover_server_timeout_seconds = sources.read(&table::FAILOVER_SERVER_TIMEOUT);
        let alerts = alerts(sources);
        for setting in [&table::S3_BUCKET, &table::S3_REGION, &table::S3_KEY_PREFIX] {
            sources.read(setting);
        }
        let metrics_addr = metrics_addr.or(metrics_port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        check_ports(
            sources,
            [
                ("http", http_addr),
                ("grpc", grpc_addr),
                ("metrics", metrics_addr.filter(|_| monitoring.as_ref().is_some_and(|monitoring| monitoring.metrics_enabled))),
            ],
        );
        if api_key.is_none() && insecure_no_auth != Some(true) {
            check_loopback(sources, http_addr, &table::HTTP_ADDR.names);
            check_loopback(sources, grpc_addr, &table::GRPC_ADDR.names);
        }
        if let Some(peer) = peer_keys.iter().find(|peer| api_key.as_ref().is_some_and(|key| key.matches(peer.key.expose().as_bytes()))) {
            sources.problems.add(format!("`LIGHTKEEP_PEER_KEYS` holds `LIGHTRAG_API_KEY`, give the peer a key of its own: {}", peer.name));
        }
        let storage = paths::resolved(Path::new(&storage?), working_dir);
        Some(Self {
            http_addr: http_addr?,
            grpc_addr: grpc_addr?,
            metrics_addr: metrics_addr?,
            drill_dir: drill_dir.map_or_else(|| storage.join(".drills"), |directory| paths::resolved(Path::new(&directory), working_dir)),
            storage,
            database: database?,
            allowed_roots,
            password,
            api_key,
            peer_keys,
            instance_name: instance_name.unwrap_or_else(host_name),
            max_parallel_operations: max_parallel_operations.map_or_else(cores, |number| number as usize),
            log_level: log_level?,
            backup_enabled: backup_enabled?,
            restore_sync: restore_sync?,
            retention_days: retention_days?,
            prune_interval_hours: prune_interval_hours?,
            prune_max_seconds: prune_max_seconds?,
            prune_max_repack_mib: prune_max_repack_mib?,
            auto_backup_interval_hours: auto_backup_interval_hours?,
            replication_enabled: replication_enabled?,
            replication_health_check_interval_seconds: replication_health_check_interval_seconds?,
            replication_max_targets: replication_max_targets?,
            replication_roots,
            replication_allow_http: replication_allow_http?,
            replication_forbid_private: replication_forbid_private?,
            recovery_enabled: recovery_enabled?,
            checkpoint_interval_hours: checkpoint_interval_hours?,
            checkpoint_retention_days: checkpoint_retention_days?,
            rpo_objective_hours: rpo_objective_hours?,
            recovery_health_check_interval_seconds: recovery_health_check_interval_seconds?,
            validation_max_age_days: validation_max_age_days?,
            drill_command,
            drill_timeout_seconds: drill_timeout_seconds?,
            drill_minimum_recall: drill_minimum_recall?,
            drill_interval_hours: drill_interval_hours?,
            hooks,
            hook_secret,
            failover_server_timeout_seconds: failover_server_timeout_seconds?,
            monitoring: monitoring?,
            alerts,
        })
    }
}

fn database(sources: &mut Sources<'_>, working_dir: &Path) -> Option<DatabaseUrl> {
    let text = sources.read(&table::DATABASE_URL)?;
    match DatabaseUrl::parse(&text, working_dir) {
        Ok(database) => Some(database),
        Err(must) => {
            let place = sources.find(&table::DATABASE_URL.names, false).map_or_else(|| "the default".to_owned(), |found| found.place);
            sources.problems.add(format!("{place} {must}"));
            None
        }
    }
}

fn allowed_roots(sources: &mut Sources<'_>, args: &Args, working_dir: &Path) -> Vec<PathBuf> {
    named_roots(sources, args, &table::ALLOWED_ROOTS.names, working_dir).unwrap_or_else(|| {
        let mut roots = vec![paths::resolved(Path::new("."), working_dir)];
        if let Some(lightrag) = sources.read(&table::LIGHTRAG_WORKING_DIR) {
            roots.push(paths::resolved(Path::new(&lightrag), working_dir));
        }
        roots.sort();
        roots.dedup();
        roots
    })
}

/// Roots that were named must exist, or a typing error would shut everything out. Quickstart makes its own directory later.
fn named_roots(sources: &mut Sources<'_>, args: &Args, names: &table::Names, working_dir: &Path) -> Option<Vec<PathBuf>> {
    let found = sources.find(names, true)?;
    let mut roots = Vec::new();
    for path in found.values.iter().map(|value| Path::new(value.trim())).filter(|path| !path.as_os_str().is_empty()) {
        if matches!(args.command, Command::Server(ServerCommand::Quickstart(_))) {
            roots.push(paths::resolved(path, working_dir));
            continue;
        }
        match paths::existing_directory(path, working_dir) {
            Ok(root) => roots.push(root),
            Err(must) => sources.problems.add(format!("{} {must}", found.place)),
        }
    }
    roots.sort();
    roots.dedup();
    Some(roots)
}

fn password(sources: &mut Sources<'_>, working_dir: &Path) -> PasswordSource {
    match (sources.read(&table::PASSWORD_FILE), sources.read(&table::PASSWORD_COMMAND)) {
        (None, None) => PasswordSource::Generated,
        (Some(file), None) => PasswordSource::File(paths::absolute(Path::new(&file), working_dir)),
        (None, Some(command)) => PasswordSource::Command(command),
        (Some(_), Some(_)) => {
            sources
                .problems
                .add("`LIGHTKEEP_REPOSITORY_PASSWORD_FILE` and `LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND` are both set: remove one of them");
            PasswordSource::Generated
        }
    }
}

/// Port 0 is any free one.
fn check_ports(sources: &mut Sources<'_>, listeners: [(&str, Option<SocketAddr>); 3]) {
    let named: Vec<_> = listeners.iter().filter_map(|(name, address)| Some((*name, address.as_ref()?.port()))).collect();
    for (index, (name, port)) in named.iter().enumerate() {
        for (other, _) in named.iter().skip(index + 1).filter(|(_, other)| *port != 0 && other == port) {
            sources.problems.add(format!("the {name} address and the {other} address have the same port, change one of them: {port}"));
        }
    }
}

fn check_loopback(sources: &mut Sources<'_>, address: Option<SocketAddr>, names: &table::Names) {
    if let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) {
        let place = sources.find(names, false).map_or_else(|| "the default".to_owned(), |found| found.place);
        sources.problems.add(format!(
            "{place} is reachable from other computers without a key, set `LIGHTRAG_API_KEY` or give `--insecure-no-auth`: {address}"
        ));
    }
}

/// This computer's name.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "lightkeep".to_owned() } else { name.trim().to_owned() }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl std::fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // The command may hold a token.
            Self::Command(_) => f.write_str("Command(..)"),
            Self::Generated => f.write_str("Generated"),
        }
    }
}
