//! Floor 3: the use-cases. One file per noun; all rules that need rows or bytes live here. Transport is above, tables and formats below.

mod adoption;
pub mod alerts;
pub mod change_runs;
pub mod checkpoint_schedule;
pub mod checkpoint_work;
pub mod checkpoints;
pub mod cleanup;
pub mod cleanup_work;
mod default_schedules;
pub mod delete_work;
pub mod differences;
mod drill_command;
mod drill_place;
pub mod drill_schedule;
pub mod drill_work;
pub mod drills;
mod error;
mod failback;
pub mod failover_plan;
mod failover_run;
pub mod failover_work;
pub mod failovers;
pub mod graph_updates;
pub mod graphs;
mod hanging;
pub mod health;
mod health_look;
mod heavy_reads;
pub mod holds;
pub mod hooks;
pub mod idempotency;
mod inputs;
pub mod legacy;
pub mod looking;
mod lost_records;
mod lower_errors;
mod manifest;
pub mod monitoring;
pub mod operations;
pub mod overview;
pub mod paths;
pub mod pins;
mod placements;
pub mod probes;
mod processes;
pub mod protection;
pub mod prune_schedule;
pub mod prune_work;
mod put_back;
mod reconcile_plan;
pub mod reconcile_work;
pub mod record_sweep;
mod recorded;
pub mod repair_work;
pub mod replication;
pub mod repositories;
mod repository_lock;
pub mod restore_plan;
mod restore_target;
pub mod restore_work;
pub mod restores;
pub mod retention;
mod retrievals;
pub mod rollback_work;
pub mod running;
pub mod schedule_rows;
pub mod schedule_runs;
pub mod schedules;
pub mod sealed;
mod snapshot_completion;
mod snapshot_files;
mod snapshot_record;
pub mod snapshot_work;
pub mod snapshots;
pub mod stats;
pub mod validations;
pub mod verifications;
pub mod wakeup;
mod webhook;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::clock::Clock;
use crate::base::ids::{AuditEventId, IdSource, InstanceId};
use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::lightrag::audit::AuditCache;
use crate::repository::Repositories;
use crate::store::entity::audit_event;
use crate::store::{Store, audit_events};
use crate::telemetry::Telemetry;

use alerts::AlertSettings;
use checkpoint_schedule::RecoverySettings;
use drills::DrillSettings;
pub use error::{Error, ErrorKind, RecordedError};
use hooks::FailoverSettings;
use paths::Places;
use prune_schedule::PruneSettings;
use wakeup::Wakeup;

/// How many repositories are kept open: each costs the memory of its index, about 100 bytes a blob.
const OPEN_REPOSITORIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Where copies of other graphs lie in the storage: below a directory for each place that they come from. That of a target on another disk
/// is a link.
const COPIES: &str = "replicas";

/// What the operator has set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The places that callers may name.
    pub places: Places,
    /// How long a snapshot is kept at least where its graph has no policy, days.
    pub retention_days: u32,
    /// When repositories are pruned by themselves.
    pub prune: PruneSettings,
    /// Checkpoints by themselves, and how long they and their validations count.
    pub recovery: RecoverySettings,
    /// How drills are done.
    pub drill: DrillSettings,
    /// What is done around failovers.
    pub failover: FailoverSettings,
    /// The interval of the default schedules, hours; 0 for none.
    pub auto_backup_interval_hours: u32,
    /// Whether a restore ends when all is on the disk.
    pub restore_sync: bool,
    /// This instance's name, recorded in snapshots.
    pub instance_name: String,
    /// This computer's name, by which locks tell whether their process is alive.
    pub host_name: String,
    /// The password of all repositories.
    pub repository_password: Secret,
    /// What the keys of other servers are sealed with.
    pub secret_keys: sealed::SecretKeys,
    /// How copies go to other places.
    pub replication: replication::ReplicationSettings,
    /// What is measured.
    pub monitoring: monitoring::MonitoringSettings,
    /// What is looked for in the metrics, and who is told of it.
    pub alerts: AlertSettings,
}

impl Settings {
    /// How long a snapshot is kept at least where its graph has no policy.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 24 * 3600)
    }
}

/// All that use-cases need: one bag, cheap to clone.
#[derive(Debug, Clone)]
pub struct Services(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    store: Store,
    repositories: Repositories,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    instance_id: InstanceId,
    wakeup: Wakeup,
    running: running::Running,
    heavy_reads: heavy_reads::HeavyReads,
    health: health::Looking,
    sending: replication::Sending,
    monitoring: monitoring::Monitoring,
    telemetry: Telemetry,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Services {
    /// Puts the bag together.
    pub fn new(settings: Settings, store: Store, clock: Arc<dyn Clock>, ids: IdSource, telemetry: Telemetry) -> Self {
        let instance_id = InstanceId::new(&ids, clock.now());
        let copies = settings.places.storage.join(COPIES);
        let repositories = Repositories::with_apart(settings.repository_password.clone(), OPEN_REPOSITORIES, &copies);
        let (wakeup, running) = (Wakeup::default(), running::Running::default());
        let (heavy_reads, ids) = (heavy_reads::HeavyReads::default(), Arc::new(ids));
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (health, sending) = (health::Looking::default(), replication::Sending::default());
        let monitoring = monitoring::Monitoring::default();
        Self(Arc::new(Inner {
            settings,
            store,
            repositories,
            clock,
            ids,
            instance_id,
            wakeup,
            running,
            heavy_reads,
            health,
            sending,
            monitoring,
            telemetry,
            tasks,
            stopping,
        }))
    }

    /// What the operator has set.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The rows.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The open repositories.
    pub fn repositories(&self) -> &Repositories {
        &self.0.repositories
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Where ids come from.
    pub fn ids(&self) -> &Arc<IdSource> {
        &self.0.ids
    }

    /// The time source, for what outlives a call.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// This process among the instances.
    pub fn instance_id(&self) -> InstanceId {
        self.0.instance_id
    }

    /// The signals of this process.
    pub fn wakeup(&self) -> &Wakeup {
        &self.0.wakeup
    }

    /// The work of this process, so that it can be stopped.
    pub fn running(&self) -> &running::Running {
        &self.0.running
    }

    /// Who reads what takes long.
    fn heavy_reads(&self) -> &heavy_reads::HeavyReads {
        &self.0.heavy_reads
    }

    /// Who looks what recovery needs.
    fn health(&self) -> &health::Looking {
        &self.0.health
    }

    /// What is on its way to targets.
    fn sending(&self) -> &replication::Sending {
        &self.0.sending
    }

    /// Who measures.
    fn monitoring(&self) -> &monitoring::Monitoring {
        &self.0.monitoring
    }

    /// What is measured, as it goes out.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// Every task of this process is tracked here.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Cancelled when the process is asked to stop: streams end, nothing new is begun.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// Where a graph's repository is.
    pub fn repository_root(&self, graph_id: &GraphId) -> PathBuf {
        let storage = &self.0.settings.places.storage;
        match graph_id.as_copy() {
            Some((graph, place)) => self.copies_of(place).join(graph),
            None => storage.join(graph_id.as_str()),
        }
    }

    /// Where copies lie that come from, or go to, a place of this name.
    fn copies_of(&self, place: &str) -> PathBuf {
        self.0.settings.places.storage.join(COPIES).join(place)
    }

    /// Where a graph's repository is kept: the disk whose room counts.
    fn repository_place(&self, graph_id: &GraphId) -> PathBuf {
        let storage = &self.0.settings.places.storage;
        graph_id.as_copy().map_or_else(|| storage.clone(), |(_, place)| self.copies_of(place))
    }

    /// The file of a snapshot's record.
    pub fn record_path(&self, graph_id: &GraphId, record_id: &str) -> PathBuf {
        self.repository_root(graph_id).join("snapshots").join(record_id)
    }

    /// What audits have learned of a graph's unchanged files.
    pub fn audit_cache(&self, graph_id: &GraphId) -> AuditCache {
        AuditCache::new(self.0.settings.places.storage.join(".audit").join(graph_id.as_str()))
    }

    /// Runs blocking work where it does not hold up requests.
    ///
    /// # Errors
    /// Those of the work; an internal one when it panicked.
    pub async fn blocking<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        E: Into<Error> + Send + 'static,
    {
        match self.0.tasks.spawn_blocking(work).await {
            Ok(result) => result.map_err(Into::into),
            Err(panic) => Err(Error::internal("finish blocking work", panic)),
        }
    }

    /// Writes a row of the audit trail, in the transaction of the change.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_audit(
        &self,
        connection: &impl ConnectionTrait,
        caller: &Caller,
        action: &'static str,
        graph_id: impl Into<Option<&GraphId>> + Send,
        subject_id: Option<String>,
    ) -> Result<(), Error> {
        let event = audit_event::Model {
            audit_event_id: AuditEventId::new(self.ids(), self.now()),
            created_at: self.now(),
            caller: caller.name.to_owned(),
            request_id: caller.request_id.clone(),
            action: action.to_owned(),
            graph_id: graph_id.into().cloned(),
            subject_id,
        };
        Ok(audit_events::insert(connection, event).await?)
    }
}
