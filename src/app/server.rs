//! The server: services, workers and doors, put together, started and stopped.

use std::fs::{DirBuilder, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::{Config, PasswordSource, host_name};
use super::instance_lock::InstanceLock;
use super::password::{Origin, repository_password};
use super::secret_keys;
use crate::api;
use crate::base::clock::Clock;
use crate::base::ids::IdSource;
use crate::base::secret::Secret;
use crate::domain::address::AddressRules;
use crate::jobs::{self, Worker};
use crate::service::alerts::AlertSettings;
use crate::service::checkpoint_schedule::RecoverySettings;
use crate::service::drills::DrillSettings;
use crate::service::hooks::FailoverSettings;
use crate::service::monitoring::MonitoringSettings;
use crate::service::paths::Places;
use crate::service::prune_schedule::PruneSettings;
use crate::service::replication::ReplicationSettings;
use crate::service::{self, Services, Settings, sealed};
use crate::store::{self, Store};
use crate::telemetry::{Telemetry, TelemetrySettings};

/// How long open connections may take to close once all work has ended.
const CLOSING: Duration = Duration::from_secs(5);

/// The sockets, bound before anything else is touched.
#[derive(Debug)]
pub struct Listeners {
    /// For REST.
    pub http: TcpListener,
    /// For gRPC.
    pub grpc: TcpListener,
    /// For `/metrics`, where metrics are collected.
    pub metrics: Option<TcpListener>,
}

impl Listeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// An address is in use or not ours.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let http = TcpListener::bind(config.http_addr).await;
        let http = http.with_context(|| format!("cannot listen for HTTP, set `LIGHTKEEP_HTTP_ADDR`: {}", config.http_addr))?;
        let grpc = TcpListener::bind(config.grpc_addr).await;
        let grpc = grpc.with_context(|| format!("cannot listen for gRPC, set `LIGHTKEEP_GRPC_ADDR`: {}", config.grpc_addr))?;
        let metrics = if config.monitoring.metrics_enabled {
            let metrics = TcpListener::bind(config.metrics_addr).await;
            let context = || format!("cannot listen for metrics, set `LIGHTKEEP_METRICS_ADDR`: {}", config.metrics_addr);
            Some(metrics.with_context(context)?)
        } else {
            None
        };
        Ok(Self { http, grpc, metrics })
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    services: Services,
    doors: api::Doors,
    http_addr: SocketAddr,
    grpc_addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    worker: JoinHandle<()>,
    closing: CancellationToken,
    listening: Vec<JoinHandle<anyhow::Result<()>>>,
    _locks: Vec<InstanceLock>,
}

impl Server {
    /// Starts all there is. It is ready when this returns.
    ///
    /// # Errors
    /// Another process uses the storage or the database; the database or the password cannot be had.
    pub async fn start(config: Config, listeners: Listeners, clock: Arc<dyn Clock>, ids: IdSource) -> anyhow::Result<Self> {
        let (http_addr, grpc_addr) = (listeners.http.local_addr()?, listeners.grpc.local_addr()?);
        let metrics_addr = listeners.metrics.as_ref().map(TcpListener::local_addr).transpose()?;
        let (services, locks) = services(&config, clock, ids).await?;
        warn_of_unknown_repositories(&services).await;
        if config.backup_enabled {
            services.sync_default_schedules().await?;
            services.tasks().spawn(jobs::schedule(services.clone()));
        }
        let recovery_enabled = config.backup_enabled && config.recovery_enabled;
        services.tasks().spawn(jobs::housekeep(services.clone(), config.backup_enabled, recovery_enabled));
        if recovery_enabled {
            services.tasks().spawn(jobs::watch_health(services.clone()));
        }
        if config.backup_enabled {
            // Also where recovery is switched off: what was made before must come to its end.
            services.tasks().spawn(jobs::follow_recovery(services.clone()));
        }
        let worker = services.tasks().spawn(Worker::new(services.clone(), config.max_parallel_operations).run());
        let replication_enabled = services.settings().replication.is_enabled;
        if replication_enabled {
            services.tasks().spawn(jobs::replicate(services.clone()));
            services.tasks().spawn(jobs::watch_targets(services.clone()));
        }
        services.tasks().spawn(jobs::count(services.clone()));
        if config.monitoring.metrics_enabled {
            // The first scrape shows what was measured.
            if let Err(error) = services.collect_metrics().await {
                // No reason not to take snapshots.
                tracing::warn!(error = error.chain(), "cannot collect metrics");
            }
            services.tasks().spawn(jobs::collect(services.clone()));
            services.tasks().spawn(jobs::measure(services.clone()));
        }
        let alerts_enabled = services.settings().alerts.is_enabled;
        if alerts_enabled {
            services.tasks().spawn(jobs::notify(services.clone()));
        }
        let access = api::Access {
            api_key: config.api_key.clone(),
            peer_keys: config.peer_keys.clone(),
            backup_enabled: config.backup_enabled,
            recovery_enabled,
            replication_enabled,
            alerts_enabled,
        };
        let doors = api::Doors::new(&services, access)?;
        let closing = CancellationToken::new();
        let listening = doors.listen(&services, listeners.http, listeners.grpc, listeners.metrics, &closing);
        Ok(Self { services, doors, http_addr, grpc_addr, metrics_addr, worker, closing, listening, _locks: locks })
    }

    /// Where REST listens.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where gRPC listens.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where `/metrics` listens, if it does.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The use-cases, for a program or test that runs beside the server.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Stops: says so, takes nothing new, lets work finish or gives it back, closes.
    ///
    /// # Errors
    /// Something died on the way.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.doors.say_not_serving().await;
        self.services.stopping().cancel();
        self.worker.await.context("the worker died")?;
        let mut changes = self.services.wakeup().changes();
        while !self.services.running().is_empty() {
            changes.next().await;
        }
        self.closing.cancel();
        // Who still waits for an operation is told now that it goes on later.
        self.services.tasks().close();
        self.services.wakeup().announce_change();
        let closed = async {
            for door in self.listening {
                door.await.context("a listener died")??;
            }
            self.services.tasks().wait().await;
            anyhow::Ok(())
        };
        if let Ok(closed) = tokio::time::timeout(CLOSING, closed).await {
            closed?;
        }
        // The last figures go out while the runtime is there to send them.
        self.services
            .blocking({
                let services = self.services.clone();
                move || {
                    services.telemetry().shut_down();
                    Ok::<_, service::Error>(())
                }
            })
            .await?;
        self.services.store().clone().close().await?;
        Ok(())
    }
}

/// Where the database was lost nothing else would tell. No reason not to start.
async fn warn_of_unknown_repositories(services: &Services) {
    match services.find_unknown_repositories().await {
        Ok(unknown) => {
            for graph_id in unknown {
                let graph_id = graph_id.as_str();
                tracing::warn!(
                    graph_id,
                    "the storage has a repository that the database does not know: `lightkeep adopt` takes it into care"
                );
            }
        }
        Err(error) => tracing::warn!(error = error.chain(), "cannot look for repositories that the database does not know"),
    }
}

/// The use-cases without doors, with what an earlier process left put right. They hold as long as the locks.
///
/// # Errors
/// As [`Server::start`].
pub(super) async fn services(config: &Config, clock: Arc<dyn Clock>, ids: IdSource) -> anyhow::Result<(Services, Vec<InstanceLock>)> {
    let (locks, storage) = prepare(config)?;
    let services = bare_services(config, &storage, clock, ids).await?;
    services.open_all_copies().await?;
    jobs::recover(&services).await?;
    Ok((services, locks))
}

/// The use-cases, with everything as an earlier process left it.
///
/// # Errors
/// As [`Server::start`].
pub(super) async fn bare_services(config: &Config, storage: &Path, clock: Arc<dyn Clock>, ids: IdSource) -> anyhow::Result<Services> {
    let store = Store::connect(&config.database.connect_url()).await?;
    store.migrate().await?;
    let repository_password = password(config, storage, &store).await?;
    let is_needed =
        store::targets::has_any_sealed(store.read()).await? || store::graphs::has_any_sealed(store.read(), sealed::PREFIX).await?;
    let secret_keys = secret_keys::read_or_create(storage, is_needed)?;
    let working_dir = std::env::current_dir().context("the working directory cannot be used")?;
    let settings = Settings {
        places: Places {
            allowed_roots: config.allowed_roots.clone(),
            storage: storage.to_path_buf(),
            own_files: own_files(config),
            working_dir,
        },
        retention_days: config.retention_days,
        prune: PruneSettings {
            interval: Duration::from_secs(u64::from(config.prune_interval_hours) * 3600),
            max_seconds: config.prune_max_seconds.into(),
            max_repack_bytes: u64::from(config.prune_max_repack_mib) << 20,
        },
        recovery: RecoverySettings {
            checkpoint_interval: Duration::from_secs(u64::from(config.checkpoint_interval_hours) * 3600),
            checkpoint_retention_days: config.checkpoint_retention_days,
            rpo_objective: Duration::from_secs(u64::from(config.rpo_objective_hours) * 3600),
            health_check_interval: Duration::from_secs(if config.monitoring.health_check_enabled {
                config.recovery_health_check_interval_seconds.into()
            } else {
                0
            }),
            validation_max_age: Duration::from_secs(u64::from(config.validation_max_age_days) * 24 * 3600),
        },
        drill: DrillSettings {
            directory: config.drill_dir.clone(),
            command: config.drill_command.clone(),
            timeout: Duration::from_secs(config.drill_timeout_seconds.into()),
            minimum_recall: config.drill_minimum_recall,
            interval: Duration::from_secs(u64::from(config.drill_interval_hours) * 3600),
        },
        failover: FailoverSettings {
            hooks: config.hooks.clone(),
            hook_secret: config.hook_secret.clone(),
            server_timeout: Duration::from_secs(config.failover_server_timeout_seconds.into()),
        },
        auto_backup_interval_hours: config.auto_backup_interval_hours,
        restore_sync: config.restore_sync,
        instance_name: config.instance_name.clone(),
        host_name: host_name(),
        repository_password,
        secret_keys,
        replication: ReplicationSettings {
            is_enabled: config.backup_enabled && config.replication_enabled,
            most_targets: config.replication_max_targets,
            health_check_interval: Duration::from_secs(config.replication_health_check_interval_seconds.into()),
            addresses: AddressRules { allow_http: config.replication_allow_http, forbid_private: config.replication_forbid_private },
            roots: config.replication_roots.clone(),
        },
        monitoring: MonitoringSettings {
            is_enabled: config.monitoring.metrics_enabled,
            interval: Duration::from_secs(config.monitoring.metrics_collection_interval_seconds.into()),
            graph_limit: config.monitoring.metrics_graph_limit as usize,
            series_limit: config.monitoring.history_series_limit.into(),
            events_enabled: config.monitoring.event_logging_enabled,
            event_retention: Duration::from_secs(u64::from(config.monitoring.event_retention_days) * 24 * 3600),
        },
        alerts: AlertSettings { is_enabled: config.monitoring.metrics_enabled && config.alerts.is_enabled, ..config.alerts.clone() },
    };
    let telemetry = TelemetrySettings {
        instance_name: config.instance_name.clone(),
        graph_limit: settings.monitoring.graph_limit,
        otlp_endpoint: config.monitoring.otlp_endpoint.clone().filter(|_| config.monitoring.metrics_enabled),
    };
    let connections = store.clone();
    let telemetry = Telemetry::new(&telemetry, move || connections.connections())?;
    Ok(Services::new(settings, store, clock, ids, telemetry))
}

/// The password of the repositories. A new one is not made where there are snapshots already: then the storage is another, or its
/// disk is not mounted.
async fn password(config: &Config, storage: &Path, store: &Store) -> anyhow::Result<Secret> {
    let key_file = storage.join("repository.key");
    let would_create = config.password == PasswordSource::Generated && !key_file.exists();
    if would_create && store::snapshots::has_any_record(store.read()).await? {
        let show = key_file.display();
        bail!("the metadata database knows snapshots, but the storage has no password file, is its disk mounted? {show}");
    }
    let (password, origin) = repository_password(&config.password, storage)?;
    if origin == Origin::Created {
        let path = key_file.display();
        tracing::warn!(%path, "made a password for the repositories: keep a copy elsewhere, without it no backup can be read");
    }
    Ok(password)
}

/// The files outside the storage that must stay where they are, links resolved.
fn own_files(config: &Config) -> Vec<PathBuf> {
    let password = match &config.password {
        PasswordSource::File(path) => Some(path.as_path()),
        PasswordSource::Command(_) | PasswordSource::Generated => None,
    };
    config.database.sqlite_path().into_iter().chain(password).filter_map(|path| path.canonicalize().ok()).collect()
}

/// Makes the directories and takes the locks. Several instances may share a storage when they share a PostgreSQL database.
///
/// # Errors
/// Another process uses them; they cannot be made.
pub(super) fn prepare(config: &Config) -> anyhow::Result<(Vec<InstanceLock>, PathBuf)> {
    make_directory(&config.storage, 0o700)?;
    let storage = config.storage.canonicalize().with_context(|| format!("cannot use the storage: {}", config.storage.display()))?;
    let Some(database) = lock_database(config)? else { return Ok((vec![], storage)) };
    let lock = InstanceLock::take(&storage.join(".lightkeep.lock"), "storage")?;
    Ok((vec![database, lock], storage))
}

/// Takes the lock of a SQLite database, and makes its file, readable for its owner only.
///
/// # Errors
/// Another process uses it; it cannot be made.
pub(super) fn lock_database(config: &Config) -> anyhow::Result<Option<InstanceLock>> {
    let Some(database) = config.database.sqlite_path() else { return Ok(None) };
    let Some(directory) = database.parent() else {
        bail!("the SQLite database needs a file name: {}", database.display());
    };
    make_directory(directory, 0o755)?;
    // The driver would make it readable for everybody.
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(database);
    // Whatever link leads to it: the lock lies beside the file itself.
    let resolved = opened.and_then(|_| database.canonicalize());
    let mut lock = resolved.with_context(|| format!("cannot open the SQLite database: {}", database.display()))?.into_os_string();
    lock.push(".lock");
    Ok(Some(InstanceLock::take(Path::new(&lock), "SQLite database")?))
}

fn make_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.with_context(|| format!("cannot make the directory: {}", path.display()))
}
